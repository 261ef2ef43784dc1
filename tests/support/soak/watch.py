"""What is watched while a soak runs: memory and open files of each process, and how long calls take."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import pss_kib

# A process that has just begun is not flat, whatever it does.
_LEAST_EXCHANGES = 50_000
_BEGUN_KIB = 20_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    Attributes:
        role: Which one it is: ``consumer's worker``.
        pid: Its process id: one life of that role.
        planned: Exchanges done by then.
        pss_kib: Its proportional set size.
        files: Its open descriptors.
    """

    role: str
    pid: int
    planned: int
    pss_kib: int
    files: int


def sample(processes: Iterable[tuple[str, int]], planned: int) -> list[Sample]:
    """Look at each process that is still there, and no longer loading its code."""
    found = []
    for role, pid in processes:
        try:
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue  # it has just been killed
        pss = pss_kib(pid)
        if pss > _BEGUN_KIB:
            found.append(Sample(role, pid, planned, pss, files))
    return found


@dataclass(frozen=True, slots=True)
class Flatness:
    """How one role's memory or files went, over all lives of its process.

    Attributes:
        role: Which.
        lives: How many processes it had that were sampled long enough.
        least: The least that was seen.
        most: The most.
        slope: Per 1,000 exchanges: one line for all lives, each with a level of its own, since every life fills its
            caches anew; the first third of each life is left out, and lives of which less than 50,000 exchanges
            remain. ``None``: all were too short.
    """

    role: str
    lives: int
    least: int
    most: int
    slope: float | None

    def __str__(self) -> str:
        slope = "too short to tell" if self.slope is None else f"{self.slope:+.2f} per 1,000 exchanges"
        return f"{self.role}: {self.least} to {self.most}, {slope} ({self.lives} lives)"


def flatness(role: str, lives: Iterable[Sequence[tuple[int, int]]]) -> Flatness:
    """The common slope of several lives, each a sequence of exchanges done and value."""
    above = below = 0.0
    count, values = 0, []
    for life in lives:
        values += [value for _, value in life]
        settled = life[len(life) // 3 :]
        if len(settled) < 4 or settled[-1][0] - settled[0][0] < _LEAST_EXCHANGES:
            continue
        count += 1
        mean_x = sum(x for x, _ in settled) / len(settled)
        mean_y = sum(y for _, y in settled) / len(settled)
        above += sum((x - mean_x) * (y - mean_y) for x, y in settled)
        below += sum((x - mean_x) ** 2 for x, _ in settled)
    slope = 1000 * above / below if below else None
    return Flatness(role, count, min(values, default=0), max(values, default=0), slope)


def memory_and_files(samples: Iterable[Sample]) -> tuple[list[Flatness], list[Flatness]]:
    """By role: memory in KiB, then open files."""
    lives: dict[str, dict[int, list[Sample]]] = {}
    for one in samples:
        lives.setdefault(one.role, {}).setdefault(one.pid, []).append(one)
    memory, files = [], []
    for role, found in sorted(lives.items()):
        memory.append(flatness(role, [[(x.planned, x.pss_kib) for x in life] for life in found.values()]))
        files.append(flatness(role, [[(x.planned, x.files) for x in life] for life in found.values()]))
    return memory, files


@dataclass(frozen=True, slots=True)
class Storm:
    """One fault: what, and when, on the monotonic clock."""

    what: str
    began: float
    mended: float
    calm: float

    def __str__(self) -> str:
        mended, calm = self.mended - self.began, self.calm - self.mended
        return f"{self.what}: {mended:.1f} s, and {calm:.1f} s until calls were answered again"


def read_latencies(path: Path) -> list[tuple[float, float]]:
    """Begin and duration of each unary call that was answered, by begin."""
    found = array("d")
    if path.exists():
        found.frombytes(path.read_bytes())
    return sorted(zip(found[::2], found[1::2], strict=True))


def p99_of_tenths(latencies: Sequence[tuple[float, float]], storms: Sequence[Storm]) -> list[float]:
    """The 99th percentile of each tenth of the calls, in milliseconds, of those that no fault met; 0.0: of none."""
    met = sorted((storm.began, storm.calm + 1.0) for storm in storms)
    tenths = []
    for number in range(10):
        begin, end = (len(latencies) * edge // 10 for edge in (number, number + 1))
        calm = sorted(
            took
            for started, took in latencies[begin:end]
            if not any(began < started + took and started < ended for began, ended in met)
        )
        tenths.append(calm[min(len(calm) - 1, len(calm) * 99 // 100)] * 1e3 if calm else 0.0)
    return tenths


def now() -> float:
    """The clock that all processes of this machine share."""
    return time.monotonic()
