"""What is loaded how: the points of the matrix, their names, and which of them a run takes."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Ends = Literal["lean", "grpcio"]

STREAM_BYTES: Final = 64
SATURATED: Final = 128
# A member's share of a worker (limits.member_bytes) is 32 MiB; behind it calls are refused, which measures nothing.
MOST_IN_FLIGHT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Point:
    """One load.

    Attributes:
        size: Bytes of a message; a unary call has it each way.
        in_flight: Calls, or streams, at once.
        messages: A server stream of so many; 0 for unary calls.
        ends: Program and adapter: the lean generator and backend, or stock grpcio.
    """

    size: int
    in_flight: int
    messages: int = 0
    ends: Ends = "lean"

    def __str__(self) -> str:
        size = _size(self.size)
        text = f"stream of {self.messages:,} x {size}" if self.messages else size
        text += "" if self.messages and self.in_flight == 1 else f" x{self.in_flight}"
        return text if self.ends == "lean" else f"{text} grpcio"

    @property
    def key(self) -> str:
        """How ``--rows`` names it: ``4096x128``, ``grpcio-4096x128``, ``stream-100000``."""
        name = f"stream-{self.messages}" if self.messages else f"{self.size}x{self.in_flight}"
        return name if self.ends == "lean" else f"{self.ends}-{name}"


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{size // 1024} KiB" if size < 1024 * 1024 else f"{size // (1024 * 1024)} MiB"


def unary(pairs: Iterable[tuple[int, int]], ends: Ends = "lean") -> list[Point]:
    """Unary points of these sizes and calls in flight."""
    return [Point(size, in_flight, ends=ends) for size, in_flight in pairs]


KIB: Final = 1024
MIB: Final = 1024 * 1024

# What a change is judged by; a few minutes.
QUICK: Final = [
    *unary([(256, 128), (4 * KIB, 128), (64 * KIB, 128), (4 * KIB, 1)]),
    Point(STREAM_BYTES, 1, 20_000),
    *unary([(4 * KIB, 128)], "grpcio"),
]
# What `make bench` takes: every aim, every size and every number in flight.
DEFAULT: Final = [
    *unary([(256, n) for n in (1, 16, 128, 512)]),
    *unary([(4 * KIB, n) for n in (1, 16, 128, 512)]),
    *unary([(64 * KIB, n) for n in (1, 16, 128)]),
    *unary([(MIB, n) for n in (1, 16)]),
    Point(STREAM_BYTES, 1, 100_000),
    Point(STREAM_BYTES, 1, 1_000_000),
    *unary([(256, 128), (4 * KIB, 1), (4 * KIB, 128)], "grpcio"),
]
# Every size with every number in flight that a member's share of a worker lets through, on both kinds of ends.
FULL: Final = [
    *unary(
        (size, n)
        for size in (256, 4 * KIB, 64 * KIB, MIB)
        for n in (1, 16, 128, 512)
        if size * n <= MOST_IN_FLIGHT_BYTES
    ),
    Point(STREAM_BYTES, 1, 1_000_000),
    *unary([(size, n) for size in (256, 4 * KIB, 64 * KIB) for n in (1, 16, 128)], "grpcio"),
]
MATRICES: Final = {"quick": QUICK, "default": DEFAULT, "full": FULL}
# Two workers a gateway add cores, not efficiency: they are loaded where one is saturated.
OF_TWO_WORKERS: Final = frozenset({(256, 128), (256, 512), (4 * KIB, 128), (4 * KIB, 512)})
# A stream that long is measured in the first round only: it takes as long as all the rest of a round.
LONG_MESSAGES: Final = 1_000_000
# A stream of a million takes the plain grpc.aio pair minutes; its cost per message is the same in a shorter one.
LONGEST_OF_GRPCIO: Final = 20_000


def select(points: Sequence[Point], patterns: Sequence[str]) -> list[Point]:
    """The points that a pattern names; all if there is no pattern.

    Raises:
        ValueError: A pattern names none.
    """
    if not patterns:
        return list(points)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(point.key, pattern) for point in points):
            raise ValueError(f"no row {pattern!r}; there are {', '.join(point.key for point in points)}")
    return [point for point in points if any(fnmatch.fnmatchcase(point.key, pattern) for pattern in patterns)]
