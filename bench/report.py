"""What a run found, for people (tables), for programs (one JSON file) and for ``docs/performance.md`` (Markdown)."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from bench.aims import ENVOY, OURS, PLAIN, Verdict
from bench.measure import Row, Rows, median_ratio, median_row, ratios_of
from bench.points import Point
from bench.proofs import SLOW_DISK, Proof

RESULTS: Final = Path(__file__).parent / "results"
_COLUMNS: Final = (
    "pair",
    "load",
    "cons.",
    "prov.",
    "sum",
    "control",
    "x E",
    "+control",
    "per s",
    "p50 ms",
    "p99 ms",
    "backend",
    "gen.",
    "bad",
)
_BASES: Final = (ENVOY, "nginx", PLAIN)


@dataclass(frozen=True)
class Results:
    """One run, as its file tells it."""

    name: str
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    rows: Rows
    verdicts: Sequence[Verdict]
    proofs: Sequence[Proof]

    def circumstances(self) -> str:
        """When and where it ran, in a sentence."""
        machine, options = self.machine, self.options
        day = f"{self.name[:4]}-{self.name[4:6]}-{self.name[6:8]}"
        load = machine["load_average"][0]
        return (
            f"{day}: {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']};"
            f" {options['rounds']} rounds of {options['seconds']} s; load average {load:.1f} at the end."
        )


def points_of(rows: Rows) -> list[Point]:
    """The points that were loaded, in their order."""
    return list(dict.fromkeys(point for _, point in rows))


def variants_of(rows: Rows) -> list[str]:
    """The variants, ours first."""
    names = dict.fromkeys(name for name, _ in rows)
    return sorted(names, key=lambda name: (not name.startswith(OURS), name))


def table(rows: Rows) -> Table:
    """Medians; ratios of the CPU of the pair to Envoy's, round by round."""
    out = Table(title="CPU us per exchange (of a stream: per message), medians", box=box.SIMPLE)
    for name in _COLUMNS:
        out.add_column(name, justify="left" if name in ("pair", "load") else "right", no_wrap=True)
    for point in points_of(rows):
        for name in variants_of(rows):
            here = rows.get((name, point))
            if here:
                out.add_row(*_cells(here, _base(rows, name, point)))
    return out


def _base(rows: Rows, name: str, point: Point) -> Sequence[Row]:
    """Envoy's rows of the same rounds; none for what was measured at another time."""
    return [] if name == SLOW_DISK else rows.get((ENVOY, point), [])


def _cells(here: Sequence[Row], base: Sequence[Row]) -> Iterator[str]:
    middle = median_row(here)
    digits = 0 if middle.pair_us >= 10 else 2
    yield middle.variant
    yield str(middle.point)
    for us in (*middle.worker_us.values(), middle.pair_us):
        yield f"{us:,.{digits}f}"
    yield f"{middle.control_us:,.{digits}f}" if middle.control_us else "-"
    for cost in (lambda row: row.pair_us, lambda row: row.pair_with_control_us):
        found = median_ratio(here, base, cost) if middle.variant != ENVOY else None
        yield "" if found is None else f"{found:.2f}"
    yield f"{middle.per_second:,.0f}"
    yield _ms(middle.p50_ms)
    yield _ms(middle.p99_ms)
    yield f"{middle.backend_us:,.{digits}f}"
    yield f"{middle.generator_us:,.{digits}f}"
    yield str(middle.bad)


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def ratios(rows: Rows) -> Table:
    """Our pair's CPU divided by each peer's, median and range over the rounds."""
    out = Table(title="CPU of our pair divided by that of the same round's other pair", box=box.SIMPLE)
    out.add_column("load", no_wrap=True)
    for base in _BASES:
        out.add_column(base, justify="right", no_wrap=True)
    for point in points_of(rows):
        ours = rows.get((OURS, point))
        if ours:
            out.add_row(str(point), *(_range(ours, rows.get((base, point), [])) for base in _BASES))
    return out


def _range(ours: Sequence[Row], base: Sequence[Row]) -> str:
    found = ratios_of(ours, base)
    if not found:
        return "-"
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def aims_table(verdicts: Sequence[Verdict]) -> Table:
    """What was aimed at, what was measured."""
    out = Table(title="Aims (E: Envoy's unsigned pair in the same rounds; 128 in flight)", box=box.SIMPLE)
    for name in ("", "aim", "measured", "met?"):
        out.add_column(name, no_wrap=True)
    for one in verdicts:
        out.add_row(one.what, one.asked, one.measured, said(one.is_met))
    return out


def proofs_table(proofs: Sequence[Proof]) -> Table:
    """What was checked beside the figures."""
    out = Table(title="What the figures are of", box=box.SIMPLE)
    out.add_column("checked", no_wrap=True)
    out.add_column("found")
    out.add_column("good?", no_wrap=True)
    for one in proofs:
        out.add_row(one.what, one.found, said(one.is_good))
    return out


def said(good: bool | None) -> str:
    """A verdict in a word."""
    return "-" if good is None else "yes" if good else "NO"


def markdown(results: Results) -> str:
    """The same tables as they stand in ``docs/performance.md``."""
    rows = results.rows
    lines = [results.circumstances(), ""]
    lines += _markdown_table(
        ("Aim", "Asked", "Measured", "Met"), [_aim_cells(one) for one in results.verdicts]
    )
    lines += [""]
    lines += _markdown_table(
        (
            "Load",
            "Pair",
            "Consumer + provider",
            "Control",
            "x Envoy",
            "with control",
            "per s",
            "p50, p99 ms",
        ),
        [
            [point, name, f"{cons} + {prov}", control, ratio, all_of_it, rate, f"{p50}, {p99}"]
            for name, point, cons, prov, _, control, ratio, all_of_it, rate, p50, p99, *_ in (
                list(_cells(rows[name, point], _base(rows, name, point)))
                for point in points_of(rows)
                for name in variants_of(rows)
                if (name, point) in rows
            )
        ],
    )
    if results.proofs:
        found = [[one.what, one.found, said(one.is_good)] for one in results.proofs]
        lines += ["", *_markdown_table(("Checked", "Found", "Good"), found)]
    return "\n".join(lines) + "\n"


def _aim_cells(one: Verdict) -> list[str]:
    return [one.what, one.asked, one.measured, said(one.is_met)]


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return [*lines, *(f"| {' | '.join(cell or '-' for cell in row)} |" for row in rows)]


def write_results(
    directory: Path,
    rows: Rows,
    options: dict[str, Any],
    verdicts: Sequence[Verdict],
    proofs: Sequence[Proof],
) -> Path:
    """Everything as JSON in ``directory``, one line a measurement; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    head = {
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_average": os.getloadavg(),
        },
        "options": options,
        "aims": [asdict(one) for one in verdicts],
        "proofs": [asdict(one) for one in proofs],
    }
    measured = [row for some in rows.values() for row in some]
    lines = ",\n  ".join(json.dumps(asdict(row), default=_short) for row in measured)
    text = json.dumps(head, indent=1)[:-2]
    path.write_text(f'{text},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    return path


def _short(value: object) -> str:
    return str(value)


def read_results(path: Path) -> Results:
    """What ``write_results`` wrote: tables and pictures are made of it again, without a measurement."""
    document = json.loads(path.read_text(encoding="utf-8"))
    rows: Rows = {}
    for one in document["rows"]:
        row = Row(**{**one, "point": Point(**one["point"])})
        rows.setdefault((row.variant, row.point), []).append(row)
    return Results(
        path.stem,
        document["machine"],
        document["options"],
        rows,
        [Verdict(**one) for one in document["aims"]],
        [Proof(**one) for one in document["proofs"]],
    )


def put_into(document: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- name -->`` and ``<!-- /name -->`` of a page, in place of what stands there.

    Raises:
        ValueError: The page has no such place.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} has no place between {begin.strip()} and {end}")
    document.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
