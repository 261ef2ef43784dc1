"""The log on disk: open, recover, append (PROTOCOL M5; DESIGN section 3, "Segment").

Segments are the source of truth. Opening a log reads them all, checks every CRC, rebuilds the tree, and cuts a torn
tail at the last whole record. A record that is damaged while whole ones follow is no torn tail: the log is refused.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from core.heads import parse_head
from core.leaves import GENESIS, log_id_of, parse_leaf
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from ledger.records import (
    HEADER_BYTES,
    MalformedSegmentError,
    Record,
    RecordType,
    RecordWriter,
    SegmentHeader,
    leaf_data,
    split_leaf,
)
from ledger.tree import TreeFiles

DEFAULT_SEGMENT_BYTES: Final = 64 * 1024 * 1024


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

    def free_bytes(self, directory: Path, /) -> int:
        """Bytes that may still be written."""


class SystemDisk:
    """The machine's disk."""

    pwrite = staticmethod(os.pwrite)
    fdatasync = staticmethod(os.fdatasync)

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
        clean: Whether the newest head record covers every leaf.
        cut_bytes: Bytes of a torn tail that were cut off.
        rewritten: Leaves that were written again because no signed head covers them.
    """

    leaves: int
    clean: bool
    cut_bytes: int
    rewritten: int


def create_log(directory: Path, genesis: bytes) -> str:
    """Begin a log with its genesis leaf, durably; returns the log id.

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
    RecordWriter(log).pack(parts, 1, RecordType.LEAF, leaf_data(0, genesis))
    fd = os.open(directory / segment_name(0, 1), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"".join(parts))
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(directory)
    return log


def segment_name(first_leaf: int, first_sequence: int) -> str:
    """``<first leaf>-<first sequence>.seg``, 20 digits each: names sort as the log was written."""
    return f"{first_leaf:020d}-{first_sequence:020d}.seg"


def segments(directory: Path) -> list[Path]:
    """The segments of a log, in the order of their sequences."""
    return sorted(directory.glob("*.seg"), key=lambda path: int(path.stem.partition("-")[2]))


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
        self.tree = TreeFiles(directory / "tree")
        self.recovery = RecoveryReport(0, True, 0, 0)
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._offset = 0
        self._writer: RecordWriter | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        disk: Disk | None = None,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        expected: str | None = None,
    ) -> Log:
        """Open and recover a log.

        Raises:
            LogDamagedError: It is missing, another log than ``expected``, held by another process, or damaged
                elsewhere than at its end.
        """
        if not segments(directory):
            raise LogDamagedError(f"no log in {directory.name}")
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log = cls(directory, lock, disk or SystemDisk(), segment_bytes)
            log._recover(expected)
        except BlockingIOError:
            os.close(lock)
            raise LogDamagedError("another process holds this log") from None
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

    def take_sequences(self, count: int) -> int:
        """The first of ``count`` new sequence numbers."""
        first = self.sequence + 1
        self.sequence += count
        return first

    def write(self, data: bytes, first_leaf: int, first_sequence: int) -> None:
        """Append records at the end of the open segment, or in a new one, and make them durable.

        Raises:
            OSError: The disk refused; nothing may be acknowledged from this handle again.
        """
        if self._fd < 0 or self._offset >= self._segment_bytes:
            self._roll(first_leaf, first_sequence)
        at, view = self._offset, memoryview(data)
        while view:
            written = self.disk.pwrite(self._fd, view, at)
            at += written
            view = view[written:]
        self.disk.fdatasync(self._fd)
        self._offset = at

    def _roll(self, first_leaf: int, first_sequence: int) -> None:
        """Begin a new segment; its name is durable before its first record is acknowledged."""
        if self._fd >= 0:
            os.close(self._fd)
        path = self.directory / segment_name(first_leaf, first_sequence)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        header = SegmentHeader(self.log_id, first_leaf, first_sequence).encode()
        self._offset = self.disk.pwrite(self._fd, header, 0)
        sync_directory(self.directory)

    def _recover(self, expected: str | None) -> None:
        """Read everything, cut the torn tail, write again what no signed head covers."""
        found = segments(self.directory)
        cut = 0
        tail: list[Record] = []
        whole = 0  # end of the last record that completes something: a leaf with all that belongs to it, or a head
        for position, path in enumerate(found):
            data = path.read_bytes()
            header = self._header(path, data, expected)
            whole = HEADER_BYTES
            at = HEADER_BYTES if header else 0
            while header and (record := self.writer.read(data, at)) is not None:
                self._replay(record, tail)
                at = record.end
                if record.type in (RecordType.LEAF, RecordType.HEAD):
                    whole = at
            if at == len(data) and header and whole == at:
                continue
            if position + 1 < len(found) or self._has_record_after(data, at):
                raise LogDamagedError(f"{path.name} is damaged at byte {at}, and records follow")
            whole = max(whole, HEADER_BYTES) if header else 0
            cut = len(data) - whole
            self._cut(path, whole)
            self._forget_incomplete(tail)
        if self.tree.size == 0:
            raise LogDamagedError("the log has no genesis leaf")
        covered = parse_head(self.last_head).unverified.size if self.last_head else 0
        clean = cut == 0 and covered >= self.tree.size
        rewritten = 0
        if not clean:
            # After a failed or missing sync the page cache may show what the disk does not hold: what no head
            # covers yet goes to a new segment and is synced before anything is signed over it.
            rewritten = self._write_again([one for one in tail if _index_of(one) >= covered])
        else:
            self._continue(segments(self.directory)[-1])
        self.recovery = RecoveryReport(self.tree.size, clean, cut, rewritten)

    def _header(self, path: Path, data: bytes, expected: str | None) -> SegmentHeader | None:
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError as error:
            if len(data) < HEADER_BYTES and self.log_id:
                return None  # a new segment whose header never reached the disk
            raise LogDamagedError(f"{path.name}: {error}") from None
        if not self.log_id:
            if expected is not None and header.log != expected:
                raise LogDamagedError(f"{path.name} belongs to another log than the one expected")
            self.log_id = header.log
            self._writer = RecordWriter(header.log)
        if header.log != self.log_id or header.first_sequence != self.sequence + 1:
            raise LogDamagedError(f"{path.name} does not follow the segment before it")
        return header

    def _replay(self, record: Record, tail: list[Record]) -> None:
        if record.sequence != self.sequence + 1:
            raise LogDamagedError(f"record {record.sequence} does not follow record {self.sequence}")
        self.sequence = record.sequence
        if record.type is RecordType.HEAD:
            self.last_head = record.data
            covered = parse_head(record.data).unverified.size
            tail[:] = [one for one in tail if _index_of(one) >= covered]
            return
        if record.type is RecordType.LEAF:
            index, leaf = split_leaf(record.data)
            hashed = leaf_hash(leaf)
            if index == self.tree.size:
                self.tree.append(hashed)
            elif index > self.tree.size or self.tree.node(0, index) != hashed:
                raise LogDamagedError(
                    f"leaf {index} stands twice with different bytes, or leaves are missing"
                )
        tail.append(record)

    def _forget_incomplete(self, tail: list[Record]) -> None:
        """Drop what lay beside a leaf that never came; nothing of it was ever acknowledged."""
        while tail and tail[-1].type is not RecordType.LEAF:
            tail.pop()
            self.sequence -= 1

    def _has_record_after(self, data: bytes, at: int) -> bool:
        """Whether whole records of this log follow a damaged place: then it is no torn tail."""
        return any(
            (found := self.writer.read(data, begin)) is not None and found.sequence > self.sequence
            for begin in range(at + 1, len(data))
        )

    def _cut(self, path: Path, at: int) -> None:
        if at < HEADER_BYTES:
            path.unlink()
            sync_directory(self.directory)
            return
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _write_again(self, records: list[Record]) -> int:
        if not records:
            self._continue(segments(self.directory)[-1])
            return 0
        parts: list[bytes] = []
        first = self.sequence + 1
        for one in records:
            self.sequence += 1
            self.writer.pack(parts, self.sequence, one.type, one.data)
        self.write(b"".join(parts), _index_of(records[0]), first)
        return sum(one.type is RecordType.LEAF for one in records)

    def _continue(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._offset = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Let go of files and lock."""
        self.tree.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        os.close(self._lock)


def _index_of(record: Record) -> int:
    """Every record but a head begins with the index of the leaf it belongs to."""
    return int.from_bytes(record.data[:8], "little")
