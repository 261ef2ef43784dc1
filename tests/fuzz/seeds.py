"""Inputs to start from: good ones of our own making, and the vectors of malformations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from core.agreements import Agreement, Bilingual, Party
from core.configuration import (
    AgreementEntry,
    Authorities,
    CommonDocument,
    CurrentConfiguration,
    MemberDocument,
    MemberKey,
    ProgramEntry,
    Purpose,
    RegistrationEntry,
    RegistryParty,
    ServiceEntry,
    ServiceMethod,
)
from core.documents import encode
from core.frames import FrameRecord, FrameRun
from core.heads import ConfigurationMark, TreeHead, b64url
from core.jws import DocumentKind
from core.leaves import Genesis, Heard, Note, RegistryChange, Succession
from core.merkle import Edge, leaf_hash
from core.official import OfficialClaims
from core.pseudonyms import PseudonymKey, annex_of
from core.registrations import MemberSuccessor, RegisteredCertificate, RegisteredLog, Registration
from core.statements import AgreementMark, Cut, Statement, User
from pki.documents import sign_document
from pki.heads import HeadSigner
from pki.keys import certificate_thumbprint, chain_pem, key_thumbprint, public_key_pem, sign_es256
from tests.support.certificates import NOW, Country

VECTORS = Path(__file__).parents[1] / "vectors"
LOG, PEER = "ab" * 32, "cd" * 32
# Nesting and numbers that recursive and fixed-size readers fall for.
HOSTILE_JSON = (
    b"[" * 3000,
    b'{"a":' * 3000,
    b'{"v":' + b"[" * 100_000,
    b'{"v":1e999}',
    b'{"v":%s}' % (b"9" * 5000),
    b'{"v":NaN}',
    b'"\\ud800"',
    b'{"v":1,"v":1}',
    b"\xff\xfe{}",
    b"",
    b"null",
)


@cache
def country() -> Country:
    return Country()


def vectors(kind: str, *, is_hex: bool = False) -> list[bytes]:
    """The malformed inputs of one kind."""
    found: dict[str, str] = json.loads((VECTORS / f"malformed_{kind}.json").read_text("utf-8"))
    return [bytes.fromhex(text) if is_hex else text.encode("latin-1") for text in found.values()]


def statement(**changes: Any) -> Statement:
    values: dict[str, Any] = {
        "v": 1,
        "kind": "request",
        "from_": LOG,
        "to": PEER,
        "exchange": "01920000-0000-7000-8000-000000000000",
        "reference": "REF-1",
        "attempt": 1,
        "previous": None,
        "sequence": 0,
        "final": True,
        "client": "BJ/GOV/PNS/PORTAIL",
        "service": "BJ/GOV/ANIP/RNPP",
        "method": "bj.identity.v1.IdentityService/GetPerson",
        "represented": None,
        "purpose": "P01",
        "issue": "ACT-202611-0001",
        "user": User("agent-7", "claimed"),
        "caller": "mtls:" + "A" * 43,
        "door": "grpc",
        "agreement": AgreementMark("CV-0042", 1, "d" * 64),
        "configuration": ConfigurationMark(12, "e" * 64),
        "descriptors": "f" * 64,
        "issued_at": 1_790_000_000_000,
        "deadline_us": 3_000_000,
        "encoding": "identity",
        "payloads": ["1" * 64],
        "nonce": "0" * 32,
    }
    return Statement(**(values | changes))


def statements() -> list[Statement]:
    answer = {"request": "2" * 64, "heard": 0, "status": 0, "from_": PEER, "to": LOG}
    return [
        statement(),
        statement(kind="response", **answer),
        statement(kind="response", cut=Cut("3" * 64, 2, "4" * 64), records=1, sensitivity="C2", **answer),
        statement(
            kind="refusal",
            payloads=[],
            to=None,
            agreement=None,
            status=7,
            reason="NO_AGREEMENT",
            delivery="not_sent",
        ),
    ]


def heard() -> Heard:
    return Heard(1, "request", PEER, 3, "5" * 64, "6" * 64, "refused:NO_AGREEMENT", "7" * 64)


def annex() -> bytes:
    return annex_of(PseudonymKey(2026, bytes(32)), [b"0000000001", b"0000000002"], complete=True)


def genesis(succeeds: Succession | None = None) -> Genesis:
    return Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "0" * 32, succeeds)


def note() -> Note:
    return Note(1, "0" * 32, 1_790_000_000_000, "receipts-kept", "", 3)


def change() -> RegistryChange:
    return RegistryChange(
        1, "0" * 32, 1_790_000_000_000, "agreement-concluded", ["BJ/GOV/ASIN/a"], "CV-0042", None
    )


def agreement() -> Agreement:
    key = key_thumbprint(country().leaf_key.public_key())
    return Agreement(
        v=1,
        id="CV-0042",
        version=1,
        supersedes=None,
        consumer=Party("BJ/GOV/PNS/PORTAIL", key),
        provider=Party("BJ/GOV/ANIP/RNPP", key),
        service="bj.identity.v1.IdentityService",
        methods=["GetPerson"],
        purposes=["P01"],
        issue_required=True,
        field_mask={"GetPerson": ["person.name"]},
        quota=None,
        represented_parties=["self"],
        allow_loopback=False,
        max_configuration_age_s=600,
        not_before="2026-01-01T00:00:00Z",
        not_after="2036-01-01T00:00:00Z",
        legal_basis=Bilingual("Décret 2020-209", "Decree 2020-209"),
        apdp_decision="APDP-1",
    )


def registration() -> Registration:
    def registered(certificate: Any, authority: Any) -> RegisteredCertificate:
        return RegisteredCertificate(
            certificate_thumbprint(certificate), chain_pem([certificate, authority]).decode()
        )

    found = country()
    return Registration(
        v=1,
        gateway="BJ/GOV/ANIP/gw1",
        serial=1,
        issued_at="2026-11-23T00:00:00Z",
        auth=[registered(found.auth.build(), found.auth_ca.build())],
        seal=[registered(found.seal.build(), found.seal_ca.build())],
        logs=[RegisteredLog(LOG, 0, "[2001:db8::1]:7444")],
    )


def official() -> OfficialClaims:
    """The claims of a document that an agency gave out."""
    return OfficialClaims(
        iss="BJ/GOV/ANDF/CADASTRE",
        doc_id="ANDF-CADASTRE-2026-00000001",
        type="TITLE_STATE",
        iat=1_790_000_000,
        exp=1_800_000_000,
        sha256="0" * 64,
        names=("ADJOVI Sènan",),
    )


def successor() -> MemberSuccessor:
    key = key_thumbprint(country().leaf_key.public_key())
    return MemberSuccessor(1, "BJ/GOV/ANIP", key, "B" * 43, "2026-11-23T00:00:00Z")


def document(kind: DocumentKind, payload: bytes) -> bytes:
    return sign_document(kind, payload, country().leaf_key).encode()


def caller_token() -> bytes:
    """A program's token, as any JWT library would make it."""
    key = country().leaf_key
    header = {"alg": "ES256", "typ": "caller+jwt", "kid": key_thumbprint(key.public_key())}
    claims = {
        "iss": "BJ/GOV/PNS/PORTAIL/web",
        "sub": "BJ/GOV/PNS/PORTAIL/web",
        "aud": "BJ/GOV/PNS/gw1",
        "iat": 1_790_000_000,
        "nbf": 1_790_000_000,
        "exp": 1_790_000_300,
        "jti": "0" * 16,
    }
    signing_input = b".".join(b64url(json.dumps(one).encode()) for one in (header, claims))
    return signing_input + b"." + b64url(sign_es256(key, signing_input))


def head(log: str = LOG, size: int = 3, root: str = "8" * 64) -> bytes:
    found = country()
    claims = TreeHead(
        1, log, "BJ/GOV/ANIP/gw1", size, root, int(NOW.timestamp()), ConfigurationMark(1, "9" * 64)
    )
    return HeadSigner(found.leaf_key, found.seal.build()).sign(claims)


@cache
def frame_record() -> FrameRecord:
    """Two leaves of a log of four, right up to the root."""
    leaves = [leaf_hash(bytes([number])) for number in range(4)]
    edge = Edge()
    edge.append_all(leaves)
    log = leaves[0].hex()
    signed = head(log, 4, edge.root().hex())
    return FrameRecord(log, 1, leaves[0], (FrameRun(2, leaves[1], leaves[2]),), leaves[3], signed)


def common() -> CommonDocument:
    found = country()
    pem = chain_pem([found.auth_ca.build()]).decode()
    return CommonDocument(
        v=1,
        instance="BJ",
        registry=RegistryParty("BJ/GOV/ASIN/registre", [], []),
        purposes=[Purpose("P01", Bilingual("Identité", "Identity"))],
        authorities=Authorities([pem], [chain_pem([found.seal_ca.build()]).decode()]),
        crls=[],
        personal_number_pattern="(?<![0-9])[0-9]{10}(?![0-9])",
    )


def member() -> MemberDocument:
    key = country().leaf_key.public_key()
    signed = document(DocumentKind.AGREEMENT, encode(agreement())).decode()
    return MemberDocument(
        v=1,
        member="BJ/GOV/ANIP",
        name=Bilingual("ANIP", "ANIP"),
        state="active",
        member_keys=[MemberKey(key_thumbprint(key), public_key_pem(key), "active")],
        successors=[document(DocumentKind.MEMBER_SUCCESSOR, encode(successor())).decode()],
        registrations=[
            RegistrationEntry(document(DocumentKind.REGISTRATION, encode(registration())).decode(), "active")
        ],
        subsystems=["RNPP"],
        services=[
            ServiceEntry(
                "BJ/GOV/ANIP/RNPP",
                "bj.identity.v1.IdentityService",
                "d" * 64,
                [ServiceMethod("GetPerson", False, False, True)],
                "active",
            )
        ],
        agreements=[AgreementEntry(signed, signed, "active", 1_790_000_000_000)],
    )


def current() -> CurrentConfiguration:
    return CurrentConfiguration(
        v=1,
        version=1,
        digest="a" * 64,
        fresh_at=1_790_000_000_000,
        expires_at=1_790_000_100_000,
        common=common(),
        members=[member()],
        programs=[ProgramEntry("BJ/GOV/ANIP/RNPP/gestion", "A" * 43, "active")],
    )


def encoded(*found: Any) -> list[bytes]:
    """Documents as bytes, and hostile JSON beside."""
    return [*map(encode, found), *HOSTILE_JSON]


def lines(*found: str) -> list[bytes]:
    return [one.encode() for one in found]


def all_of(*groups: Iterable[bytes]) -> list[bytes]:
    return [one for group in groups for one in group]
