"""Tests wait until something holds, never for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until ``condition`` holds; the bound tells a hang and nothing else."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)
