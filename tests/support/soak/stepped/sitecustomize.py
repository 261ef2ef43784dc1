"""For a Python process whose PYTHONPATH leads here: a worker's clock is wrong by ``SOAK_CLOCK_STEP_S`` seconds.

Control is spared: grpcio takes ``time.time`` for the clock of its own core, which would stay right, and then waits for
ten minutes or not at all. What judges exchanges is the worker.
"""

import os
import sys
import time

_NS = int(os.environ.get("SOAK_CLOCK_STEP_S", "0")) * 1_000_000_000
_time_ns = time.time_ns

if _NS and "gateway.worker" in sys.orig_argv:
    time.time_ns = lambda: _time_ns() + _NS
    time.time = lambda: (_time_ns() + _NS) / 1e9
