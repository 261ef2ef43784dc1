"""A clock that shows the machine's time, set forward or back as the test says."""

from __future__ import annotations

from datetime import timedelta

from core.clock import SystemClock


class SteppedClock(SystemClock):
    """The wall clock can be set; the monotonic one goes on as it does."""

    def __init__(self) -> None:
        self._lead_ms = 0

    def now_ms(self) -> int:
        """UTC now as this clock has it, in milliseconds."""
        return super().now_ms() + self._lead_ms

    def step(self, by: timedelta) -> None:
        """Set it forward or back."""
        self._lead_ms += by // timedelta(milliseconds=1)

    def correct(self) -> None:
        """Set it to the machine's time again."""
        self._lead_ms = 0
