"""Named places at which a test lets a process die, fail or wait (``docs/reliability.md``).

``PASSERELLE_FAILPOINT=name:action[:nth]``, several separated by commas, read once when the process starts. Actions:
``kill`` (SIGKILL), ``EIO`` and ``ENOSPC`` (the error of a disk), ``delay=MILLISECONDS``. ``nth`` counts the times that
the place is reached, 1 by default; a ``delay`` acts from then on, each time. Nothing here skips a check or a step.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

VARIABLE: Final = "PASSERELLE_FAILPOINT"

POINTS: Final = MappingProxyType(
    {
        "start.recovered": "the log was read; nothing of what it left unfinished is said yet",
        "segment.begin": "a new segment has its header; its name is not durable yet",
        "slots.sync": "slots for bodies are written and not synced",
        "daykey.sync": "a day key is written and not synced",
        "commit.write": "before the first byte of a commit",
        "commit.torn": "half of a commit is written",
        "commit.sync": "a commit is written and not synced",
        "commit.synced": "a commit is durable; nobody knows yet",
        "commit.done": "the loop knows; nothing took effect yet",
        "head.sign": "before a head is signed",
        "head.signed": "a head is signed and shown to nobody",
        "headfile.rename": "the newest head is written beside its file, and not renamed",
        "frame.send": "before frames are made",
        "frame.sent": "frames are queued, which counts as sent",
        "socket.written": "bytes were given to TLS, of any stream: frames, calls, answers",
        "frame.heard": "a frame is believed; nothing of it is committed",
        "adapter.call": "a request is durable; its adapter does not have it",
        "adapter.called": "a request for the adapter is queued",
        "adapter.answered": "the adapter has answered; nothing of the answer is committed",
        "program.release": "an answer is durable; its program does not have it",
        "program.released": "an answer to a program is queued",
        "configuration.swap": "before another configuration is used",
    }
)

_SPECIFICATION = re.compile(r"([a-z.]+):(kill|EIO|ENOSPC|delay=([1-9][0-9]{0,5}))(?::([1-9][0-9]{0,8}))?")


class FailpointError(ValueError):
    """The variable names no known place or action: a test that checks nothing is worse than none."""


@dataclass(slots=True)
class _Failpoint:
    action: str
    delay_s: float
    left: int

    def act(self) -> None:
        self.left -= 1
        if self.left > 0:
            return
        if self.delay_s:
            time.sleep(self.delay_s)
        elif self.left == 0 and self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.left == 0:
            raise OSError(getattr(errno, self.action), f"failpoint {self.action}")


def parse(text: str) -> dict[str, _Failpoint]:
    """What the variable says, by place; raises ``FailpointError``."""
    found = {}
    for one in text.split(","):
        match = _SPECIFICATION.fullmatch(one)
        if match is None or match[1] not in POINTS:
            raise FailpointError(f"{VARIABLE}: {one!a} is no name:action[:nth]; places: {', '.join(POINTS)}")
        found[match[1]] = _Failpoint(match[2], int(match[3] or 0) / 1000, int(match[4] or 1))
    return found


def _idle(name: str) -> None:
    """Nothing is armed: what each process does, save those of a test."""


def _hit_of(armed: dict[str, _Failpoint]) -> Callable[[str], None]:
    def hit(name: str) -> None:
        found = armed.get(name)
        if found is not None:
            found.act()

    return hit


ARMED: Final = parse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else {}
hit: Final = _hit_of(ARMED) if ARMED else _idle
