"""Identifiers: one written form each, strict ASCII, nothing that a path, a URL or a look-alike could bend."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import identifiers
from core.identifiers import (
    AnyId,
    GatewayId,
    MalformedIdentifierError,
    MemberId,
    MethodName,
    PersonId,
    ProgramId,
    RegistryId,
    ServiceName,
    SubsystemId,
)
from core.reasons import Reason

VECTORS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "malformed_identifiers.json").read_text("utf-8")
)

PARSERS: dict[str, Callable[[str], Any]] = {
    "member": MemberId.parse,
    "subsystem": SubsystemId.parse,
    "gateway": GatewayId.parse,
    "program": ProgramId.parse,
    "service": ServiceName.parse,
    "method": MethodName.parse,
    "log": identifiers.require_log_id,
    "purpose": identifiers.require_purpose,
    "handle": identifiers.require_handle,
    "exchange": identifiers.require_exchange_id,
    "urn": identifiers.parse_urn,
}

WRITTEN: list[tuple[Callable[[str], Any], str]] = [
    (MemberId.parse, "BJ/GOV/ANIP"),
    (MemberId.parse, "BJ/GOV/A-1"),
    (SubsystemId.parse, "BJ/GOV/PNS/PORTAIL"),
    (SubsystemId.parse, "BJ/COM/BANK1/core_v2.x-y"),
    (GatewayId.parse, "BJ/GOV/ANIP/gw1"),
    (RegistryId.parse, "BJ/GOV/ASIN/registre"),
    (PersonId.parse, "BJ/GOV/ASIN/operateur-1"),
    (ProgramId.parse, "BJ/GOV/PNS/PORTAIL/web"),
    (ServiceName.parse, "bj.identity.v1.IdentityService"),
    (MethodName.parse, "bj.identity.v1.IdentityService/GetPerson"),
]


@pytest.mark.parametrize(("parse", "text"), WRITTEN, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_written_is_read_back(parse: Callable[[str], Any], text: str) -> None:
    """The written form is the only form."""
    found = parse(text)

    assert str(found) == text
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, text) for kind, found in VECTORS.items() for text in found.values()],
    ids=[f"{kind}-{name}" for kind, found in VECTORS.items() for name in found],
)
def test_malformed_identifiers_are_refused(kind: str, text: str) -> None:
    """Each vector by the one error, which shows what was refused as ASCII and shortened."""
    with pytest.raises(MalformedIdentifierError) as refused:
        PARSERS[kind](text)

    assert refused.value.reason is Reason.IDENTIFIER_INVALID
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 400


def test_owned_names_know_their_member() -> None:
    """A subsystem and a gateway lead to the member; a program to its subsystem."""
    member = MemberId.parse("BJ/GOV/ANIP")

    assert SubsystemId.parse("BJ/GOV/ANIP/RNPP").member == member
    assert GatewayId.parse("BJ/GOV/ANIP/gw1").member == member
    assert ProgramId.parse("BJ/GOV/ANIP/RNPP/batch").subsystem.member == member


def test_a_method_knows_its_path() -> None:
    """As HTTP/2 asks for it."""
    assert MethodName.parse("a.v1.S/Do").path == "/a.v1.S/Do"


def test_kinds_are_never_equal() -> None:
    """A gateway and a subsystem of the same letters are different things."""
    gateway: object = GatewayId.parse("BJ/GOV/ANIP/gw1")

    assert gateway != SubsystemId.parse("BJ/GOV/ANIP/gw1")


@pytest.mark.parametrize(
    ("kind", "identifier"),
    [
        ("member", MemberId.parse("BJ/GOV/ANIP")),
        ("gateway", GatewayId.parse("BJ/GOV/ANIP/gw1")),
        ("program", ProgramId.parse("BJ/GOV/PNS/PORTAIL/web")),
        ("adapter", SubsystemId.parse("BJ/GOV/ANIP/RNPP")),
        ("operator", PersonId.parse("BJ/GOV/ASIN/operateur-1")),
        ("auditor", PersonId.parse("BJ/GOV/ASIN/auditeur-1")),
        ("registry", RegistryId.parse("BJ/GOV/ASIN/registre")),
    ],
)
def test_a_urn_names_kind_and_identifier(kind: identifiers.UrnKind, identifier: AnyId) -> None:
    """What stands in certificates is read back as what it was (M18)."""
    text = identifiers.urn(kind, identifier)

    assert text == f"urn:passerelle:{kind}:{identifier}"
    assert identifiers.parse_urn(text) == (kind, identifier)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_exchange_ids_are_uuids_of_version_7(now_ms: int, random: bytes) -> None:
    """Version and variant bits in place, the minting time readable."""
    minted = identifiers.new_exchange_id(now_ms, random)

    assert identifiers.require_exchange_id(minted) == minted
    assert identifiers.exchange_id_time_ms(minted) == now_ms


def test_exchange_ids_take_ten_random_bytes() -> None:
    """Neither fewer nor more."""
    with pytest.raises(ValueError):
        identifiers.new_exchange_id(0, bytes(9))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes out of a parser, and what is accepted is written the same."""
    for parse in PARSERS.values():
        try:
            found = parse(text)
        except MalformedIdentifierError:
            continue
        assert text.isascii()
        if not isinstance(found, (str, tuple)):
            assert str(found) == text


def test_errors_can_be_handed_between_processes() -> None:
    """With reason and text."""
    with pytest.raises(MalformedIdentifierError) as refused:
        MemberId.parse("x")

    again = pickle.loads(pickle.dumps(refused.value))

    assert (again.reason, str(again)) == (refused.value.reason, str(refused.value))
