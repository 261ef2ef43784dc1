"""The aims of the project for what an exchange may cost, beside what was measured: told, never asserted.

Everything is on (signed, logged, encrypted, indexed); E is Envoy's pair, which does none of it, in the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bench.measure import Row, Rows, median_ratio, median_row
from bench.points import KIB, SATURATED, Point

OURS: Final = "passerelle"
ENVOY: Final = "envoy"
PLAIN: Final = "grpc.aio"

# Of a worker, of control: the most memory seen at rest, PSS in MiB.
Memory = Mapping[str, float]
_MIB_IN_MB: Final = 1024 * 1024 / 1e6

_SMALL: Final = Point(256, SATURATED)
_USUAL: Final = Point(4 * KIB, SATURATED)
_LARGE: Final = Point(64 * KIB, SATURATED)
_IDLE: Final = Point(4 * KIB, 1)
_STOCK: Final = Point(4 * KIB, SATURATED, ends="grpcio")


@dataclass(frozen=True)
class Verdict:
    """One aim: what it is about, what it asks, what was measured, and whether that is enough (``None``: not measured)."""

    what: str
    asked: str
    measured: str
    is_met: bool | None


def judge(rows: Rows, at_rest: Memory) -> list[Verdict]:
    """Every aim, whatever was measured."""

    def workers(row: Row) -> float:
        return row.pair_us

    def everything(row: Row) -> float:
        return row.pair_with_control_us

    def p50(row: Row) -> float:
        return row.p50_ms

    at_most = [
        ("CPU of the two workers, 4 KiB", _USUAL, workers, 1.3),
        ("CPU of the two workers, 256 B", _SMALL, workers, 0.8),
        ("CPU of the two workers, 64 KiB", _LARGE, workers, 2.0),
        ("CPU with control, 4 KiB", _USUAL, everything, 1.6),
        ("CPU with control, 256 B", _SMALL, everything, 1.1),
        ("CPU of the two workers, stock grpcio ends, 4 KiB", _STOCK, workers, 1.3),
        ("p50 with one call in flight, 4 KiB", _IDLE, p50, 3.0),
    ]
    verdicts = [_ratio(rows, what, point, cost, most) for what, point, cost, most in at_most]
    verdicts.append(_throughput_of_stock_ends(rows))
    verdicts.append(_against_plain(rows))
    verdicts.append(_throughput(rows))
    return [*verdicts, *_memory(rows, at_rest)]


def _ratio(rows: Rows, what: str, point: Point, cost: Callable[[Row], float], most: float) -> Verdict:
    ours, theirs = rows.get((OURS, point), []), rows.get((ENVOY, point), [])
    found = median_ratio(ours, theirs, cost)
    asked = f"at most {most:.1f} E"
    if found is None:
        return Verdict(what, asked, "-", None)
    mine, other = cost(median_row(ours)), cost(median_row(theirs))
    unit = "ms" if point == _IDLE else "us"
    digits = 2 if point == _IDLE else 0
    text = f"{found:.2f} E ({mine:.{digits}f} of {other:.{digits}f} {unit})"
    return Verdict(what, asked, text, found <= most)


def _throughput_of_stock_ends(rows: Rows) -> Verdict:
    what, asked = "exchanges/s, stock grpcio ends, 4 KiB", "at least 0.9 E"
    ours, theirs = rows.get((OURS, _STOCK), []), rows.get((ENVOY, _STOCK), [])
    found = median_ratio(ours, theirs, lambda row: row.per_second)
    if found is None:
        return Verdict(what, asked, "-", None)
    text = f"{found:.2f} E ({median_row(ours).per_second:,.0f} of {median_row(theirs).per_second:,.0f})"
    return Verdict(what, asked, text, found >= 0.9)


def _against_plain(rows: Rows) -> Verdict:
    what, asked = "CPU of the plain grpc.aio pair, 4 KiB", "at least 10 times ours"
    ours, theirs = rows.get((OURS, _USUAL), []), rows.get((PLAIN, _USUAL), [])
    found = median_ratio(theirs, ours)
    if found is None:
        return Verdict(what, asked, "-", None)
    text = f"{found:.1f} times ({median_row(theirs).pair_us:,.0f} us)"
    return Verdict(what, asked, text, found >= 10)


def _throughput(rows: Rows) -> Verdict:
    what, asked = "exchanges/s at 4 KiB, all processes on this machine", "at least 9,000"
    ours = rows.get((OURS, _USUAL), [])
    if not ours:
        return Verdict(what, asked, "-", None)
    found = median_row(ours).per_second
    return Verdict(what, asked, f"{found:,.0f}", found >= 9_000)


def _memory(rows: Rows, at_rest: Memory) -> list[Verdict]:
    loaded = [
        pss
        for (name, _), some in rows.items()
        if name == OURS
        for row in some
        for pss in row.worker_pss_mib.values()
    ]
    most = max(loaded, default=None)
    found = [
        ("a worker at rest", 60, at_rest.get("worker")),
        ("control at rest", 110, at_rest.get("control")),
        ("a worker under load, the largest row", 200, most),
    ]
    return [
        Verdict(f"memory (PSS) of {what}", f"under {limit} MB", "-", None)
        if mib is None
        else Verdict(
            f"memory (PSS) of {what}",
            f"under {limit} MB",
            f"{mib * _MIB_IN_MB:.0f} MB",
            mib * _MIB_IN_MB < limit,
        )
        for what, limit, mib in found
    ]
