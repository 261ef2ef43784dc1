"""The tree of a log: its complete subtrees by level, a bounded tail in memory, the rest in files that can be rebuilt.

The files are derived from the segments and never synced: after a crash they are made anew from the leaves.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core.merkle import EMPTY_ROOT, HASH_BYTES, Edge, ProofError, cover

TAIL_BYTES: Final = 256 * 1024
SPILL_BYTES: Final = 128 * 1024
_PAIR_BYTES: Final = 2 * HASH_BYTES

_sha256 = hashlib.sha256


class _Level:
    """The hashes of one level: ``spilled`` bytes in a file, the rest in memory."""

    __slots__ = ("_file", "_path", "spilled", "tail")

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = -1
        self.spilled = 0
        self.tail = bytearray()

    def extend(self, added: bytes) -> bytes:
        """Add joined hashes; returns those of the parents that they complete."""
        before = (self.spilled + len(self.tail)) // HASH_BYTES
        self.tail += added
        begin = (before & ~1) * HASH_BYTES - self.spilled
        pairs = bytes(self.tail[begin : begin + (len(self.tail) - begin) // _PAIR_BYTES * _PAIR_BYTES])
        if len(self.tail) > TAIL_BYTES:
            self._spill()
        return b"".join(
            [
                _sha256(b"\x01" + pairs[at : at + _PAIR_BYTES]).digest()
                for at in range(0, len(pairs), _PAIR_BYTES)
            ]
        )

    def _spill(self) -> None:
        if self._file < 0:
            self._file = self._new_file()
        while len(self.tail) > SPILL_BYTES:
            written = os.pwrite(self._file, self.tail[:SPILL_BYTES], self.spilled)
            self.spilled += written
            del self.tail[:written]

    def _new_file(self) -> int:
        if self._path is not None:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        file, name = tempfile.mkstemp(prefix="passerelle-tree-")
        os.unlink(name)
        return file

    def at(self, index: int) -> bytes:
        """The hash at ``index``."""
        begin = index * HASH_BYTES - self.spilled
        if begin >= 0:
            found = bytes(self.tail[begin : begin + HASH_BYTES])
        else:
            found = os.pread(self._file, HASH_BYTES, index * HASH_BYTES)
        if len(found) != HASH_BYTES:
            raise ProofError(f"no node {index}")
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)


class TreeFiles:
    """An append-only Merkle tree that can name any of its nodes.

    Args:
        directory: Where older nodes go; ``None`` for unnamed temporary files.
    """

    def __init__(self, directory: Path | None) -> None:
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._levels: list[_Level] = [self._new_level(0)]
        self.size = 0

    def _new_level(self, level: int) -> _Level:
        return _Level(self._directory / str(level) if self._directory is not None else None)

    def append(self, hashed: bytes) -> None:
        """Add one leaf, given by its leaf hash."""
        self.extend((hashed,))

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaves, given by their leaf hashes; level by level, which is cheaper than one by one."""
        self.size += len(hashes)
        added = b"".join(hashes)
        for level in self._levels:
            added = level.extend(added)
            if not added:
                return
        while added:
            self._levels.append(self._new_level(len(self._levels)))
            added = self._levels[-1].extend(added)

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree."""
        if level >= len(self._levels):
            raise ProofError(f"no node at level {level}")
        return self._levels[level].at(index)

    def cover(self, begin: int, end: int) -> bytes:
        """Concatenated subtree hashes that tile leaves ``[begin, end)``."""
        return b"".join([self._levels[level].at(index) for level, index in cover(begin, end)])

    def root(self, size: int | None = None) -> bytes:
        """Merkle root over the first ``size`` leaves (all by default)."""
        size = self.size if size is None else size
        if size == 0:
            return EMPTY_ROOT
        return Edge(size, [self.node(level, index) for level, index in cover(0, size)]).root()

    def close(self) -> None:
        """Let go of the files."""
        for level in self._levels:
            level.close()
