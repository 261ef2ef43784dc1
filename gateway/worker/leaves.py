"""Makes the leaves of our own log. Their prefixes are constant, so the hot path only joins bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from core.leaves import HEARD, SAID, Note, note_leaf, prefix
from core.merkle import leaf_hash

if TYPE_CHECKING:
    from gateway.worker.peerlog import VerifiedEntry

_sha256 = hashlib.sha256


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
        """Body, leaf and leaf hash of the record of a peer's statement."""
        body = heard_body(role, peer, entry.index, entry.leaf_hash.hex(), entry.head, verdict)
        leaf = self._heard + body
        return body, leaf, _sha256(b"\x00" + leaf).digest()

    def note(self, note: Note) -> tuple[bytes, bytes]:
        """The leaf of a note, and its leaf hash."""
        leaf = note_leaf(self.log, note)
        return leaf, leaf_hash(leaf)


def heard_body(role: str, log: str, index: int, leaf: str, head: str, verdict: str) -> bytes:
    """Body of a ``heard`` leaf without annex, as ``core.leaves.Heard`` encodes it; a test compares the two."""
    return (
        f'{{"v":1,"role":"{role}","log":"{log}","index":{index},"leaf":"{leaf}",'
        f'"head":"{head}","verdict":"{verdict}","annex":null}}'
    ).encode("ascii")


def taken_body(role: str, log: str, index: int, leaf: str, head: str) -> bytes:
    """Body of the receipt that a peer gives when it takes a statement of ours."""
    return heard_body(role, log, index, leaf, head, "taken")
