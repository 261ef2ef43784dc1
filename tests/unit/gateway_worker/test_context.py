"""Metadata at the borders: claims read strictly, reserved names stripped and written anew (invariant 7, M13)."""

from __future__ import annotations

import re

import pytest

from core.reasons import Reason
from core.statements import User
from gateway.worker.context import caller_context, has_personal_number, passed_on, read_claims
from tests.support.worker_country import statement

TEN_DIGITS = re.compile("(?<![0-9])[0-9]{10}(?![0-9])")
CALL = (
    (b"x-road-client", b"BJ/GOV/PNS/PORTAIL"),
    (b"x-road-service", b"BJ/GOV/ANIP/RNPP"),
    (b"x-road-purpose", b"P01"),
    (b"x-road-issue", b"ACT-202611-0001"),
    (b"x-road-userid", b"agent-7"),
    (b"x-road-id", b"ref-1"),
    (b"x-road-represented-party", b"BANK"),
)


def test_claims_are_read() -> None:
    """Every name of the X-Road REST protocol, plus purpose."""
    claims = read_claims(CALL, TEN_DIGITS)

    assert claims.objection is None
    assert (claims.client, claims.service, claims.purpose) == (
        "BJ/GOV/PNS/PORTAIL",
        "BJ/GOV/ANIP/RNPP",
        "P01",
    )
    assert (claims.issue, claims.reference, claims.represented) == ("ACT-202611-0001", "ref-1", "BANK")
    assert claims.user == User("agent-7", "claimed")


def test_only_the_client_must_be_told() -> None:
    """The rest depends on the agreement."""
    assert read_claims(CALL[:1], TEN_DIGITS).objection is None
    assert read_claims(CALL[1:], TEN_DIGITS).objection is Reason.METADATA_INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-road-client", b"BJ/GOV/PNS"),
        (b"x-road-client", b""),
        (b"x-road-service", b"BJ/GOV/ANIP/../x"),
        (b"x-road-purpose", b"p01"),
        (b"x-road-issue", b"a b"),
        (b"x-road-issue", b"a" * 65),
        (b"x-road-userid", b"Koffi ADJOVI"),
        (b"x-road-userid", b"ad\xc3\xa9"),
        (b"x-road-id", b"\x00"),
        (b"x-road-represented-party", b""),
    ],
)
def test_malformed_claims_are_objected_to_and_not_kept(name: bytes, value: bytes) -> None:
    """A refused value is never logged (M2)."""
    claims = read_claims([*(one for one in CALL if one[0] != name), (name, value)], TEN_DIGITS)

    assert claims.objection is Reason.METADATA_INVALID
    kept = {
        b"x-road-client": claims.client,
        b"x-road-service": claims.service,
        b"x-road-purpose": claims.purpose,
        b"x-road-issue": claims.issue,
        b"x-road-userid": claims.user,
        b"x-road-id": claims.reference,
        b"x-road-represented-party": claims.represented,
    }
    assert kept[name] is None


def test_a_claim_twice_is_objected_to() -> None:
    """Nobody guesses which one was meant."""
    claims = read_claims([*CALL, (b"x-road-purpose", b"P02")], TEN_DIGITS)

    assert claims.objection is Reason.METADATA_INVALID


@pytest.mark.parametrize(
    "name", [b"x-road-issue", b"x-road-userid", b"x-road-id", b"x-road-represented-party"]
)
@pytest.mark.parametrize("value", [b"0123456789", b"npi:0123456789", b"a-0123456789-b"])
def test_personal_numbers_are_objected_to_and_not_kept(name: bytes, value: bytes) -> None:
    """A run of exactly ten digits, wherever it stands (M13)."""
    claims = read_claims([*(one for one in CALL if one[0] != name), (name, value)], TEN_DIGITS)

    assert claims.objection is Reason.PERSONAL_NUMBER_IN_METADATA
    assert value.decode() not in repr(claims)


@pytest.mark.parametrize("value", [b"012345678", b"01234567890", b"ACT-202611-0001", b"012345-6789"])
def test_other_runs_of_digits_are_no_personal_number(value: bytes) -> None:
    """Nine, eleven, or broken up."""
    assert read_claims([*CALL[:3], (b"x-road-issue", value)], TEN_DIGITS).issue == value.decode()


def test_unknown_reserved_names_are_ignored_and_never_passed_on() -> None:
    """A program cannot forge what the provider's gateway tells the adapter."""
    forged = [*CALL, (b"x-road-exchange-id", b"x"), (b"x-road-agreement", b"y"), (b"x-trace", b"z")]

    assert read_claims(forged, TEN_DIGITS).objection is None
    assert passed_on(forged) == ((b"x-trace", b"z"),)


@pytest.mark.parametrize(
    "name",
    [
        b"te",
        b"content-type",
        b"grpc-timeout",
        b"grpc-encoding",
        b"authorization",
        b"connection",
        b"host",
        b"cookie",
        b"proxy-authorization",
        b"forwarded",
        b"x-forwarded-client-cert",
        b"x-forwarded-for-bin",
        b"x_forwarded_for",
        b"x_road_client",
        b"x-road-bin",
        b"x_road_bin",
        b"x-forwarded-bin",
        b"x-road_client-bin",
    ],
)
def test_what_belongs_to_the_hop_or_the_door_stays_there(name: bytes) -> None:
    """Credentials are consumed and never travel."""
    assert passed_on([(name, b"x"), (b"mine-bin", b"\x00")]) == ((b"mine-bin", b"\x00"),)


@pytest.mark.parametrize(
    "fields",
    [
        {"reference": "0123456789"},
        {"issue": "d-0123456789"},
        {"represented": "0123456789"},
        {"user": User("0123456789", "claimed")},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_peer_s_statement_is_looked_through_too(fields: dict[str, object]) -> None:
    """Its gateway should have refused; ours does not log it."""
    assert has_personal_number(statement(**fields), TEN_DIGITS)
    assert not has_personal_number(statement(), TEN_DIGITS)


def test_the_adapter_is_told_what_was_verified() -> None:
    """From the statement, not from the program's metadata."""
    found = dict(caller_context(statement(user=User("agent-7", "claimed"), reference="ref-1"), "f" * 64))

    assert found[b"x-road-client"] == b"BJ/GOV/PNS/PORTAIL"
    assert found[b"x-road-userid-basis"] == b"claimed"
    assert found[b"x-road-agreement"] == b"CV-0042/1"
    assert found[b"x-road-request-hash"] == b"f" * 64
    assert b"x-road-represented-party" not in found
    assert all(name.startswith(b"x-road-") for name in found)
