"""Where each leaf of a log begins, for whoever reads one: the newest in memory, the rest in an unnamed file.

Whoever follows a log lives as long as its gateway: what it keeps of each leaf must not be in memory. The file is made
anew by whoever reads the log anew.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from typing import IO, Final

# Leaves that stay in memory, at least; as many again may wait for the file.
KEPT: Final = 4_096
_ITEM_BYTES: Final = 16


class LeafBegins:
    """Number of the segment and byte in it, by leaf; 16 bytes each."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None  # closed with its last reader
        self._fd = -1
        self._spilled = 0
        self._settle_at = 2 * KEPT
        # Two for each leaf.
        self._tail = array("Q")

    @property
    def held(self) -> int:
        """How many leaves are in memory; it does not grow with the log."""
        return len(self._tail) // 2

    def append(self, segment: int, begin: int) -> None:
        """The next leaf begins there."""
        self._tail.append(segment)
        self._tail.append(begin)

    def settle(self) -> None:
        """Move older ones to the file, if it is time; as long as the disk takes none, they stay.

        It is tried again when they have doubled: each try copies all that wait.
        """
        if self.held < self._settle_at:
            return
        self._settle_at = 2 * self.held
        count = self.held - KEPT
        data = self._tail[: 2 * count].tobytes()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="passerelle-begins-", buffering=0)  # noqa: SIM115
                self._fd = self._file.fileno()
            if os.pwrite(self._fd, data, self._spilled * _ITEM_BYTES) != len(data):
                return  # a disk with room for half of it: all is written again next time
        except OSError:
            return
        self._spilled += count
        del self._tail[: 2 * count]
        self._settle_at = 2 * KEPT

    def __len__(self) -> int:
        return self._spilled + self.held

    def __getitem__(self, leaf: int) -> tuple[int, int]:
        at = 2 * (leaf - self._spilled)
        if at >= 0:
            return self._tail[at], self._tail[at + 1]
        data = os.pread(self._fd, _ITEM_BYTES, leaf * _ITEM_BYTES)
        segment, begin = array("Q", data)
        return segment, begin

    def __setitem__(self, leaf: int, place: tuple[int, int]) -> None:
        at = 2 * (leaf - self._spilled)
        if at >= 0:
            self._tail[at], self._tail[at + 1] = place
        else:
            os.pwrite(self._fd, array("Q", place).tobytes(), leaf * _ITEM_BYTES)
