"""What a log left unfinished, read once at the start (PROTOCOL M4, M5).

- An own request that no answer was heard to and no ending was said of is in doubt: its abandonment is said.
- An own request that ended when bytes of it may have left, and of which no answer and no outcome came, stays in doubt.
- A peer's request that was taken and never answered is answered by a refusal, delivery unknown: the adapter is never
  called for it, since nobody knows whether it was called before.
- What was said to a peer and has no receipt goes out again if the peer's Hello tells that it lacks it.
- The edge of each peer's log is where the newest frame record left it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

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


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An exchange that the log does not see the end of.

    Attributes:
        role: ``request``: ours, in doubt; ``taken``: a peer's, to be answered.
        statement: The request statement.
        leaf: Its leaf hash.
        index: Where it stands in the log of its sender.
    """

    role: Literal["request", "taken"]
    statement: Statement
    leaf: bytes
    index: int


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


def recover(leaves: Iterable[LeafSource], own_log: str, heard: HeardFiles, open_body: OpenBody) -> Recovered:
    """Read all leaves in order, those of logs that ours succeeds first; memory is bounded by what is unfinished."""
    reading = _Reading(own_log, heard)
    for one in leaves:
        reading.take(one)
    return reading.result(open_body)


class _Reading:
    """What is known after the leaves that were taken so far."""

    def __init__(self, own_log: str, heard: HeardFiles) -> None:
        self._own_log = own_log
        self._heard_files = heard
        self._requests: dict[str, Unfinished] = {}
        self._doubts: OrderedDict[str, Unfinished] = OrderedDict()
        self._taken: dict[str, Unfinished] = {}
        self._records: dict[str, FrameRecord] = {}
        self._met_at: dict[str, int] = {}
        self._unreceipted = _Unreceipted()

    def take(self, one: LeafSource) -> None:
        leaf, statements = parse_leaf(one.leaf), []
        for kind, data in one.attachments:
            if kind is AttachmentKind.FRAME:
                record = FrameRecord.decode(data)
                self._records[record.log] = record
                if leaf.log == self._own_log:
                    self._met_at.setdefault(record.log, record.size())
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
            self._requests[hashed.hex()] = Unfinished("request", statement, hashed, one.index)
            return
        if statement.request is not None:
            self._taken.pop(statement.request, None)
            ended = self._requests.pop(statement.request, None)
            if ended is not None and statement.delivery == "unknown":
                self._doubts[statement.request] = ended
                if len(self._doubts) > MAX_IN_DOUBT:
                    self._doubts.popitem(last=False)
        # What goes out again to a peer that lacks it: answers, and endings of what may have been sent. The word of a
        # request counts no more.
        is_for_a_peer = statement.kind in ANSWERS or statement.delivery != "not_sent"
        if statement.to is not None and is_for_a_peer and leaf.log == self._own_log:
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
            found = Unfinished("taken", statement, bytes.fromhex(heard.leaf), heard.index)
            self._taken[heard.leaf] = found
        elif statement.kind in ANSWERS and statement.request is not None:
            self._requests.pop(statement.request, None)
            self._doubts.pop(statement.request, None)

    def result(self, open_body: OpenBody) -> Recovered:
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
