"""Whether the bodies that a log names can still be read (PROTOCOL M12). No key is needed to tell, and nothing is opened.

Read from ``bodies/<worker>`` beside the log; ``docs/protocol/segment.md`` fixes both files and the BODY record.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

import msgspec

from core.times import MAX_TIME_MS
from ledger.vault import SLOT_BYTES, DayKeyRecord, PurgeKind

BodyState = Literal["kept", "destroyed", "unknown"]

_HEADER: Final = struct.Struct("<QBII")  # leaf index, part, slot, day key number
_PURGE: Final = struct.Struct("<BQIQ")  # kind, leaf index, slot or day key number, UTC milliseconds
_MAX_LINE_BYTES: Final = 64 * 1024


class BodyKeys(NamedTuple):
    """What opens a body: it is gone when either is."""

    slot: int
    day_key: int


class Purge(NamedTuple):
    """What a log says was erased, the slot or the day key of this number, and when (UTC milliseconds)."""

    kind: PurgeKind
    number: int
    time_ms: int


def keys_of(record: bytes) -> BodyKeys:
    """What opens the body of a BODY record whose state is known."""
    _, _, slot, day_key = _HEADER.unpack_from(record)
    return BodyKeys(slot, day_key)


def parse_purge(record: bytes) -> Purge | None:
    """A PURGE record; ``None`` if it is of a kind or form that is not known here."""
    if len(record) != _PURGE.size:
        return None
    kind, _, number, time_ms = _PURGE.unpack(record)
    if kind not in (PurgeKind.BODY, PurgeKind.DAY_KEY) or time_ms > MAX_TIME_MS:
        return None
    return Purge(PurgeKind(kind), number, time_ms)


class Bodies:
    """The slots and day keys of one worker; in a copy without them every body's state is unknown."""

    def __init__(self, directory: Path) -> None:
        self._keys_exist = _day_keys(directory / "daykeys")
        try:
            self._slots = os.open(directory / "slots", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._slots = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slots >= 0:
            os.close(self._slots)

    def state(self, record: bytes) -> BodyState:
        """What became of the body of a BODY record.

        Destroyed is what has a zeroed slot or a day key that nobody can unwrap; what these files do not hold may lie
        elsewhere, and is unknown.
        """
        if len(record) < _HEADER.size or self._slots < 0:
            return "unknown"
        _, _, slot, number = _HEADER.unpack_from(record)
        salt = os.pread(self._slots, SLOT_BYTES, slot * SLOT_BYTES)
        if number >= len(self._keys_exist) or len(salt) != SLOT_BYTES:
            return "unknown"
        return "kept" if self._keys_exist[number] and salt != bytes(SLOT_BYTES) else "destroyed"


def _day_keys(path: Path) -> list[bool]:
    """Of each day key, by number, whether anybody can still unwrap it; a line cut short was never used."""
    exist: list[bool] = []
    try:
        with path.open("rb") as file:
            while (line := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
                exist.append(_can_be_unwrapped(line))
    except OSError:
        return []
    return exist


def _can_be_unwrapped(line: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(line, type=DayKeyRecord).wrappings)
    except (msgspec.MsgspecError, ValueError):
        return False
