"""How much of the worker one member may hold at once: bytes and calls, per member and in sum (DESIGN section 5).

Fair per member: one that floods the worker is refused while the others go on (RELIABILITY 3b).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Upper bounds; bytes and calls."""

    member_bytes: int
    worker_bytes: int
    member_calls: int
    worker_calls: int


class Budget:
    """What is held now. ``take`` and ``give`` are paired by the exchange that holds it."""

    def __init__(self, limits: BudgetLimits) -> None:
        self._limits = limits
        self._bytes: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self.held_bytes = 0
        self.held_calls = 0

    def take_call(self, member: str, size: int) -> bool:
        """Hold one call with ``size`` bytes for ``member``; ``False`` if a bound would be passed."""
        limits = self._limits
        if self.held_calls >= limits.worker_calls or self._calls[member] >= limits.member_calls:
            return False
        if not self.take_bytes(member, size):
            return False
        self._calls[member] += 1
        self.held_calls += 1
        return True

    def take_bytes(self, member: str, size: int) -> bool:
        """Hold ``size`` further bytes for ``member``; ``False`` if a bound would be passed."""
        limits = self._limits
        if self.held_bytes + size > limits.worker_bytes or self._bytes[member] + size > limits.member_bytes:
            return False
        self._bytes[member] += size
        self.held_bytes += size
        return True

    def give_call(self, member: str, size: int) -> None:
        """Let go of one call and its bytes."""
        self._calls[member] -= 1
        self.held_calls -= 1
        if not self._calls[member]:
            del self._calls[member]
        self.give_bytes(member, size)

    def give_bytes(self, member: str, size: int) -> None:
        """Let go of ``size`` bytes."""
        self._bytes[member] -= size
        self.held_bytes -= size
        if not self._bytes[member]:
            del self._bytes[member]


class Backlog:
    """Bytes that were let in and wait for their turn, per member and in sum; tells when their source is to pause."""

    def __init__(self, limits: BudgetLimits) -> None:
        self._limits = limits
        self._bytes: Counter[str] = Counter()
        self.held_bytes = 0

    def add(self, member: str, size: int) -> None:
        """``size`` further bytes wait for ``member``."""
        self._bytes[member] += size
        self.held_bytes += size

    def remove(self, member: str, size: int) -> None:
        """They have had their turn."""
        self._bytes[member] -= size
        self.held_bytes -= size
        if not self._bytes[member]:
            del self._bytes[member]

    def is_full(self, member: str) -> bool:
        """Whether the source of ``member`` should bring no more for now."""
        limits = self._limits
        return self.held_bytes >= limits.worker_bytes or self._bytes[member] >= limits.member_bytes


class EntryBudget:
    """How many refusals one member may make us log: a burst, then so many a second (PROTOCOL M17)."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: dict[str, tuple[float, int]] = {}
        self._over: Counter[str] = Counter()

    def take(self, member: str, now_us: int) -> bool:
        """Whether one more entry may be logged for ``member``; if not, it is summed."""
        left, since_us = self._left.get(member, (float(self._burst), now_us))
        left = min(float(self._burst), left + (now_us - since_us) * self._per_s / 1_000_000)
        if left < 1:
            self._left[member] = (left, now_us)
            self._over[member] += 1
            return False
        self._left[member] = (left - 1, now_us)
        return True

    def sum_up(self, member: str) -> None:
        """Count one entry for ``member`` that is not logged by itself."""
        self._over[member] += 1

    def take_sums(self) -> dict[str, int]:
        """What was not logged one by one since the last time, by member."""
        sums, self._over = dict(self._over), Counter()
        return sums
