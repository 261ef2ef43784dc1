"""What a log holds of one exchange, each leaf with its proof (PROTOCOL M7, M10).

Own leaves are proved at our newest signed head. The peer's are proved at the head that they came with, from the frame
record beside our ``heard`` leaf: the peer is not needed, nor is anything that it keeps.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from core.frames import FrameRecord, ReceiptRecord
from core.heads import head_digest, parse_head
from core.leaves import HEARD, SAID, Heard, heard_leaf, parse_heard, parse_leaf, said_leaf
from core.merkle import inclusion_proof, leaf_hash, root_of
from core.reasons import ExchangeError, MalformedError, Reason
from core.statements import Statement, parse_statement
from ledger.headfile import read_head_file
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind

# A frame record stands beside the first leaf of its commit: at most a turn's entries before what it proves.
_FRAME_SEARCH: Final = 64

OpenBody = Callable[[bytes], bytes]


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
    """One pass over a log: the leaves of one exchange and where frames were recorded."""

    def __init__(self, directory: Path, head_file: Path | None = None) -> None:
        self._reader = LogReader(directory)
        self._head_file = head_file
        self._frames_at = array("Q")
        self._own: list[StoredLeaf] = []
        self._receipts: list[tuple[int, ReceiptRecord]] = []

    @property
    def log_id(self) -> str:
        """The log that was read."""
        return self._reader.log_id

    def follow(self, exchange: str) -> None:
        """Read the log for ``exchange``; raises ``LogDamagedError``."""
        wanted = b'"exchange":"%s"' % exchange.encode("ascii")
        said: set[int] = set()
        for stored in self._reader.follow():
            about = wanted in stored.leaf
            for kind, data in stored.attachments:
                if kind is AttachmentKind.FRAME:
                    self._frames_at.append(stored.index)
                elif kind is AttachmentKind.STATEMENT:
                    about = about or wanted in data
                elif kind is AttachmentKind.RECEIPT:
                    receipt = ReceiptRecord.decode(data)
                    if receipt.said in said:
                        self._receipts.append((stored.index, receipt))
            if about:
                self._own.append(stored)
                if stored.leaf.startswith(SAID):
                    said.add(stored.index)

    def leaves(self) -> list[ProvenLeaf]:
        """Everything found, proved; empty if the exchange is not in this log.

        Raises:
            ExchangeError: No signed head covers it yet, or what the log keeps does not prove it.
        """
        if not self._own:
            return []
        head = self._own_head(self._own[-1].index + 1)
        found: list[ProvenLeaf] = []
        for stored in self._own:
            found += self._proven(stored, head)
        for at, receipt in self._receipts:
            found.append(self._receipt(at, receipt))
        return found

    def _own_head(self, wanted_size: int) -> bytes:
        """The newest signed head of this log; the file beside it is newer than the record in it."""
        candidates = [self._reader.last_head]
        if self._head_file is not None:
            candidates.append(read_head_file(self._head_file))
        for jws in reversed(candidates):
            if jws is None:
                continue
            try:
                head = parse_head(jws).unverified
            except MalformedError:
                continue
            if head.log != self.log_id or not wanted_size <= head.size <= self._reader.size:
                continue
            if root_of(self._reader.node, head.size).hex() == head.root:
                return jws
        raise ExchangeError(
            Reason.PROOF_INVALID, "no signed head covers this exchange yet: ask again in a second"
        )

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
        record = self._frame(stored.index, heard.head)
        peer_leaf = said_leaf(heard.log, body)
        peer_path = _prove(record, heard.index, peer_leaf)
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
        record, heard = self._frame(at, receipt.head), parse_heard(receipt.body)
        path = _prove(record, receipt.index, heard_leaf(record.log, heard))
        return ProvenLeaf(record.log, receipt.index, "heard", receipt.body, None, heard, record.head, path)

    def _frame(self, at: int, digest: str) -> FrameRecord:
        """The record of the frame whose head has ``digest``, at or before leaf ``at``."""
        before = [index for index in self._frames_at if index <= at]
        for index in list(dict.fromkeys(reversed(before)))[:_FRAME_SEARCH]:
            for kind, data in self._reader.at(index).attachments:
                if kind is AttachmentKind.FRAME:
                    record = FrameRecord.decode(data)
                    if head_digest(record.head) == digest:
                        return record
        raise ExchangeError(Reason.PROOF_INVALID, f"the log keeps no frame that proves its leaf {at}")


def _prove(record: FrameRecord, index: int, leaf: bytes) -> tuple[bytes, ...]:
    node = record.nodes()
    if node(0, index) != leaf_hash(leaf):
        raise ExchangeError(Reason.PROOF_INVALID, f"the frame holds another leaf at {index}")
    return tuple(inclusion_proof(node, index, record.size()))
