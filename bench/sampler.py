"""Inside a process that is profiled: whose code its CPU time goes to, thread by thread.

Loaded by ``bench.profile`` before anything of the gateway's; only the standard library is used. SIGUSR1 starts it,
SIGUSR2 ends it and writes what was found. Every few milliseconds of CPU the time that each thread has used since then is
put down to the function that it stands in. The main thread is met anywhere; another one mostly where it lets go of the
interpreter, so of those trust the sums more than the lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Final

DIRECTORY: Final = "BENCH_PROFILE"
_INTERVAL_SECONDS: Final = 0.004
_DEPTH: Final = 24
PROFILED: Final = ("gateway.worker", "serve")

Stack = tuple[str, ...]


class Sampler:
    """Sums CPU seconds by stack."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.seconds: defaultdict[tuple[str, Stack], float] = defaultdict(float)
        self._last: dict[int, float] = {}
        self._begun = 0.0

    def start(self, number: int, frame: FrameType | None) -> None:
        """From now on."""
        self.seconds.clear()
        self._last = _clocks()
        self._begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_SECONDS, _INTERVAL_SECONDS)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Until now; writes ``<pid>.json``, whole or not at all."""
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        self.sample(number, frame)
        found = {
            "process": time.process_time() - self._begun,
            "stacks": [[thread, stack, seconds] for (thread, stack), seconds in self.seconds.items()],
        }
        path = self._directory / f"{os.getpid()}.json"
        path.with_suffix(".new").write_text(json.dumps(found))
        path.with_suffix(".new").rename(path)

    def sample(self, number: int, frame: FrameType | None) -> None:
        """Put down what each thread has used since the last time."""
        frames = sys._current_frames()
        clocks = _clocks()
        for thread in threading.enumerate():
            ident = thread.ident or 0
            spent = max(clocks.get(ident, 0.0) - self._last.get(ident, 0.0), 0.0)
            # The handler itself stands on top of the main thread's stack.
            at = frame if thread is threading.main_thread() else frames.get(ident)
            if spent:
                self.seconds[thread.name, stack_of(at)] += spent
        self._last = clocks


def _clocks() -> dict[int, float]:
    found = {}
    for thread in threading.enumerate():
        if thread.ident is not None and thread.is_alive():
            found[thread.ident] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return found


def stack_of(frame: FrameType | None) -> Stack:
    """``file:function``, the innermost first."""
    found: list[str] = []
    while frame is not None and len(found) < _DEPTH:
        code = frame.f_code
        found.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    return tuple(found)


def install() -> None:
    """In a gateway's control or worker, if a directory for profiles is given."""
    directory = os.environ.get(DIRECTORY)
    if directory and any(one in sys.orig_argv for one in PROFILED):
        sampler = Sampler(Path(directory))
        signal.signal(signal.SIGPROF, sampler.sample)
        signal.signal(signal.SIGUSR1, sampler.start)
        signal.signal(signal.SIGUSR2, sampler.stop)
