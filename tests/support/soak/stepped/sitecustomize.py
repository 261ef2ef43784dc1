"""Loaded by a Python process whose PYTHONPATH leads here: its wall clock is wrong by ``SOAK_CLOCK_STEP_S`` seconds."""

import os
import time

_NS = int(os.environ.get("SOAK_CLOCK_STEP_S", "0")) * 1_000_000_000
_time_ns = time.time_ns

if _NS:
    time.time_ns = lambda: _time_ns() + _NS
    time.time = lambda: (_time_ns() + _NS) / 1e9
