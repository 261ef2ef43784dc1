"""Whether the bodies that a log names can still be read (PROTOCOL M12). No key is needed to tell, and nothing is opened.

Read from ``bodies/<worker>`` beside the log; ``docs/protocol/segment.md`` fixes both files and the BODY record.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from ledger.vault import SLOT_BYTES, DayKeyRecord

BodyState = Literal["kept", "destroyed", "unknown"]

_HEADER: Final = struct.Struct("<QBII")  # leaf index, part, slot, day key number
_MAX_LINE_BYTES: Final = 64 * 1024


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
