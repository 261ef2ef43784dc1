"""Verifies whole logs on files alone, leaf by leaf, as their gateway wrote them.

 1 segments follow each other; every record has its CRC; commits and leaves are numbered without a gap
 2 leaf 0 is a genesis leaf, and its hash is the log's name
 3 every leaf is of this log, and in its one written form
 4 what lies beside a leaf belongs to it: a record's statement is the one whose leaf hash it names, and stands in the
   frame that its head signs; a receipt is about a statement of this log; frames of one peer go on from each other
 5 segments of a call follow each other, as it says them and as it takes them, and hand on what is there
 6 every head in the log has the root of the leaves before it; its time never falls while it grows
 7 heads kept elsewhere (``state/``, a peer's, an archive's) are extended by these leaves
 8 heads are signed with a certificate that leads to the anchor, for that gateway, at their times

The first fault ends the reading of a log and is told with its place. The tree covers leaves only: attachments and HEAD
records are covered by nothing but their CRC, so steps 4 and 6 judge them by what leaves and heads say.

Nothing is written, and no process is asked. A torn tail is no fault: a crash leaves one, of which nobody was promised
anything. A log that was cut later looks the same, which a newer head alone can tell: the words say so. Nor is it a fault
that a log says in its first leaf which log it succeeds: the gap is declared, and shown.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from audit.bodies import parse_purge
from audit.logreport import LogReport
from audit.opencalls import OpenCalls
from core.frames import FrameRecord, ReceiptRecord
from core.heads import MAX_HEAD_BYTES, TreeHead, head_digest, parse_head
from core.identifiers import urn
from core.leaves import (
    GENESIS,
    HEARD,
    NOTE,
    SAID,
    Genesis,
    Heard,
    Leaf,
    heard_leaf,
    parse_genesis,
    parse_heard,
    parse_leaf,
    parse_note,
    parse_registry_change,
    said_leaf,
)
from core.merkle import Edge, Node, leaf_hash
from core.payloads import SALT_BYTES
from core.pseudonyms import annex_beside
from core.reasons import ExchangeError, Reason
from core.statements import Statement, parse_statement
from core.streams import messages_of
from core.succession import HEAD_ELSEWHERE, LAST_HEAD, read_gap
from ledger.headfile import read_head_file
from ledger.places import LogPlace, log_places
from ledger.published import PublishedConfigurations
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind
from pki.anchor import Anchor
from pki.chain import verify_chain
from pki.heads import verify_head
from pki.keys import certificate_thumbprint, load_chain, load_crl
from pki.profiles import profile_of
from rpc.files import read_bounded

# A frame proves what was heard in the same commit, of at most 8 MiB (``gateway.worker.turn``); older ones are forgotten.
_FRAME_BYTES_REMEMBERED: Final = 16 * 1024 * 1024
_MAX_FILE_BYTES: Final = 1024 * 1024


class LogFaultError(ExchangeError):
    """What is wrong with a log, and where."""


def verify_logs(
    directory: Path,
    *,
    anchor: Path | None = None,
    certificates: Sequence[Path] = (),
    crls: Sequence[Path] = (),
    heads: Sequence[Path] = (),
) -> list[LogReport]:
    """Verify every log below a gateway's directory (or one directory of segments).

    Args:
        directory: The gateway's directory, or a copy; only read.
        anchor: Judge the certificates of heads against its X.509 root. Candidates are then also taken from
            ``keys/seal.crt``, and revocation lists from ``configuration/``: both must lead to the anchor themselves.
        certificates: Seal certificates, each file with its chain, leaf first.
        crls: Further revocation lists.
        heads: Signed heads that were kept elsewhere, one JWS a file; each must be of one of these logs.

    Raises:
        ExchangeError: The question is ill posed: there is no log, or a file that was given is not what it should be.
        OSError: A file cannot be read.
    """
    seals = _Seals.read(directory, anchor, certificates, crls)
    kept = [(path.name, _read_head(path)) for path in heads]
    with ExitStack() as trees:
        verifications = []
        for place in log_places(directory):
            verification = _Verification(place.segments, LogReport(place.worker), seals)
            trees.callback(verification.reader.tree.close)
            verification.run([*kept, *_heads_beside(place)])
            verifications.append(verification)
        _require_known(verifications, kept)
        _compare_successions(verifications)
    return [one.report for one in verifications]


# --- one log ---


class _Verification:
    """One pass over one log."""

    def __init__(self, directory: Path, report: LogReport, seals: _Seals) -> None:
        self.report = report
        self.reader = LogReader(directory, self._take_purge, self._take_head)
        self._seals = seals
        self._peers = _Peers(report)
        self._calls = OpenCalls()
        self._genesis: Genesis | None = None
        # Certificates that signed heads of this log, with the first and the last time of a head.
        self._signers: dict[x509.Certificate, tuple[int, int]] = {}

    def run(self, kept: Sequence[tuple[str, bytes]]) -> None:
        """Read all of it, then compare it with heads that were kept elsewhere; the first fault ends it."""
        report, reader = self.report, self.reader
        try:
            for stored in reader.follow():
                try:
                    self._take(stored)
                except ExchangeError as error:
                    place = f"leaf {stored.index} ({reader.place(stored.index)})"
                    raise LogFaultError(error.reason, f"{place}: {error}") from None
                report.size = stored.index + 1
            if self._genesis is None:
                raise LogFaultError(Reason.LOG_DAMAGED, "there is no leaf in it")
            for name, jws in kept:
                self._compare(name, jws)
            self._require_chains()
        except ExchangeError as error:
            report.fault = error
            report.signatures = "unjudged" if self._seals.leaves else "unchecked"
        report.log, report.segments = reader.log_id, reader.segment_count
        report.torn, report.torn_end = reader.torn, reader.torn_end
        report.root = reader.tree.root(report.size).hex()

    # 2, 3

    def _take(self, stored: StoredLeaf) -> None:
        leaf = parse_leaf(stored.leaf)
        if (stored.index == 0) != (leaf.label == GENESIS):
            raise LogFaultError(
                Reason.LOG_DAMAGED, "leaf 0, and no other, is the genesis leaf that names the log"
            )
        if leaf.label == GENESIS:
            self._take_genesis(leaf, leaf_hash(stored.leaf).hex())
        elif leaf.log != self.reader.log_id:
            raise LogFaultError(Reason.LOG_DAMAGED, "a leaf of another log")
        heard, statement = _read_body(leaf)
        self._take_beside(stored, leaf, heard)
        _require_salts(statement, [data for kind, data in stored.attachments if kind is AttachmentKind.SALTS])
        if statement is not None:
            self._calls.take(statement, leaf_hash(stored.leaf).hex())

    def _take_genesis(self, leaf: Leaf, hashed: str) -> None:
        if hashed != self.reader.log_id:
            raise LogFaultError(
                Reason.LOG_DAMAGED, "the genesis leaf does not have the log's name as its hash"
            )
        self._genesis = parse_genesis(leaf.body)
        self.report.gateway, self.report.succeeds = self._genesis.gateway, self._genesis.succeeds
        self._calls.is_complete = self._genesis.succeeds is None

    # 4

    def _take_beside(self, stored: StoredLeaf, leaf: Leaf, heard: Heard | None) -> None:
        beside: defaultdict[AttachmentKind, list[bytes]] = defaultdict(list)
        for kind, data in stored.attachments:
            beside[kind].append(data)
            if kind is AttachmentKind.FRAME:
                self._peers.take_frame(FrameRecord.decode(data))
            elif kind is AttachmentKind.RECEIPT:
                self._take_receipt(data, stored.index)
        self._take_documents(leaf, beside[AttachmentKind.DOCUMENT])
        annex_beside(None if heard is None else heard.annex, beside[AttachmentKind.ANNEX])
        statements = beside[AttachmentKind.STATEMENT]
        if heard is None:
            if statements:
                raise LogFaultError(Reason.STATEMENT_INVALID, "a statement beside a leaf that records none")
            return
        if len(statements) != 1:
            raise LogFaultError(
                Reason.STATEMENT_INVALID, "a record without the bytes of the one statement it is about"
            )
        (body,) = statements
        if leaf_hash(said_leaf(heard.log, body)).hex() != heard.leaf:
            raise LogFaultError(Reason.STATEMENT_INVALID, "the statement beside it is not the one it names")
        statement = parse_statement(body)
        if statement.from_ != heard.log:
            raise LogFaultError(Reason.STATEMENT_INVALID, "the statement beside it is another log's word")
        self._peers.require_proven(heard.log, heard.index, bytes.fromhex(heard.leaf), heard.head)
        if heard.verdict == "taken":
            self._calls.take(statement, heard.leaf)

    def _take_documents(self, leaf: Leaf, documents: Sequence[bytes]) -> None:
        """What a successor says first: each head that a note names lies beside it, and is of the log before."""
        note = parse_note(leaf.body) if leaf.label == NOTE else None
        if note is not None and note.event in (LAST_HEAD, HEAD_ELSEWHERE):
            named = [f"jws={head_digest(one)}" for one in documents]
            before = self.report.succeeds.log if self.report.succeeds else None
            if len(named) != 1 or not note.detail.endswith(named[0]):
                raise LogFaultError(
                    Reason.HEAD_INVALID, "a note without the one head that it names beside it"
                )
            if parse_head(documents[0]).unverified.log != before:
                raise LogFaultError(
                    Reason.HEAD_INVALID, "a note with a head of another log than the one before"
                )
        elif documents:
            raise LogFaultError(Reason.STATEMENT_INVALID, "a document beside a leaf that names none")
        elif note is not None:
            self.report.declared = self.report.declared or read_gap(note)

    def _take_receipt(self, data: bytes, at: int) -> None:
        record = ReceiptRecord.decode(data)
        own, receipt = record.said, parse_heard(record.body)
        # Beside leaf ``at`` lies what came before it was written.
        if own >= at or (receipt.log, receipt.index) != (self.reader.log_id, own):
            raise LogFaultError(Reason.STATEMENT_INVALID, "a receipt of another statement than it lies by")
        if self.reader.node(0, own).hex() != receipt.leaf:
            raise LogFaultError(Reason.STATEMENT_INVALID, "a receipt of other words than this log said")
        self._peers.require_receipt(record.index, receipt, record.head)

    def _take_purge(self, record: bytes) -> None:
        if parse_purge(record) is None:
            raise LogFaultError(Reason.LOG_DAMAGED, "a record of an erasure that cannot be read")

    # 6

    def _take_head(self, jws: bytes) -> None:
        """Called between two commits: the tree has the leaves of those before."""
        try:
            self._require_head(parse_head(jws).unverified, jws)
        except ExchangeError as error:
            place = f"head before leaf {self.reader.size} (commit {self.reader.sequence})"
            raise LogFaultError(error.reason, f"{place}: {error}") from None
        self.report.heads += 1

    def _require_head(self, head: TreeHead, jws: bytes) -> None:
        if head.size > self.reader.size:
            raise LogFaultError(
                Reason.LOG_DAMAGED, f"it covers {head.size} leaves, and {self.reader.size} stand before it"
            )
        self._require_extended(head)
        newest = self.report.newest
        if newest is not None:
            # At a start the newest head is written once more, and the same tree may be signed again.
            if head.size < newest.size:
                raise LogFaultError(Reason.HEAD_INVALID, f"a head of {newest.size} leaves was signed before")
            if head.iat < newest.iat:
                raise LogFaultError(Reason.HEAD_INVALID, "its time is before that of the head before it")
        self._require_signature(head, jws)
        self.report.newest, self.report.newest_jws = head, jws

    def _require_extended(self, head: TreeHead) -> None:
        if head.log != self.reader.log_id:
            raise LogFaultError(Reason.HEAD_INVALID, f"it is a head of log {head.log[:16]}…")
        if self._genesis is None or head.gateway != self._genesis.gateway:
            raise LogFaultError(Reason.HEAD_INVALID, f"it is a head of {head.gateway}")
        if self.reader.tree.root(head.size).hex() != head.root:
            raise LogFaultError(Reason.FORKED, f"the leaves here have another root at {head.size}")

    def _require_signature(self, head: TreeHead, jws: bytes) -> None:
        signer = self._seals.signer_of(jws)
        if signer is not None:
            first, last = self._signers.get(signer, (head.iat, head.iat))
            self._signers[signer] = min(first, head.iat), max(last, head.iat)

    # 7

    def _compare(self, name: str, jws: bytes) -> None:
        head = parse_head(jws).unverified
        if head.log != self.reader.log_id:
            return  # of another log; ``_require_known`` tells if it is of none
        told = f"head {name!a} of {head.size} leaves"
        try:
            if head.size > self.reader.size:
                raise LogFaultError(Reason.LOG_BEHIND_PEERS, f"{self.reader.size} leaves are here")
            self._require_extended(head)
            self._require_signature(head, jws)
        except ExchangeError as error:
            raise LogFaultError(error.reason, f"{told}: {error}") from None
        newest = self.report.newest
        if newest is None or (head.size, head.iat) > (newest.size, newest.iat):
            self.report.newest, self.report.newest_jws = head, jws

    # 8

    def _require_chains(self) -> None:
        """Judge each certificate at the first and the last moment it signed for.

        Validity has no holes and nothing is ever taken back off a list: what held at both held in between.
        """
        for signer, moments in self._signers.items():
            for moment in sorted(set(moments)):
                self._seals.require_chain(signer, self.report.gateway, datetime.fromtimestamp(moment, UTC))
        if self._signers:
            self.report.signatures = "anchored" if self._seals.root is not None else "verified"


def _require_salts(statement: Statement | None, salts: Sequence[bytes]) -> None:
    """Who says that fields were cut keeps what the original can be recognised by, one salt for each message (M11)."""
    is_cut = statement is not None and statement.cut is not None
    kept = SALT_BYTES * messages_of(statement) if statement is not None and is_cut else 0
    if [len(one) for one in salts] != [kept] * is_cut:
        raise LogFaultError(
            Reason.STATEMENT_INVALID, "a response without the salts of what was cut, or salts of nothing"
        )


def _read_body(leaf: Leaf) -> tuple[Heard | None, Statement | None]:
    """Parse the body by its label; every one has one written form."""
    if leaf.label == SAID:
        statement = parse_statement(leaf.body)
        if statement.from_ != leaf.log:
            raise LogFaultError(Reason.STATEMENT_INVALID, "a statement in another log's name")
        return None, statement
    if leaf.label == HEARD:
        return parse_heard(leaf.body), None
    if leaf.label == NOTE:
        parse_note(leaf.body)
    elif leaf.label != GENESIS:
        parse_registry_change(leaf.body)
    return None, None


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame record that adds up to its head, and the nodes that it proves."""

    log: str
    node: Node
    weight: int


class _Peers:
    """What the log's own frame records say of peers' logs: where each edge is, and what the newest frames hold."""

    def __init__(self, report: LogReport) -> None:
        self._report = report
        self._edges: dict[str, Edge] = {}
        self._frames: OrderedDict[str, _Frame] = OrderedDict()
        self._weight = 0

    def take_frame(self, record: FrameRecord) -> None:
        """Believe what adds up to its head, and goes on from what was believed before."""
        node, after = record.nodes(), record.edge_after()
        edge = self._edges.get(record.log, Edge(1, [bytes.fromhex(record.log)]))
        if record.verified < edge.size:
            raise LogFaultError(Reason.FRAME_INVALID, "a frame that goes back behind the one before it")
        if record.verified > edge.size:
            self._report.unrecorded += 1
        elif record.edge != b"".join(edge.hashes):
            raise LogFaultError(Reason.FORKED, "a frame that goes on from another log than the one before it")
        self._edges[record.log] = after
        self._remember(head_digest(record.head), _Frame(record.log, node, _weight(record)))

    def _remember(self, digest: str, frame: _Frame) -> None:
        before = self._frames.pop(digest, None)
        self._frames[digest] = frame
        self._weight += frame.weight - (before.weight if before else 0)
        while len(self._frames) > 1 and self._weight > _FRAME_BYTES_REMEMBERED:
            _, oldest = self._frames.popitem(last=False)
            self._weight -= oldest.weight

    def require_proven(self, log: str, index: int, hashed: bytes, head: str) -> None:
        """The frame with that head must be here and hold that leaf."""
        frame = self._frames.get(head)
        if frame is None or frame.log != log:
            raise LogFaultError(Reason.FRAME_INVALID, "the frame that proves it is not beside it")
        if frame.node(0, index) != hashed:
            raise LogFaultError(Reason.FRAME_INVALID, f"its frame holds another leaf at {index}")

    def require_receipt(self, index: int, receipt: Heard, head: str) -> None:
        """The same for a receipt, whose log the frame tells."""
        frame = self._frames.get(head)
        if frame is None:
            raise LogFaultError(Reason.FRAME_INVALID, "the frame that proves a receipt is not beside it")
        self.require_proven(frame.log, index, leaf_hash(heard_leaf(frame.log, receipt)), head)


def _weight(record: FrameRecord) -> int:
    leaves = sum(len(run.before) + len(run.leaves) for run in record.runs)
    return len(record.edge) + len(record.after) + len(record.head) + leaves


# --- 8 ---


@dataclass(frozen=True, slots=True)
class _Seals:
    """Certificates that heads may be signed with, and what they are judged by."""

    leaves: dict[str, x509.Certificate]
    intermediates: list[x509.Certificate]
    root: x509.Certificate | None
    crls: list[x509.CertificateRevocationList]

    @classmethod
    def read(
        cls, directory: Path, anchor: Path | None, certificates: Sequence[Path], crls: Sequence[Path]
    ) -> _Seals:
        """What was given, and with an anchor also what the directory holds.

        Raises:
            ExchangeError: A file is not what it should be; or signatures are to be judged, and there is no certificate.
        """
        found = cls({}, [], None, [load_crl(read_bounded(path, _MAX_FILE_BYTES)) for path in crls])
        chains = [load_chain(read_bounded(path, _MAX_FILE_BYTES)) for path in certificates]
        if anchor is not None:
            found = replace(found, root=Anchor.read(anchor).certificate)
            own, lists = _kept_by(directory)
            chains += own
            found.crls.extend(lists)
            if not chains:
                raise LogFaultError(
                    Reason.CERTIFICATE_INVALID, "no seal certificate lies here: give it with --certificate"
                )
        for leaf, *chain in chains:
            found.leaves[certificate_thumbprint(leaf)] = leaf
            found.intermediates.extend(one for one in chain if one not in found.intermediates)
        return found

    def signer_of(self, jws: bytes) -> x509.Certificate | None:
        """Whose signature a head bears; ``None`` if there is nothing to verify it with. Raises ``MalformedHeadError``."""
        return verify_head(jws, self.leaves).certificate if self.leaves else None

    def require_chain(self, leaf: x509.Certificate, gateway: str, at: datetime) -> None:
        """Check that a certificate was the seal of ``gateway`` at a moment, if there is an anchor to check it by."""
        if self.root is None:
            return
        profile = profile_of(leaf)
        if profile is None or not profile.rules.signs:
            raise LogFaultError(Reason.CERTIFICATE_INVALID, "heads are signed with no seal certificate")
        verified = verify_chain(
            leaf,
            intermediates=self.intermediates,
            roots=[self.root],
            crls=self.crls,
            at=at,
            profile=profile,
        )
        if verified.urn != urn(profile.rules.kind, gateway):
            raise LogFaultError(
                Reason.CERTIFICATE_INVALID, f"heads of {gateway} are signed by {verified.urn}"
            )


def _kept_by(
    directory: Path,
) -> tuple[list[list[x509.Certificate]], list[x509.CertificateRevocationList]]:
    """Chains of seals and lists of revocation that a gateway's directory keeps.

    Nothing here is believed: each must lead to the anchor. What cannot be read is as if it were not there.
    """
    chains, lists = [], []
    with suppress(ExchangeError, OSError):
        chains.append(load_chain(read_bounded(directory / "keys" / "seal.crt", _MAX_FILE_BYTES)))
    for published in (
        PublishedConfigurations(directory / "configuration"),
        PublishedConfigurations(directory / "published", mirror=""),
    ):
        with suppress(ExchangeError, ValueError, OSError):
            lists += _newest_lists(published)
    return chains, lists


def _newest_lists(published: PublishedConfigurations) -> list[x509.CertificateRevocationList]:
    commons = (version.common for version in published.newest_first())
    common = next((one for one in commons if one is not None), None)
    return [load_crl(pem.encode()) for pem in common.crls] if common is not None else []


def _heads_beside(place: LogPlace) -> Iterator[tuple[str, bytes]]:
    """The newest heads of a log that lie by it: a gateway's in ``state/``, the registry's beside its segments."""
    if (kept := read_head_file(place.head_file)) is not None:
        yield "state", kept
    path = place.segments / "head.jws"
    if path.is_file():
        yield path.name, _read_bare_head(path)


def _read_head(path: Path) -> bytes:
    """A head in a file of its own: the bare JWS, or ``state/head.json``."""
    kept = read_head_file(path)
    if kept is None:
        kept = _read_bare_head(path)
    parse_head(kept)
    return kept


def _read_bare_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_HEAD_BYTES + 3).strip()


# --- across logs ---


def _require_known(verifications: Sequence[_Verification], kept: Sequence[tuple[str, bytes]]) -> None:
    """A head of another log than these: nothing is asked about them, unless it is one of their gateway's.

    Then a log of that gateway is missing here, or another was put in its place.
    """
    known = {one.report.log for one in verifications}
    for name, jws in kept:
        head = parse_head(jws).unverified
        if head.log in known:
            continue
        missing = LogFaultError(
            Reason.NOT_FOUND, f"head {name!a} is of log {head.log[:16]}…, which is not here"
        )
        of_gateway = [one.report for one in verifications if one.report.gateway in ("", head.gateway)]
        if not of_gateway:
            raise missing
        of_gateway[0].fault = of_gateway[0].fault or missing


def _compare_successions(verifications: Sequence[_Verification]) -> None:
    """A successor's word about a log that is here too must be true."""
    by_log = {one.report.log: one for one in verifications}
    for one in verifications:
        claim = one.report.succeeds
        before = by_log.get(claim.log) if claim is not None else None
        if claim is None or before is None or one.report.fault is not None:
            continue
        size = before.report.size
        if claim.size > size:
            # Cut off after the switch, with the head beside it: the successor alone still tells how long it was.
            before.report.fault = before.report.fault or LogFaultError(
                Reason.LOG_BEHIND_PEERS, f"{size} leaves are here, its successor goes on from {claim.size}"
            )
        elif before.reader.tree.root(claim.size).hex() != claim.root:
            one.report.fault = LogFaultError(
                Reason.FORKED, f"it names another root for the {claim.size} leaves of the log before it"
            )
