"""One point of the benchmark: a load on a variant, CPU of each process from outside, medians of rounds."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.points import Point
from bench.processes import Processes, cpu_of, pss_kib
from bench.tls import Identity

# What follows an answer (receipts, the index) is paid for too: the clocks are read again after this pause.
SETTLE_SECONDS: Final = 1.2
_STREAM_TIMEOUT_MS: Final = 600_000


@dataclass(frozen=True)
class Variant:
    """A pair of proxies ready to be loaded.

    Attributes:
        name: How the table calls it.
        port: Where its first half takes calls.
        identity: The program's identity there.
        workers: Process ids of the data path, by name.
        backend: Process id of the echo behind it.
        backend_port: Where that listens.
        backend_identity: Its identity.
        control: Process ids beside the data path.
        metadata: What a program must say in each call.
        gateways: Workers of each gateway; 0 if it is no pair of gateways.
    """

    name: str
    port: int
    identity: Identity
    workers: Mapping[str, Sequence[int]]
    backend: int
    backend_port: int
    backend_identity: Identity
    control: Sequence[int] = ()
    metadata: Sequence[str] = ()
    gateways: int = 0

    def to_json(self) -> str:
        """One line, as the process that runs the variant prints it."""
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(line: str | bytes) -> Variant:
        """What ``to_json`` wrote."""
        document = json.loads(line)
        for name in ("identity", "backend_identity"):
            document[name] = Identity(**{part: Path(path) for part, path in document[name].items()})
        return Variant(**document)


@dataclass(frozen=True)
class Row:
    """What one run of one point on one variant showed; of a stream, per message."""

    variant: str
    point: Point
    calls: int
    bad: int
    per_second: float
    p50_ms: float
    p99_ms: float
    worker_us: dict[str, float]
    control_us: float
    backend_us: float
    generator_us: float
    worker_pss_mib: dict[str, float] = field(default_factory=dict)
    first_failure: str = ""
    round: int = 0

    @property
    def pair_us(self) -> float:
        """CPU of the data path per exchange, both halves."""
        return sum(self.worker_us.values())

    @property
    def pair_with_control_us(self) -> float:
        """CPU of everything but backend and generator."""
        return self.pair_us + self.control_us


Rows = dict[tuple[str, Point], list[Row]]


class BenchError(Exception):
    """A run whose figures would mean nothing."""


@contextlib.contextmanager
def load(
    processes: Processes,
    variant: Variant,
    point: Point,
    *,
    seconds: float = 0,
    calls: int = 0,
    options: Sequence[str] = (),
) -> Iterator[Callable[[], dict[str, Any]]]:
    """A generator that is connected and warm; what is yielded makes it run and gives its result.

    Raises:
        BenchError: It did not come up, or ended without a result.
    """
    command = [*_command(variant, point), "--seconds", str(seconds), "--calls", str(calls), *options]
    generator = processes.start(f"generator-{variant.name}", command, pipe=True)
    if generator.stdin is None or generator.stdout is None or generator.stdout.readline() != b"ready\n":
        raise BenchError(f"the generator could not load {variant.name} with {point}; see its log")
    try:
        yield partial(_run, generator)
    finally:
        with contextlib.suppress(BrokenPipeError):
            generator.stdin.close()
        generator.wait(10)


def measure(processes: Processes, variant: Variant, point: Point, seconds: float) -> Row:
    """Load ``variant`` with ``point`` for so long; a stream for as long as it takes.

    Raises:
        BenchError: The generator did not come up.
    """
    groups = {**variant.workers, "control": tuple(variant.control), "backend": (variant.backend,)}
    with load(processes, variant, point, seconds=seconds) as run:
        before = {name: cpu_of(pids) for name, pids in groups.items()}
        result = run()
        # While what was in flight is still in memory.
        pss = {name: max(map(pss_kib, pids)) / 1024 for name, pids in variant.workers.items()}
        time.sleep(SETTLE_SECONDS)
        calls = max(result["calls"], 1)
        spent = {name: (cpu_of(pids) - before[name]) / 1e3 / calls for name, pids in groups.items()}
    return Row(
        variant=variant.name,
        point=point,
        calls=result["calls"],
        bad=result["bad"],
        per_second=result["per_second"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        worker_us={name: spent[name] for name in variant.workers},
        control_us=spent["control"],
        backend_us=spent["backend"],
        generator_us=result["generator_us"],
        worker_pss_mib=pss,
        first_failure=result["first_failure"],
    )


def _command(variant: Variant, point: Point) -> list[str]:
    program = ["bench.generator"] if point.ends == "lean" else ["bench.stock", "load"]
    command = [sys.executable, "-m", *program, "127.0.0.1", str(variant.port)]
    command += variant.identity.arguments()
    command += ["--size", str(point.size), "--in-flight", str(point.in_flight)]
    if point.messages:
        command += ["--messages", str(point.messages), "--timeout-ms", str(_STREAM_TIMEOUT_MS)]
    for one in variant.metadata:
        command += ["--metadata", one]
    return command


def _run(generator: subprocess.Popen[bytes]) -> dict[str, Any]:
    if generator.stdin is None or generator.stdout is None:
        raise BenchError("the generator has no pipes")
    generator.stdin.write(b"go\n")
    generator.stdin.flush()
    line = generator.stdout.readline()
    if not line:
        raise BenchError("the generator ended without a result; see its log")
    result: dict[str, Any] = json.loads(line)
    return result


def median_row(rows: Sequence[Row]) -> Row:
    """The medians of several runs of one point on one variant."""

    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    first = rows[0]
    return Row(
        variant=first.variant,
        point=first.point,
        calls=sum(row.calls for row in rows),
        bad=sum(row.bad for row in rows),
        per_second=middle(row.per_second for row in rows),
        p50_ms=middle(row.p50_ms for row in rows),
        p99_ms=middle(row.p99_ms for row in rows),
        worker_us={name: middle(row.worker_us[name] for row in rows) for name in first.worker_us},
        control_us=middle(row.control_us for row in rows),
        backend_us=middle(row.backend_us for row in rows),
        generator_us=middle(row.generator_us for row in rows),
        worker_pss_mib={name: max(row.worker_pss_mib[name] for row in rows) for name in first.worker_pss_mib},
        first_failure=next((row.first_failure for row in rows if row.first_failure), ""),
    )


def median_ratio(
    rows: Sequence[Row], base: Sequence[Row], cost: Callable[[Row], float] = lambda row: row.pair_us
) -> float | None:
    """Median over rounds of ``cost`` divided by that of ``base`` in the same round; ``None`` without a round."""
    ratios = ratios_of(rows, base, cost)
    return statistics.median(ratios) if ratios else None


def ratios_of(
    rows: Sequence[Row], base: Sequence[Row], cost: Callable[[Row], float] = lambda row: row.pair_us
) -> list[float]:
    """``cost`` divided by that of ``base`` in the same round, for each round that both have."""
    others = {row.round: row for row in base}
    pairs = [(row, others[row.round]) for row in rows if row.round in others]
    return [cost(row) / cost(other) for row, other in pairs if cost(other)]
