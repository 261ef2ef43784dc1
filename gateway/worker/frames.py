"""Messages of the road as bytes (``docs/protocol/frame.md``). Nothing here is believed: that is ``peerlog``'s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from core.reasons import MalformedError, Reason
from passerelle.gateway.v1 import road_pb2

MAX_ENTRIES: Final = 16_384
MAX_RUNS: Final = 4_096
MAX_SUBTREE_HASHES: Final = 64 * 128
MAX_PATH: Final = 64

_SAID = road_pb2.ENTRY_KIND_SAID
_HEARD = road_pb2.ENTRY_KIND_HEARD


@dataclass(slots=True)
class UnverifiedEntry:
    """One entry as it came.

    Attributes:
        is_said: Whether the body is a statement; else it is a receipt.
        body: The leaf's body.
        payloads: What came with it, as ``core.payloads`` writes it.
        chunked: How many bytes of it came ahead; they are not in ``payloads`` then.
        withheld: Why bytes that came ahead were not kept.
    """

    is_said: bool
    body: bytes
    payloads: bytes = b""
    chunked: int = 0
    withheld: Reason | None = None


@dataclass(slots=True)
class UnverifiedRun:
    """Neighbouring entries as they came."""

    first: int
    before: bytes
    entries: tuple[UnverifiedEntry, ...]


@dataclass(slots=True)
class UnverifiedFrame:
    """A frame as it came; ``size`` is what it takes to hold it, in bytes."""

    runs: tuple[UnverifiedRun, ...]
    after: bytes
    head: bytes
    size: int = field(default=0, compare=False)


@dataclass(slots=True)
class Hello:
    """Who speaks, and what each side holds of the other's log."""

    versions: tuple[int, ...]
    log: str
    head: bytes
    held: bytes
    configuration_version: int
    configuration_digest: str


@dataclass(slots=True)
class Credit:
    """Further bytes that may be sent of one body."""

    leaf: bytes
    bytes: int


@dataclass(slots=True)
class Chunk:
    """Bytes of a body, ahead of its frame."""

    leaf: bytes
    total: int
    data: bytes


@dataclass(slots=True)
class Drain:
    """The sender takes no new exchanges."""


@dataclass(slots=True)
class Outcome:
    """What became of this statement of the sender's? Not believed before the path proves that it stands there."""

    index: int
    leaf: bytes
    size: int
    path: tuple[bytes, ...]


Message = Hello | UnverifiedFrame | Credit | Chunk | Drain | Outcome


def encode_hello(hello: Hello) -> bytes:
    """Bytes of a RoadMessage with ``hello``."""
    return road_pb2.RoadMessage(
        hello=road_pb2.Hello(
            versions=hello.versions,
            log=hello.log,
            head=hello.head,
            held=hello.held,
            configuration_version=hello.configuration_version,
            configuration_digest=hello.configuration_digest,
        )
    ).SerializeToString()


class Entry(Protocol):
    """One entry as it goes; ``leaves.OwnLeaf`` is one."""

    is_said: bool
    body: bytes
    payloads: bytes
    chunked: int


@dataclass(slots=True)
class OutgoingRun:
    """Neighbouring entries as they go."""

    first: int
    before: bytes
    entries: list[Entry]


def encode_frame(runs: Iterable[OutgoingRun | UnverifiedRun], after: bytes, head: bytes) -> bytes:
    """Bytes of a RoadMessage with a frame.

    Written by hand, byte for byte as protobuf writes it: a frame may hold megabytes of payloads, which each level of
    messages would copy. Here they are copied once.
    """
    pieces: list[bytes] = []
    size = 0
    for run in runs:
        entries: list[bytes] = []
        length = 0
        for one in run.entries:
            body, payloads, rest = one.body, b"", b""
            fixed = _SAID_KIND if one.is_said else _HEARD_KIND
            if body:
                fixed += _BODY + _varint(len(body))
            if one.is_said and one.chunked:
                rest = _CHUNKED + _varint(one.chunked)
            elif one.is_said and one.payloads:
                payloads = one.payloads
                rest = _PAYLOADS + _varint(len(payloads))
            inner = len(fixed) + len(body) + len(rest) + len(payloads)
            begin = _ENTRY + _varint(inner)
            entries += (begin, fixed, body, rest, payloads)
            length += len(begin) + inner
        fixed = (_FIRST + _varint(run.first) if run.first else b"") + _field(_BEFORE, run.before)
        begin = _RUN + _varint(len(fixed) + length) + fixed
        pieces.append(begin)
        pieces += entries
        size += len(begin) + length
    last = _field(_AFTER, after) + _field(_HEAD, head)
    return b"".join((_FRAME + _varint(size + len(last)), *pieces, last))


# Tags of protobuf: the number of a field, shifted by three, and its type: 0 for numbers, 2 for bytes and messages.
# What is 0 or empty is not written.
_FRAME: Final = b"\x12"  # RoadMessage.frame = 2
_RUN: Final = b"\x0a"  # Frame.runs = 1
_AFTER: Final = b"\x12"  # Frame.after = 2
_HEAD: Final = b"\x1a"  # Frame.head = 3
_FIRST: Final = b"\x08"  # Run.first = 1
_BEFORE: Final = b"\x12"  # Run.before = 2
_ENTRY: Final = b"\x1a"  # Run.entries = 3
_SAID_KIND: Final = bytes((0x08, _SAID))  # Entry.kind = 1
_HEARD_KIND: Final = bytes((0x08, _HEARD))
_BODY: Final = b"\x12"  # Entry.body = 2
_PAYLOADS: Final = b"\x1a"  # Entry.payloads = 3
_CHUNKED: Final = b"\x20"  # Entry.chunked = 4


@lru_cache(4096)
def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def _field(tag: bytes, value: bytes) -> bytes:
    return tag + _varint(len(value)) + value if value else b""


def encode_credit(leaf: bytes, amount: int) -> bytes:
    """Bytes of a RoadMessage that lets the peer send ``amount`` further bytes of a body."""
    return road_pb2.RoadMessage(credit=road_pb2.Credit(leaf=leaf, bytes=amount)).SerializeToString()


def encode_chunk(chunk: Chunk) -> bytes:
    """Bytes of a RoadMessage with ``chunk``."""
    return road_pb2.RoadMessage(
        chunk=road_pb2.Chunk(leaf=chunk.leaf, total=chunk.total, data=chunk.data)
    ).SerializeToString()


def encode_drain() -> bytes:
    """Bytes of a RoadMessage that asks for no new exchanges."""
    return road_pb2.RoadMessage(drain=road_pb2.Drain()).SerializeToString()


def encode_outcome(question: Outcome) -> bytes:
    """Bytes of a RoadMessage that asks what became of a statement."""
    return road_pb2.RoadMessage(
        outcome=road_pb2.Outcome(
            index=question.index, leaf=question.leaf, size=question.size, path=question.path
        )
    ).SerializeToString()


def decode_message(data: bytes) -> Message:
    """Read one message of the road.

    Raises:
        MalformedError: No RoadMessage, nothing set in it, or out of its bounds.
    """
    try:
        message = road_pb2.RoadMessage.FromString(data)
    except DecodeError:
        raise MalformedError(Reason.FRAME_INVALID, "not a message of the road") from None
    match message.WhichOneof("message"):
        case "frame":
            return _decode_frame(message.frame, len(data))
        case "hello":
            return _decode_hello(message.hello)
        case "credit":
            return Credit(_hash(message.credit.leaf), message.credit.bytes)
        case "chunk":
            chunk = message.chunk
            return Chunk(_hash(chunk.leaf), chunk.total, chunk.data)
        case "drain":
            return Drain()
        case "outcome":
            return _decode_outcome(message.outcome)
        case _:
            raise MalformedError(Reason.FRAME_INVALID, "a message of the road without content")


def _decode_hello(hello: road_pb2.Hello) -> Hello:
    if len(hello.versions) > 16:
        raise MalformedError(Reason.FRAME_INVALID, "too many versions")
    return Hello(
        tuple(hello.versions),
        hello.log,
        hello.head,
        hello.held,
        hello.configuration_version,
        hello.configuration_digest,
    )


def _decode_outcome(outcome: road_pb2.Outcome) -> Outcome:
    if len(outcome.path) > MAX_PATH:
        raise MalformedError(Reason.FRAME_INVALID, "a path has at most 64 hashes")
    return Outcome(
        outcome.index, _hash(outcome.leaf), outcome.size, tuple([_hash(one) for one in outcome.path])
    )


def _decode_frame(frame: road_pb2.Frame, size: int) -> UnverifiedFrame:
    if len(frame.runs) > MAX_RUNS or sum(len(run.entries) for run in frame.runs) > MAX_ENTRIES:
        raise MalformedError(Reason.FRAME_INVALID, "too many entries in a frame")
    if sum(len(run.before) for run in frame.runs) + len(frame.after) > MAX_SUBTREE_HASHES * 32:
        raise MalformedError(Reason.FRAME_INVALID, "too many subtree hashes in a frame")
    return UnverifiedFrame(
        tuple([UnverifiedRun(run.first, run.before, _decode_entries(run.entries)) for run in frame.runs]),
        frame.after,
        frame.head,
        size,
    )


def _decode_entries(entries: Iterable[road_pb2.Entry]) -> tuple[UnverifiedEntry, ...]:
    found = []
    for entry in entries:
        kind, payloads, chunked = entry.kind, entry.payloads, entry.chunked
        if (kind != _SAID and (kind != _HEARD or payloads or chunked)) or (payloads and chunked):
            raise MalformedError(Reason.FRAME_INVALID, "a malformed entry")
        found.append(UnverifiedEntry(kind == _SAID, entry.body, payloads, chunked))
    return tuple(found)


def _hash(value: bytes) -> bytes:
    if len(value) != 32:
        raise MalformedError(Reason.FRAME_INVALID, "a hash has 32 bytes")
    return value
