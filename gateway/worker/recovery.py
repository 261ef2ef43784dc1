"""What a log left unfinished, read once at the start (PROTOCOL M5).

- An own request that no answer was heard to and no ending was said of is in doubt: its abandonment is said.
- A peer's request that was taken and never answered is answered by a refusal, delivery unknown: the adapter is never
  called for it, since nobody knows whether it was called before.
- The edge of each peer's log is where the newest frame record left it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from core.frames import FrameRecord
from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash
from core.statements import Statement, parse_statement
from gateway.worker.peerlog import PeerLog
from ledger.records import AttachmentKind


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An exchange that the log does not see the end of.

    Attributes:
        role: ``request``: ours, in doubt; ``taken``: a peer's, to be answered.
        statement: The request statement.
        leaf: Its leaf hash.
    """

    role: Literal["request", "taken"]
    statement: Statement
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the log tells at the start."""

    peers: dict[str, PeerLog]
    unfinished: list[Unfinished]


class LeafSource(Protocol):
    """One leaf of the log with what lies beside it."""

    @property
    def leaf(self) -> bytes:
        """The leaf."""

    @property
    def attachments(self) -> Iterable[tuple[AttachmentKind, bytes]]:
        """What lies beside it."""


def recover(leaves: Iterable[LeafSource]) -> Recovered:
    """Read all leaves in order; memory is bounded by what is unfinished at any moment."""
    requests: dict[str, Unfinished] = {}
    taken: dict[str, Unfinished] = {}
    records: dict[str, FrameRecord] = {}
    for one in leaves:
        statements = []
        for kind, data in one.attachments:
            if kind is AttachmentKind.FRAME:
                record = FrameRecord.decode(data)
                records[record.log] = record
            elif kind is AttachmentKind.STATEMENT:
                statements.append(data)
        leaf = parse_leaf(one.leaf)
        if leaf.label == SAID:
            _said(parse_statement(leaf.body), leaf_hash(one.leaf), requests, taken)
        elif leaf.label == HEARD and statements:
            heard = parse_heard(leaf.body)
            statement = parse_statement(statements[0])
            if statement.kind == "request" and heard.verdict == "taken":
                taken[heard.leaf] = Unfinished("taken", statement, bytes.fromhex(heard.leaf))
            elif statement.kind in ("response", "refusal") and statement.request is not None:
                requests.pop(statement.request, None)
    return Recovered(
        {log: PeerLog.restored(record) for log, record in records.items()},
        [*requests.values(), *taken.values()],
    )


def _said(
    statement: Statement, leaf: bytes, requests: dict[str, Unfinished], taken: dict[str, Unfinished]
) -> None:
    if statement.kind == "request":
        requests[leaf.hex()] = Unfinished("request", statement, leaf)
    elif statement.request is not None:
        requests.pop(statement.request, None)
        taken.pop(statement.request, None)
