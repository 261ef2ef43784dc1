"""How many days are left until the disk of the log reaches its reserve.

What counts is how much the gateway wrote, not how much of the disk is in use: an archive that is moved away makes
room, and slows nothing down. So growth is summed up, never taken back, and kept hour by hour in a small file: after a
restart, or with the process dead, the forecast is still there.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import structlog

from core.documents import MalformedDocumentError, decode_strict, encode
from gateway.layout import GatewayDirectory
from rpc.files import replace_file

# Fewer days than ``log.low_days`` are left; the disk's reserve itself is ``Reason.DISK_RESERVE``.
DISK_LOW: Final = "DISK_LOW"
# Of what is further off, the pace of a day or a week says nothing.
FORESEEN_DAYS: Final = 365

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
# A night tells nothing of a day, a Sunday nothing of a week; whichever of the two windows fills faster counts, so that
# a load that began yesterday is not smoothed away.
WINDOWS_MS: Final = (DAY_MS, 7 * DAY_MS)
MAX_SAMPLES: Final = 7 * 24 + 1
_LOOK_EVERY_MS: Final = 60_000
_MAX_FILE_BYTES: Final = 64 * 1024

_log = structlog.get_logger("gateway.control.forecast")


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much had been written in sum at one moment, UTC milliseconds."""

    at: int
    written: int


class Growth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was written so far: ``state/growth.json``.

    Attributes:
        v: 1.
        stored: Bytes that log, bodies and index took up when last looked at.
        written: Bytes written in sum since the first look.
        samples: One an hour, the oldest first; a week of them.
    """

    v: int = 1
    stored: int = 0
    written: int = 0
    samples: list[Sample] = []

    def seen(self, now_ms: int, stored: int) -> "Growth":
        """The same after a look at the disk; what became less was archived or erased, not unwritten."""
        written = self.written + max(0, stored - self.stored) if self.samples else 0
        # The clock may have been set back: what lies ahead of it is nothing that was seen.
        samples = [one for one in self.samples if now_ms - WINDOWS_MS[-1] <= one.at <= now_ms]
        if not samples or now_ms - samples[-1].at >= HOUR_MS:
            samples.append(Sample(now_ms, written))
        return Growth(1, stored, written, samples[-MAX_SAMPLES:])


def days_left(growth: Growth, now_ms: int, room_bytes: int) -> float | None:
    """Days until ``room_bytes`` are written at the pace of the last day or of the last week, whichever is faster.

    Args:
        growth: What was written until now.
        now_ms: UTC milliseconds.
        room_bytes: Free bytes above the reserve; none or fewer is no day left.

    Returns:
        ``None`` if nothing is foreseen: less than an hour was seen, or nothing was written in it.
    """
    paces = [_bytes_per_ms(growth, now_ms, window) for window in WINDOWS_MS]
    fastest = max(paces)
    if fastest <= 0:
        return None
    return max(0, room_bytes) / fastest / DAY_MS


def _bytes_per_ms(growth: Growth, now_ms: int, window_ms: int) -> float:
    begin = next((one for one in growth.samples if now_ms - window_ms <= one.at), None)
    if begin is None or now_ms - begin.at < HOUR_MS:
        return 0.0
    return (growth.written - begin.written) / (now_ms - begin.at)


def read_growth(directory: GatewayDirectory) -> Growth:
    """What control noted last; nothing if there is no such file, or none that can be read."""
    try:
        return decode_strict(directory.growth.read_bytes(), Growth, max_bytes=_MAX_FILE_BYTES)
    except FileNotFoundError:
        return Growth()
    except (OSError, MalformedDocumentError) as error:
        _log.warning("growth_not_read", error=str(error))
        return Growth()


def stored_bytes(directory: GatewayDirectory) -> int:
    """Bytes of disk that logs, bodies and index take up now."""
    roots = (directory.root / "log", directory.root / "bodies")
    files = [path for root in roots for path in _files(root)]
    return sum(_disk_use(path) for path in (*files, *directory.root.glob(f"{directory.index.name}*")))


def _files(root: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(root):
        yield from (Path(parent, name) for name in names)


def _disk_use(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0  # gone since it was listed


class GrowthKeeper:
    """Keeps ``state/growth.json`` of a running gateway."""

    def __init__(self, directory: GatewayDirectory) -> None:
        self._directory = directory
        self._growth = read_growth(directory)
        self._looked_at: int | None = None
        self._is_refused = False

    def look(self, now_ms: int) -> None:
        """Look at the disk, once a minute at most; write down what was seen, once an hour."""
        if self._looked_at is not None and 0 <= now_ms - self._looked_at < _LOOK_EVERY_MS:
            return
        self._looked_at = now_ms
        before = self._growth.samples
        self._growth = self._growth.seen(now_ms, stored_bytes(self._directory))
        if self._growth.samples != before:
            self._write()

    def days_left(self, now_ms: int, free_bytes: Iterable[int], reserve_bytes: int) -> float | None:
        """Days until the reserve is reached on the disk with the least room; ``None`` if nothing is foreseen."""
        free = min(free_bytes, default=None)
        return None if free is None else days_left(self._growth, now_ms, free - reserve_bytes)

    def _write(self) -> None:
        try:
            replace_file(self._directory.growth, encode(self._growth))
            self._is_refused = False
        except OSError as error:
            # The forecast of a disk that is full is known; it must not end anything.
            if not self._is_refused:
                _log.warning("growth_not_written", error=str(error))
            self._is_refused = True
