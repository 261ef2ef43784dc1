"""What a receiver keeps of each frame, so that proofs can be made from it years later (PROTOCOL M3, M10).

The record holds what the receiver's edge was, what moved it, and the head it was compared with. Any leaf of
the frame gets its RFC 9162 inclusion proof from it, and consistency with the head before: the sender is not
needed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.heads import MalformedHeadError, parse_head
from core.merkle import HASH_BYTES, Edge, ProofError, cover, node_hash
from core.reasons import MalformedError, Reason

_HEADER = struct.Struct("<B32sQH")
_RUN = struct.Struct("<QI")
_LENGTH = struct.Struct("<H")
_RECEIPT = struct.Struct("<QQ32s")
_VERSION: Final = 1
# Where the body of the peer's leaf begins in a ``ReceiptRecord``.
RECEIPT_BODY: Final = _RECEIPT.size


class MalformedFrameRecordError(MalformedError):
    """Bytes that are no frame record, or whose sum is not the head's root."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.FRAME_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Neighbouring leaves of a frame: where they start, what was passed before them, their leaf hashes."""

    first: int
    before: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """How a peer's head was verified.

    Attributes:
        log: The peer's log id.
        verified: Size of the edge before.
        edge: Its subtree hashes, concatenated.
        runs: What the frame added.
        after: Subtree hashes from the last leaf to the head's size.
        head: The head's JWS bytes.
    """

    log: str
    verified: int
    edge: bytes
    runs: tuple[FrameRun, ...]
    after: bytes
    head: bytes

    def encode(self) -> bytes:
        """Bytes of the record: ``docs/protocol/segment.md``, attachment kind FRAME."""
        parts = [_HEADER.pack(_VERSION, bytes.fromhex(self.log), self.verified, len(self.runs)), self.edge]
        for run in self.runs:
            parts += (_RUN.pack(run.first, len(run.leaves) // HASH_BYTES), run.before, run.leaves)
        parts += (_LENGTH.pack(len(self.head)), self.head, self.after)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> FrameRecord:
        """Strict inverse of ``encode``; raises ``MalformedFrameRecordError``."""
        try:
            return _decode(data)
        except (struct.error, ProofError) as error:
            raise MalformedFrameRecordError(f"frame record: {error}") from None

    def size(self) -> int:
        """Size of the head."""
        return parse_head(self.head).unverified.size

    def edge_after(self) -> Edge:
        """The receiver's edge once the frame was believed; raises ``MalformedFrameRecordError``."""
        edge, _ = self._replay()
        return edge

    def nodes(self) -> Callable[[int, int], bytes]:
        """A lookup of tree nodes, enough for proofs of this frame's leaves at the head's size.

        Raises:
            MalformedFrameRecordError: The pieces do not add up to the head's root.
        """
        _, tiles = self._replay()

        def node(level: int, index: int) -> bytes:
            found = tiles.get((level, index))
            if found is None:
                if level == 0:
                    raise ProofError(f"leaf {index} is not in this frame")
                found = node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))
                tiles[level, index] = found
            return found

        return node

    def _replay(self) -> tuple[Edge, dict[tuple[int, int], bytes]]:
        try:
            head = parse_head(self.head).unverified
        except MalformedHeadError as error:
            raise MalformedFrameRecordError(f"frame record: {error}") from None
        edge = Edge(self.verified, _hashes(self.edge))
        tiles = dict(zip(cover(0, self.verified), edge.hashes, strict=True))
        try:
            for run in self.runs:
                tiles.update(zip(cover(edge.size, run.first), _hashes(run.before), strict=True))
                edge.extend(run.first, run.before)
                for leaf in _hashes(run.leaves):
                    tiles[0, edge.size] = leaf
                    edge.append(leaf)
            tiles.update(zip(cover(edge.size, head.size), _hashes(self.after), strict=True))
            edge.extend(head.size, self.after)
        except (ProofError, ValueError) as error:
            raise MalformedFrameRecordError(f"frame record: {error}") from None
        if edge.root().hex() != head.root or head.log != self.log:
            raise MalformedFrameRecordError("frame record: it does not add up to its head")
        return edge, tiles


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _decode(data: bytes) -> FrameRecord:
    version, log, verified, runs_count = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise MalformedFrameRecordError("frame record of an unknown version")
    at = _HEADER.size

    def take(count: int) -> bytes:
        nonlocal at
        if count > len(data) - at:
            raise MalformedFrameRecordError("frame record is cut short")
        at += count
        return data[at - count : at]

    edge = take(HASH_BYTES * len(cover(0, verified)))
    runs = []
    reached = verified
    for _ in range(runs_count):
        first, count = _RUN.unpack(take(_RUN.size))
        before = take(HASH_BYTES * len(cover(reached, first)))
        runs.append(FrameRun(first, before, take(HASH_BYTES * count)))
        reached = first + count
    head = take(_LENGTH.unpack(take(_LENGTH.size))[0])
    return FrameRecord(log.hex(), verified, edge, tuple(runs), data[at:], head)


def encode_receipt(said: int, index: int, head: bytes, body: bytes) -> bytes:
    """The bytes of a ``ReceiptRecord``; ``head`` is the digest itself."""
    return _RECEIPT.pack(said, index, head) + body


def receipt_about(data: bytes) -> int:
    """Index of our statement that a ``ReceiptRecord`` is about, without the rest of it.

    Raises:
        MalformedFrameRecordError: It is cut short.
    """
    return _receipt_head(data)[0]


def receipt_under(data: bytes) -> bytes:
    """Digest of the head that the peer's leaf came with, without the rest of a ``ReceiptRecord``.

    Raises:
        MalformedFrameRecordError: It is cut short.
    """
    return _receipt_head(data)[2]


def _receipt_head(data: bytes) -> tuple[int, int, bytes]:
    if len(data) < RECEIPT_BODY:
        raise MalformedFrameRecordError("a receipt is cut short")
    said, index, head = _RECEIPT.unpack_from(data)
    return said, index, head


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """A peer's ``heard`` leaf about a statement of ours, kept beside a leaf that was written later.

    Little endian: u64 index of our leaf | u64 index of the peer's | 32 bytes digest of its frame's head | body.

    Attributes:
        said: Index of our statement.
        index: Index of the peer's leaf in its log.
        head: Digest of the head that the leaf came with, hex: the frame record of that head proves it.
        body: The body of the peer's leaf, not parsed.
    """

    said: int
    index: int
    head: str
    body: bytes

    def encode(self) -> bytes:
        """The bytes of the attachment."""
        return encode_receipt(self.said, self.index, bytes.fromhex(self.head), self.body)

    @classmethod
    def decode(cls, data: bytes) -> ReceiptRecord:
        """Read an attachment; raises ``MalformedFrameRecordError``."""
        said, index, head = _receipt_head(data)
        return cls(said, index, head.hex(), data[RECEIPT_BODY:])
