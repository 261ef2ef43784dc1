"""The bytes of segments."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.records import (
    HEADER_BYTES,
    MalformedSegmentError,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_attachment,
    split_leaf,
)

LOG = "ab" * 32


def packed(sequence: int, kind: int, data: bytes, log: str = LOG) -> bytes:
    parts: list[bytes] = []
    RecordWriter(log).pack(parts, sequence, kind, data)
    return b"".join(parts)


@given(st.integers(1, 2**63), st.sampled_from(RecordType), st.binary(max_size=300))
def test_record_reads_back_as_it_was_packed(sequence: int, kind: RecordType, data: bytes) -> None:
    record = RecordWriter(LOG).read(packed(sequence, kind, data), 0)

    assert record is not None
    assert (record.sequence, record.type, record.data) == (sequence, kind, data)


@given(st.binary(max_size=60), st.data())
def test_record_with_any_flipped_bit_is_never_read(data: bytes, draw: st.DataObject) -> None:
    whole = bytearray(packed(7, RecordType.LEAF, data))
    bit = draw.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8

    assert RecordWriter(LOG).read(bytes(whole), 0) is None


@given(st.binary(max_size=60), st.data())
def test_torn_record_is_never_read(data: bytes, draw: st.DataObject) -> None:
    whole = packed(7, RecordType.LEAF, data)

    assert RecordWriter(LOG).read(whole[: draw.draw(st.integers(0, len(whole) - 1))], 0) is None


def test_record_of_another_log_is_not_read() -> None:
    assert RecordWriter("cd" * 32).read(packed(1, RecordType.LEAF, b"x"), 0) is None


def test_record_of_unknown_type_is_not_read() -> None:
    assert RecordWriter(LOG).read(packed(1, 9, b"x"), 0) is None


def test_header_reads_back() -> None:
    header = SegmentHeader(LOG, 12, 345)

    assert SegmentHeader.decode(header.encode()) == header
    assert len(header.encode()) == HEADER_BYTES == 60


@pytest.mark.parametrize("at", range(HEADER_BYTES))
def test_header_with_a_changed_byte_is_refused(at: int) -> None:
    data = bytearray(SegmentHeader(LOG, 12, 345).encode())
    data[at] ^= 0x40

    with pytest.raises(MalformedSegmentError):
        SegmentHeader.decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"1234567"])
def test_leaf_record_that_is_too_short_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedSegmentError):
        split_leaf(data)


@pytest.mark.parametrize("data", [b"", b"12345678", struct.pack("<QB", 1, 200)])
def test_attachment_that_is_too_short_or_unknown_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedSegmentError):
        split_attachment(data)
