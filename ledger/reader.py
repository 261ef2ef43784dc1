"""Reads a log without touching it: the process may be alive, dead, or another machine's (audit, index, evidence)."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.merkle import leaf_hash
from ledger.log import LogDamagedError, segments
from ledger.records import (
    HEADER_BYTES,
    AttachmentKind,
    Record,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_attachment,
    split_leaf,
)
from ledger.tree import TreeFiles


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A leaf as it stands in the log.

    Attributes:
        index: Its index.
        leaf: Its bytes.
        attachments: What lies beside it.
        body: Bytes of its BODY record, still encrypted.
    """

    index: int
    leaf: bytes
    attachments: tuple[tuple[AttachmentKind, bytes], ...]
    body: bytes | None


class LogReader:
    """The leaves of one log directory, by index; ``follow`` takes in what came since."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_id = ""
        self.last_head: bytes | None = None
        self.sequence = 0
        self.tree = TreeFiles(None)
        self._writer: RecordWriter | None = None
        self._paths: list[Path] = []
        self._segment_of = array("I")
        self._begin_of = array("Q")
        self._at = 0
        self._group: list[Record] = []
        self._group_begin = 0

    @property
    def size(self) -> int:
        """Leaves read so far."""
        return self.tree.size

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree, for proofs."""
        return self.tree.node(level, index)

    def follow(self, upto_sequence: int | None = None) -> Iterator[StoredLeaf]:
        """Read on from where the last call stopped; yields each new leaf in order.

        Args:
            upto_sequence: Read no record beyond this one: what the writer reported as durable. ``None`` reads all
                whole records; a torn tail ends the reading.

        Raises:
            LogDamagedError: A segment is missing, foreign or damaged before the end.
        """
        self._paths = segments(self.directory)
        if not self._paths:
            raise LogDamagedError(f"no log in {self.directory.name}")
        number = self._number if self._at else 0
        while number < len(self._paths):
            data = self._paths[number].read_bytes() if not self._at else self._rest(number)
            base = self._at
            if not self._at:
                if len(data) < HEADER_BYTES:
                    return
                self._take_header(number, data)
                base, self._at = 0, HEADER_BYTES
            self._number = number
            while (record := self._read(data, self._at - base)) is not None:
                if upto_sequence is not None and record.sequence > upto_sequence:
                    return
                begin, self._at = self._at, base + record.end
                yield from self._take(number, begin, record)
            if number + 1 == len(self._paths):
                return
            if base + len(data) != self._at:
                raise LogDamagedError(f"{self._paths[number].name} is damaged at byte {self._at}")
            number, self._at = number + 1, 0

    _number = 0

    def _rest(self, number: int) -> bytes:
        with self._paths[number].open("rb") as file:
            file.seek(self._at)
            return file.read()

    def _take_header(self, number: int, data: bytes) -> None:
        header = SegmentHeader.decode(data)
        if not self.log_id:
            self.log_id = header.log
            self._writer = RecordWriter(header.log)
        if header.log != self.log_id:
            raise LogDamagedError(f"{self._paths[number].name} belongs to another log")

    def _read(self, data: bytes, at: int) -> Record | None:
        return self._writer.read(data, at) if self._writer else None

    def _take(self, number: int, begin: int, record: Record) -> Iterator[StoredLeaf]:
        self.sequence = record.sequence
        if record.type is RecordType.HEAD:
            self.last_head = record.data
            return
        if not self._group:
            self._group_begin = begin
        self._group.append(record)
        if record.type is not RecordType.LEAF:
            return
        group, self._group = self._group, []
        index, leaf = split_leaf(record.data)
        if index > self.size:
            raise LogDamagedError(f"leaf {self.size} is missing")
        if index < self.size:
            # Written again after an unclean start: the later record counts, its bytes must be the same.
            if self.node(0, index) != leaf_hash(leaf):
                raise LogDamagedError(f"leaf {index} stands twice with different bytes")
            self._segment_of[index], self._begin_of[index] = number, self._group_begin
            return
        self.tree.append(leaf_hash(leaf))
        self._segment_of.append(number)
        self._begin_of.append(self._group_begin)
        yield _stored(group)

    def read_all(self) -> None:
        """Take in everything there is."""
        for _ in self.follow():
            pass

    def __iter__(self) -> Iterator[StoredLeaf]:
        return (self.at(index) for index in range(self.size))

    def at(self, index: int) -> StoredLeaf:
        """A leaf with what lies beside it; raises ``LogDamagedError`` if it cannot be read any more."""
        if not 0 <= index < self.size or self._writer is None:
            raise LogDamagedError(f"no leaf {index} in a log of {self.size}")
        group: list[Record] = []
        at = self._begin_of[index]
        fd = os.open(self._paths[self._segment_of[index]], os.O_RDONLY | os.O_CLOEXEC)
        try:
            while not group or group[-1].type is not RecordType.LEAF:
                record = self._writer.read_at(fd, at)
                if record is None:
                    raise LogDamagedError(f"leaf {index} cannot be read")
                group.append(record)
                at = record.end
        finally:
            os.close(fd)
        return _stored(group)


def _stored(group: list[Record]) -> StoredLeaf:
    attachments = []
    body = None
    for record in group[:-1]:
        if record.type is RecordType.ATTACHMENT:
            _, kind, data = split_attachment(record.data)
            attachments.append((kind, data))
        elif record.type is RecordType.BODY:
            body = record.data
    index, leaf = split_leaf(group[-1].data)
    return StoredLeaf(index, leaf, tuple(attachments), body)
