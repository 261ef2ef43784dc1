"""Records of a log segment, byte by byte (``docs/protocol/segment.md``). Little endian.

A segment starts with a header, then records follow without gaps:
``u32 length | u32 CRC-32C | u64 sequence | u8 type | bytes``. ``length`` counts the bytes; the CRC covers log id,
sequence, type and bytes, so that a record of another log, or one from another place, never counts.

The sequence counts commits, and the type of a commit's last record carries ``COMMIT_END``. A commit is written only
after the one before it was synced, so a power loss can spoil the last commit, in any place, and no other. That tells
a torn tail from damage: behind a torn commit there is never a record of a later one.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, NamedTuple

import google_crc32c

from core.reasons import MalformedError, Reason

MAGIC: Final = b"PASSLOG1"
HEADER: Final = struct.Struct("<8s32sQQ")
HEADER_BYTES: Final = HEADER.size + 4
RECORD: Final = struct.Struct("<IIQB")
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024
COMMIT_END: Final = 0x80
# In front of the ciphertext of a BODY record, its leaf index first: ``ledger.vault`` writes it.
BODY_HEAD_BYTES: Final = 17

_PREFIX = struct.Struct("<II")  # what the CRC does not cover: length and the CRC itself
_COVERED = struct.Struct("<QB")  # then the bytes
_COVERED_LEAF = struct.Struct("<QBQ")
_COVERED_ATTACHMENT = struct.Struct("<QBQB")
_LEAF_INDEX = struct.Struct("<Q")
_ATTACHMENT = struct.Struct("<QB")
_SEQUENCE_LOW_BYTES: Final = 3

_extend = google_crc32c.extend


class RecordType(IntEnum):
    """What a record holds."""

    LEAF = 1
    ATTACHMENT = 2
    BODY = 3
    HEAD = 4
    PURGE = 5


class AttachmentKind(IntEnum):
    """What lies beside a leaf."""

    STATEMENT = 1
    FRAME = 2
    RECEIPT = 3
    ANNEX = 4
    DOCUMENT = 5
    SALTS = 6


class MalformedSegmentError(MalformedError):
    """A file that is no segment of this log."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.LOG_DAMAGED, why)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment: whose log it is, and where it starts."""

    log: str
    first_leaf: int
    first_sequence: int

    def encode(self) -> bytes:
        """60 bytes, the last four their own CRC."""
        fixed = HEADER.pack(MAGIC, bytes.fromhex(self.log), self.first_leaf, self.first_sequence)
        return fixed + struct.pack("<I", google_crc32c.value(fixed))

    @classmethod
    def decode(cls, data: bytes) -> SegmentHeader:
        """Strict inverse of ``encode``; raises ``MalformedSegmentError``."""
        if (
            len(data) < HEADER_BYTES
            or google_crc32c.value(data[: HEADER.size]) != struct.unpack_from("<I", data, HEADER.size)[0]
        ):
            raise MalformedSegmentError("segment header is damaged")
        magic, log, first_leaf, first_sequence = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise MalformedSegmentError("not a segment of a log")
        return cls(log.hex(), first_leaf, first_sequence)


class Record(NamedTuple):
    """One whole record, where it stands in its segment, and whether its commit ends with it."""

    sequence: int
    type: RecordType
    data: bytes
    begin: int
    end: int
    is_last: bool


class CommitRecords(NamedTuple):
    """All records of one commit."""

    sequence: int
    records: list[Record]

    @property
    def begin(self) -> int:
        """Where the commit begins in its segment."""
        return self.records[0].begin

    @property
    def end(self) -> int:
        """Where the commit ends in its segment."""
        return self.records[-1].end


class Ending(Enum):
    """Why reading stopped where no whole commit stands."""

    END = "end"  # nothing but what was written ahead: zeros
    TORN = "torn"  # the last commit, spoilt before it was synced; nobody was promised anything
    DAMAGED = "damaged"  # records of a later commit follow: what stood here was durable once


class RecordWriter:
    """Packs and reads records of one log; the running CRC of the log id is computed once."""

    def __init__(self, log: str) -> None:
        self._seed = google_crc32c.value(bytes.fromhex(log))

    def pack(self, parts: list[bytes], sequence: int, kind: int, *data: bytes) -> None:
        """Append one record to ``parts``; ``kind`` is a ``RecordType``, with ``COMMIT_END`` in the last.

        ``data`` may come in pieces; what is long is not copied before all of a commit is joined.
        """
        fixed = _COVERED.pack(sequence, kind)
        crc, length = _extend(self._seed, fixed), 0
        for piece in data:
            crc = _extend(crc, piece)
            length += len(piece)
        parts += (_PREFIX.pack(length, crc), fixed, *data)

    def pack_leaf(self, parts: list[bytes], sequence: int, kind: int, index: int, leaf: bytes) -> None:
        """The same for a LEAF record: u64 leaf index | leaf."""
        fixed = _COVERED_LEAF.pack(sequence, kind, index)
        parts += (_PREFIX.pack(len(leaf) + 8, _extend(_extend(self._seed, fixed), leaf)), fixed, leaf)

    def pack_attachment(self, parts: list[bytes], sequence: int, index: int, kind: int, data: bytes) -> None:
        """The same for an ATTACHMENT record: u64 leaf index | u8 kind | bytes."""
        fixed = _COVERED_ATTACHMENT.pack(sequence, _ATTACHMENT_TYPE, index, kind)
        parts += (_PREFIX.pack(len(data) + 9, _extend(_extend(self._seed, fixed), data)), fixed, data)

    def read(self, data: bytes, at: int) -> Record | None:
        """The whole record at ``at``; ``None`` if there is none: torn, damaged, or the end."""
        if at + RECORD.size > len(data):
            return None
        length, crc, sequence, kind = RECORD.unpack_from(data, at)
        begin, known = at + RECORD.size, _TYPES.get(kind & ~COMMIT_END)
        end = begin + length
        if known is None or length > MAX_RECORD_BYTES or end > len(data):
            return None
        if _extend(self._seed, data[begin - _COVERED.size : end]) != crc:
            return None
        return Record(sequence, known, data[begin:end], at, end, kind >= COMMIT_END)

    def read_commit(self, data: bytes, at: int, *, with_bodies: bool = True) -> CommitRecords | None:
        """The whole commit at ``at``; ``None`` if any of it is missing.

        Without bodies, BODY records are checked like all others, but hold the head of their bytes only: whoever looks for
        what was said does not copy what it cannot read.
        """
        seed, size, sequence = self._seed, len(data), -1
        records: list[Record] = []
        while (begin := at + RECORD.size) <= size:
            length, crc, found, kind = RECORD.unpack_from(data, at)
            end, known, is_last = begin + length, _TYPES.get(kind & ~COMMIT_END), kind >= COMMIT_END
            if known is None or length > MAX_RECORD_BYTES or end > size or (records and found != sequence):
                return None
            covered = data[begin - _COVERED.size : end]
            if _extend(seed, covered) != crc:
                return None
            is_left_out = known is _BODY and not with_bodies
            held = covered[_COVERED.size : _COVERED.size + BODY_HEAD_BYTES if is_left_out else None]
            sequence = found
            records.append(Record(sequence, known, held, at, end, is_last))
            if is_last:
                return CommitRecords(sequence, records)
            at = end
        return None

    def ending(self, data: bytes, at: int, sequence: int) -> Ending:
        """What stands at ``at``, where no whole commit follows the one numbered ``sequence``."""
        if data.count(0, at) == len(data) - at:
            return Ending.END
        torn = sequence + 1
        return Ending.DAMAGED if any(one > torn for one in self._sequences(data, at, torn)) else Ending.TORN

    def _sequences(self, data: bytes, at: int, least: int) -> Iterator[int]:
        """The sequences of all whole records behind ``at``, wherever they begin.

        The high bytes of a sequence hardly change within a segment: they are searched for, at the speed of the
        regular expressions, rather than trying every byte.
        """
        low_bits = 8 * _SEQUENCE_LOW_BYTES
        for high in range(least >> low_bits, ((least + len(data)) >> low_bits) + 1):
            written = high.to_bytes(8 - _SEQUENCE_LOW_BYTES, "little")
            pattern = re.compile(re.escape(written) + rb"[\x01-\x05\x81-\x85]")
            found = pattern.search(data, at + _PREFIX.size + _SEQUENCE_LOW_BYTES)
            while found:
                record = self.read(data, found.start() - _PREFIX.size - _SEQUENCE_LOW_BYTES)
                if record is not None:
                    yield record.sequence
                found = pattern.search(data, found.start() + 1)

    def read_at(self, fd: int, at: int, *, with_body: bool = True) -> Record | None:
        """The record at byte ``at`` of a file; ``begin`` and ``end`` count from the file's begin.

        A BODY record that is not asked for is passed over: not checked, and only the head of its bytes is read.
        """
        fixed = os.pread(fd, RECORD.size, at)
        if len(fixed) < RECORD.size:
            return None
        length, _, sequence, kind = RECORD.unpack(fixed)
        if length > MAX_RECORD_BYTES:
            return None
        if kind & ~COMMIT_END == _BODY and not with_body:
            begin = at + RECORD.size
            head = os.pread(fd, min(length, BODY_HEAD_BYTES), begin)
            return Record(sequence, _BODY, head, at, begin + length, kind >= COMMIT_END)
        found = self.read(fixed + os.pread(fd, length, at + RECORD.size), 0)
        if found is None:
            return None
        return found._replace(begin=at, end=at + found.end)


_ATTACHMENT_TYPE: Final = int(RecordType.ATTACHMENT)
_BODY: Final = RecordType.BODY
_TYPES: Final = {int(one): one for one in RecordType}
_KINDS: Final = {int(one): one for one in AttachmentKind}


def split_leaf(data: bytes) -> tuple[int, bytes]:
    """Leaf index and leaf of a LEAF record; raises ``MalformedSegmentError``."""
    if len(data) < _LEAF_INDEX.size:
        raise MalformedSegmentError("a LEAF record is too short")
    return _LEAF_INDEX.unpack_from(data)[0], data[_LEAF_INDEX.size :]


def split_attachment(data: bytes) -> tuple[int, AttachmentKind, bytes]:
    """Leaf index, kind and bytes of an ATTACHMENT record; raises ``MalformedSegmentError``."""
    if len(data) < _ATTACHMENT.size:
        raise MalformedSegmentError("an ATTACHMENT record is too short")
    index, kind = _ATTACHMENT.unpack_from(data)
    known = _KINDS.get(kind)
    if known is None:
        raise MalformedSegmentError("an ATTACHMENT record of an unknown kind")
    return index, known, data[_ATTACHMENT.size :]
