"""The tree of a log: its complete subtrees by level, a bounded tail in memory, the rest in files that can be rebuilt.

The files are derived from the segments: after a crash they are made anew from the leaves, or from those that a
checkpoint kept (``ledger.checkpoint``) and the leaves behind it; only who keeps a checkpoint syncs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from core.merkle import EMPTY_ROOT, HASH_BYTES, Edge, ProofError, cover
from ledger.pieces import KeptFile, PieceFile

TAIL_BYTES: Final = 256 * 1024
SPILL_BYTES: Final = 128 * 1024
_PAIR_BYTES: Final = 2 * HASH_BYTES

_sha256 = hashlib.sha256


class KeptTree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tree at one moment: its size, and its levels from the leaves up."""

    size: int
    levels: list[KeptFile]


class _Level:
    """The hashes of one level: whole pieces in a file, the rest in memory."""

    __slots__ = ("_file", "tail")

    def __init__(self, path: Path | None, kept: KeptFile | None, kept_path: Path | None) -> None:
        self._file = PieceFile(path, SPILL_BYTES, kept, kept_path)
        self.tail = bytearray(kept.tail if kept is not None else b"")

    def extend(self, added: bytes) -> bytes:
        """Add joined hashes; returns those of the parents that they complete."""
        spilled = self._file.written
        before = (spilled + len(self.tail)) // HASH_BYTES
        self.tail += added
        begin = (before & ~1) * HASH_BYTES - spilled
        pairs = bytes(self.tail[begin : begin + (len(self.tail) - begin) // _PAIR_BYTES * _PAIR_BYTES])
        return b"".join(
            [
                _sha256(b"\x01" + pairs[at : at + _PAIR_BYTES]).digest()
                for at in range(0, len(pairs), _PAIR_BYTES)
            ]
        )

    def spill(self) -> None:
        """Move whole pieces to the file, if it is time; raises ``OSError`` and keeps them if the disk takes none."""
        if len(self.tail) <= TAIL_BYTES:
            return
        piece = self._file.piece_bytes
        while len(self.tail) > piece:
            self._file.append(bytes(self.tail[:piece]))
            del self.tail[:piece]

    def at(self, index: int) -> bytes:
        """The hash at ``index``."""
        begin = index * HASH_BYTES - self._file.written
        if begin >= 0:
            found = bytes(self.tail[begin : begin + HASH_BYTES])
        else:
            found = self._file.read(HASH_BYTES, index * HASH_BYTES)
        if len(found) != HASH_BYTES:
            raise ProofError(f"no node {index}")
        return found

    def kept(self) -> KeptFile:
        """The level at this moment."""
        return self._file.kept(bytes(self.tail))

    def sync(self) -> None:
        """Make what the file holds durable."""
        self._file.sync()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class TreeFiles:
    """An append-only Merkle tree that can name any of its nodes.

    Args:
        directory: Where older nodes go; ``None`` for unnamed temporary files.
        kept: A tree to go on from.
        kept_in: The directory of its older nodes; they are gone on with if it is ``directory``, else only read.
    """

    def __init__(
        self, directory: Path | None, kept: KeptTree | None = None, kept_in: Path | None = None
    ) -> None:
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._levels: list[_Level] = []
        self.size = kept.size if kept is not None else 0
        for level, one in enumerate(kept.levels if kept is not None else ()):
            self._levels.append(self._new_level(level, one, kept_in))
        if not self._levels:
            self._levels.append(self._new_level(0))

    def _new_level(self, level: int, kept: KeptFile | None = None, kept_in: Path | None = None) -> _Level:
        path = self._directory / str(level) if self._directory is not None else None
        return _Level(path, kept, kept_in / str(level) if kept_in is not None else None)

    def kept(self) -> KeptTree:
        """The tree at this moment; it stays true as the tree grows."""
        return KeptTree(self.size, [level.kept() for level in self._levels])

    def sync(self) -> None:
        """Make what the files hold durable; their names are not."""
        for level in self._levels:
            level.sync()

    def append(self, hashed: bytes) -> None:
        """Add one leaf, given by its leaf hash."""
        self.extend((hashed,))

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaves, given by their leaf hashes; level by level, which is cheaper than one by one.

        Raises:
            OSError: The disk takes no older nodes. The tree has the leaves all the same, in memory.
        """
        self.size += len(hashes)
        added = b"".join(hashes)
        reached = 0
        while added:
            if reached == len(self._levels):
                self._levels.append(self._new_level(reached))
            added = self._levels[reached].extend(added)
            reached += 1
        # Only now that all levels have their nodes: a level without its parents would give false proofs.
        for level in self._levels[:reached]:
            level.spill()

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
