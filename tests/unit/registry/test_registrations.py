"""Registrations of gateways: signed by the member key, verified on arrival and again when they take effect."""

import msgspec
import pytest
from sqlalchemy import select

from core.configuration import MemberDocument, member_target
from core.documents import decode_strict, digest, encode
from core.jws import DocumentKind
from core.leaves import parse_registry_change
from core.reasons import ExchangeError, Reason
from core.registrations import ClosedLog, RegisteredLog, Registration
from pki.documents import sign_document
from pki.keys import generate_key
from pki.profiles import Profile
from registry import models
from tests.support.registry_country import ANIP, PNS, RegistryCountry

GW1 = f"{ANIP}/gw1"


def submit(country: RegistryCountry, registration: Registration) -> int:
    """Hand in a registration as the gateway itself."""
    jws = country.sign_registration(registration)
    return country.office.submit_registration(country.gateway(registration.gateway), jws)


def refused_reason(country: RegistryCountry, registration: Registration) -> Reason:
    """Why a registration is refused."""
    with pytest.raises(ExchangeError) as refused:
        submit(country, registration)
    return refused.value.reason


def states(country: RegistryCountry, member: str = ANIP) -> list[str]:
    """State of each registration that the member's document publishes."""
    with country.office.sessions() as session:
        data = country.office.documents(session)[member_target(member)]
    return [entry.state for entry in decode_strict(data, MemberDocument).registrations]


def test_a_registration_waits_for_two_operators(country: RegistryCountry) -> None:
    """The member key is needed, and so are both operators."""
    country.add_member(ANIP)
    number = submit(country, country.registration(GW1))
    assert states(country) == []

    country.approve(number)

    assert states(country) == ["active"]


def test_what_is_published_is_what_the_member_signed(country: RegistryCountry) -> None:
    """Byte for byte: gateways verify it themselves."""
    country.add_member(ANIP)
    jws = country.sign_registration(country.registration(GW1))
    country.approve(country.office.submit_registration(country.gateway(GW1), jws))

    with country.office.sessions() as session:
        data = country.office.documents(session)[member_target(ANIP)]

    assert decode_strict(data, MemberDocument).registrations[0].jws == jws


def test_no_key_but_the_members_registers_its_gateways(country: RegistryCountry) -> None:
    """Neither a stranger's key nor another member's, whoever hands it in."""
    country.add_member(ANIP)
    country.add_member(PNS)
    registration = country.registration(GW1)

    for key in (generate_key(), country.key(PNS)):
        with pytest.raises(ExchangeError) as refused:
            country.office.submit_registration(
                country.operator(), country.sign_registration(registration, key)
            )
        assert refused.value.reason is Reason.SIGNATURE_INVALID


def test_a_document_of_another_kind_is_no_registration(country: RegistryCountry) -> None:
    """The same bytes, signed by the right key under another ``typ``."""
    country.add_member(ANIP)
    payload = encode(country.registration(GW1))

    with pytest.raises(ExchangeError) as refused:
        country.office.submit_registration(
            country.operator(), sign_document(DocumentKind.AGREEMENT, payload, country.key(ANIP))
        )

    assert refused.value.reason is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize("jws", ["", "a.b.c", "x" * 1000, "é.é.é", "..", "e30.e30.e30"])
def test_malformed_registrations_get_one_clear_error(country: RegistryCountry, jws: str) -> None:
    """Whatever the bytes: refused by name."""
    with pytest.raises(ExchangeError) as refused:
        country.office.submit_registration(country.operator(), jws)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_another_members_gateway_hands_nothing_in(populated: RegistryCountry) -> None:
    """Even a rightly signed registration is taken from its own member or an operator only."""
    jws = populated.sign_registration(populated.registration(GW1, serial=2))

    with pytest.raises(ExchangeError) as refused:
        populated.office.submit_registration(populated.gateway(f"{PNS}/gw1"), jws)

    assert refused.value.reason is Reason.NOT_AUTHORISED


def test_a_newer_registration_takes_the_place_of_the_older(populated: RegistryCountry) -> None:
    """One registration per gateway is published, the newest."""
    populated.register(GW1, serial=2)

    assert states(populated) == ["active"]


def test_an_older_registration_is_refused(populated: RegistryCountry) -> None:
    """What is approved may never be rolled back by an old paper."""
    populated.register(GW1, serial=7)

    assert refused_reason(populated, populated.registration(GW1, serial=7)) is Reason.STATE_CONFLICT
    assert refused_reason(populated, populated.registration(GW1, serial=3)) is Reason.STATE_CONFLICT


def test_approval_judges_again(country: RegistryCountry) -> None:
    """A registration overtaken while it waited does not take effect."""
    country.add_member(ANIP)
    old = submit(country, country.registration(GW1, serial=1))
    country.register(GW1, serial=2)

    country.office.approve(country.operator(1), old)
    with pytest.raises(ExchangeError) as refused:
        country.office.approve(country.operator(2), old)

    assert refused.value.reason is Reason.STATE_CONFLICT


def test_a_log_belongs_to_one_gateway(populated: RegistryCountry) -> None:
    """Another gateway cannot claim it, not even of the same member."""
    log = RegisteredLog(id=digest(GW1.encode()), worker=0, address="127.0.0.1:7444")

    assert refused_reason(populated, populated.registration(f"{ANIP}/gw2", logs=[log])) is (
        Reason.ALREADY_EXISTS
    )


def test_certificates_are_for_this_gateway(country: RegistryCountry) -> None:
    """A certificate of another gateway, a swapped profile, a wrong thumbprint, a revoked one: refused."""
    country.add_member(ANIP)
    foreign = country.registered(Profile.AUTH, f"{PNS}/gw1")
    seal = country.registered(Profile.SEAL, GW1)
    revoked = country.registered(Profile.AUTH, GW1, revoked=True)
    country.registry.tick()

    wrong = {
        "foreign": country.registration(GW1, auth=[foreign]),
        "swapped": country.registration(GW1, auth=[seal]),
        "renamed": country.registration(GW1, seal=[msgspec.structs.replace(seal, thumbprint="A" * 43)]),
        "revoked": country.registration(GW1, auth=[revoked]),
    }
    found = {name: refused_reason(country, registration) for name, registration in wrong.items()}

    assert found == {
        "foreign": Reason.CERTIFICATE_INVALID,
        "swapped": Reason.CERTIFICATE_INVALID,
        "renamed": Reason.CERTIFICATE_INVALID,
        "revoked": Reason.CERTIFICATE_REVOKED,
    }


@pytest.mark.parametrize("address", ["169.254.169.254:80", "0x7f.1:80", "localhost:80", "[::1]:0"])
def test_unsafe_addresses_are_refused(country: RegistryCountry, address: str) -> None:
    """Peers would dial their own machine or their cloud's metadata."""
    country.add_member(ANIP)
    log = RegisteredLog(id="0" * 64, worker=0, address=address)

    reason = refused_reason(country, country.registration(GW1, logs=[log]))

    assert reason in (Reason.ADDRESS_NOT_ALLOWED, Reason.DOCUMENT_INVALID)


def test_stopping_a_gateway_takes_one(populated: RegistryCountry) -> None:
    """An operator, or a gateway of the same member; never another's."""
    with pytest.raises(ExchangeError) as refused:
        populated.office.stop_gateway(populated.gateway(f"{PNS}/gw1"), GW1, "vol", for_good=False)
    assert refused.value.reason is Reason.NOT_AUTHORISED

    populated.office.stop_gateway(populated.operator(), GW1, "vol du serveur", for_good=False)

    assert states(populated) == ["suspended"]


def test_a_stopped_gateway_orders_nothing(populated: RegistryCountry) -> None:
    """A stolen gateway that was suspended cannot go on publishing or stopping."""
    populated.office.stop_gateway(populated.operator(), GW1, "vol du serveur", for_good=False)

    with pytest.raises(ExchangeError) as refused:
        populated.office.add_subsystem(populated.gateway(GW1), f"{ANIP}/AUTRE")

    assert refused.value.reason is Reason.GATEWAY_SUSPENDED


def test_a_suspended_gateway_comes_back_with_two(populated: RegistryCountry) -> None:
    """Suspended and resumed; revoked is for good."""
    populated.office.stop_gateway(populated.operator(), GW1, "contrôle", for_good=False)
    populated.approve(populated.office.resume_gateway(populated.operator(), GW1))
    assert states(populated) == ["active"]

    populated.office.stop_gateway(populated.operator(), GW1, "fin", for_good=True)
    with pytest.raises(ExchangeError) as refused:
        populated.office.resume_gateway(populated.operator(), GW1)

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert states(populated) == ["revoked"]


def closing(country: RegistryCountry, **fields: object) -> Registration:
    """The next registration of GW1, which closes its log."""
    log, successor = digest(GW1.encode()), digest(b"successor")
    made: dict[str, object] = {
        "serial": 2,
        "logs": [RegisteredLog(successor, 0, "127.0.0.1:7444")],
        "closed": [ClosedLog(log, 0, 7, "ab" * 32, successor)],
    }
    return country.registration(GW1, **(made | fields))


def test_no_registered_log_vanishes(country: RegistryCountry) -> None:
    """It is open, or closed and succeeded in public: a gateway cannot begin anew and leave its past unnamed."""
    country.add_member(ANIP)
    country.register(GW1)

    assert refused_reason(country, closing(country, closed=[])) is Reason.STATE_CONFLICT
    country.approve(submit(country, closing(country)))
    assert states(country) == ["active"]


def test_what_was_said_of_a_closed_log_stays(country: RegistryCountry) -> None:
    """Neither opened again, nor said to have ended elsewhere."""
    country.add_member(ANIP)
    country.register(GW1)
    country.approve(submit(country, closing(country)))
    (closed,) = closing(country).closed

    elsewhere = closing(country, serial=3, closed=[msgspec.structs.replace(closed, size=8)])
    assert refused_reason(country, elsewhere) is Reason.STATE_CONFLICT
    both = [*closing(country).logs, RegisteredLog(closed.id, 1, "127.0.0.1:7445")]
    assert refused_reason(country, closing(country, serial=3, logs=both, closed=[])) is Reason.STATE_CONFLICT


def test_a_succession_is_on_record_in_the_registry_s_log(country: RegistryCountry) -> None:
    """By the closed log's own id, for whoever asks after it."""
    country.add_member(ANIP)
    country.register(GW1)

    country.approve(submit(country, closing(country)))

    with country.office.sessions() as session:
        bodies = [one.body for one in session.scalars(select(models.Change))]
    changes = [parse_registry_change(body) for body in bodies]
    (succeeded,) = [one for one in changes if one.change == "log-succeeded"]
    assert succeeded.object == digest(GW1.encode())


def test_nobody_closes_another_s_log(country: RegistryCountry) -> None:
    """It would speak for it."""
    country.add_member(ANIP)
    country.add_member(PNS)
    country.register(GW1)
    country.register(f"{PNS}/gw1")
    successor = digest(b"successor")
    stolen = [ClosedLog(digest(f"{PNS}/gw1".encode()), 0, 1, "ab" * 32, successor)]
    own = RegisteredLog(digest(GW1.encode()), 1, "127.0.0.1:7445")

    wanted = closing(country, logs=[*closing(country).logs, own], closed=stolen)

    assert refused_reason(country, wanted) is Reason.ALREADY_EXISTS
