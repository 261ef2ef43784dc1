"""Two members whose real logs, keys, chains and signed documents are made in the test, exchange by exchange.

What the road would carry is handed over directly; what each side keeps is written as its worker writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from core.agreements import Agreement
from core.clock import ManualClock
from core.configuration import AgreementEntry, MemberDocument
from core.documents import digest
from core.evidence import Parts
from core.frames import FrameRecord, FrameRun, ReceiptRecord
from core.heads import ConfigurationMark, TreeHead, head_digest, parse_head
from core.identifiers import new_exchange_id, urn
from core.leaves import Genesis, Heard, Note, Role, genesis_leaf, heard_leaf, note_leaf, said_leaf
from core.merkle import Edge, leaf_hash
from core.payloads import SALT_BYTES, Payload, encode_payloads, payload_digest
from core.pseudonyms import PseudonymKey, annex_of, keep_annex, year_of
from core.registrations import RegisteredLog, Registration
from core.statements import ANSWERS, AgreementMark, Statement, User, encode_statement
from ledger.commit import Entry, GroupCommit
from ledger.evidence import BodyOpener, Evidence
from ledger.headfile import write_head_file
from ledger.log import Log, create_log
from ledger.records import AttachmentKind
from ledger.vault import BodyVault, create_wrapping_key, read_wrapping_key
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.heads import HeadSigner
from pki.keys import generate_key
from pki.profiles import Profile, issue
from tests.support.published_country import PublishedCountry, PublishedMember, conclude, registered

NOW_MS = 1_790_000_000_000
CLIENT = "BJ/GOV/PNS/PORTAIL"
PROVIDER = "BJ/GOV/ANIP/RNPP"
METHOD = "bj.identity.v1.IdentityService/GetPerson"


@dataclass
class Side:
    """One member's gateway: its directory with the log, its keys, and its edge of the peer's log."""

    directory: Path
    member: PublishedMember
    gateway: str
    seal: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    clock: ManualClock
    log: Log = field(init=False)
    commit: GroupCommit = field(init=False)
    vault: BodyVault = field(init=False)
    signer: HeadSigner = field(init=False)
    edge: Edge | None = None
    notes: int = 0
    unrecorded: bytes | None = None
    beside: list[tuple[AttachmentKind, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        log = self.directory / "log/0"
        seed = hashlib.sha256(self.gateway.encode()).hexdigest()[:32]
        create_log(log, genesis_leaf(Genesis(1, self.gateway, 0, NOW_MS, seed, None)))
        self.log = Log.open(log)
        (self.directory / "keys").mkdir()
        create_wrapping_key(self.directory / "keys/wrapping.key")
        (self.directory / "gateway.toml").write_text("")
        wrapping = read_wrapping_key(self.directory / "keys/wrapping.key", self.directory / "log")
        self.vault = BodyVault(self.directory / "bodies/0", self.log.log_id, wrapping, self.clock)
        self.commit = GroupCommit(self.log, lambda call: call(), _raise, vault=self.vault)
        self.signer = HeadSigner(self.seal, self.certificate)

    def close(self) -> None:
        """Let go of files and thread."""
        self.commit.close()
        self.vault.close()
        self.log.close()

    def registration(self, country: PublishedCountry) -> Registration:
        """What the member signs of this gateway."""
        return country.registration(
            self.gateway,
            seal=[registered(self.certificate, country.seal.certificate)],
            logs=[RegisteredLog(self.log.log_id, 0, "127.0.0.1:7444")],
        )

    def append(
        self, leaf: bytes, *attachments: tuple[AttachmentKind, bytes], body: bytes | None = None
    ) -> int:
        """Commit one leaf, with the head that was signed last, if it is not in the log yet; returns its index."""
        attachments, self.beside = (*self.beside, *attachments), []
        entry = Entry(leaf, leaf_hash(leaf), attachments, body, "service")
        head, self.unrecorded = self.unrecorded, None
        return self.commit.commit_now([entry], head).first

    def note(self) -> int:
        """A leaf about nothing in particular."""
        self.notes += 1
        return self.append(self._note())

    @property
    def pseudonym_key(self) -> bytes:
        """The key of this member's pseudonyms, whatever the year."""
        return hashlib.sha256(f"pseudonyms of {self.member.id}".encode()).digest()

    def annex(self, subjects: Sequence[bytes]) -> tuple[str | None, tuple[tuple[AttachmentKind, bytes], ...]]:
        """What a record commits to if it is about somebody, and what lies beside it."""
        if not subjects:
            return None, ()
        year = year_of(self.clock.now_ms())
        digest, kept = keep_annex(
            bytes(16), annex_of(PseudonymKey(year, self.pseudonym_key), subjects, complete=True)
        )
        return digest, ((AttachmentKind.ANNEX, kept),)

    def _note(self) -> bytes:
        return note_leaf(self.log.log_id, Note(1, f"{self.notes:032x}", self.clock.now_ms(), "test", "", 1))

    def sign(self, mark: ConfigurationMark) -> bytes:
        """A head over the whole log, kept where a worker keeps it."""
        head = TreeHead(
            v=1,
            log=self.log.log_id,
            gateway=self.gateway,
            size=self.log.size,
            root=self.log.root().hex(),
            iat=self.clock.now_ms() // 1000,
            cfg=mark,
        )
        jws = self.unrecorded = self.signer.sign(head)
        write_head_file(self.directory / "state/head.json", jws)
        return jws

    def frame(self, peer: Side, head: bytes, first: int, leaves: list[bytes]) -> FrameRecord:
        """Believe a frame of ``peer`` with neighbouring leaves from ``first`` on; our edge moves."""
        edge = self.edge or Edge(1, [bytes.fromhex(peer.log.log_id)])
        size = parse_head(head).unverified.size
        run = FrameRun(first, peer.log.cover(edge.size, first), b"".join(map(leaf_hash, leaves)))
        after = peer.log.cover(first + len(leaves), size)
        record = FrameRecord(peer.log.log_id, edge.size, b"".join(edge.hashes), (run,), after, head)
        self.edge = record.edge_after()
        return record

    def keep_published(self, version: int, targets: bytes, files: dict[str, bytes]) -> None:
        """Put a version of the configuration into the mirror."""
        mirror = self.directory / "configuration/mirror"
        (mirror / "metadata").mkdir(parents=True, exist_ok=True)
        (mirror / "metadata" / f"{version}.targets.json").write_bytes(targets)
        for name, data in files.items():
            folder, slash, base = name.rpartition("/")
            path = mirror / "targets" / f"{folder}{slash}{digest(data)}.{base}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


@dataclass(frozen=True)
class Exchanged:
    """An exchange that both sides recorded."""

    id: str
    request: Statement
    answer: Statement


class EvidenceCountry:
    """PNS asks, ANIP answers."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock(NOW_MS)
        self.root = root
        self.country = PublishedCountry(NOW_MS)
        self.version = 0
        self.mark = ConfigurationMark(1, "0" * 64)
        self.pns = self._side("BJ/GOV/PNS")
        self.anip = self._side("BJ/GOV/ANIP")
        for side in (self.pns, self.anip):
            self.country.register(side.member, side.registration(self.country))
        self.agreement = self.country.agreement(self.pns.member, self.anip.member)
        self.conclude(self.agreement)
        self.count = 0

    def _side(self, member_id: str) -> Side:
        gateway = f"{member_id}/gw1"
        seal = generate_key()
        certificate = issue(
            Profile.SEAL, self.country.seal, seal.public_key(), urn("gateway", gateway), now_ms=NOW_MS
        )
        directory = self.root / member_id.replace("/", ".")
        member = self.country.member(member_id)
        return Side(directory, member, gateway, seal, certificate, self.clock)

    def close(self) -> None:
        """Let go of what both sides hold open; their files stay."""
        self.pns.close()
        self.anip.close()

    def anchor(self) -> Path:
        """The anchor file."""
        path = self.root / "anchor.pem"
        certificate = self.country.root.certificate
        signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(certificate)}
        Anchor(certificate, json.dumps({"signed": signed}).encode()).write(path)
        return path

    def conclude(self, agreement: Agreement, **fields: object) -> AgreementEntry:
        """Both member keys sign; it is the only agreement from now on."""
        self.agreement = agreement
        entry = conclude(agreement, self.pns.member.key, self.anip.member.key, **fields)
        self.anip.member.change(agreements=[entry])
        self.publish()
        return entry

    def publish(self) -> None:
        """A new version of the configuration reaches both gateways."""
        self.version += 1
        files = self.country.documents()
        listed = {
            name: {"hashes": {"sha256": digest(data)}, "length": len(data)} for name, data in files.items()
        }
        targets = json.dumps({"signed": {"version": self.version, "targets": listed}}).encode()
        self.mark = ConfigurationMark(self.version, digest(targets))
        for side in (self.pns, self.anip):
            side.keep_published(self.version, targets, files)

    def exchange(
        self,
        answer: dict[str, Any] | None = None,
        receipts: bool = True,
        subjects: Sequence[bytes] = (),
        **request: Any,
    ) -> Exchanged:
        """One call through both gateways, with four leaves and both receipts.

        Args:
            answer: Fields of the answer that are to be otherwise.
            receipts: Whether the consumer's record reaches the provider.
            subjects: Whom it is about: both records have an annex then.
            request: Fields of the request that are to be otherwise.
        """
        pns, anip = self.pns, self.anip
        self.count += 1
        for side in (pns, anip):
            for _ in range(self.count % 3):
                side.note()
        asked_payloads = self._payloads("request", 2)
        asked = self._request(asked_payloads, **request)
        asked_body = encode_statement(asked)
        asked_leaf = said_leaf(pns.log.log_id, asked_body)
        asked_at = pns.append(asked_leaf, body=encode_payloads(asked_payloads))
        asked_head = pns.sign(self.mark)
        # ANIP hears, answers, and its head covers both.
        frame = anip.frame(pns, asked_head, asked_at, [asked_leaf])
        annex, beside = anip.annex(subjects)
        heard = self._heard("request", pns, asked_at, asked_leaf, asked_head, annex)
        heard_request = heard_leaf(anip.log.log_id, heard)
        heard_at = anip.append(
            heard_request,
            (AttachmentKind.STATEMENT, asked_body),
            *beside,
            (AttachmentKind.FRAME, frame.encode()),
            body=encode_payloads(asked_payloads),
        )
        said_payloads = self._payloads("response", 3)
        said = self._answer(asked, leaf_hash(asked_leaf).hex(), said_payloads, **(answer or {}))
        said_body = encode_statement(said)
        answer_leaf = said_leaf(anip.log.log_id, said_body)
        kept = encode_payloads(said_payloads) if said.payloads else None
        salts = ((AttachmentKind.SALTS, bytes(SALT_BYTES)),) if said.cut is not None else ()
        said_at = anip.append(answer_leaf, *salts, body=kept)
        answer_head = anip.sign(self.mark)
        # PNS hears the answer, and the receipt for its request.
        frame = pns.frame(anip, answer_head, heard_at, [heard_request, answer_leaf])
        annex, beside = pns.annex(subjects)
        heard = self._heard("response", anip, said_at, answer_leaf, answer_head, annex)
        taken = heard_leaf(pns.log.log_id, heard)
        taken_at = pns.append(
            taken,
            (AttachmentKind.STATEMENT, said_body),
            *beside,
            (AttachmentKind.FRAME, frame.encode()),
            (AttachmentKind.RECEIPT, _receipt(asked_at, heard_at, answer_head, heard_request)),
            body=kept,
        )
        taken_head = pns.sign(self.mark)
        if receipts:
            frame = anip.frame(pns, taken_head, taken_at, [taken])
            anip.notes += 1
            anip.append(
                anip._note(),
                (AttachmentKind.FRAME, frame.encode()),
                (AttachmentKind.RECEIPT, _receipt(said_at, taken_at, taken_head, taken)),
            )
            anip.sign(self.mark)
        return Exchanged(asked.exchange or "", asked, said)

    def stream(self, **request: Any) -> Talk:
        """The begin of a call of several segments: its first request segment, with one message, said and taken."""
        return Talk(self, request)

    def refuse_at_home(self) -> str:
        """PNS refuses a call of its own program: one said leaf, no agreement, no peer."""
        statement = msgspec.structs.replace(
            self._request(()),
            kind="refusal",
            to=None,
            agreement=None,
            payloads=[],
            status=7,
            reason="NO_AGREEMENT",
            delivery="not_sent",
        )
        self.pns.append(said_leaf(self.pns.log.log_id, encode_statement(statement)))
        self.pns.sign(self.mark)
        return statement.exchange or ""

    def _payloads(self, text: str, count: int) -> tuple[Payload, ...]:
        """Of a request two, of a response three: metadata at the begin, and at the end of a response."""
        return tuple(
            (
                hashlib.sha256(f"{text}{self.count}{number}".encode()).digest()[:16],
                0,
                f"{text} {number}".encode() if number == 1 else b"",
            )
            for number in range(count)
        )

    def _request(self, payloads: tuple[Payload, ...], **fields: Any) -> Statement:
        self.count += 1
        terms = self.agreement
        found = Statement(
            v=1,
            kind="request",
            from_=self.pns.log.log_id,
            to=self.anip.log.log_id,
            exchange=new_exchange_id(self.clock.now_ms(), self.count.to_bytes(10, "big")),
            reference=None,
            attempt=1,
            previous=None,
            sequence=0,
            final=True,
            client=CLIENT,
            service=PROVIDER,
            method=METHOD,
            represented=None,
            purpose="P01",
            issue="ACT-202611-0001",
            user=User("agent-7", "claimed"),
            caller="mtls:" + "A" * 43,
            door="grpc",
            agreement=AgreementMark(terms.id, terms.version, digest(msgspec.json.encode(terms))),
            configuration=self.mark,
            descriptors="d" * 64,
            issued_at=self.clock.now_ms(),
            deadline_us=None,
            encoding="identity",
            payloads=[payload_digest(*one) for one in payloads],
            nonce=f"{self.count:032x}",
        )
        return msgspec.structs.replace(found, **fields)

    def _answer(self, asked: Statement, request: str, kept: tuple[Payload, ...], **fields: Any) -> Statement:
        found = msgspec.structs.replace(
            asked,
            kind="response",
            from_=self.anip.log.log_id,
            to=self.pns.log.log_id,
            payloads=[payload_digest(*one) for one in kept],
            request=request,
            heard=0,
            status=0,
        )
        return msgspec.structs.replace(found, **fields)

    @staticmethod
    def _heard(
        role: Any, peer: Side, index: int, leaf: bytes, head: bytes, annex: str | None = None
    ) -> Heard:
        hashed = leaf_hash(leaf).hex()
        return Heard(1, role, peer.log.log_id, index, hashed, head_digest(head), "taken", annex)

    def member_documents(self) -> list[MemberDocument]:
        """Both members' documents."""
        return [self.pns.member.document, self.anip.member.document]


class Talk:
    """A call between PNS and ANIP, segment by segment, as both logs hold it; each side's records reach the other.

    What is said is heard at once, unless ``heard`` is ``None``; the receipt lies beside the sayer's next leaf.
    """

    def __init__(self, country: EvidenceCountry, request: dict[str, Any]) -> None:
        self._country = country
        self.request: Statement | None = None
        self.name = ""
        self.asked = self.answered = 0
        # Of both ways, segments that the other side took.
        self.taken = {"request": 0, "response": 0}
        self.statements: list[Statement] = []
        self.ask(**({"final": False} | request))

    @property
    def id(self) -> str:
        """The exchange."""
        return self.statements[0].exchange or ""

    def ask(
        self, messages: int = 1, *, final: bool = False, heard: str | None = "taken", **fields: Any
    ) -> None:
        """PNS says the next request segment."""
        number = self.asked
        payloads = self._payloads("asked", number, messages)
        if self.request is None:
            said = self._country._request(payloads, final=final, **fields)
        else:
            values = {"sequence": number, "final": final, "request": self.name}
            said = self._of(payloads, **(values | fields))
        self.asked += 1
        hashed = self._say(self._country.pns, self._country.anip, said, payloads, heard)
        if self.request is None:
            self.request, self.name = said, hashed

    def answer(
        self,
        messages: int = 1,
        *,
        final: bool = False,
        heard: str | None = "taken",
        handed: int | None = None,
        payloads_of: tuple[bytes, ...] = (),
        **fields: Any,
    ) -> None:
        """ANIP says the next response segment; by default it handed on all that it took.

        ``payloads_of`` are the bytes of payloads that are to be otherwise.
        """
        number = self.answered
        payloads = self._payloads("answered", number, messages, final=final)
        if payloads_of:
            payloads = tuple((bytes([at] * 16), 0, body) for at, body in enumerate(payloads_of))
        values = {"kind": "response", "sequence": number, "final": final, "status": 0 if final else None}
        self.answered += 1
        said = self._by_anip(payloads, handed, **(values | fields))
        self._say(self._country.anip, self._country.pns, said, payloads, heard)

    def refuse(
        self,
        reason: str = "INTERRUPTED",
        *,
        heard: str | None = "taken",
        handed: int | None = None,
        is_unknown: bool = False,
        **fields: Any,
    ) -> None:
        """ANIP ends it by a refusal; with ``is_unknown`` it names no segment."""
        values: dict[str, Any] = {"kind": "refusal", "final": True, "status": 14, "reason": reason}
        if is_unknown:
            values |= {"heard": None}
        said = self._by_anip((), handed, **(values | {"delivery": "delivered"} | fields))
        self._say(self._country.anip, self._country.pns, said, (), heard)

    def end(
        self,
        kind: str = "cancel",
        *,
        heard: str | None = "taken",
        handed: int | None = None,
        is_unknown: bool = False,
        **fields: Any,
    ) -> None:
        """PNS ends it; by default its program has all that was taken; with ``is_unknown`` it names no segment."""
        if handed is None and not is_unknown and self.taken["response"]:
            handed = self.taken["response"] - 1
        values: dict[str, Any] = {"kind": kind, "final": True, "request": self.name, "heard": handed}
        said = self._of((), **(values | {"delivery": "unknown"} | fields))
        self._say(self._country.pns, self._country.anip, said, (), heard)

    def settle(self) -> None:
        """What was learnt last becomes durable on both sides, beside a note."""
        for side in (self._country.pns, self._country.anip):
            if side.beside:
                side.note()
            side.sign(self._country.mark)

    def _by_anip(self, payloads: tuple[Payload, ...], handed: int | None, **fields: Any) -> Statement:
        values: dict[str, Any] = {
            "from_": self._country.anip.log.log_id,
            "to": self._country.pns.log.log_id,
            "request": self.name,
            "heard": self.taken["request"] - 1 if handed is None else handed,
        }
        return self._of(payloads, **(values | fields))

    def _of(self, payloads: tuple[Payload, ...], **fields: Any) -> Statement:
        if self.request is None:
            raise ValueError("a call begins with a request")
        self._country.count += 1
        values: dict[str, Any] = {
            "payloads": [payload_digest(*one) for one in payloads],
            "nonce": f"{self._country.count:032x}",
            "issued_at": self._country.clock.now_ms(),
        }
        return msgspec.structs.replace(self.request, **(values | fields))

    def _payloads(self, text: str, number: int, messages: int, *, final: bool = False) -> tuple[Payload, ...]:
        """Messages, with metadata before those of segment 0 and behind those of a final response."""
        bodies = [b""] * (number == 0) + [f"{text} {number} {at}".encode() for at in range(messages)]
        return tuple(
            (hashlib.sha256(f"{text}{number}{at}".encode()).digest()[:16], 0, body)
            for at, body in enumerate(bodies + [b""] * final)
        )

    def _say(
        self, sayer: Side, hearer: Side, said: Statement, payloads: tuple[Payload, ...], heard: str | None
    ) -> str:
        """One statement, its record, and its receipt; returns its leaf hash."""
        self.statements.append(said)
        if said.kind in self.taken:
            self.taken[said.kind] += heard == "taken"
        mark, body = self._country.mark, encode_statement(said)
        leaf = said_leaf(sayer.log.log_id, body)
        kept = encode_payloads(payloads) if payloads else None
        said_at = sayer.append(leaf, body=kept)
        if heard is not None:
            head = sayer.sign(mark)
            frame = hearer.frame(sayer, head, said_at, [leaf])
            role: Role = "response" if said.kind in ANSWERS else "request"
            hashed, digested = leaf_hash(leaf).hex(), head_digest(head)
            record = heard_leaf(
                hearer.log.log_id,
                Heard(1, role, sayer.log.log_id, said_at, hashed, digested, heard, None),
            )
            statement, framed = (AttachmentKind.STATEMENT, body), (AttachmentKind.FRAME, frame.encode())
            heard_at = hearer.append(record, statement, framed, body=kept)
            back = hearer.sign(mark)
            framed_back = sayer.frame(hearer, back, heard_at, [record])
            sayer.beside += [
                (AttachmentKind.FRAME, framed_back.encode()),
                (AttachmentKind.RECEIPT, _receipt(said_at, heard_at, back, record)),
            ]
        return leaf_hash(leaf).hex()


def gather_evidence(gateway: Path, exchange: str, *, open_bodies: BodyOpener | None = None) -> Parts:
    """All parts of the evidence of ``exchange`` at once, by path."""
    return dict(Evidence(gateway, exchange).parts(open_bodies))


def _receipt(own_index: int, peer_index: int, head: bytes, leaf: bytes) -> bytes:
    body = leaf.split(b"\n", 2)[2]
    return ReceiptRecord(own_index, peer_index, head_digest(head), body).encode()


def _raise(error: BaseException) -> None:
    raise error
