"""How many changes one gateway may make: each is kept for ever, so none may make them without end (invariant 9)."""

from __future__ import annotations

from collections import deque
from typing import Final

from core.clock import Clock
from core.reasons import ExchangeError, Reason

HOUR_US: Final = 3600 * 1_000_000
MAX_CALLERS: Final = 10_000


class ChangeBudget:
    """At most ``per_hour`` changes of each caller in any hour."""

    def __init__(self, per_hour: int, clock: Clock) -> None:
        self._per_hour = per_hour
        self._clock = clock
        self._made: dict[str, deque[int]] = {}

    def take(self, caller: str) -> None:
        """Count a change of ``caller``; raises ``LIMIT_EXCEEDED`` when the hour's are used up."""
        now = self._clock.monotonic_us()
        made = self._made.setdefault(caller, deque())
        while made and now - made[0] >= HOUR_US:
            made.popleft()
        if len(made) >= self._per_hour:
            raise ExchangeError(
                Reason.LIMIT_EXCEEDED, f"{caller} has made {self._per_hour} changes in an hour"
            )
        made.append(now)
        if len(self._made) > MAX_CALLERS:
            # Callers are registered gateways; who has been silent longest is forgotten first.
            del self._made[min(self._made, key=lambda one: self._made[one][-1] if self._made[one] else 0)]
