"""What a log left unfinished, read once at the start (PROTOCOL M4, M5).

- An own request that no answer was heard to and no ending was said of is in doubt: its abandonment is said.
- An own request that ended when bytes of it may have left, and of which no answer and no outcome came, stays in doubt.
- A peer's request that was taken and never answered is answered by a refusal, delivery unknown: the adapter is never
  called for it, since nobody knows whether it was called before.
- What was said to a peer and has no receipt goes out again if the peer's Hello tells that it lacks it.
- The edge of each peer's log is where the newest frame record left it.

What is known after some leaves can be written down (``Reading.state``) and gone on from, so that a start reads only the
leaves behind a checkpoint (``gateway.worker.checkpoint``). ``ledger.checkpoint.FORMAT`` counts up when it changes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

from core.frames import FrameRecord, ReceiptRecord
from core.leaves import HEARD, SAID, Leaf, Role, parse_heard, parse_leaf
from core.merkle import leaf_hash
from core.statements import ANSWERS, Statement, is_within_stream, parse_statement
from gateway.worker.doubts import MAX_IN_DOUBT
from gateway.worker.leaves import OwnLeaf
from gateway.worker.peerlog import PeerLog
from gateway.worker.road import MAX_RESENT
from ledger.heard import HeardFiles
from ledger.records import AttachmentKind
from ledger.vault import BodyUnreadableError

MAX_RESENT_BYTES: Final = 64 * 1024 * 1024

OpenBody = Callable[[bytes], bytes]
# Name of a segment, and the byte in it where a leaf begins with what lies beside it.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An exchange that the log does not see the end of.

    Attributes:
        role: ``request``: ours, in doubt; ``taken``: a peer's, to be answered.
        statement: The request statement.
        leaf: Its leaf hash.
        index: Where it stands in the log of its sender.
        written: The statement as it was logged.
    """

    role: Literal["request", "taken"]
    statement: Statement
    leaf: bytes
    index: int
    written: bytes = field(default=b"", repr=False, compare=False)


class _Unreceipted:
    """The newest of what was said to each peer and has no receipt, by index; payloads still sealed in ``secret``."""

    def __init__(self) -> None:
        self.by_peer: dict[str, OrderedDict[int, OwnLeaf]] = {}
        self._peer_of: dict[int, str] = {}
        self._held: Counter[str] = Counter()

    def add(self, peer: str, leaf: OwnLeaf) -> None:
        leaves = self.by_peer.setdefault(peer, OrderedDict())
        leaves[leaf.index] = leaf
        self._peer_of[leaf.index] = peer
        self._held[peer] += _held_bytes(leaf)
        while len(leaves) > MAX_RESENT or self._held[peer] > MAX_RESENT_BYTES:
            self.remove(next(iter(leaves)))

    def indexes(self) -> list[int]:
        """All of them, in order."""
        return sorted(self._peer_of)

    def remove(self, index: int) -> None:
        """There is a receipt, or too much to hold."""
        peer = self._peer_of.pop(index, None)
        if peer is not None:
            self._held[peer] -= _held_bytes(self.by_peer[peer].pop(index))


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the log tells at the start.

    Attributes:
        peers: What we hold of each peer's log.
        unfinished: Exchanges whose end is still to be said.
        doubts: Requests of ours whose end was said and is known to nobody here.
        unreceipted: What was said to each peer and has no receipt, in order.
    """

    peers: dict[str, PeerLog]
    unfinished: list[Unfinished]
    doubts: list[Unfinished]
    unreceipted: dict[str, list[OwnLeaf]]


class LeafSource(Protocol):
    """One leaf of the log with what lies beside it."""

    @property
    def index(self) -> int:
        """Its index."""

    @property
    def leaf(self) -> bytes:
        """The leaf."""

    @property
    def attachments(self) -> Iterable[tuple[AttachmentKind, bytes]]:
        """What lies beside it."""

    @property
    def body(self) -> bytes | None:
        """Its encrypted payloads."""


class _Open(msgspec.Struct, frozen=True, array_like=True):
    """An ``Unfinished`` as it is written down."""

    leaf: bytes
    index: int
    written: bytes

    @classmethod
    def of(cls, one: Unfinished) -> _Open:
        return cls(one.leaf, one.index, one.written)

    def restored(self, role: Literal["request", "taken"]) -> Unfinished:
        return Unfinished(role, parse_statement(self.written), self.leaf, self.index, self.written)


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``Reading`` as it is written down. Of what goes out again only its place: a body stays in its segment."""

    requests: list[_Open]
    doubts: list[tuple[str, _Open]]
    taken: list[_Open]
    records: list[bytes]
    met_at: dict[str, int]
    unreceipted: list[tuple[int, str, int]]


_states = msgspec.msgpack.Decoder(_State)


class Reading:
    """What is known after the leaves that were taken so far.

    All of the log in order, leaves of logs that it succeeds first; memory is bounded by what is unfinished.
    """

    def __init__(self, own_log: str, heard: HeardFiles) -> None:
        self._own_log = own_log
        self._heard_files = heard
        self._requests: dict[str, Unfinished] = {}
        self._doubts: OrderedDict[str, Unfinished] = OrderedDict()
        self._taken: dict[str, Unfinished] = {}
        self._records: dict[str, FrameRecord] = {}
        self._met_at: dict[str, int] = {}
        self._unreceipted = _Unreceipted()
        self._places: dict[int, Place] = {}

    @classmethod
    def restored(
        cls, state: bytes, own_log: str, heard: HeardFiles, read: Callable[[int, Place], LeafSource]
    ) -> Reading:
        """Go on from what was written down.

        Args:
            state: What ``state`` returned.
            own_log: Id of our log.
            heard: The heard leaves as they were then.
            read: Reads a leaf of our log, by its index and place.

        Raises:
            ExchangeError: A leaf that is to be read cannot be.
            ValueError: It is no such state.
        """
        found, kept = cls(own_log, heard), _states.decode(state)
        found._requests = {one.leaf.hex(): one.restored("request") for one in kept.requests}
        found._doubts = OrderedDict((request, one.restored("request")) for request, one in kept.doubts)
        found._taken = {one.leaf.hex(): one.restored("taken") for one in kept.taken}
        for record in map(FrameRecord.decode, kept.records):
            found._records[record.log] = record
        found._met_at = dict(kept.met_at)
        for index, segment, begin in kept.unreceipted:
            one = read(index, (segment, begin))
            leaf = parse_leaf(one.leaf)
            found._keep(one, leaf, parse_statement(leaf.body), leaf_hash(one.leaf))
            found._places[index] = (segment, begin)
        return found

    def state(self, place_of: Callable[[int], Place | None]) -> bytes:
        """Write down what is known.

        Args:
            place_of: Tells where a leaf of our log stands, if it was read since ``restored``.
        """
        unreceipted = []
        for index in self._unreceipted.indexes():
            segment, begin = place_of(index) or self._places[index]
            unreceipted.append((index, segment, begin))
        return msgspec.msgpack.encode(
            _State(
                [_Open.of(one) for one in self._requests.values()],
                [(request, _Open.of(one)) for request, one in self._doubts.items()],
                [_Open.of(one) for one in self._taken.values()],
                [one.encode() for one in self._records.values()],
                self._met_at,
                unreceipted,
            )
        )

    def take(self, one: LeafSource) -> None:
        """Take in the next leaf."""
        leaf, statements = parse_leaf(one.leaf), []
        for kind, data in one.attachments:
            if kind is AttachmentKind.FRAME:
                record = FrameRecord.decode(data)
                self._records[record.log] = record
                # Its head is parsed for the first one only: that takes as long as all the rest.
                if leaf.log == self._own_log and record.log not in self._met_at:
                    self._met_at[record.log] = record.size()
            elif kind is AttachmentKind.STATEMENT:
                statements.append(data)
            elif kind is AttachmentKind.RECEIPT:
                self._unreceipted.remove(ReceiptRecord.decode(data).said)
        if leaf.label == SAID:
            self._said(one, leaf, parse_statement(leaf.body))
        elif leaf.label == HEARD:
            self._heard(leaf.body, statements)

    def _said(self, one: LeafSource, leaf: Leaf, statement: Statement) -> None:
        hashed = leaf_hash(one.leaf)
        if is_within_stream(statement):
            return  # a later segment, never sent again: its stream is known by what began it
        if statement.kind == "request":
            self._requests[hashed.hex()] = Unfinished("request", statement, hashed, one.index, leaf.body)
            return
        if statement.request is not None:
            self._taken.pop(statement.request, None)
            ended = self._requests.pop(statement.request, None)
            if ended is not None and statement.delivery == "unknown":
                self._doubts[statement.request] = ended
                if len(self._doubts) > MAX_IN_DOUBT:
                    self._doubts.popitem(last=False)
        if leaf.log == self._own_log:
            self._keep(one, leaf, statement, hashed)

    def _keep(self, one: LeafSource, leaf: Leaf, statement: Statement, hashed: bytes) -> None:
        """What goes out again to a peer that lacks it: answers, and endings of what may have been sent.

        The word of a request counts no more.
        """
        is_for_a_peer = statement.kind in ANSWERS or statement.delivery != "not_sent"
        if statement.to is not None and is_for_a_peer:
            role: Role = "response" if statement.kind in ANSWERS else "request"
            kept = OwnLeaf(
                one.leaf, hashed, secret=one.body, body=leaf.body, is_said=True, role=role, index=one.index
            )
            self._unreceipted.add(statement.to, kept)

    def _heard(self, body: bytes, statements: list[bytes]) -> None:
        heard = parse_heard(body)
        self._heard_files.of(heard.log).add(heard.index, taken=heard.verdict == "taken")
        if not statements:
            return
        statement = parse_statement(statements[0])
        if is_within_stream(statement):
            return
        if statement.kind == "request" and heard.verdict == "taken":
            found = Unfinished("taken", statement, bytes.fromhex(heard.leaf), heard.index, statements[0])
            self._taken[heard.leaf] = found
        elif statement.kind in ANSWERS and statement.request is not None:
            self._requests.pop(statement.request, None)
            self._doubts.pop(statement.request, None)

    def result(self, open_body: OpenBody) -> Recovered:
        """What is known now; nothing is taken in any more."""
        return Recovered(
            {
                log: PeerLog.restored(one, self._heard_files.of(log), self._met_at.get(log))
                for log, one in self._records.items()
            },
            [*self._requests.values(), *self._taken.values()],
            list(self._doubts.values()),
            {
                log: _opened(leaves.values(), open_body)
                for log, leaves in self._unreceipted.by_peer.items()
                if leaves
            },
        )


def _held_bytes(leaf: OwnLeaf) -> int:
    return leaf.held_bytes + len(leaf.secret or b"")


def _opened(leaves: Iterable[OwnLeaf], open_body: OpenBody) -> list[OwnLeaf]:
    """Those that can go out again: a body that was erased meanwhile is not sent any more."""
    found = []
    for leaf in leaves:
        sealed, leaf.secret = leaf.secret, None
        try:
            leaf.payloads = open_body(sealed) if sealed is not None else b""
        except BodyUnreadableError:
            continue
        found.append(leaf)
    return found
