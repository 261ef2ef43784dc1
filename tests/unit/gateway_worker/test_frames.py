"""Messages of the road: what is encoded is read back, and everything else is refused in one way."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import MalformedError, Reason
from gateway.worker import frames
from gateway.worker.frames import (
    Chunk,
    Credit,
    Drain,
    Hello,
    Outcome,
    UnverifiedEntry,
    UnverifiedFrame,
    UnverifiedRun,
    decode_message,
)
from passerelle.gateway.v1 import road_pb2

LEAF = b"l" * 32
HELLO = Hello((1, 2), "a" * 64, b"head", b"held", 7, "b" * 64)


def test_hello_is_read_back() -> None:
    """Versions, log, both heads, configuration."""
    assert decode_message(frames.encode_hello(HELLO)) == HELLO


def test_a_frame_is_read_back() -> None:
    """Runs in order, entries in order, payloads in one piece."""
    said = UnverifiedEntry(True, b"statement", b"payloads")
    heard = UnverifiedEntry(False, b"receipt")
    frame = UnverifiedFrame(
        (UnverifiedRun(3, b"before", (said, heard)), UnverifiedRun(9, b"", (heard,))), b"after", b"head"
    )

    assert decode_message(frames.encode_frame(frame.runs, frame.after, frame.head)) == frame


def _as_protobuf_writes_it(runs: tuple[UnverifiedRun, ...], after: bytes, head: bytes) -> bytes:
    frame = road_pb2.Frame(after=after, head=head)
    for run in runs:
        written = frame.runs.add(first=run.first, before=run.before)
        for one in run.entries:
            kind = road_pb2.ENTRY_KIND_SAID if one.is_said else road_pb2.ENTRY_KIND_HEARD
            chunked = one.chunked if one.is_said else 0
            payloads = one.payloads if one.is_said and not chunked else b""
            written.entries.add(kind=kind, body=one.body, payloads=payloads, chunked=chunked)
    return road_pb2.RoadMessage(frame=frame).SerializeToString()


_LENGTHS = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 70_000])
_NUMBERS = st.sampled_from([0, 1, 127, 128, 2**32, 2**63, 2**64 - 1])
_ENTRIES = st.builds(
    UnverifiedEntry, st.booleans(), st.builds(bytes, _LENGTHS), st.builds(bytes, _LENGTHS), _NUMBERS
)
_RUNS = st.builds(
    UnverifiedRun, _NUMBERS, st.builds(bytes, _LENGTHS), st.lists(_ENTRIES, max_size=3).map(tuple)
)


@given(
    st.lists(_RUNS, max_size=3).map(tuple), st.builds(bytes, _LENGTHS), st.sampled_from([b"", b"head" * 200])
)
def test_a_frame_is_written_as_protobuf_writes_it(
    runs: tuple[UnverifiedRun, ...], after: bytes, head: bytes
) -> None:
    """Byte for byte, so that every implementation of protobuf reads it."""
    assert frames.encode_frame(runs, after, head) == _as_protobuf_writes_it(runs, after, head)


def test_announced_chunks_replace_their_bytes() -> None:
    """The length travels, the bytes came ahead."""
    said = UnverifiedEntry(True, b"s", b"long", 4)
    frame = UnverifiedFrame((UnverifiedRun(0, b"", (said,)),), b"", b"")

    found = decode_message(frames.encode_frame(frame.runs, frame.after, frame.head))

    assert isinstance(found, UnverifiedFrame)
    assert found.runs[0].entries[0] == UnverifiedEntry(True, b"s", b"", 4)


def test_control_messages_are_read_back() -> None:
    """Credit, chunk, drain, a question."""
    chunk = Chunk(LEAF, 100, b"data")

    assert decode_message(frames.encode_credit(LEAF, 5)) == Credit(LEAF, 5)
    assert decode_message(frames.encode_chunk(chunk)) == chunk
    assert decode_message(frames.encode_drain()) == Drain()
    question = Outcome(3, LEAF, 9, (LEAF, bytes(32)))
    assert decode_message(frames.encode_outcome(question)) == question


def _frame(*entries: road_pb2.Entry, **fields: object) -> bytes:
    run = road_pb2.Run(entries=entries)
    return road_pb2.RoadMessage(frame=road_pb2.Frame(runs=[run], **fields)).SerializeToString()  # type: ignore[arg-type]  # whatever a test wants


ENTRY = road_pb2.Entry(kind=road_pb2.ENTRY_KIND_HEARD)
MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "no-protobuf": b"\xff\xff",
    "unknown-message": b"\xfa\x3f\x00",
    "entry-without-kind": _frame(road_pb2.Entry(body=b"x")),
    "entry-of-unknown-kind": _frame(road_pb2.Entry(kind=9)),  # type: ignore[arg-type]  # not in the enum
    "payloads-both-ways": _frame(road_pb2.Entry(kind=road_pb2.ENTRY_KIND_SAID, payloads=b"x", chunked=1)),
    "receipt-with-payloads": _frame(road_pb2.Entry(kind=road_pb2.ENTRY_KIND_HEARD, payloads=b"x")),
    "receipt-with-chunks": _frame(road_pb2.Entry(kind=road_pb2.ENTRY_KIND_HEARD, chunked=1)),
    "too-many-entries": _frame(*[ENTRY] * (frames.MAX_ENTRIES + 1)),
    "too-many-runs": road_pb2.RoadMessage(
        frame=road_pb2.Frame(runs=[road_pb2.Run()] * (frames.MAX_RUNS + 1))
    ).SerializeToString(),
    "too-many-hashes": _frame(ENTRY, after=bytes(32 * frames.MAX_SUBTREE_HASHES + 1)),
    "credit-leaf": road_pb2.RoadMessage(credit=road_pb2.Credit(leaf=b"x", bytes=1)).SerializeToString(),
    "chunk-leaf": road_pb2.RoadMessage(chunk=road_pb2.Chunk(leaf=b"", data=b"x")).SerializeToString(),
    "outcome-leaf": road_pb2.RoadMessage(outcome=road_pb2.Outcome(leaf=bytes(33))).SerializeToString(),
    "outcome-path": road_pb2.RoadMessage(
        outcome=road_pb2.Outcome(leaf=bytes(32), path=[bytes(31)])
    ).SerializeToString(),
    "outcome-path-too-long": road_pb2.RoadMessage(
        outcome=road_pb2.Outcome(leaf=bytes(32), path=[bytes(32)] * 65)
    ).SerializeToString(),
    "too-many-versions": road_pb2.RoadMessage(hello=road_pb2.Hello(versions=range(17))).SerializeToString(),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_are_refused(name: str) -> None:
    """Each by the one error that ends the stream."""
    with pytest.raises(MalformedError) as refused:
        decode_message(MALFORMED[name])

    assert refused.value.reason is Reason.FRAME_INVALID


VECTORS: dict[str, str] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "malformed_road_messages.json").read_text("utf-8")
)


@pytest.mark.parametrize("name", VECTORS)
def test_malformed_vectors_are_refused(name: str) -> None:
    """The bytes of today stay refused, whatever becomes of the code that made them."""
    with pytest.raises(MalformedError):
        decode_message(bytes.fromhex(VECTORS[name]))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else comes out."""
    with suppress(MalformedError):
        decode_message(data)
