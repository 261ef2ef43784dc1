"""Our edge of a peer's log: the one place where a frame is believed or not (PROTOCOL M3, M4, M6).

``PeerLog.accept`` turns a frame into ``VerifiedEntry`` values, in this order, and no other code makes them:

1. the head has the one allowed form, is about this log, and its size is not below our edge;
2. it is signed by a certificate that the peer's member registered for the gateway that owns the log;
3. its time neither fell nor differs from our clock by more than 60 s;
4. our own edge, moved by the frame's runs and hashes, has the root that the head signs;
5. every statement and receipt is written in its one canonical form.

If any of it fails, nothing of the frame is heard and our edge stays where it was. Since an entry is accepted at or
above our edge only, and the edge becomes durable together with the ``heard`` leaf, no statement is taken twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from core.frames import FrameRecord, FrameRun
from core.heads import TreeHead, parse_head
from core.leaves import HEARD, SAID, Heard, parse_heard, prefix
from core.merkle import HASH_BYTES, Edge, verify_inclusion
from core.payloads import read_payloads
from core.reasons import ExchangeError, MalformedError, Reason
from core.statements import Statement, parse_statements
from gateway.worker.frames import Outcome, UnverifiedEntry, UnverifiedFrame, UnverifiedRun
from gateway.worker.leaves import without_annex
from gateway.worker.trust import TrustView
from ledger.heard import HeardLeaves
from pki.heads import VerifiedHead, verify_head

MAX_SKEW_MS: Final = 60_000

_sha256 = hashlib.sha256


class FrameRefusedError(ExchangeError):
    """A frame of which nothing may be heard; the stream it came on ends."""


@dataclass(slots=True)
class VerifiedEntry:
    """A leaf of a peer's log that a verified head commits to.

    Attributes:
        index: Where it stands in the peer's log.
        leaf_hash: Its leaf hash, 32 bytes.
        head: SHA-256 of the head's JWS, hex.
        body: The very bytes of its body.
        statement: What is said, in a ``said`` leaf.
        receipt: What was heard, in a ``heard`` leaf; ``None`` also if its bytes are those that were foreseen.
        payloads: What came with it, as it travelled; ``objection`` tells whether it is what the digests say.
        parts: Flag and bytes of each payload, if it is.
        objection: Why the statement must be refused although its frame is authentic.
        annex: What our record of it commits to: its digest, and the bytes that lie beside (PROTOCOL M13).
    """

    index: int
    leaf_hash: bytes
    head: str
    body: bytes
    statement: Statement | None
    receipt: Heard | None
    payloads: bytes = b""
    parts: Sequence[tuple[int, bytes]] = ()
    objection: Reason | None = None
    annex: tuple[str, bytes] | None = None


class PeerLog:
    """What we hold of one peer's log; starts at its genesis leaf, whose hash is the log's name."""

    def __init__(
        self,
        log: str,
        heard: HeardLeaves | None = None,
        edge: Edge | None = None,
        head: bytes = b"",
        met_at: int | None = None,
    ) -> None:
        self.log = log
        # Size of its log after the first frame that our log heard, not one that ours succeeds; None before it.
        self.met_at = met_at
        self.heard = HeardLeaves() if heard is None else heard
        self.edge = edge or Edge()
        self.head = head
        self.ahead_s: int | None = None
        self._iat = parse_head(head).unverified.iat if head else 0
        # In front of a leaf's body in its hash: 0x00 (RFC 9162, section 2.1.1), label, log id.
        self._said = b"\x00" + prefix(SAID, log)
        self._heard = b"\x00" + prefix(HEARD, log)

    @classmethod
    def restored(cls, record: FrameRecord, heard: HeardLeaves, met_at: int | None = None) -> PeerLog:
        """The log as our own records left it."""
        return cls(record.log, heard, record.edge_after(), record.head, met_at)

    def require_leaf(self, question: Outcome) -> bool:
        """Check that a leaf stands in this log where the peer says; false if its proof is about another size than ours.

        Raises:
            MalformedError: The proof does not hold.
        """
        if question.size != self.edge.size:
            return False
        verify_inclusion(
            question.leaf,
            index=question.index,
            size=question.size,
            path=question.path,
            root=self.edge.root(),
        )
        return True

    def accept(
        self,
        frame: UnverifiedFrame,
        trust: TrustView,
        now_ms: int,
        expected: Container[bytes] = (),
    ) -> tuple[list[VerifiedEntry], FrameRecord]:
        """Believe a frame, or none of it.

        Args:
            frame: What came.
            trust: The configuration in use.
            now_ms: UTC milliseconds.
            expected: Bodies of receipts that we foresee: bytes of our own making, canonical without parsing.

        Returns:
            Its entries, and the record that proves them later; the edge has moved to the frame's head.

        Raises:
            FrameRefusedError: With the reason for which the stream ends.
        """
        try:
            verified = self._verify_head(frame.head, trust, now_ms)
            edge = self.edge.copy()
            first_contact = edge.size == 0
            runs = []
            entries: list[VerifiedEntry] = []
            for run in frame.runs:
                before = run.before
                if edge.size == 0:
                    before = self._require_genesis(before, edge)
                edge.extend(run.first, before)
                hashes = self._hashes(run.entries)
                edge.append_all(hashes)
                runs.append(FrameRun(run.first, before, b"".join(hashes)))
                entries += self._read(run, hashes, verified.digest, expected)
            if not entries:
                raise FrameRefusedError(Reason.FRAME_INVALID, "a frame without entries")
            edge.extend(verified.head.size, frame.after)
        except FrameRefusedError:
            raise
        except MalformedError as error:
            raise FrameRefusedError(error.reason, str(error)) from None
        if edge.root().hex() != verified.head.root:
            raise FrameRefusedError(Reason.FRAME_INVALID, "the frame does not add up to its head")
        known = Edge(1, [bytes.fromhex(self.log)]) if first_contact else self.edge
        record = FrameRecord(
            self.log, known.size, b"".join(known.hashes), tuple(runs), frame.after, frame.head
        )
        self.edge, self.head, self._iat = edge, frame.head, verified.head.iat
        if self.met_at is None:
            self.met_at = edge.size
        return entries, record

    def check_newest(self, jws: bytes, trust: TrustView, now_ms: int) -> TreeHead:
        """Verify a head that a peer shows of its own log in Hello, without moving the edge."""
        try:
            return self._verify_head(jws, trust, now_ms).head
        except FrameRefusedError:
            raise
        except MalformedError as error:
            raise FrameRefusedError(error.reason, str(error)) from None

    def _verify_head(self, jws: bytes, trust: TrustView, now_ms: int) -> VerifiedHead:
        gateway = trust.by_log.get(self.log)
        if gateway is None:
            raise FrameRefusedError(trust.refusal_of_log(self.log) or Reason.LOG_NOT_REGISTERED)
        if not gateway.admitted:
            raise FrameRefusedError(Reason.GATEWAY_SUSPENDED)
        verified = verify_head(jws, gateway.seal)
        head = verified.head
        if not _is_valid_at(verified.certificate, head.iat):
            raise FrameRefusedError(
                Reason.CERTIFICATE_EXPIRED, "the seal certificate is not valid at the head's time"
            )
        if head.log != self.log or head.gateway != gateway.id:
            raise FrameRefusedError(Reason.HEAD_INVALID, "the head is about another log")
        if head.size < self.edge.size:
            raise FrameRefusedError(Reason.FORKED, "the head is smaller than one that we hold")
        if head.size == self.edge.size and head.root != self.edge.root().hex():
            raise FrameRefusedError(Reason.FORKED, "the head has another root than the one that we hold")
        self.ahead_s = round(now_ms / 1000 - head.iat)
        if head.iat < self._iat or abs(head.iat * 1000 - now_ms) > MAX_SKEW_MS:
            raise FrameRefusedError(
                Reason.CLOCK_SKEW, f"the peer's head says {head.iat} s, our clock {now_ms // 1000} s"
            )
        return verified

    def _require_genesis(self, before: bytes, edge: Edge) -> bytes:
        """At first contact leaf 0 comes alone, and is the log id."""
        if before[:HASH_BYTES].hex() != self.log:
            raise FrameRefusedError(Reason.FRAME_INVALID, "the first leaf is not the log id")
        edge.append(before[:HASH_BYTES])
        return before[HASH_BYTES:]

    def hash_of(self, entry: UnverifiedEntry) -> bytes:
        """The leaf hash that an entry of this log has."""
        return self._hashes((entry,))[0]

    def _hashes(self, entries: Sequence[UnverifiedEntry]) -> list[bytes]:
        """The leaf hashes of several."""
        said, heard = self._said, self._heard
        return [_sha256((said if one.is_said else heard) + one.body).digest() for one in entries]

    def _read(
        self, run: UnverifiedRun, hashes: list[bytes], head: str, expected: Container[bytes]
    ) -> list[VerifiedEntry]:
        """What the entries of a run say; it counts once the frame adds up to its head.

        Step by step over all entries, not entry by entry: the code of a step stays in the processor's caches.
        """
        entries = run.entries
        said = iter(parse_statements([one.body for one in entries if one.is_said]))
        statements = [next(said) if one.is_said else None for one in entries]
        receipts = [
            None if one.is_said or without_annex(one.body) in expected else parse_heard(one.body)
            for one in entries
        ]
        if any(one is not None and one.from_ != self.log for one in statements):
            raise FrameRefusedError(Reason.STATEMENT_INVALID, "the statement is another log's")
        contents = [
            ((), None) if statement is None else _parts(statement, one.payloads)
            for statement, one in zip(statements, entries, strict=True)
        ]
        return [
            VerifiedEntry(
                index,
                hashed,
                head,
                one.body,
                statement,
                receipt,
                one.payloads,
                parts,
                one.withheld or objection,
            )
            for index, hashed, one, statement, receipt, (parts, objection) in zip(
                range(run.first, run.first + len(entries)),
                hashes,
                entries,
                statements,
                receipts,
                contents,
                strict=True,
            )
        ]


def _is_valid_at(certificate: x509.Certificate, seconds: int) -> bool:
    moment = datetime.fromtimestamp(seconds, UTC)
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def _parts(statement: Statement, payloads: bytes) -> tuple[Sequence[tuple[int, bytes]], Reason | None]:
    """What is signed must be what is delivered (PROTOCOL M11): nothing is taken out of another body."""
    try:
        digests, parts = read_payloads(payloads)
    except MalformedError as error:
        return (), error.reason
    return (parts, None) if digests == statement.payloads else ((), Reason.STATEMENT_INVALID)
