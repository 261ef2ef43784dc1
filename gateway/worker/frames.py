"""Messages of the road as bytes (``docs/protocol/frame.md``). Nothing here is believed: that is ``peerlog``'s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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
    """Bytes of a RoadMessage with a frame."""
    message = road_pb2.RoadMessage()
    frame = message.frame
    # Filled in place: a message that is handed to the constructor of another is copied, whole, at each level.
    for run in runs:
        add = frame.runs.add(first=run.first, before=run.before).entries.add
        for one in run.entries:
            if not one.is_said:
                add(kind=_HEARD, body=one.body)
            elif one.chunked:
                add(kind=_SAID, body=one.body, chunked=one.chunked)
            else:
                add(kind=_SAID, body=one.body, payloads=one.payloads)
    frame.after = after
    frame.head = head
    return message.SerializeToString()


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
