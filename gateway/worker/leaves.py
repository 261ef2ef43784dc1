"""Makes the leaves of our own log. Their prefixes are constant, so the hot path only joins bytes."""

from __future__ import annotations

import hashlib

from core.leaves import HEARD, SAID, Note, note_leaf, prefix
from core.merkle import leaf_hash
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
        """Body, leaf and leaf hash of the record of a peer's statement.

        Written as ``core.leaves.Heard`` encodes it; a test compares the two.
        """
        body = (
            f'{{"v":1,"role":"{role}","log":"{peer}","index":{entry.index},"leaf":"{entry.leaf_hash.hex()}",'
            f'"head":"{entry.head}","verdict":"{verdict}","annex":null}}'
        ).encode("ascii")
        leaf = self._heard + body
        return body, leaf, _sha256(b"\x00" + leaf).digest()

    def note(self, note: Note) -> tuple[bytes, bytes]:
        """The leaf of a note, and its leaf hash."""
        leaf = note_leaf(self.log, note)
        return leaf, leaf_hash(leaf)
