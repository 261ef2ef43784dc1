"""Records of a log segment, byte by byte (``docs/protocol/segment.md``). Little endian.

A segment starts with a header, then records follow without gaps:
``u32 length | u32 CRC-32C | u64 sequence | u8 type | bytes``. ``length`` counts the bytes; the CRC covers log id,
sequence, type and bytes, so that a record of another log, or one from another place, never counts.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import google_crc32c

from core.reasons import MalformedError, Reason

MAGIC: Final = b"PASSLOG1"
HEADER: Final = struct.Struct("<8s32sQQ")
HEADER_BYTES: Final = HEADER.size + 4
RECORD: Final = struct.Struct("<IIQB")
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024

_COVERED = struct.Struct("<QB")
_LEAF_INDEX = struct.Struct("<Q")
_ATTACHMENT = struct.Struct("<QB")

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
        """64 bytes with their own CRC."""
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


@dataclass(frozen=True, slots=True)
class Record:
    """One whole record and where it ends in its segment."""

    sequence: int
    type: RecordType
    data: bytes
    end: int


class RecordWriter:
    """Packs records of one log; the running CRC of the log id is computed once."""

    def __init__(self, log: str) -> None:
        self._seed = google_crc32c.value(bytes.fromhex(log))

    def pack(self, parts: list[bytes], sequence: int, kind: int, data: bytes) -> None:
        """Append one record to ``parts``."""
        crc = _extend(_extend(self._seed, _COVERED.pack(sequence, kind)), data)
        parts.append(RECORD.pack(len(data), crc, sequence, kind))
        parts.append(data)

    def read(self, data: bytes, at: int) -> Record | None:
        """The whole record at ``at``; ``None`` if there is none: torn, damaged, or the end."""
        if at + RECORD.size > len(data):
            return None
        length, crc, sequence, kind = RECORD.unpack_from(data, at)
        begin = at + RECORD.size
        if length > MAX_RECORD_BYTES or begin + length > len(data) or kind not in _TYPES:
            return None
        held = data[begin : begin + length]
        if _extend(_extend(self._seed, _COVERED.pack(sequence, kind)), held) != crc:
            return None
        return Record(sequence, RecordType(kind), held, begin + length)

    def read_at(self, fd: int, at: int) -> Record | None:
        """The same from a file, at byte ``at``; the record's ``end`` counts from the file's begin."""
        fixed = os.pread(fd, RECORD.size, at)
        if len(fixed) < RECORD.size:
            return None
        length = RECORD.unpack(fixed)[0]
        if length > MAX_RECORD_BYTES:
            return None
        found = self.read(fixed + os.pread(fd, length, at + RECORD.size), 0)
        return None if found is None else Record(found.sequence, found.type, found.data, at + found.end)


_TYPES: Final = frozenset(RecordType)


def leaf_data(index: int, leaf: bytes) -> bytes:
    """Bytes of a LEAF record: u64 leaf index | leaf."""
    return _LEAF_INDEX.pack(index) + leaf


def attachment_data(index: int, kind: int, data: bytes) -> bytes:
    """Bytes of an ATTACHMENT record: u64 leaf index | u8 kind | bytes."""
    return _ATTACHMENT.pack(index, kind) + data


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
    try:
        return index, AttachmentKind(kind), data[_ATTACHMENT.size :]
    except ValueError:
        raise MalformedSegmentError("an ATTACHMENT record of an unknown kind") from None
