"""Makes the leaves of our own log. Their prefixes are constant, so the hot path only joins bytes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.leaves import HEARD, SAID, Note, Role, note_leaf, prefix
from core.merkle import leaf_hash
from ledger.commit import Entry

if TYPE_CHECKING:
    from gateway.worker.peerlog import VerifiedEntry

_sha256 = hashlib.sha256


@dataclass(slots=True, eq=False)
class OwnLeaf(Entry):
    """A leaf of our own log, as it is appended and as a peer hears of it.

    Attributes:
        body: The leaf without label and log id, as it travels.
        payloads: What travels with a statement, as ``core.payloads`` writes it.
        chunked: How many bytes of it went ahead of the frame.
        is_said: Whether it is a statement; else a record, which is the peer's receipt.
        role: Of a statement: whether it is part of a request or of a response.
        index: Where it stands in the log; known with its commit.
        is_once: It goes out once at most: a segment in the middle of a stream, which ends with its road.
    """

    body: bytes = b""
    payloads: bytes = b""
    chunked: int = 0
    is_said: bool = False
    role: Role = "request"
    index: int = -1
    is_once: bool = False

    @property
    def held_bytes(self) -> int:
        """What it takes to hold it for a re-sending."""
        return len(self.leaf) + len(self.body) + len(self.payloads)


class Leaves:
    """Leaves of the log ``log``."""

    def __init__(self, log: str) -> None:
        self.log = log
        self._said = prefix(SAID, log)
        self._heard = prefix(HEARD, log)

    def said(self, statement: bytes) -> tuple[bytes, bytes]:
        """The ``said`` leaf of a statement's bytes, and its leaf hash."""
        leaf = self._said + statement
        return leaf, _sha256(b"\x00" + leaf).digest()

    def heard(self, role: str, peer: str, entry: VerifiedEntry, verdict: str) -> tuple[bytes, bytes, bytes]:
        """Body, leaf and leaf hash of the record of a peer's statement; it commits to the entry's annex."""
        annex = entry.annex
        digest = None if annex is None else annex[0]
        body = heard_body(role, peer, entry.index, entry.leaf_hash.hex(), entry.head, verdict, digest)
        leaf = self._heard + body
        return body, leaf, _sha256(b"\x00" + leaf).digest()

    def note(self, note: Note) -> tuple[bytes, bytes]:
        """The leaf of a note, and its leaf hash."""
        leaf = note_leaf(self.log, note)
        return leaf, leaf_hash(leaf)


def heard_body(
    role: str, log: str, index: int, leaf: str, head: str, verdict: str, annex: str | None = None
) -> bytes:
    """Body of a ``heard`` leaf, as ``core.leaves.Heard`` encodes it; a test compares the two."""
    committed = "null" if annex is None else f'"{annex}"'
    return (
        f'{{"v":1,"role":"{role}","log":"{log}","index":{index},"leaf":"{leaf}",'
        f'"head":"{head}","verdict":"{verdict}","annex":{committed}}}'
    ).encode("ascii")


def without_annex(body: bytes) -> bytes:
    """A receipt as it would be without its annex; one that has none, or is no such record, as it is.

    What a peer notes for itself cannot be foreseen, and says nothing to us: of its digest the form alone counts.
    """
    at = len(body) - _ANNEX_BYTES
    if not body.endswith(b'"}') or at < 0 or not _ANNEX.fullmatch(body, at):
        return body
    return body[:at] + b"null}"


_ANNEX: Final = re.compile(rb'(?<="annex":)"[0-9a-f]{64}"\}')
_ANNEX_BYTES: Final = 64 + len(b'""}')


def taken_body(role: str, log: str, index: int, leaf: str, head: str) -> bytes:
    """Body of the receipt that a peer gives when it takes a statement of ours, without what it notes for itself."""
    return heard_body(role, log, index, leaf, head, "taken")
