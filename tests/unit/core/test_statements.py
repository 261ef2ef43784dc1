"""A statement has one meaning: its bytes. Whatever deviates from the one written form is refused (M15)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.heads import ConfigurationMark
from core.payloads import MAX_PAYLOADS
from core.reasons import Reason
from core.statements import (
    MAX_STATEMENT_BYTES,
    AgreementMark,
    Cut,
    MalformedStatementError,
    Statement,
    User,
    check_statement,
    encode_statement,
    parse_statement,
)

LOG = "a" * 64
PEER = "b" * 64
HASH = "c" * 64

REQUEST = Statement(
    v=1,
    kind="request",
    from_=LOG,
    to=PEER,
    exchange="0192f1a0-0000-7000-8000-000000000000",
    reference=None,
    attempt=1,
    previous=None,
    sequence=0,
    final=True,
    client="BJ/GOV/PNS/PORTAIL",
    service="BJ/GOV/ANIP/RNPP",
    method="bj.identity.v1.IdentityService/GetPerson",
    represented=None,
    purpose="P01",
    issue=None,
    user=None,
    caller="mtls:" + "A" * 43,
    door="grpc",
    agreement=AgreementMark("CV-0042", 1, HASH),
    configuration=ConfigurationMark(1, HASH),
    descriptors=None,
    issued_at=1_790_000_000_000,
    deadline_us=None,
    encoding=None,
    payloads=[HASH],
    nonce="0" * 32,
)
RESPONSE = msgspec.structs.replace(
    REQUEST, kind="response", from_=PEER, to=LOG, request=HASH, heard=0, status=0
)
REFUSAL = msgspec.structs.replace(
    RESPONSE, kind="refusal", status=7, reason="NO_AGREEMENT", delivery="not_sent", payloads=[]
)
HOME_REFUSAL = msgspec.structs.replace(
    REQUEST, kind="refusal", to=None, agreement=None, status=7, reason="NO_AGREEMENT", payloads=[]
)
SEGMENT = msgspec.structs.replace(REQUEST, sequence=3, final=False, request=HASH)
CANCEL = msgspec.structs.replace(REQUEST, kind="cancel", request=HASH, payloads=[])
KINDS = {
    "request": REQUEST,
    "segment": SEGMENT,
    "response": RESPONSE,
    "refusal": REFUSAL,
    "home": HOME_REFUSAL,
    "cancel": CANCEL,
}


def changed(statement: Statement, **fields: Any) -> Statement:
    return msgspec.structs.replace(statement, **fields)


def document(statement: Statement, **fields: Any) -> bytes:
    """The statement's JSON with members put in place as they are, whatever their type."""
    return json.dumps(json.loads(encode_statement(statement)) | fields, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_read_back(name: str) -> None:
    """The same values, the same bytes."""
    data = encode_statement(KINDS[name])

    assert parse_statement(data) == KINDS[name]
    assert encode_statement(parse_statement(data)) == data


def test_the_written_form_is_fixed() -> None:
    """Order of keys, no blanks: what other implementations must write."""
    data = encode_statement(REQUEST).decode()

    assert data.startswith(f'{{"v":1,"kind":"request","from":"{LOG}","to":"{PEER}","exchange":"0192f1a0-')
    assert data.endswith(
        '"nonce":"00000000000000000000000000000000","request":null,"heard":null,"status":null,"reason":null,'
        '"delivery":null,"cut":null,"records":null,"sensitivity":null,"fields":null}'
    )


OPTIONAL: dict[str, Any] = {
    "reference": "ref-1",
    "previous": HASH,
    "represented": "BJ/COM/BANK",
    "issue": "ACT-202611-0001",
    "user": User("agent-7", "verified"),
    "descriptors": HASH,
    "deadline_us": 0,
    "encoding": "gzip",
    "purpose": None,
    "records": 3,
    "sensitivity": "S2",
}


@pytest.mark.parametrize("name", OPTIONAL)
def test_every_optional_field_is_read_back(name: str) -> None:
    """Present and absent."""
    statement = changed(RESPONSE, **{name: OPTIONAL[name]})

    assert parse_statement(encode_statement(statement)) == statement


def test_cut_fields_are_told_in_a_response() -> None:
    """Mask, number and the digest of what the adapter said (M11)."""
    statement = changed(RESPONSE, encoding="identity", payloads=[HASH] * 3, cut=Cut(HASH, 2, HASH))

    assert parse_statement(encode_statement(statement)) == statement


@pytest.mark.parametrize("caller", ["jwt:" + "_" * 43, "mtls:" + "-" * 43, "loopback"])
def test_every_kind_of_caller_is_read_back(caller: str) -> None:
    """By certificate, by token, or through a loopback route."""
    statement = changed(REQUEST, caller=caller)

    assert parse_statement(encode_statement(statement)).caller == caller


MALFORMED: dict[str, Any] = {
    "version": {"v": 2},
    "unknown-kind": {"kind": "wish"},
    "log-short": {"from": "a" * 63},
    "log-upper-case": {"from": "A" * 64},
    "peer-malformed": {"to": "x"},
    "exchange-version-4": {"exchange": "0192f1a0-0000-4000-8000-000000000000"},
    "reference-blank": {"reference": "a b"},
    "attempt-zero": {"attempt": 0},
    "attempt-negative": {"attempt": -1},
    "attempt-huge": {"attempt": 2**63},
    "attempt-text": {"attempt": "1"},
    "attempt-float": {"attempt": 1.0},
    "attempt-boolean": {"attempt": True},
    "sequence-negative": {"sequence": -1},
    "sequence-huge": {"sequence": 2**64},
    "final-number": {"final": 1},
    "client-reserved": {"client": "BJ/GOV/PNS/registry"},
    "client-three-parts": {"client": "BJ/GOV/PNS"},
    "service-malformed": {"service": "BJ/GOV/ANIP/.."},
    "method-malformed": {"method": "IdentityService"},
    "purpose-malformed": {"purpose": "p1"},
    "issue-over-long": {"issue": "a" * 65},
    "user-handle": {"user": {"id": "Koffi ADJOVI", "basis": "claimed"}},
    "user-basis": {"user": {"id": "a", "basis": "guessed"}},
    "user-unknown-field": {"user": {"id": "a", "basis": "claimed", "name": "x"}},
    "caller-kind": {"caller": "password:x"},
    "caller-short": {"caller": "mtls:abc"},
    "door-malformed": {"door": "GRPC"},
    "agreement-id": {"agreement": {"id": "../x", "version": 1, "digest": HASH}},
    "agreement-version": {"agreement": {"id": "CV", "version": 0, "digest": HASH}},
    "agreement-version-huge": {"agreement": {"id": "CV", "version": 2**31, "digest": HASH}},
    "agreement-digest": {"agreement": {"id": "CV", "version": 1, "digest": "x"}},
    "configuration-version": {"configuration": {"version": 0, "digest": HASH}},
    "configuration-digest": {"configuration": {"version": 1, "digest": ""}},
    "descriptors-malformed": {"descriptors": "x"},
    "time-negative": {"issued_at": -1},
    "time-beyond-calendar": {"issued_at": 10**18},
    "deadline-negative": {"deadline_us": -1},
    "deadline-huge": {"deadline_us": 10**30},
    "encoding-malformed": {"encoding": "GZIP!"},
    "payload-malformed": {"payloads": ["x"]},
    "payloads-too-many": {"payloads": [HASH] * (MAX_PAYLOADS + 1)},
    "payloads-empty": {"payloads": []},
    "nonce-short": {"nonce": "0" * 31},
    "nonce-upper-case": {"nonce": "A" * 32},
    "reserved-fields": {"fields": []},
    "unknown-key": {"extra": None},
    "no-peer": {"to": None},
    "no-client": {"client": None},
    "no-agreement": {"agreement": None},
    "no-configuration": {"configuration": None},
    "request-with-status": {"status": 0},
    "request-with-request": {"request": HASH},
    "request-with-reason": {"reason": "NO_AGREEMENT"},
    "request-with-delivery": {"delivery": "not_sent"},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedStatementError) as refused:
        parse_statement(document(REQUEST, **MALFORMED[name]))

    assert refused.value.reason is Reason.STATEMENT_INVALID


def test_a_half_close_of_its_own_is_a_request_segment_without_payloads() -> None:
    """Segment 0 always has the initial metadata; a later one may have nothing but the end."""
    statement = changed(SEGMENT, payloads=[], final=True)

    assert parse_statement(encode_statement(statement)) == statement


@pytest.mark.parametrize("fields", [{"request": None}, {"payloads": []}, {"status": 0}, {"heard": 0}])
def test_malformed_later_segments_are_refused(fields: dict[str, Any]) -> None:
    """Each names segment 0, and says something."""
    with pytest.raises(MalformedStatementError):
        parse_statement(document(SEGMENT, **fields))


MALFORMED_ANSWERS: dict[str, tuple[Statement, dict[str, Any]]] = {
    "response-to-nothing": (RESPONSE, {"request": None}),
    "response-to-nobody": (RESPONSE, {"to": None}),
    "response-without-status": (RESPONSE, {"status": None}),
    "response-without-heard": (RESPONSE, {"heard": None}),
    "response-heard-negative": (RESPONSE, {"heard": -1}),
    "response-with-reason": (RESPONSE, {"reason": "NO_AGREEMENT"}),
    "response-status-17": (RESPONSE, {"status": 17}),
    "response-status-negative": (RESPONSE, {"status": -1}),
    "response-records-negative": (RESPONSE, {"records": -1}),
    "response-sensitivity": (RESPONSE, {"sensitivity": "S9"}),
    "response-cut-mask": (RESPONSE, {"cut": {"mask": "x", "count": 1, "original": HASH}}),
    "response-cut-count": (RESPONSE, {"cut": {"mask": HASH, "count": -1, "original": HASH}}),
    "refusal-without-reason": (REFUSAL, {"reason": None}),
    "refusal-unknown-reason": (REFUSAL, {"reason": "BECAUSE"}),
    "refusal-without-status": (REFUSAL, {"status": None}),
    "refusal-delivery": (REFUSAL, {"delivery": "perhaps"}),
    "refusal-of-nothing": (REFUSAL, {"request": None}),
    "cancel-of-nothing": (CANCEL, {"request": None}),
    "cancel-of-malformed": (CANCEL, {"request": "x"}),
}


@pytest.mark.parametrize("name", MALFORMED_ANSWERS)
def test_malformed_answers_are_refused(name: str) -> None:
    """What each kind must and must not say."""
    statement, fields = MALFORMED_ANSWERS[name]

    with pytest.raises(MalformedStatementError):
        parse_statement(document(statement, **fields))


GOOD = encode_statement(REQUEST)
OTHER_FORMS: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "blank-behind": GOOD + b" ",
    "blank-before": b" " + GOOD,
    "line-feed": GOOD + b"\n",
    "blank-inside": GOOD.replace(b'"v":1', b'"v": 1'),
    "byte-order-mark": b"\xef\xbb\xbf" + GOOD,
    "escaped-letter": GOOD.replace(b'"P01"', b'"\\u005001"'),
    "escaped-slash": GOOD.replace(b"BJ/GOV/PNS", b"BJ\\/GOV\\/PNS"),
    "duplicate-key": GOOD.replace(b'"v":1', b'"v":1,"v":1'),
    "other-order": GOOD.replace(b'"v":1,"kind":"request"', b'"kind":"request","v":1'),
    "number-form": GOOD.replace(b'"attempt":1', b'"attempt":1.0'),
    "number-exponent": GOOD.replace(b'"attempt":1', b'"attempt":1e0'),
    "number-minus-zero": GOOD.replace(b'"sequence":0', b'"sequence":-0'),
    "field-left-out": GOOD.replace(b',"fields":null', b""),
    "cut-short": GOOD[:-1],
    "two-statements": GOOD + GOOD,
    "latin-1": GOOD.replace(b"P01", b"P\xe91"),
    "utf-8": GOOD.replace(b"P01", "Pé1".encode()),
    "invalid-utf-8": GOOD.replace(b"P01", b"\xff\xfe1"),
    "delete-character": GOOD.replace(b"P01", b"P0\x7f"),
    "nul": GOOD.replace(b"P01", b"P0\x00"),
    "over-long": GOOD + b" " * MAX_STATEMENT_BYTES,
    "nested": b"[" * 5000,
    "huge-number": GOOD.replace(b'"attempt":1', b'"attempt":1' + b"0" * 5000),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_every_other_form_of_the_same_is_refused(name: str) -> None:
    """Not canonical means not a statement."""
    with pytest.raises(MalformedStatementError):
        parse_statement(OTHER_FORMS[name])


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_mutated_bytes_are_refused_or_identical(data: st.DataObject, name: str) -> None:
    """Replace, insert or delete bytes anywhere: what is still read re-encodes to exactly those bytes."""
    original = encode_statement(KINDS[name])
    at = data.draw(st.integers(0, len(original) - 1))
    cut = data.draw(st.integers(0, 3))
    mutated = original[:at] + data.draw(st.binary(max_size=3)) + original[at + cut :]

    try:
        found = parse_statement(mutated)
    except MalformedStatementError:
        return

    assert encode_statement(found) == mutated


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    """Nothing but the one error."""
    with pytest.raises(MalformedStatementError):
        parse_statement(data)


def test_what_would_be_refused_can_be_checked_before_it_is_said() -> None:
    """The same grammar on the way out."""
    check_statement(REQUEST)

    with pytest.raises(MalformedStatementError):
        check_statement(changed(REQUEST, purpose="nothing"))
