"""Which leaves of a peer's log this log holds a record of: so a question about one has an exact answer (PROTOCOL M4).

Derived from the ``heard`` leaves: made anew at each start, from those that a checkpoint kept (``ledger.checkpoint``)
and the leaves behind it; only who keeps a checkpoint syncs them. Eight bytes a leaf; all but a bounded tail lies in a
file.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, insort
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from ledger.pieces import KeptFile, PieceDamagedError, PieceFile

Record = Literal["taken", "not taken"]

# The records of one frame may come in another order than its entries stand in: so many stay where they can be sorted.
UNSORTED: Final = 16_384
_ITEM_BYTES: Final = 8


class HeardLeaves:
    """Leaves of one peer's log: their indexes, rising, each shifted by one bit that tells whether it was taken.

    Args:
        path: Where all but the newest go; without one, all are held in memory.
        kept: Those that there are already.
        kept_path: The file of all but the newest of these; it is gone on with if it is ``path``, else only read.
    """

    def __init__(
        self, path: Path | None = None, kept: KeptFile | None = None, kept_path: Path | None = None
    ) -> None:
        self._file = PieceFile(path, UNSORTED * _ITEM_BYTES, kept, kept_path) if path is not None else None
        self._unsorted = UNSORTED
        self._spilled = kept.pieces * UNSORTED if kept is not None else 0
        self._tail = array("Q")
        if kept is not None:
            if len(kept.tail) % _ITEM_BYTES:
                raise PieceDamagedError("heard leaves are cut short")
            self._tail.frombytes(kept.tail)

    def add(self, index: int, *, taken: bool) -> None:
        """Note a leaf; among the newest ``UNSORTED`` they may come in any order."""
        tail, item = self._tail, index << 1 | taken
        if not tail or item > tail[-1]:
            tail.append(item)
        else:
            insort(tail, item)
        if self._file is not None and len(tail) >= 2 * self._unsorted:
            self._file.append(tail[: self._unsorted].tobytes())
            self._spilled += self._unsorted
            del tail[: self._unsorted]

    def record_of(self, index: int) -> Record | None:
        """What was recorded of a leaf: it was taken, or it was refused or came late; ``None``: it was passed."""
        place = bisect_left(self, index << 1)
        if place == len(self) or self[place] >> 1 != index:
            return None
        return "taken" if self[place] & 1 else "not taken"

    def __len__(self) -> int:
        return self._spilled + len(self._tail)

    def __getitem__(self, place: int) -> int:
        if place >= self._spilled:
            return self._tail[place - self._spilled]
        item = self._file.read(_ITEM_BYTES, place * _ITEM_BYTES) if self._file is not None else b""
        if len(item) != _ITEM_BYTES:
            # Taken for a number it would be 0, and what was taken would be told to be passed.
            raise PieceDamagedError("the file of heard leaves is shorter than it was")
        return int.from_bytes(item, sys.byteorder)

    def kept(self) -> KeptFile:
        """All that there are at this moment; raises ``ValueError`` where they are held in memory only."""
        if self._file is None:
            raise ValueError("nothing is kept of leaves that are held in memory")
        return self._file.kept(self._tail.tobytes())

    def sync(self) -> None:
        """Make what the file holds durable."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


class HeardFiles:
    """The heard leaves of all peers of one log, one file each in a directory of their own.

    Args:
        directory: Where the files are.
        kept: What there is already, by the peer's log.
        kept_in: The directory of the files of these; they are gone on with if it is ``directory``, else only read.
    """

    def __init__(
        self, directory: Path, kept: Mapping[str, KeptFile] | None = None, kept_in: Path | None = None
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._peers: dict[str, HeardLeaves] = {}
        for log, one in (kept or {}).items():
            kept_path = kept_in / log if kept_in is not None else None
            self._peers[log] = HeardLeaves(directory / log, one, kept_path)

    def of(self, log: str) -> HeardLeaves:
        """Those of the peer log ``log``; none at first."""
        found = self._peers.get(log)
        if found is None:
            found = self._peers[log] = HeardLeaves(self._directory / log)
        return found

    def kept(self) -> dict[str, KeptFile]:
        """Those of all peers at this moment."""
        return {log: one.kept() for log, one in self._peers.items()}

    def sync(self) -> None:
        """Make what the files hold durable; their names are not."""
        for one in self._peers.values():
            one.sync()

    def close(self) -> None:
        """Let go of the files."""
        for one in self._peers.values():
            one.close()
