"""Inside a process that is profiled: how often each function is called, and which built-in ones it calls.

Loaded by ``bench.profile --count`` as ``bench.sampler`` is otherwise. The main thread only; functions of extensions that
are no built-in functions to the interpreter (those of ngh2) are not seen. A count does not depend on what else the
machine does, but for the size of batches.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from bench.sampler import DIRECTORY, PROFILED


class Calls:
    """Counts calls by ``file:function``: of the function itself, and of built-in ones from it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.python: Counter[str] = Counter()
        self.builtin: Counter[str] = Counter()

    def start(self, number: int, frame: FrameType | None) -> None:
        """From now on."""
        self.python.clear()
        self.builtin.clear()
        sys.setprofile(self.count)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Until now; writes ``<pid>.json``, whole or not at all."""
        sys.setprofile(None)
        path = self._directory / f"{os.getpid()}.json"
        path.with_suffix(".new").write_text(json.dumps({"python": self.python, "builtin": self.builtin}))
        path.with_suffix(".new").rename(path)

    def count(self, frame: FrameType, event: str, argument: object) -> None:
        """What the interpreter tells of each call."""
        if event in ("call", "c_call"):
            code = frame.f_code
            found = self.python if event == "call" else self.builtin
            found[f"{code.co_filename}:{code.co_qualname}"] += 1


def install() -> None:
    """In a gateway's control or worker, if a directory for profiles is given."""
    directory = os.environ.get(DIRECTORY)
    if directory and any(one in sys.orig_argv for one in PROFILED):
        calls = Calls(Path(directory))
        signal.signal(signal.SIGUSR1, calls.start)
        signal.signal(signal.SIGUSR2, calls.stop)
