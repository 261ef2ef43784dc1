"""Time as an argument: production hands in the system's clock, a test one that obeys."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol


class Clock(Protocol):
    """What the layer may know about time."""

    def now_ms(self) -> int:
        """UTC now, in milliseconds since the epoch. May be stepped by the operator."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since an arbitrary start; never goes back. Deadlines are counted on it."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """UTC now, in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_us(self) -> int:
        """Microseconds on the monotonic clock."""
        return time.monotonic_ns() // 1_000


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_us = 1_000_000

    def now_ms(self) -> int:
        """The set UTC time, in milliseconds."""
        return self._now_ms

    def monotonic_us(self) -> int:
        """The set monotonic time, in microseconds."""
        return self._monotonic_us

    def advance(self, by: timedelta) -> None:
        """Let time pass: both clocks move together."""
        if by < timedelta(0):
            raise ValueError("time does not run backwards; use step()")
        self._now_ms += by // timedelta(milliseconds=1)
        self._monotonic_us += by // timedelta(microseconds=1)

    def step(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._now_ms += by // timedelta(milliseconds=1)
