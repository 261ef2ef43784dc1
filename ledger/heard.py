"""Which leaves of a peer's log this log holds a record of: so a question about one has an exact answer (PROTOCOL M4).

Derived from the ``heard`` leaves and never synced: made anew at each start. Eight bytes a leaf; all but a bounded tail
lies in a file.
"""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_left, insort
from pathlib import Path
from typing import Final, Literal

Record = Literal["taken", "not taken"]

# The records of one frame may come in another order than its entries stand in: so many stay where they can be sorted.
UNSORTED: Final = 16_384
_ITEM_BYTES: Final = 8


class HeardLeaves:
    """Leaves of one peer's log: their indexes, rising, each shifted by one bit that tells whether it was taken.

    Args:
        path: Where all but the newest go; without one, all are held in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file = -1
        self._spilled = 0
        self._tail = array("Q")

    def add(self, index: int, *, taken: bool) -> None:
        """Note a leaf; among the newest ``UNSORTED`` they may come in any order."""
        tail, item = self._tail, index << 1 | taken
        if not tail or item > tail[-1]:
            tail.append(item)
        else:
            insort(tail, item)
        if self._path is not None and len(tail) >= 2 * UNSORTED:
            self._spill(self._path)

    def record_of(self, index: int) -> Record | None:
        """What was recorded of a leaf: it was taken, or it was refused or came late; ``None``: it was passed."""
        place = bisect_left(self, index << 1)
        if place == len(self) or self[place] >> 1 != index:
            return None
        return "taken" if self[place] & 1 else "not taken"

    def _spill(self, path: Path) -> None:
        if self._file < 0:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        data = memoryview(self._tail[:UNSORTED].tobytes())
        at = self._spilled * _ITEM_BYTES
        while data:
            written = os.pwrite(self._file, data, at)
            at, data = at + written, data[written:]
        self._spilled += UNSORTED
        del self._tail[:UNSORTED]

    def __len__(self) -> int:
        return self._spilled + len(self._tail)

    def __getitem__(self, place: int) -> int:
        if place >= self._spilled:
            return self._tail[place - self._spilled]
        return int.from_bytes(os.pread(self._file, _ITEM_BYTES, place * _ITEM_BYTES), sys.byteorder)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class HeardFiles:
    """The heard leaves of all peers of one log, one file each in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._peers: dict[str, HeardLeaves] = {}

    def of(self, log: str) -> HeardLeaves:
        """Those of the peer log ``log``; none at first."""
        found = self._peers.get(log)
        if found is None:
            found = self._peers[log] = HeardLeaves(self._directory / log)
        return found

    def close(self) -> None:
        """Let go of the files."""
        for one in self._peers.values():
            one.close()
