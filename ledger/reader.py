"""Reads a log without touching it: the process may be alive, dead, or another machine's (audit, index, evidence)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from core.merkle import leaf_hash
from ledger.begins import LeafBegins
from ledger.log import LogDamagedError, segment_name, segments
from ledger.records import (
    HEADER_BYTES,
    RECORD,
    AttachmentKind,
    CommitRecords,
    Ending,
    MalformedSegmentError,
    Record,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_attachment,
    split_leaf,
)
from ledger.tree import TreeFiles

if TYPE_CHECKING:
    from ledger.checkpoint import Checkpoint

# What is read of a segment at once, unless a commit is larger: neither a segment nor a log must fit into memory.
READ_BYTES: Final = 4 * 1024 * 1024

# More than any commit holds. Where no whole one begins, no more than this is gathered: a sparse file of any length
# must not fill the memory of who looks at it.
MAX_COMMIT_BYTES: Final = 128 * 1024 * 1024

_LEAF: Final = RecordType.LEAF
_ATTACHMENT: Final = RecordType.ATTACHMENT
_BODY: Final = RecordType.BODY
_HEAD: Final = RecordType.HEAD
_PURGE: Final = RecordType.PURGE


class StoredLeaf(msgspec.Struct, frozen=True):
    """A leaf as it stands in the log.

    Attributes:
        index: Its index.
        leaf: Its bytes.
        attachments: What lies beside it.
        body: Bytes of its BODY record, still encrypted; ``None`` without one, or if they were not asked for.
        left_out: How many bytes of it were not asked for.
    """

    index: int
    leaf: bytes
    attachments: tuple[tuple[AttachmentKind, bytes], ...]
    body: bytes | None
    left_out: int = 0

    @property
    def body_bytes(self) -> int:
        """How long its BODY record is; 0 without one."""
        return len(self.body) if self.body is not None else self.left_out


class LogReader:
    """The leaves of one log directory, by index; ``follow`` takes in what came since.

    Args:
        directory: Where its segments are.
        on_purge: Gets the bytes of each PURGE record as it is read: what was erased, and when. It is behind the leaves
            that it is about, so the reader does not keep it.
        on_head: Gets each HEAD record as it is read, before the leaves of its commit are taken in.
        follows_bodies: Whether the leaves that ``follow`` yields come with their bodies; for those of ``at`` it is asked.
        after: A checkpoint of this log: what it covers is not read, and ``at`` does not know it.
        tree: The tree to go on with, that of ``after`` if there is one.
        on_segment_end: Gets the name of each segment that was read to its end and that others follow.
    """

    def __init__(
        self,
        directory: Path,
        on_purge: Callable[[bytes], None] | None = None,
        on_head: Callable[[bytes], None] | None = None,
        *,
        follows_bodies: bool = True,
        after: Checkpoint | None = None,
        tree: TreeFiles | None = None,
        on_segment_end: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory
        self._follows_bodies = follows_bodies
        self._on_purge = on_purge
        self._on_head = on_head
        self._on_segment_end = on_segment_end
        self._after = after.segment if after is not None else ""
        self.log_id = after.log if after is not None else ""
        self.last_head: bytes | None = None
        self.sequence = after.sequence if after is not None else 0
        self.tree = TreeFiles(None) if tree is None else tree
        self._first = self.tree.size
        self._writer = RecordWriter(self.log_id)  # of no log, until the first header is read
        self._paths: list[Path] = []
        self._begins = LeafBegins()
        self._number = 0
        self._at = 0
        self._torn: dict[int, str] = {}

    @property
    def size(self) -> int:
        """Leaves read so far."""
        return self.tree.size

    @property
    def torn(self) -> list[str]:
        """Where a segment ends in a torn commit, and the next one goes on without a gap."""
        return [place for number, place in self._torn.items() if number + 1 < len(self._paths)]

    @property
    def torn_end(self) -> str:
        """Where the last segment ends in a torn commit; empty if it does not.

        A commit that a crash interrupted looks like this, of which nobody was promised anything, and so does a log that
        was cut later.
        """
        return self._torn.get(len(self._paths) - 1, "")

    @property
    def segment_count(self) -> int:
        """How many files were begun to be read."""
        return min(self._number + 1, len(self._paths))

    def place(self, index: int) -> str:
        """Where a leaf that was read stands: segment and byte."""
        name, begin = self.whereabouts(index)
        return f"{name} byte {begin}"

    def whereabouts(self, index: int) -> tuple[str, int]:
        """Name of the segment in which a leaf that was read stands, and the byte where it begins there."""
        number, begin = self._begins[index - self._first]
        return self._paths[number].name, begin

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree, for proofs."""
        return self.tree.node(level, index)

    def follow(self, upto_sequence: int | None = None) -> Iterator[StoredLeaf]:
        """Read on from where the last call stopped; yields each new leaf in order.

        Args:
            upto_sequence: Read no commit beyond this one: what the writer reported as durable. ``None`` reads all
                whole commits; a torn tail ends the reading.

        Raises:
            LogDamagedError: A segment is missing, foreign or damaged before the end.
        """
        self._paths = segments(self.directory)
        if not self._paths:
            raise LogDamagedError(f"no log in {self.directory.name}")
        if self._after:
            self._number = [path.name for path in self._paths].index(self._after) + 1
            self._after = ""
        while self._number < len(self._paths):
            number = self._number
            if not self._at and not self._take_header(number):
                return
            for base, commit in self._commits(number):
                if upto_sequence is not None and commit.sequence > upto_sequence:
                    return
                yield from self._take(number, base, commit)
            self._require_no_damage(number)
            if number + 1 == len(self._paths):
                return
            if self._on_segment_end is not None:
                self._on_segment_end(self._paths[number].name)
            self._number, self._at = number + 1, 0

    def _commits(self, number: int) -> Iterator[tuple[int, CommitRecords]]:
        """The whole commits from ``_at`` on, each with the byte that its offsets count from; taking one moves ``_at``."""
        size = READ_BYTES
        while data := self._rest(number, size):
            base = self._at
            read = partial(self._writer.read_commit, with_bodies=self._follows_bodies)
            while (commit := read(data, self._at - base)) is not None:
                yield base, commit
            if self._at == base:
                if len(data) < size or size >= MAX_COMMIT_BYTES or not _is_written(data):
                    return
                size *= 2

    def _rest(self, number: int, size: int = -1) -> bytes:
        with self._paths[number].open("rb") as file:
            file.seek(self._at)
            return file.read(size)

    def _take_header(self, number: int) -> bool:
        """Whether the segment can be read; the last one may be about to be begun."""
        data = self._rest(number, HEADER_BYTES)
        name = self._paths[number].name
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError as error:
            if number + 1 == len(self._paths) and self.log_id:
                self._torn[number] = f"{name} was begun and is not whole"
                return False
            raise LogDamagedError(f"{name}: {error}") from None
        if not self.log_id:
            self.log_id = header.log
            self._writer = RecordWriter(header.log)
        follows = header.first_sequence > self.sequence and header.first_leaf <= self.size
        is_named_so = name == segment_name(header.first_leaf, header.first_sequence)
        if header.log != self.log_id or not follows or not is_named_so:
            torn = self._torn.get(number - 1)
            after = f": {torn}" if torn else ""
            raise LogDamagedError(f"{name} does not follow the segment before it{after}")
        self.sequence = header.first_sequence - 1
        self._at = HEADER_BYTES
        return True

    def _require_no_damage(self, number: int) -> None:
        """Behind the last whole commit of a segment only a torn one may stand, never a later one.

        Read once more for that: a writer may have gone on while the bytes came in.
        """
        data = self._written(number)
        if self._writer.read_commit(data, 0) is None:
            place = f"{self._paths[number].name} is damaged at byte {self._at}"
            if len(data) > MAX_COMMIT_BYTES:
                raise LogDamagedError(f"{place}, and more follows than any commit holds")
            ending = self._writer.ending(data, 0, self.sequence)
            if ending is Ending.DAMAGED:
                raise LogDamagedError(f"{place}, and later commits follow")
            if ending is Ending.TORN:
                self._torn[number] = place
            else:
                self._torn.pop(number, None)

    def _written(self, number: int) -> bytes:
        """The rest of a segment without the zeros written ahead of use; if it is over-long, only so much of it."""
        with self._paths[number].open("rb") as file:
            end = file.seek(self._at)
            while end - self._at <= MAX_COMMIT_BYTES and (piece := file.read(READ_BYTES)):
                end = file.tell() if _is_written(piece) else end
            file.seek(self._at)
            return file.read(min(end - self._at, MAX_COMMIT_BYTES + 1))

    def _take(self, number: int, base: int, commit: CommitRecords) -> list[StoredLeaf]:
        """The new leaves of a commit; the tree has them all when this returns."""
        if commit.sequence != self.sequence + 1:
            raise LogDamagedError(f"commit {commit.sequence} does not follow {self.sequence}")
        self.sequence, self._at = commit.sequence, base + commit.end
        size = self.size
        added: list[StoredLeaf] = []
        hashes: list[bytes] = []
        beside: list[Record] = []
        for record in commit.records:
            kind = record.type
            if kind is _LEAF:
                stored = _stored(record, beside, with_body=self._follows_bodies)
                index, at = stored.index, base + (beside[0] if beside else record).begin
                beside = []
                hashed = leaf_hash(stored.leaf)
                if index < size:
                    self._take_again(index, hashed, number, at)
                    continue
                if index != size + len(added):
                    raise LogDamagedError(f"leaf {size + len(added)} is missing")
                self._begins.append(number, at)
                added.append(stored)
                hashes.append(hashed)
            elif kind is _HEAD:
                self.last_head = record.data
                if self._on_head is not None:
                    self._on_head(record.data)
            elif kind is not _PURGE:
                beside.append(record)
            elif self._on_purge is not None:
                self._on_purge(record.data)
        if beside:
            raise LogDamagedError(f"commit {commit.sequence} holds records that lie beside no leaf")
        self._begins.settle()
        self.tree.extend(hashes)
        return added

    def _take_again(self, index: int, hashed: bytes, number: int, at: int) -> None:
        """Written again at a start: the later record counts, its bytes must be the same."""
        if self.node(0, index) != hashed:
            raise LogDamagedError(f"leaf {index} stands twice with different bytes")
        if index >= self._first:
            self._begins[index - self._first] = number, at

    def read_all(self) -> None:
        """Take in everything there is."""
        for _ in self.follow():
            pass

    def __iter__(self) -> Iterator[StoredLeaf]:
        return (self.at(index) for index in range(self.size))

    def at(self, index: int, *, with_body: bool = True) -> StoredLeaf:
        """A leaf with what lies beside it; raises ``LogDamagedError`` if it cannot be read any more."""
        if not self._first <= index < self.size:
            raise LogDamagedError(f"no leaf {index} in a log of {self.size}")
        return read_leaf(self.directory, self._writer, index, *self.whereabouts(index), with_body=with_body)


def read_leaf(
    directory: Path, writer: RecordWriter, index: int, segment: str, begin: int, *, with_body: bool = True
) -> StoredLeaf:
    """A leaf with what lies beside it, where it is known to stand (``LogReader.whereabouts``).

    Raises:
        LogDamagedError: It cannot be read any more.
    """
    beside: list[Record] = []
    at = begin
    fd = os.open(directory / segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while (
            record := writer.read_at(fd, at, with_body=with_body)
        ) is not None and record.type is not _LEAF:
            beside.append(record)
            at = record.end
    finally:
        os.close(fd)
    if record is None:
        raise LogDamagedError(f"leaf {index} cannot be read")
    found = _stored(record, beside, with_body=with_body)
    if found.index != index:
        raise LogDamagedError(f"leaf {index} does not stand where it was")
    return found


def _is_written(data: bytes) -> bool:
    """Whether there is anything but zeros."""
    return data.count(0) != len(data)


def _stored(record: Record, beside: list[Record], *, with_body: bool = True) -> StoredLeaf:
    attachments = []
    body, left_out = None, 0
    data = record.data
    written, leaf = data[:8], split_leaf(data)[1]
    index = int.from_bytes(written, "little")
    for one in beside:
        data = one.data
        if data[:8] != written:
            raise LogDamagedError(f"what lies beside leaf {index} belongs to another leaf")
        if one.type is _ATTACHMENT:
            attachments.append(split_attachment(data)[1:])
        elif one.type is not _BODY:
            continue
        elif with_body:
            body = data
        else:
            left_out = one.end - one.begin - RECORD.size
    return StoredLeaf(index, leaf, tuple(attachments), body, left_out)
