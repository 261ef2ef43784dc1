"""Where the logs of a gateway lie, with what belongs to each: those that are written, and those that were closed.

``log/<worker>/`` is the log that the worker writes. One that another succeeded lies in ``log/closed/<worker>-<log id>/``
and its bodies in ``bodies/closed/<worker>-<log id>/``, as they were; nobody writes to them again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.language import Text
from core.reasons import ExchangeError, Reason

CLOSED: Final = "closed"
GIVE_LOG: Final = Text(
    "donner le répertoire d'une passerelle, ou sa copie (audit list, export : avec --log)",
    "give the directory of a gateway, or a copy of it (audit list, export: with --log)",
)
_CLOSED_NAME: Final = re.compile(r"([0-9]{1,3})-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """One log on the disk.

    Attributes:
        worker: Which worker writes it, or wrote it.
        is_closed: Whether another log succeeded it.
        segments: Directory of its segments.
        bodies: Directory of its day keys and slots.
        head_file: Its newest signed head.
        stopped_file: Why it was stopped, if it was (``gateway.stopped``).
    """

    worker: int
    is_closed: bool
    segments: Path
    bodies: Path
    head_file: Path
    stopped_file: Path


def open_place(gateway: Path, worker: int) -> LogPlace:
    """The log that a worker writes."""
    suffix = "" if worker == 0 else f"-{worker}"
    state = gateway / "state"
    return LogPlace(
        worker,
        False,
        gateway / "log" / str(worker),
        gateway / "bodies" / str(worker),
        state / f"head{suffix}.json",
        state / f"stopped{suffix}.json",
    )


def closed_place(gateway: Path, worker: int, log: str) -> LogPlace:
    """A log that another succeeded."""
    name = f"{worker}-{log}"
    segments = gateway / "log" / CLOSED / name
    return LogPlace(
        worker,
        True,
        segments,
        gateway / "bodies" / CLOSED / name,
        segments / "head.json",
        segments / "stopped.json",
    )


def closed_places(gateway: Path) -> list[LogPlace]:
    """All logs below a gateway's directory that another succeeded."""
    below = gateway / "log" / CLOSED
    names = [_CLOSED_NAME.fullmatch(one.name) for one in below.iterdir()] if below.is_dir() else []
    return sorted(closed_place(gateway, int(one[1]), one[2]) for one in names if one is not None)


def log_places(gateway: Path) -> list[LogPlace]:
    """All logs below a gateway's directory, by worker, closed ones behind; segments alone count as worker 0.

    Raises:
        ExchangeError: ``NOT_FOUND``: there is no log.
    """
    below = gateway / "log"
    numbers = [int(one.name) for one in below.iterdir() if one.name.isdecimal()] if below.is_dir() else []
    found = [open_place(gateway, number) for number in sorted(numbers)] + closed_places(gateway)
    found = [one for one in found if any(one.segments.glob("*.seg"))]
    if not found and any(gateway.glob("*.seg")):
        place = open_place(gateway, 0)
        return [LogPlace(0, False, gateway, place.bodies, place.head_file, place.stopped_file)]
    if not found:
        raise ExchangeError(Reason.NOT_FOUND, f"no log below {gateway}", remedy=GIVE_LOG)
    return found
