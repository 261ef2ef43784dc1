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
