"""Where a start goes on reading a log: what its finished segments up to one of them say, kept beside them.

A checkpoint is derived. It holds nothing that the segments do not say, may be deleted at any time, and is put aside
whenever anything about it is not as it was left: then the whole log is read. It lies in ``checkpoint/`` of a log:

- ``state``: magic, SHA-256 of what follows, ``Checkpoint`` in MessagePack. Renamed into place, after all the rest is
  durable; a crash leaves the one before it, or none.
- ``tree/<level>`` and ``heard/<log>``: files of pieces that only grow (``ledger.pieces``), so that those of the state
  before stay true while the next one is made.

Who reads it must still find, behind its segment, a signed head of at least its size over the very tree that goes on
from it (``Log.open``): what it speaks of is then what was signed, and was durable when it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from core.heads import parse_head
from ledger.heard import HeardFiles
from ledger.log import LogDamagedError, segments, sync_directory
from ledger.pieces import DIGEST_BYTES, KeptFile, PieceDamagedError, is_passing
from ledger.reader import LogReader, StoredLeaf
from ledger.records import HEADER_BYTES, MalformedSegmentError, SegmentHeader
from ledger.tree import KeptTree, TreeFiles

# Counts up with every change of what a state holds, or of how it is made from leaves: of another one nothing is believed.
FORMAT: Final = f"1 {sys.byteorder}"

# Of the newest finished segments so many may be the one that a signed head covers further on.
CANDIDATES: Final = 8

# Name of a segment and the byte in it where a leaf begins, by its index; ``None`` for one that was not read just now.
PlaceOf = Callable[[int], tuple[str, int] | None]

_MAGIC: Final = b"PASSCKP1"
_STATE: Final = "state"


class CheckpointUnusableError(Exception):
    """There is a checkpoint, and it is not to be believed: the text says why."""


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the segments up to ``segment`` say.

    Attributes:
        format: ``FORMAT`` of who made it.
        log: Id of the log.
        segment: Name of the last segment that it covers.
        segments: Digest over names and lengths of all segments up to it.
        sequence: The last commit of that segment.
        tree: The tree of all leaves up to there.
        heard: The heard leaves of each peer.
        state: What else is known, in the words of who takes leaves in.
    """

    format: str
    log: str
    segment: str
    segments: str
    sequence: int
    tree: KeptTree
    heard: dict[str, KeptFile]
    state: bytes

    @property
    def size(self) -> int:
        """Leaves that it covers."""
        return self.tree.size


_decoder = msgspec.msgpack.Decoder(Checkpoint)


def tree_of(log: Path) -> Path:
    """Directory of the tree's pieces, for the log in the directory ``log``."""
    return log / "checkpoint" / "tree"


def heard_of(log: Path) -> Path:
    """Directory of the pieces of heard leaves."""
    return log / "checkpoint" / "heard"


@contextmanager
def hold(log: Path) -> Iterator[bool]:
    """Whether this process alone may write the checkpoint of this log now; it is never waited for."""
    directory = log / "checkpoint"
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(lock)


def load(log: Path, *, with_pieces: bool = True) -> Checkpoint | None:
    """The checkpoint of the log in ``log``, checked to the last byte of what is read; ``None`` if there is none.

    Args:
        log: Directory of the log.
        with_pieces: Whether the pieces are read and compared. Who only adds some need not read all there are each time:
            a damaged one stays what its digest says it is not, and is found by who starts from it.

    Raises:
        CheckpointUnusableError: It is torn, changed, of another version, or the segments are not those it was made from.
        OSError: The system lacks something that it may have later (``ledger.pieces.is_passing``).
    """
    try:
        data = (log / "checkpoint" / _STATE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        if is_passing(error):
            raise
        raise CheckpointUnusableError(f"it cannot be read: {error.strerror}") from error
    head, body = len(_MAGIC), len(_MAGIC) + DIGEST_BYTES
    if data[:head] != _MAGIC or hashlib.sha256(data[body:]).digest() != data[head:body]:
        raise CheckpointUnusableError("it is not as it was written")
    try:
        found = _decoder.decode(data[body:])
    except msgspec.MsgspecError as error:
        raise CheckpointUnusableError(f"another version: {error}") from error
    if found.format != FORMAT:
        raise CheckpointUnusableError("another version")
    _require_segments(log, found)
    if not with_pieces:
        return found
    try:
        for level, one in enumerate(found.tree.levels):
            one.require_whole(tree_of(log) / str(level))
        for peer, one in found.heard.items():
            one.require_whole(heard_of(log) / peer)
    except PieceDamagedError as error:
        raise CheckpointUnusableError(str(error)) from error
    return found


def _require_segments(log: Path, found: Checkpoint) -> None:
    """The segments that it was made from are there, and others follow: where its last one is the last, it may be cut."""
    try:
        paths = segments(log)
        names = [path.name for path in paths]
        if found.segment not in names[:-1]:
            raise CheckpointUnusableError(f"{found.segment} is not there, or nothing follows it")
        if digest_of(paths[: names.index(found.segment) + 1]) != found.segments:
            raise CheckpointUnusableError(
                f"the segments up to {found.segment} are not those it was made from"
            )
        with (log / found.segment).open("rb") as file:
            if SegmentHeader.decode(file.read(HEADER_BYTES)).log != found.log:
                raise CheckpointUnusableError("it is of another log")
    except (LogDamagedError, MalformedSegmentError, OSError) as error:
        raise CheckpointUnusableError(str(error)) from error


def digest_of(paths: Sequence[Path]) -> str:
    """Names and lengths of segments; of their bytes, which nobody reads for it, it says nothing."""
    return hashlib.sha256(
        "\n".join(f"{path.name} {path.stat().st_size}" for path in paths).encode()
    ).hexdigest()


def remove(log: Path) -> None:
    """Forget the checkpoint, if there is one."""
    with contextlib.suppress(OSError):
        (log / "checkpoint" / _STATE).unlink()


def finished_behind(log: Path, before: Checkpoint | None) -> list[Path]:
    """The segments of the log in the directory ``log`` that others follow and ``before`` does not cover."""
    paths = segments(log)
    begin = [path.name for path in paths].index(before.segment) + 1 if before is not None else 0
    return paths[begin:-1]


class CheckpointMaker:
    """Reads the finished segments of a log on from a checkpoint, and keeps what is known then.

    Args:
        log: Directory of the log.
        before: What to go on from.
        heard: The heard leaves that it knows, in ``heard_of``; ``take`` adds to them.
        take: Takes in each leaf, in order.
        state: Writes down what is known after the leaves that were taken.
        sync: Called before each step that makes something durable; a test dies here.
    """

    def __init__(
        self,
        log: Path,
        before: Checkpoint | None,
        heard: HeardFiles,
        take: Callable[[StoredLeaf], None],
        state: Callable[[PlaceOf], bytes],
        *,
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._heard = heard
        self._take = take
        self._state = state
        self._sync = sync
        self._tree = TreeFiles(tree_of(log), before.tree if before is not None else None, tree_of(log))
        self._first = self._tree.size
        self._reader = LogReader(
            log, on_head=self._on_head, after=before, tree=self._tree, on_segment_end=self._on_segment_end
        )
        self._ends = [path.name for path in finished_behind(log, before)[-CANDIDATES:]]
        self._waiting: list[Checkpoint] = []
        self._covered: Checkpoint | None = None

    def make(self) -> Checkpoint | None:
        """Keep what is known at the end of the newest finished segment that a signed head covers further on, if any.

        Raises:
            LogDamagedError: The log cannot be read.
            OSError: The disk refused; the checkpoint before still counts.
        """
        try:
            for one in self._reader.follow():
                self._take(one)
                if self._covered is not None and self._covered.segment == self._ends[-1]:
                    break
            if self._covered is not None:
                self._save(self._covered)
            return self._covered
        finally:
            self._tree.close()

    def _on_segment_end(self, name: str) -> None:
        if name not in self._ends:
            return
        paths = segments(self._log)
        covered = paths[: [path.name for path in paths].index(name) + 1]
        self._waiting.append(
            Checkpoint(
                FORMAT,
                self._reader.log_id,
                name,
                digest_of(covered),
                self._reader.sequence,
                self._tree.kept(),
                self._heard.kept(),
                self._state(self._place_of),
            )
        )

    def _place_of(self, index: int) -> tuple[str, int] | None:
        return self._reader.whereabouts(index) if index >= self._first else None

    def _on_head(self, head: bytes) -> None:
        size = parse_head(head).unverified.size
        while self._waiting and self._waiting[0].size <= size:
            self._covered = self._waiting.pop(0)

    def _save(self, checkpoint: Checkpoint) -> None:
        """Make it the one that counts: first what it speaks of, then the words."""
        directory = self._log / "checkpoint"
        self._sync()
        self._tree.sync()
        self._sync()
        self._heard.sync()
        for one in (tree_of(self._log), heard_of(self._log), directory, self._log):
            sync_directory(one)
        body = msgspec.msgpack.encode(checkpoint)
        fresh = directory / f"{_STATE}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(_MAGIC + hashlib.sha256(body).digest() + body)
            while left:
                left = left[os.write(fd, left) :]
            self._sync()
            os.fsync(fd)
        finally:
            os.close(fd)
        self._sync()
        os.rename(fresh, directory / _STATE)
        self._sync()
        sync_directory(directory)
