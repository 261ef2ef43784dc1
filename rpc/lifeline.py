"""A child does not outlive its parent, and every process stops the same way.

The parent keeps the writing end of a pipe; the child gets the reading end as ``--lifeline FD``. When the
parent ends, however it ends, the kernel closes the pipe and the child stops. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from types import FrameType
from typing import Final

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Lifeline:
    """The parent's side of one pipe; pass ``pass_fds`` and ``arguments`` to the child's ``Popen``."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._closed_reading = False

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """What the child inherits; the writing end is never inherited, by no child."""
        return (self._reading,)

    @property
    def arguments(self) -> list[str]:
        """The child's command-line arguments."""
        return ["--lifeline", str(self._reading)]

    def given(self) -> None:
        """Call once the child runs: only the child holds the reading end from now on."""
        if not self._closed_reading:
            self._closed_reading = True
            os.close(self._reading)

    def cut(self) -> None:
        """Let the child stop."""
        self.given()
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


def wait_for_end(fd: int) -> None:
    """Block until the parent of lifeline ``fd`` has gone."""
    while os.read(fd, 64):
        pass  # nobody writes; if somebody did, it would mean nothing


def stop_event(lifeline: int | None = None) -> threading.Event:
    """An event that is set by SIGTERM, by SIGINT, or by the end of the parent that holds ``lifeline``.

    For processes with threads; call it in the main thread. The loop of a worker watches the descriptor itself:
    it must not have a thread more than its commit thread.

    Args:
        lifeline: The reading end that the parent passed, or None for a process started by hand.
    """
    stopped = threading.Event()
    asked, ask = os.pipe()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Not ``stopped.set()``: the handler runs in the very thread that waits, which may hold the event's lock.
        os.write(ask, b"s")

    for number in _STOP_SIGNALS:
        signal.signal(number, on_signal)
    sources = [asked]
    if lifeline is not None:
        os.set_inheritable(lifeline, False)
        sources.append(lifeline)
    threading.Thread(target=_set_when_readable, args=(sources, stopped), name="lifeline", daemon=True).start()
    return stopped


def _set_when_readable(sources: list[int], stopped: threading.Event) -> None:
    # A lifeline becomes readable by its end: nobody ever writes to it.
    select.select(sources, [], [])
    stopped.set()
