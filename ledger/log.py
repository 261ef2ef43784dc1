"""The log on disk: open, recover, append (PROTOCOL M5; DESIGN section 3, "Segment").

Segments are the source of truth. Opening a log reads them all, or those behind a checkpoint (``ledger.checkpoint``),
checks every CRC, rebuilds the tree, and cuts a torn tail at the last whole commit. A commit that is damaged while later
ones follow is no torn tail: the log is refused.

No process appends to what an earlier one left. After a failed sync the page cache may show records that the disk
does not hold, and appending behind them would make a hole of them at the next power loss. Each opening begins a new
segment: the newest signed head first, then, once more, every leaf that no signed head covers; all synced before
anything is signed or promised. So a segment that others follow may lack a commit at its end: the next one has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from core.heads import MalformedHeadError, parse_head
from core.language import Text
from core.leaves import GENESIS, log_id_of, parse_leaf
from core.merkle import ProofError, leaf_hash
from core.reasons import ExchangeError, Reason
from ledger.failpoints import ARMED, hit
from ledger.pieces import PieceDamagedError
from ledger.records import (
    COMMIT_END,
    HEADER_BYTES,
    AttachmentKind,
    CommitRecords,
    Ending,
    MalformedSegmentError,
    Record,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_leaf,
)
from ledger.tree import TreeFiles

if TYPE_CHECKING:
    from ledger.checkpoint import Checkpoint

DEFAULT_SEGMENT_BYTES: Final = 64 * 1024 * 1024

# Small commits go into space that was written with zeros before: such a sync changes no metadata of the file and
# costs half (docs/adr/0020-segment-preallocation.md). A large one would write its space twice for nothing.
AHEAD_BYTES: Final = 256 * 1024
AHEAD_FOR_BYTES: Final = 64 * 1024
# The index reads what was written a moment ago; nobody reads what lies further behind. Its pages serve the next commits
# again: pages that the machine never touched before cost three times as much to write to.
KEPT_CACHED_BYTES: Final = 8 * 1024 * 1024
_SEGMENT_NAME: Final = re.compile(r"[0-9]{20}-([0-9]{20})\.seg")
_STOP_THE_OTHER: Final = Text(
    "rien à faire si c'est cet autre processus qui doit tourner ; sinon, l'arrêter d'abord",
    "nothing, if that other process is the one to run; otherwise stop it first",
)
_ZEROS: Final = memoryview(bytes(AHEAD_BYTES))


class LogDamagedError(ExchangeError):
    """The log cannot be opened without losing what was promised."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.LOG_DAMAGED, text)


class Disk(Protocol):
    """The calls that may fail; a test hands in one that does."""

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        """As ``os.pwrite``."""

    def fdatasync(self, fd: int, /) -> None:
        """As ``os.fdatasync``."""

    def forget(self, fd: int, begin: int, end: int, /) -> None:
        """As ``os.posix_fadvise`` with ``POSIX_FADV_DONTNEED``."""

    def free_bytes(self, directory: Path, /) -> int:
        """Bytes that may still be written."""


class SystemDisk:
    """The machine's disk."""

    pwrite = staticmethod(os.pwrite)
    fdatasync = staticmethod(os.fdatasync)

    @staticmethod
    def forget(fd: int, begin: int, end: int, /) -> None:
        """Let the page cache go of bytes that are durable; advice, which some file systems ignore."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, begin, end - begin, os.POSIX_FADV_DONTNEED)

    @staticmethod
    def free_bytes(directory: Path, /) -> int:
        """Bytes that an unprivileged process may still write."""
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What opening found.

    Attributes:
        leaves: Leaves in the log.
        clean: Whether nothing was torn and the newest head record covers every leaf.
        cut_bytes: Bytes of a torn commit that were cut off.
        rewritten: Leaves that were written again because no signed head covers them.
    """

    leaves: int
    clean: bool
    cut_bytes: int
    rewritten: int


def create_log(directory: Path, genesis: bytes, then: Sequence[tuple[bytes, bytes | None]] = ()) -> str:
    """Begin a log with its genesis leaf, durably; returns the log id.

    Args:
        directory: Where its segments will be.
        genesis: Leaf 0.
        then: Leaves of the same commit, each with the document that lies beside it.

    Raises:
        FileExistsError: There is a log in ``directory``.
    """
    if parse_leaf(genesis).label != GENESIS:
        raise ValueError("a log begins with a genesis leaf")
    log = log_id_of(genesis)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.glob("*.seg")):
        raise FileExistsError(directory)
    parts = [SegmentHeader(log, 0, 1).encode()]
    writer = RecordWriter(log)
    leaves = [(genesis, None), *then]
    for index, (leaf, document) in enumerate(leaves):
        if document is not None:
            writer.pack_attachment(parts, 1, index, AttachmentKind.DOCUMENT, document)
        last = COMMIT_END if index + 1 == len(leaves) else 0
        writer.pack_leaf(parts, 1, RecordType.LEAF | last, index, leaf)
    # A crash leaves no log or a whole one.
    fresh = directory / "genesis.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"".join(parts))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(fresh, directory / segment_name(0, 1))
    sync_directory(directory)
    sync_directory(directory.parent)
    return log


def hold_log(directory: Path) -> int:
    """Lock a log: one process at a time. Closing the file descriptor, or dying, lets go of it.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: another process holds it. ``LOG_WRITE_FAILED``: there can be no lock.
    """
    try:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ExchangeError(Reason.LOG_WRITE_FAILED, f"the log cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        # Nothing is wrong with the log: who swaps disks now would make it so.
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            "another process holds this log: it is already running",
            remedy=_STOP_THE_OTHER,
        ) from None
    return lock


def segment_name(first_leaf: int, first_sequence: int) -> str:
    """``<first leaf>-<first sequence>.seg``, 20 digits each: names sort as the log was written."""
    return f"{first_leaf:020d}-{first_sequence:020d}.seg"


def segments(directory: Path) -> list[Path]:
    """The segments of a log, in the order of their sequences; raises ``LogDamagedError`` for a foreign name."""
    found = {}
    for path in directory.glob("*.seg"):
        name = _SEGMENT_NAME.fullmatch(path.name)
        if name is None:
            raise LogDamagedError(f"{path.name!a} is no segment's name")
        found[path] = int(name[1])
    return sorted(found, key=found.__getitem__)


def sync_directory(directory: Path) -> None:
    """Make new names durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Log:
    """A log that is open for appending; one process at a time."""

    def __init__(self, directory: Path, lock: int, disk: Disk, segment_bytes: int) -> None:
        self.directory = directory
        self.disk = disk
        self.log_id = ""
        self.last_head: bytes | None = None
        self.sequence = 0
        self.segment = ""  # name of the open one
        self.tree = TreeFiles(directory / "tree")
        self.recovery = RecoveryReport(0, True, 0, 0)
        self.resumed = False  # whether segments that a checkpoint covers were not read
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._offset = 0
        self._written_end = 0
        self._forgotten = 0
        self._is_whole = True
        self._has_heads = False  # though none was read yet
        self._torn = ""
        self._end_at: Callable[[], None] | None = None
        self._writer: RecordWriter | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        disk: Disk | None = None,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        expected: str | None = None,
        after: Checkpoint | None = None,
        kept_in: Path | None = None,
    ) -> Log:
        """Open and recover a log.

        Args:
            directory: Where its segments are.
            disk: Writes and syncs.
            segment_bytes: Size at which a new segment begins.
            expected: Id of the log that must be found.
            after: What is known of the segments up to one of them. They are not read if all that follows agrees with
                it, and a signed head behind it covers it (``Log.resumed``); else it is as if there was none.
            kept_in: Directory of its tree's pieces.

        Raises:
            LogDamagedError: It is missing, another log than ``expected``, or damaged elsewhere than at its end.
            ExchangeError: ``STATE_CONFLICT``: another process has it open. ``LOG_WRITE_FAILED``: the disk refused
                what recovery had to write.
        """
        if not segments(directory):
            raise LogDamagedError(f"no log in {directory.name}")
        lock = hold_log(directory)
        log = cls(directory, lock, disk or SystemDisk(), segment_bytes)
        try:
            if after is None or not log._resume(after, kept_in, expected):
                log._recover(expected)
        except OSError as error:
            os.close(lock)
            error.filename = error.filename or log.segment
            raise ExchangeError(
                Reason.LOG_WRITE_FAILED, f"the log cannot be opened: {error.strerror}"
            ) from error
        except BaseException:
            os.close(lock)
            raise
        return log

    @property
    def size(self) -> int:
        """Number of leaves, those of a commit under way included."""
        return self.tree.size

    def root(self, size: int | None = None) -> bytes:
        """Merkle root over the first ``size`` leaves."""
        return self.tree.root(size)

    def cover(self, begin: int, end: int) -> bytes:
        """Concatenated subtree hashes that tile ``[begin, end)``."""
        return self.tree.cover(begin, end)

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree."""
        return self.tree.node(level, index)

    @property
    def writer(self) -> RecordWriter:
        """Packs this log's records."""
        if self._writer is None:
            raise LogDamagedError("the log is not open")
        return self._writer

    def write(self, data: bytes, first_leaf: int, sequence: int) -> None:
        """Append one commit at the end of the open segment, or in a new one, and make it durable.

        Raises:
            OSError: The disk refused; nothing may be acknowledged from this handle again.
        """
        if self._fd < 0 or self._offset >= self._segment_bytes:
            self._roll(first_leaf, sequence)
        self._is_whole = False
        end = self._offset + len(data)
        hit("commit.write")
        if "commit.torn" in ARMED:
            self._pwrite(memoryview(data)[: len(data) // 2], self._offset)
            hit("commit.torn")
        self._pwrite(memoryview(data), self._offset)
        if end > self._written_end:
            self._written_end = end
            if len(data) < AHEAD_FOR_BYTES:
                self._pwrite(_ZEROS, end)
                self._written_end += AHEAD_BYTES
        hit("commit.sync")
        self.disk.fdatasync(self._fd)
        hit("commit.synced")
        self._offset = end
        self._is_whole = True
        if end - self._forgotten >= 2 * KEPT_CACHED_BYTES:
            self.disk.forget(self._fd, self._forgotten, end - KEPT_CACHED_BYTES)
            self._forgotten = end - KEPT_CACHED_BYTES

    def _pwrite(self, view: memoryview, at: int) -> None:
        while view:
            written = self.disk.pwrite(self._fd, view, at)
            at += written
            view = view[written:]

    def _roll(self, first_leaf: int, first_sequence: int) -> None:
        """Begin a new segment; its name is durable before its first record is acknowledged."""
        self._finish_segment()
        path = self.directory / segment_name(first_leaf, first_sequence)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.segment = path.name
        header = SegmentHeader(self.log_id, first_leaf, first_sequence).encode()
        self._pwrite(memoryview(header), 0)
        self._offset = self._written_end = len(header)
        self._forgotten = 0
        hit("segment.begin")
        sync_directory(self.directory)

    def _finish_segment(self) -> None:
        """Close the open segment; what was written ahead of use is given back, unless a write failed."""
        if self._fd < 0:
            return
        try:
            if self._is_whole:
                os.ftruncate(self._fd, self._offset)
        finally:
            os.close(self._fd)
            self._fd = -1

    def _resume(self, after: Checkpoint, kept_in: Path | None, expected: str | None) -> bool:
        """Recover from the segments that a checkpoint does not cover; false, and nothing known, if that cannot be.

        What it covers was durable once a head over it was signed: this wants to see such a head, over the tree that goes
        on from the checkpoint, before it believes any of it.
        """
        found = segments(self.directory)
        names = [path.name for path in found]
        if after.segment not in names[:-1] or expected not in (None, after.log):
            return False
        found = found[names.index(after.segment) + 1 :]
        try:
            self.tree = TreeFiles(self.directory / "tree", after.tree, kept_in)
        except (OSError, PieceDamagedError):
            return False
        self.log_id, self.sequence, self._has_heads = after.log, after.sequence, True
        self._writer = RecordWriter(after.log)
        try:
            self._recover(expected, found, least=after.size)
        except (LogDamagedError, ProofError):
            # The checkpoint or the log: the whole log tells which.
            self.tree.close()
            self.tree = TreeFiles(self.directory / "tree")
            self.log_id, self.sequence, self.last_head, self._has_heads = "", 0, None, False
            self._torn, self._end_at, self._writer = "", None, None
            return False
        self.resumed = True
        return True

    def _recover(self, expected: str | None, found: Sequence[Path] | None = None, *, least: int = 0) -> None:
        """Read everything, cut the torn tail, write again what no signed head covers.

        Args:
            expected: Id of the log that must be found.
            found: The segments to read; all by default.
            least: Leaves that a signed head in these segments must cover.
        """
        if found is None:
            found = segments(self.directory)
        cut = 0
        tail: list[Record] = []
        for position, path in enumerate(found):
            cut = self._replay_segment(path, tail, expected, is_last=position + 1 == len(found))
        if self.tree.size == 0 or self.node(0, 0).hex() != self.log_id:
            raise LogDamagedError("the log does not begin with the genesis leaf that names it")
        covered = self._require_covered(self.last_head)
        if covered < least:
            raise LogDamagedError(f"no signed head covers {least} leaves")
        # From here on the log is believed, and changed.
        if self._end_at is not None:
            self._end_at()
        clean = cut == 0 and covered >= self.tree.size
        again = [one for one in tail if _index_of(one) >= covered]
        self._write_again(again)
        rewritten = sum(one.type is RecordType.LEAF for one in again)
        self.recovery = RecoveryReport(self.tree.size, clean, cut, rewritten)

    def _replay_segment(self, path: Path, tail: list[Record], expected: str | None, *, is_last: bool) -> int:
        """Take in one segment; returns how many bytes of a torn commit are to be cut off its end."""
        data = path.read_bytes()
        header = self._header(path, data, expected, is_last=is_last)
        if header is None:
            # Begun, and spoilt before its first commit was synced.
            self._end_at = partial(self._remove, path)
            return len(data)
        self.sequence = header.first_sequence - 1
        at = HEADER_BYTES
        while (commit := self.writer.read_commit(data, at)) is not None:
            if at == HEADER_BYTES:
                # It holds all leaves from its first on: earlier copies of them are superseded. Not by its header: a
                # start that died before this commit wrote nothing again.
                tail[:] = [one for one in tail if _index_of(one) < header.first_leaf]
            self._replay(path, commit, tail)
            at = commit.end
        ending = self.writer.ending(data, at, self.sequence)
        if ending is Ending.DAMAGED:
            raise LogDamagedError(f"{path.name} is damaged at byte {at}, and later commits follow")
        if not is_last:
            self._torn = f": {path.name} is damaged at byte {at}" if ending is Ending.TORN else ""
            return 0
        self._end_at = partial(self._cut, path, at, len(data))
        return len(data) - at if ending is Ending.TORN else 0

    def _header(
        self, path: Path, data: bytes, expected: str | None, *, is_last: bool
    ) -> SegmentHeader | None:
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError as error:
            if is_last and self._is_spoilt_beginning(data):
                return None
            raise LogDamagedError(f"{path.name}: {error}") from None
        if not self.log_id:
            if expected is not None and header.log != expected:
                raise LogDamagedError(f"{path.name} belongs to another log than the one expected")
            self.log_id = header.log
            self._writer = RecordWriter(header.log)
        follows = header.first_sequence > self.sequence and header.first_leaf <= self.tree.size
        is_named_so = path.name == segment_name(header.first_leaf, header.first_sequence)
        if header.log != self.log_id or not follows or not is_named_so:
            raise LogDamagedError(f"{path.name} does not follow the segment before it{self._torn}")
        return header

    def _is_spoilt_beginning(self, data: bytes) -> bool:
        """Whether a power loss can explain a last segment without a header.

        Header and first record share a sector: where the record is whole, the header was, too.
        """
        if not self.log_id or self.writer.read(data, HEADER_BYTES) is not None:
            return False
        return self.writer.ending(data, 0, self.sequence) is not Ending.DAMAGED

    def _replay(self, path: Path, commit: CommitRecords, tail: list[Record]) -> None:
        if commit.sequence != self.sequence + 1:
            raise LogDamagedError(f"{path.name}: commit {commit.sequence} does not follow {self.sequence}")
        self.sequence = commit.sequence
        last = commit.records[-1]
        brings_leaves = last.type is RecordType.LEAF and _index_of(last) >= self.tree.size
        if brings_leaves and self.last_head is None and not self._has_heads:
            # Of a log that keeps no heads (the registry publishes them) only the last commit can be unsynced.
            tail.clear()
        added: list[bytes] = []
        for record in commit.records:
            if record.type is RecordType.HEAD:
                self.last_head = record.data
                covered = _parsed(record.data)[0]
                tail[:] = [one for one in tail if _index_of(one) >= covered]
            elif record.type is not RecordType.PURGE:
                tail.append(record)
            if record.type is RecordType.LEAF:
                self._replay_leaf(*split_leaf(record.data), added)
        self.tree.extend(added)

    def _replay_leaf(self, index: int, leaf: bytes, added: list[bytes]) -> None:
        hashed = leaf_hash(leaf)
        if index == self.tree.size + len(added):
            added.append(hashed)
        elif index >= self.tree.size:
            raise LogDamagedError(f"leaf {self.tree.size + len(added)} is missing")
        elif self.tree.node(0, index) != hashed:
            raise LogDamagedError(f"leaf {index} stands twice with different bytes")

    def _require_covered(self, head: bytes | None) -> int:
        """How many leaves a signed head covers; it must be a head of this very tree."""
        if head is None:
            return 0
        size, root, log = _parsed(head)
        if log != self.log_id or size > self.tree.size or self.root(size).hex() != root:
            raise LogDamagedError(f"a head of {size} leaves was signed, and the log does not hold them")
        return size

    def _remove(self, path: Path) -> None:
        path.unlink()
        sync_directory(self.directory)

    def _cut(self, path: Path, at: int, length: int) -> None:
        """Take off what follows the last whole commit; a segment without any is removed, its name may be needed."""
        if at == length and at > HEADER_BYTES:
            return
        if at == HEADER_BYTES and self.tree.size:
            self._remove(path)
            return
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _write_again(self, records: list[Record]) -> None:
        """Begin this process's segment with the newest head and what no head covers yet."""
        again = [(one.type, one.data) for one in records]
        if self.last_head is not None:
            again.insert(0, (RecordType.HEAD, self.last_head))
        parts: list[bytes] = []
        self.sequence += 1
        for number, (kind, data) in enumerate(again, 1):
            last = COMMIT_END if number == len(again) else 0
            self.writer.pack(parts, self.sequence, kind | last, data)
        first_leaf = _index_of(records[0]) if records else self.tree.size
        self.write(b"".join(parts), first_leaf, self.sequence)

    def close(self) -> None:
        """Let go of files and lock."""
        self.tree.close()
        self._finish_segment()
        os.close(self._lock)


def _index_of(record: Record) -> int:
    """Every record but a head and a purge begins with the index of the leaf it belongs to."""
    return int.from_bytes(record.data[:8], "little")


def _parsed(head: bytes) -> tuple[int, str, str]:
    """Size, root and log id of a head."""
    try:
        claims = parse_head(head).unverified
    except MalformedHeadError as error:
        raise LogDamagedError(f"a HEAD record holds no head: {error}") from None
    return claims.size, claims.root, claims.log
