"""What a log holds of one exchange, each leaf with its proof (PROTOCOL M7, M10).

Own leaves are proved at the first head that we signed over all of them: it tells their time best, and was signed with the
certificate of then. The peer's are proved at the head that they came with, from the frame
record beside our ``heard`` leaf: the peer is not needed, nor is anything that it keeps.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from core.frames import FrameRecord, ReceiptRecord, receipt_about
from core.heads import head_digest, parse_head
from core.leaves import HEARD, SAID, Heard, heard_leaf, parse_heard, parse_leaf, said_leaf
from core.merkle import Node, inclusion_proof, leaf_hash, root_of
from core.reasons import ExchangeError, MalformedError, Reason
from core.statements import Statement, parse_statement
from ledger.headfile import read_head_file
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind

# A frame record stands beside the first leaf of its commit: at most a turn's entries before what it proves.
_FRAME_SEARCH: Final = 64
# Of frames that were looked up last, which prove leaf after leaf of a stream.
_FRAMES_HELD: Final = 64

OpenBody = Callable[[bytes], bytes]
_Key = TypeVar("_Key")
_Held = TypeVar("_Held")


@dataclass(frozen=True, slots=True)
class ProvenLeaf:
    """A leaf of the exchange with its place in a log.

    Attributes:
        log: The log that holds it.
        index: Its index.
        label: Whether it is a statement or a record of one.
        body: Its bytes behind the label and log id.
        statement: The statement, in a ``said`` leaf.
        heard: The record, in a ``heard`` leaf.
        head: The signed head that proves it.
        path: RFC 9162 inclusion proof at that head's size.
        sealed: The encrypted payloads that we keep of it, if any.
    """

    log: str
    index: int
    label: Literal["said", "heard"]
    body: bytes
    statement: Statement | None
    heard: Heard | None
    head: bytes
    path: tuple[bytes, ...]
    sealed: bytes | None = None

    @property
    def leaf(self) -> bytes:
        """The whole leaf."""
        if self.statement is not None:
            return said_leaf(self.log, self.body)
        if self.heard is None:
            raise ValueError("a leaf is said or heard")
        return heard_leaf(self.log, self.heard)


class Trail:
    """One pass over a log: where the leaves of one exchange are, and where frames were recorded.

    Places are kept, not leaves: a stream of any length is followed in the memory that its places take.

    Attributes:
        left_out: How many of its own leaves are left out, since no signed head covers them yet.
    """

    def __init__(self, directory: Path, head_file: Path | None = None) -> None:
        self._reader = LogReader(directory, on_head=self._take_head, follows_bodies=False)
        self._head_file = head_file
        self._frames_at = array("Q")
        self._records: OrderedDict[int, dict[str, FrameRecord]] = OrderedDict()
        self._nodes: OrderedDict[tuple[int, bytes], Node] = OrderedDict()
        self._own = array("Q")
        # Leaves that tell of it, or beside which a receipt of it lies.
        self._places = array("Q")
        self._said: set[int] = set()
        self._covering: bytes | None = None
        self._head = b""
        self.left_out = 0

    @property
    def log_id(self) -> str:
        """The log that was read."""
        return self._reader.log_id

    def follow(self, exchange: str, *, partial: bool = False) -> bool:
        """Read the log for ``exchange``; whether anything of it is there.

        Args:
            exchange: UUIDv7 of the exchange.
            partial: Whether what no signed head covers yet may be left out: a stream that goes on has always some.

        Raises:
            ExchangeError: ``LOG_DAMAGED``; ``PROOF_INVALID``: no signed head covers it yet.
        """
        wanted = b'"exchange":"%s"' % exchange.encode("ascii")
        for stored in self._reader.follow():
            is_own = wanted in stored.leaf
            is_beside = False
            for kind, data in stored.attachments:
                if kind is AttachmentKind.FRAME:
                    if not self._frames_at or self._frames_at[-1] != stored.index:
                        self._frames_at.append(stored.index)
                elif kind is AttachmentKind.STATEMENT:
                    is_own = is_own or wanted in data
                elif kind is AttachmentKind.RECEIPT:
                    is_beside = is_beside or receipt_about(data) in self._said
            if is_own:
                self._covering = None
                self._own.append(stored.index)
                if stored.leaf.startswith(SAID):
                    self._said.add(stored.index)
            if is_own or is_beside:
                self._places.append(stored.index)
        if self._own:
            self._head = self._own_head(self._own[0] + 1 if partial else self._own[-1] + 1)
            self._leave_out(parse_head(self._head).unverified.size)
        return bool(self._own)

    def _leave_out(self, size: int) -> None:
        """Own leaves that the head does not cover. Receipts are the peer's leaves, wherever they lie."""
        covered = bisect_left(self._own, size)
        self.left_out = len(self._own) - covered
        if self.left_out:
            del self._own[covered:]
            self._said = {index for index in self._said if index < size}

    def leaves(self) -> Iterator[ProvenLeaf]:
        """Everything found, proved, in the order of the log: a receipt where it came, a record behind what it is about.

        Raises:
            ExchangeError: What the log keeps does not prove it.
        """
        own = iter(self._own)
        next_own = next(own, None)
        for index in self._places:
            stored = self._reader.at(index)
            for kind, data in stored.attachments:
                if kind is AttachmentKind.RECEIPT:
                    receipt = ReceiptRecord.decode(data)
                    if receipt.said in self._said:
                        yield self._receipt(index, receipt)
            if index == next_own:
                yield from self._proven(stored, self._head)
                next_own = next(own, None)

    def _take_head(self, jws: bytes) -> None:
        """A head in the log, before the leaves of its commit: the first one over all that was found is kept."""
        if self._own and self._covering is None and self._covers(jws, self._own[-1] + 1):
            self._covering = jws

    def _own_head(self, wanted_size: int) -> bytes:
        """The oldest signed head over all that was found; else the newest over so many leaves.

        The file beside the log is newer than the records in it.
        """
        beside = read_head_file(self._head_file) if self._head_file is not None else None
        last, all_size = self._reader.last_head, self._own[-1] + 1
        known = [jws for jws in (self._covering, last, beside) if jws is not None]
        for size, candidates in ((all_size, known), (wanted_size, known[::-1])):
            for jws in candidates:
                if self._covers(jws, size):
                    return jws
        raise ExchangeError(
            Reason.PROOF_INVALID, "no signed head covers this exchange yet: ask again in a second"
        )

    def _covers(self, jws: bytes, wanted_size: int) -> bool:
        try:
            head = parse_head(jws).unverified
        except MalformedError:
            return False
        if head.log != self.log_id or not wanted_size <= head.size <= self._reader.size:
            return False
        return root_of(self._reader.node, head.size).hex() == head.root

    def _proven(self, stored: StoredLeaf, head: bytes) -> list[ProvenLeaf]:
        leaf = parse_leaf(stored.leaf)
        size = parse_head(head).unverified.size
        path = tuple(inclusion_proof(self._reader.node, stored.index, size))
        if leaf.label == SAID:
            statement = parse_statement(leaf.body)
            return [
                ProvenLeaf(
                    self.log_id, stored.index, "said", leaf.body, statement, None, head, path, stored.body
                )
            ]
        if leaf.label != HEARD:
            return []
        heard = parse_heard(leaf.body)
        own = ProvenLeaf(self.log_id, stored.index, "heard", leaf.body, None, heard, head, path)
        body = next((data for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT), None)
        if body is None:
            return [own]
        record, node = self._frame(stored.index, heard.head)
        peer_path = _prove(record, node, heard.index, said_leaf(heard.log, body))
        statement = parse_statement(body)
        peer = ProvenLeaf(
            heard.log,
            heard.index,
            "said",
            body,
            statement,
            None,
            record.head,
            peer_path,
            stored.body,
        )
        return [peer, own]

    def _receipt(self, at: int, receipt: ReceiptRecord) -> ProvenLeaf:
        record, node = self._frame(at, receipt.head)
        heard = parse_heard(receipt.body)
        path = _prove(record, node, receipt.index, heard_leaf(record.log, heard))
        return ProvenLeaf(record.log, receipt.index, "heard", receipt.body, None, heard, record.head, path)

    def _frame(self, at: int, digest: str) -> tuple[FrameRecord, Node]:
        """The record of the frame whose head has ``digest``, at or before leaf ``at``, and the nodes that it proves."""
        end = bisect_right(self._frames_at, at)
        for place in range(end - 1, max(end - _FRAME_SEARCH, 0) - 1, -1):
            record = self._records_at(self._frames_at[place]).get(digest)
            if record is not None:
                return record, self._nodes_of(self._frames_at[place], record)
        raise ExchangeError(Reason.PROOF_INVALID, f"the log keeps no frame that proves its leaf {at}")

    def _records_at(self, index: int) -> dict[str, FrameRecord]:
        """The frames recorded beside a leaf, by the digests of their heads."""
        found = self._records.pop(index, None)
        if found is None:
            beside = self._reader.at(index).attachments
            records = [FrameRecord.decode(data) for kind, data in beside if kind is AttachmentKind.FRAME]
            found = {head_digest(one.head): one for one in records}
        self._records[index] = found
        _forget(self._records)
        return found

    def _nodes_of(self, index: int, record: FrameRecord) -> Node:
        key = (index, record.head)
        node = self._nodes.pop(key, None) or record.nodes()
        self._nodes[key] = node
        _forget(self._nodes)
        return node


def _forget(held: OrderedDict[_Key, _Held]) -> None:
    while len(held) > _FRAMES_HELD:
        held.popitem(last=False)


def _prove(record: FrameRecord, node: Node, index: int, leaf: bytes) -> tuple[bytes, ...]:
    if node(0, index) != leaf_hash(leaf):
        raise ExchangeError(Reason.PROOF_INVALID, f"the frame holds another leaf at {index}")
    return tuple(inclusion_proof(node, index, record.size()))
