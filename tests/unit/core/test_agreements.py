"""Agreements, registrations, successions and configuration: complete as documents, strict in every value (M8)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from core.agreements import Agreement, Bilingual, Party, Quota, parse_agreement
from core.configuration import MemberDocument, descriptors_target, member_target
from core.documents import MalformedDocumentError, decode_strict, encode
from core.identifiers import MemberId
from core.reasons import MalformedError
from core.registrations import (
    MAX_LOGS,
    MemberSuccessor,
    RegisteredCertificate,
    RegisteredLog,
    Registration,
    parse_address,
    parse_registration,
    parse_successor,
)

KEY = "K" * 43
OTHER_KEY = "L" * 43
DIGEST = "a" * 64

AGREEMENT = Agreement(
    v=1,
    id="CV-0042",
    version=1,
    supersedes=None,
    consumer=Party("BJ/GOV/PNS/PORTAIL", KEY),
    provider=Party("BJ/GOV/ANIP/RNPP", OTHER_KEY),
    service="bj.identity.v1.IdentityService",
    methods=["GetPerson", "VerifyPerson"],
    purposes=["P01", "P02"],
    issue_required=True,
    field_mask={"GetPerson": ["last_name", "birth.date"]},
    quota=Quota(1000, 3600),
    represented_parties=["BJ/COM/BANK"],
    allow_loopback=False,
    max_configuration_age_s=600,
    not_before="2026-01-01T00:00:00Z",
    not_after="2027-01-01T00:00:00Z",
    legal_basis=Bilingual("décret", "decree"),
    apdp_decision="APDP-2026-17",
)
REGISTRATION = Registration(
    v=1,
    gateway="BJ/GOV/ANIP/gw1",
    serial=1,
    issued_at="2026-11-23T00:00:00Z",
    auth=[RegisteredCertificate("A" * 43, "pem")],
    seal=[RegisteredCertificate("B" * 43, "pem")],
    logs=[RegisteredLog(DIGEST, 0, "127.0.0.1:7444")],
)
SUCCESSOR = MemberSuccessor(1, "BJ/GOV/ANIP", KEY, OTHER_KEY, "2026-11-23T00:00:00Z")


def changed(document: msgspec.Struct, **fields: Any) -> bytes:
    return json.dumps(json.loads(encode(document)) | fields).encode()


def test_a_complete_agreement_is_read() -> None:
    """With every term, those not yet enforced included."""
    assert parse_agreement(encode(AGREEMENT)) == AGREEMENT


def test_a_bare_agreement_is_read() -> None:
    """What may be absent is null, never left out."""
    bare = msgspec.structs.replace(
        AGREEMENT,
        purposes=[],
        field_mask=None,
        quota=None,
        represented_parties=None,
        max_configuration_age_s=None,
        apdp_decision=None,
    )

    assert parse_agreement(encode(bare)) == bare


def test_an_amendment_names_what_it_supersedes() -> None:
    """By the digest of its payload."""
    second = msgspec.structs.replace(AGREEMENT, version=2, supersedes=DIGEST)

    assert parse_agreement(encode(second)) == second


AGREEMENTS: dict[str, dict[str, Any]] = {
    "version-of-form": {"v": 2},
    "version-zero": {"version": 0},
    "version-huge": {"version": 2**31, "supersedes": DIGEST},
    "id-empty": {"id": ""},
    "id-path": {"id": "../CV"},
    "id-over-long": {"id": "A" * 65},
    "first-supersedes": {"supersedes": DIGEST},
    "second-supersedes-nothing": {"version": 2},
    "supersedes-malformed": {"version": 2, "supersedes": "x"},
    "consumer-is-member": {"consumer": {"subsystem": "BJ/GOV/PNS", "member_key": KEY}},
    "consumer-key": {"consumer": {"subsystem": "BJ/GOV/PNS/PORTAIL", "member_key": "short"}},
    "provider-reserved": {"provider": {"subsystem": "BJ/GOV/ANIP/registry", "member_key": KEY}},
    "provider-unknown-key": {"provider": {"subsystem": "BJ/GOV/ANIP/RNPP", "member_key": KEY, "x": 1}},
    "service-malformed": {"service": "IdentityService"},
    "no-methods": {"methods": []},
    "method-twice": {"methods": ["GetPerson", "GetPerson"]},
    "method-malformed": {"methods": ["get_person"]},
    "purpose-twice": {"purposes": ["P01", "P01"]},
    "purpose-malformed": {"purposes": ["p1"]},
    "mask-of-other-method": {"field_mask": {"Delete": ["a"]}},
    "mask-empty": {"field_mask": {"GetPerson": []}},
    "mask-malformed": {"field_mask": {"GetPerson": ["lastName.*"]}},
    "quota-zero": {"quota": {"calls": 0, "period_s": 1}},
    "quota-period": {"quota": {"calls": 1, "period_s": 0}},
    "represented-malformed": {"represented_parties": ["a b"]},
    "age-too-short": {"max_configuration_age_s": 59},
    "ends-before-it-begins": {"not_after": "2025-01-01T00:00:00Z"},
    "ends-when-it-begins": {"not_after": "2026-01-01T00:00:00Z"},
    "time-malformed": {"not_before": "2026-01-01"},
    "no-legal-basis": {"legal_basis": {"fr": " ", "en": "law"}},
    "legal-basis-in-one-language": {"legal_basis": {"fr": "loi"}},
    "unknown-term": {"price": 1},
    "flag-as-number": {"issue_required": 1},
}


@pytest.mark.parametrize("name", AGREEMENTS)
def test_malformed_agreements_are_refused(name: str) -> None:
    """A term that is not understood refuses the whole: it is never ignored."""
    with pytest.raises(MalformedDocumentError):
        parse_agreement(changed(AGREEMENT, **AGREEMENTS[name]))


def test_a_term_left_out_is_refused() -> None:
    """Silence is no grant."""
    for name in json.loads(encode(AGREEMENT)):
        shorter = json.loads(encode(AGREEMENT))
        del shorter[name]
        with pytest.raises(MalformedDocumentError):
            parse_agreement(json.dumps(shorter).encode())


def test_a_registration_is_read() -> None:
    """Gateway, certificates, logs."""
    assert parse_registration(encode(REGISTRATION)) == REGISTRATION


REGISTRATIONS: dict[str, dict[str, Any]] = {
    "version-of-form": {"v": 0},
    "gateway-malformed": {"gateway": "BJ/GOV/ANIP"},
    "serial-zero": {"serial": 0},
    "time-malformed": {"issued_at": "today"},
    "no-auth": {"auth": []},
    "no-seal": {"seal": []},
    "no-logs": {"logs": []},
    "auth-thumbprint": {"auth": [{"thumbprint": "x", "chain": "pem"}]},
    "empty-chain": {"seal": [{"thumbprint": "B" * 43, "chain": ""}]},
    "one-certificate-for-both": {"auth": [{"thumbprint": "B" * 43, "chain": "pem"}]},
    "log-malformed": {"logs": [{"id": "x", "worker": 0, "address": "a:1"}]},
    "log-twice": {"logs": [{"id": DIGEST, "worker": 0, "address": "a:1"}] * 2},
    "too-many-logs": {
        "logs": [{"id": f"{n:064x}", "worker": n, "address": "a:1"} for n in range(MAX_LOGS + 1)]
    },
    "worker-negative": {"logs": [{"id": DIGEST, "worker": -1, "address": "a:1"}]},
    "address-malformed": {"logs": [{"id": DIGEST, "worker": 0, "address": "a"}]},
    "unknown-key": {"note": ""},
}


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_malformed_registrations_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedDocumentError):
        parse_registration(changed(REGISTRATION, **REGISTRATIONS[name]))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7444", "127.0.0.1", 7444),
        ("gw1.anip.bj:1", "gw1.anip.bj", 1),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_addresses_are_taken_apart(text: str, host: str, port: int) -> None:
    """Names, IPv4, IPv6 in brackets."""
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", "host", ":1", "host:", "host:0", "host:65536", "host:1:2", "::1:1", "http://host:1", "ho st:1", "-x:1",
     "host:1\n", "user@host:1", "host/x:1", "[::1]", "[::1:1", "host:٣"],
)  # fmt: skip
def test_malformed_addresses_are_refused(text: str) -> None:
    """Nothing that a dialler could take for something else."""
    with pytest.raises(MalformedError):
        parse_address(text)


def test_a_succession_is_read() -> None:
    """The old key names the new one."""
    assert parse_successor(encode(SUCCESSOR)) == SUCCESSOR


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"member": "BJ/GOV"},
        {"old_key": "x"},
        {"new_key": "x"},
        {"new_key": KEY},
        {"issued_at": "x"},
        {"extra": 1},
    ],
    ids=str,
)
def test_malformed_successions_are_refused(fields: dict[str, Any]) -> None:
    """No key succeeds itself."""
    with pytest.raises(MalformedDocumentError):
        parse_successor(changed(SUCCESSOR, **fields))


def test_targets_have_names_without_slashes_of_members() -> None:
    """One file per member, one per descriptor set."""
    assert member_target(MemberId.parse("BJ/GOV/ANIP")) == "members/BJ.GOV.ANIP.json"
    assert descriptors_target(DIGEST) == f"descriptors/{DIGEST}.binpb"


def test_a_member_document_with_an_unknown_state_is_refused() -> None:
    """A state that is not understood cannot be enforced."""
    document = MemberDocument(1, "BJ/GOV/ANIP", Bilingual("a", "b"), "active", [], [], [], [], [], [])

    assert decode_strict(encode(document), MemberDocument) == document
    with pytest.raises(MalformedDocumentError):
        decode_strict(changed(document, state="dormant"), MemberDocument)
