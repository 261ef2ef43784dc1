"""A file that only grows, in pieces of one size, each with its digest: what was written of it once never changes.

So a checkpoint (``ledger.checkpoint``) needs to keep only the digests of the pieces that it counts on; whatever stands
behind them, a crash's half of a piece included, is written over.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

DIGEST_BYTES: Final = 32
_PASSING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT))


def is_passing(error: OSError) -> bool:
    """Whether the system only lacks something now: it says nothing about what a file holds."""
    return error.errno in _PASSING


class PieceDamagedError(Exception):
    """A piece is missing, short, or not what its digest says."""


class KeptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of pieces at one moment.

    Attributes:
        piece_bytes: How long each piece is.
        digests: SHA-256 of each piece, joined.
        tail: What belongs behind the last piece and is not in the file.
    """

    piece_bytes: int
    digests: bytes
    tail: bytes

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.digests) // DIGEST_BYTES

    def require_whole(self, path: Path) -> None:
        """Read every piece, and compare it with its digest.

        Raises:
            PieceDamagedError: One is not what it was.
            OSError: The system lacks something that it may have later.
        """
        if len(self.digests) % DIGEST_BYTES or self.piece_bytes <= 0:
            raise PieceDamagedError(f"{path.name}: its digests are malformed")
        if not self.digests:
            return
        try:
            with path.open("rb", buffering=0) as file:
                for at in range(0, len(self.digests), DIGEST_BYTES):
                    piece = file.read(self.piece_bytes)
                    if hashlib.sha256(piece).digest() != self.digests[at : at + DIGEST_BYTES]:
                        raise PieceDamagedError(f"{path.name}: piece {at // DIGEST_BYTES} is not what it was")
        except OSError as error:
            if is_passing(error):
                raise
            raise PieceDamagedError(f"{path.name}: {error.strerror}") from error


class PieceFile:
    """Pieces of ``piece_bytes``; the first of them may be those of another file, which is only read.

    Args:
        path: Where they go, made anew with the first one; ``None`` for an unnamed temporary file.
        piece_bytes: How long each is.
        kept: Pieces that there are already, checked before (``KeptFile.require_whole``).
        kept_path: The file that holds them; if it is ``path``, it is gone on with.
    """

    __slots__ = ("_file", "_is_going_on", "_kept", "_kept_bytes", "_path", "digests", "piece_bytes")

    def __init__(
        self, path: Path | None, piece_bytes: int, kept: KeptFile | None = None, kept_path: Path | None = None
    ) -> None:
        self._path = path
        self.piece_bytes = piece_bytes
        self.digests = bytearray()
        self._file = self._kept = -1
        self._kept_bytes = 0
        self._is_going_on = kept_path is not None and kept_path == path
        if kept is None or kept_path is None or not kept.digests:
            return
        if kept.piece_bytes != piece_bytes:
            raise PieceDamagedError(f"{kept_path.name}: pieces of another size")
        self._kept = os.open(kept_path, os.O_RDONLY | os.O_CLOEXEC)
        self._kept_bytes = kept.pieces * piece_bytes
        self.digests += kept.digests

    @property
    def written(self) -> int:
        """Bytes of all pieces."""
        return len(self.digests) // DIGEST_BYTES * self.piece_bytes

    def append(self, piece: bytes) -> None:
        """Add a piece; raises ``ValueError`` for one of another length."""
        if len(piece) != self.piece_bytes:
            raise ValueError(f"a piece of {len(piece)} bytes, where each has {self.piece_bytes}")
        if self._file < 0:
            self._file = self._open()
        at, left = self.written, memoryview(piece)
        while left:
            count = os.pwrite(self._file, left, at)
            at, left = at + count, left[count:]
        self.digests += hashlib.sha256(piece).digest()

    def _open(self) -> int:
        path = self._path
        if path is None:
            file, name = tempfile.mkstemp(prefix="passerelle-")
            os.unlink(name)
            return file
        if self._is_going_on and self._kept >= 0:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # A new file rather than an emptied one: a process that started from the old one still reads it.
        with suppress(FileNotFoundError):
            path.unlink()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def read(self, count: int, at: int) -> bytes:
        """Up to ``count`` bytes at ``at``, all of one piece."""
        return os.pread(self._kept if at < self._kept_bytes else self._file, count, at)

    def kept(self, tail: bytes) -> KeptFile:
        """The file at this moment, and what is not in it yet."""
        return KeptFile(self.piece_bytes, bytes(self.digests), tail)

    def sync(self) -> None:
        """Make the pieces durable."""
        if self._file >= 0:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._file, self._kept):
            if file >= 0:
                os.close(file)
        self._file = self._kept = -1

    def __del__(self) -> None:
        # Readers come and go, and not all who drop one know that it has files.
        self.close()
