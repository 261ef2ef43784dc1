"""Who claims to be whom: confused deputies and stolen keys (RELIABILITY, section 6)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from core.agreements import Party
from pki.keys import generate_key, key_thumbprint
from tests.support.federation import CLIENT, PROVIDER, STRANGER, Federation, Issued, calling, issue, metadata
from tests.support.hostile import heard, outcome_of
from tests.support.intruder import Intruder
from tests.support.waiting import until

AUDIT = "BJ/GOV/PNS/AUDIT"
OTHERS = "BJ/GOV/MTFP/TRAVAIL"


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        yield found


@pytest.fixture
def intruder(federation: Federation) -> Intruder:
    return Intruder(federation, federation.pns)


def test_confused_deputy_every_program_with_every_client_id(tmp_path: Path) -> None:
    """A program is accepted exactly as its own subsystem: 6 certificates, 8 names."""
    federation = Federation(tmp_path)
    programs: dict[str, list[Issued]] = {
        CLIENT: [federation.portal, federation.admit(federation.pns, f"{CLIENT}/batch")],
        STRANGER: [federation.stats],
        AUDIT: [federation.admit(federation.pns, f"{AUDIT}/web")],
    }
    outside = issue("outside", federation.pns.programs, uri=f"urn:passerelle:program:{CLIENT}/web")
    foreign = federation.admit(federation.anip, f"{PROVIDER}/web")
    own = key_thumbprint(federation.pns.key.public_key())
    federation.agreements = [
        federation.agreement(id=f"CV-{number:04}", consumer=Party(client, own))
        for number, client in enumerate((CLIENT, STRANGER, AUDIT))
    ]
    federation.states = ["active"] * 3
    names = (CLIENT, STRANGER, AUDIT, PROVIDER, OTHERS, "BJ/GOV/PNS/NONE", f"{CLIENT}/web", "BJ/GOV/PNS")
    with federation:
        found = {}
        for (subsystem, issued), name in itertools.product(
            [(subsystem, one) for subsystem, all_ in programs.items() for one in all_], names
        ):
            with federation.channel(issued) as channel:
                call = partial(calling(channel), b"", metadata=metadata(x_road_client=name), timeout=10)
                found[subsystem, issued.thumbprint, name] = outcome_of(call)
        with federation.channel(outside) as channel:
            not_pinned = outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=10))
        with federation.channel(foreign) as channel:
            not_ours = outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=10))

    assert {(subsystem, name) for (subsystem, _, name), one in found.items() if one == "OK"} == {
        (client, client) for client in (CLIENT, STRANGER, AUDIT)
    }
    assert set(found.values()) == {"OK", "CLIENT_NOT_YOURS", "METADATA_INVALID"}
    assert (not_pinned, not_ours) == ("PROGRAM_UNKNOWN", "UNAVAILABLE")
    assert len(federation.adapter.calls) == 4


def test_the_intruders_own_request_is_answered(
    federation: Federation, intruder: Intruder, tmp_path: Path
) -> None:
    """What follows is refused for its one fault, and for no other."""
    intruder.met(federation.anip, tmp_path)

    answer = intruder.answer_to(intruder.ask(federation.anip, b"hello"))

    assert (answer.kind, answer.status) == ("response", 0)
    assert [request for _, request, _ in federation.adapter.calls] == [b"hello"]


@pytest.mark.parametrize("with_agreement", [False, True])
def test_confused_deputy_signed_by_a_claiming_b_is_refused(
    federation: Federation, intruder: Intruder, tmp_path: Path, with_agreement: bool
) -> None:
    """PNS's gateway signs a request of another member's subsystem: refused at the provider, and in its log."""
    if with_agreement:
        others = key_thumbprint(generate_key().public_key())
        federation.agreements = [federation.agreement(consumer=Party(OTHERS, others))]
        federation.publish()
    intruder.met(federation.anip, tmp_path)

    answer = intruder.answer_to(intruder.ask(federation.anip, b"", client=OTHERS))

    assert (answer.kind, answer.reason) == ("refusal", "PEER_NOT_REGISTERED")
    assert "refused:PEER_NOT_REGISTERED" in [one.verdict for one in heard(federation.anip)]
    assert federation.adapter.calls == []


@pytest.mark.parametrize("names_the_registered_one", [False, True])
def test_stolen_auth_key_without_the_seal_key_says_nothing(
    federation: Federation, tmp_path: Path, names_the_registered_one: bool
) -> None:
    """TLS lets him in; no head of his is believed, so no statement is heard."""
    own = issue("own seal", federation.ca, uri=f"urn:passerelle:gateway:{federation.pns.gateway}")
    if names_the_registered_one:
        thief = Intruder(federation, federation.pns, signed_by=own.key)
    else:
        thief = Intruder(federation, federation.pns, seal=own)
    before = len(heard(federation.anip))
    thief.met(federation.anip, tmp_path)

    thief.ask(federation.anip)

    assert thief.ended() == ("HEAD_INVALID")
    assert federation.adapter.calls == []
    assert len(heard(federation.anip)) == before


def test_stolen_seal_key_without_the_auth_key_gets_no_road(federation: Federation, tmp_path: Path) -> None:
    """Whichever other certificate of the country he shows to TLS."""
    thief = Intruder(federation, federation.pns)
    unregistered = issue("new", federation.ca, uri=f"urn:passerelle:gateway:{federation.pns.gateway}")

    reasons = []
    for auth in (unregistered, federation.anip.auth, federation.pns.seal):
        thief.dial(federation.anip, tmp_path, auth=auth)
        thief.hello()
        reasons.append(thief.ended())

    assert reasons == ["LOG_NOT_REGISTERED"] * 3
    assert federation.adapter.calls == []


@pytest.mark.parametrize("stolen", ["auth", "seal"])
def test_stolen_key_is_useless_after_its_revocation_on_the_open_connection(
    federation: Federation, intruder: Intruder, tmp_path: Path, stolen: str
) -> None:
    """A new registration without it is published: the very next call on the same stream is refused."""
    intruder.met(federation.anip, tmp_path)
    assert intruder.answer_to(intruder.ask(federation.anip)).kind == "response"
    calls = len(federation.adapter.calls)

    renewed = issue(f"new {stolen}", federation.ca, uri=f"urn:passerelle:gateway:{federation.pns.gateway}")
    setattr(federation.pns, stolen, renewed)
    federation.publish()

    if stolen == "seal":
        intruder.send(intruder.frame(intruder.request(federation.anip)))
        assert intruder.ended() == "HEAD_INVALID"
    else:
        assert intruder.ended() == "GATEWAY_SUSPENDED"
        intruder.met(federation.anip, tmp_path, auth=federation.anip.auth)
        assert intruder.ended() == "LOG_NOT_REGISTERED"
    assert len(federation.adapter.calls) == calls


def test_stolen_program_key_is_useless_after_its_removal_on_the_open_connection(
    federation: Federation,
) -> None:
    """The pinned thumbprint is asked for with every call, not with every connection."""
    with federation.channel() as channel:
        call = partial(calling(channel), b"", metadata=metadata(), timeout=10)
        assert outcome_of(call) == "OK"

        pinned = federation.pns.admitted[0]
        federation.pns.admitted[0] = msgspec.structs.replace(pinned, state="removed")
        federation.publish()

        assert outcome_of(call) == "PROGRAM_UNKNOWN"
    until(lambda: len(federation.adapter.calls) == 1)
