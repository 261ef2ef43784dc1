"""Members, subsystems and services: who may ask, what is refused, and when it takes effect."""

from datetime import timedelta

import grpc_health.v1.health_pb2  # noqa: F401  # its descriptors are looked up by name
import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from adapters.descriptors import descriptor_set
from core.clock import ManualClock
from core.configuration import MemberDocument as PublishedMember
from core.configuration import descriptors_target, member_target
from core.documents import decode_strict, digest
from core.reasons import ExchangeError, Reason
from registry import models
from registry.office import MemberDocument
from registry.settings import RegistrySettings
from tests.support.registry_country import ANIP, IDENTITY_SERVICE, PNS, RNPP, RegistryCountry


def published(country: RegistryCountry) -> dict[str, bytes]:
    """Every target that is made from the database now."""
    with country.office.sessions() as session:
        return country.office.documents(session)


def document(country: RegistryCountry, member: str) -> PublishedMember:
    """A member's document."""
    return decode_strict(published(country)[member_target(member)], PublishedMember)


def test_a_member_waits_for_two_operators(country: RegistryCountry) -> None:
    """One operator's approval publishes nothing; the second one's does."""
    number = country.office.propose_member(country.operator(), country.member_document(ANIP))
    before = country.version

    _, first = country.office.approve(country.operator(1), number)
    assert (first, country.version) == (0, before)
    _, second = country.office.approve(country.operator(2), number)

    assert second == country.version == before + 1
    assert document(country, ANIP).state == "active"


def test_one_operator_cannot_approve_twice(country: RegistryCountry) -> None:
    """Whoever proposed may approve, but nobody counts as two."""
    number = country.office.propose_member(country.operator(), country.member_document(ANIP))
    country.office.approve(country.operator(1), number)

    with pytest.raises(ExchangeError) as refused:
        country.office.approve(country.operator(1), number)

    assert refused.value.reason is Reason.APPROVAL_REQUIRED
    assert member_target(ANIP) not in published(country)


def test_a_gateway_cannot_approve(country: RegistryCountry) -> None:
    """Approvals are for operators only."""
    number = country.office.propose_member(country.operator(), country.member_document(ANIP))

    with pytest.raises(ExchangeError) as refused:
        country.office.approve(country.gateway(f"{ANIP}/gw1"), number)

    assert refused.value.reason is Reason.NOT_AUTHORISED


def test_a_refused_request_stays_refused(country: RegistryCountry) -> None:
    """One operator is enough to say no, and it is for good."""
    number = country.office.propose_member(country.operator(), country.member_document(ANIP))

    request = country.office.refuse(country.operator(2), number, "clé non comparée")

    assert request.state == "refused"
    with pytest.raises(ExchangeError) as again:
        country.office.approve(country.operator(1), number)
    assert again.value.reason is Reason.STATE_CONFLICT


def test_a_dry_run_leaves_no_trace(country: RegistryCountry) -> None:
    """Everything is checked, nothing is written, logged or published."""
    before = country.version, country.office.journal.head

    country.office.propose_member(country.operator(), country.member_document(ANIP), dry_run=True)

    with country.office.sessions() as session:
        assert session.query(models.Request).count() == 0
    assert (country.version, country.office.journal.head) == before


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("BJ/GOV/AN1P", Reason.IDENTIFIER_INVALID),
        ("BJ/GOV/A-NIP", Reason.IDENTIFIER_INVALID),
        ("TG/GOV/ANIP", Reason.IDENTIFIER_INVALID),
        ("BJ/GOV/REGISTRY", Reason.IDENTIFIER_INVALID),
        ("BJ/GOV/../ANIP", Reason.IDENTIFIER_INVALID),
        ("BJ/GOV/АNIP", Reason.IDENTIFIER_INVALID),
        (ANIP, Reason.ALREADY_EXISTS),
    ],
)
def test_look_alikes_and_strangers_are_refused(country: RegistryCountry, member: str, reason: Reason) -> None:
    """A code that people would take for another's, or that is not this country's, never gets in."""
    country.add_member(ANIP)

    with pytest.raises(ExchangeError) as refused:
        country.office.propose_member(country.operator(), country.member_document(member))

    assert refused.value.reason is reason


def test_a_member_key_serves_one_member(country: RegistryCountry) -> None:
    """Two members with one key could sign for each other."""
    country.add_member(ANIP)
    country.keys[PNS] = country.key(ANIP)

    with pytest.raises(ExchangeError) as refused:
        country.office.propose_member(country.operator(), country.member_document(PNS))

    assert refused.value.reason is Reason.ALREADY_EXISTS


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", "a\u202eb"])
def test_names_are_readable(country: RegistryCountry, name: str) -> None:
    """Empty, over-long and bent names are refused."""
    good = country.member_document(ANIP)

    with pytest.raises(ExchangeError) as refused:
        country.office.propose_member(
            country.operator(), MemberDocument(ANIP, name, "A member", good.public_key)
        )

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_stopping_a_member_takes_one_and_resuming_two(populated: RegistryCountry) -> None:
    """A suspension is published at once; coming back needs both operators."""
    populated.office.suspend_member(populated.operator(2), PNS, "contrôle")
    assert document(populated, PNS).state == "suspended"

    number = populated.office.resume_member(populated.operator(2), PNS)
    populated.office.approve(populated.operator(2), number)
    assert document(populated, PNS).state == "suspended"
    populated.office.approve(populated.operator(1), number)

    assert document(populated, PNS).state == "active"


def test_a_resumption_undoes_only_the_stop_it_was_asked_for(
    populated: RegistryCountry, clock: ManualClock
) -> None:
    """Whoever stops again while a resumption waits is not overruled by it."""
    office = populated.office
    office.suspend_member(populated.operator(), PNS, "un")
    early = office.resume_member(populated.operator(), PNS)
    office.approve(populated.operator(1), early)
    clock.advance(timedelta(seconds=1))
    with office.sessions() as session:
        session.get_one(models.Member, PNS).changed_at = clock.now_ms()
        session.commit()

    with pytest.raises(ExchangeError) as overtaken:
        office.approve(populated.operator(2), early)

    assert overtaken.value.reason is Reason.STATE_CONFLICT
    assert document(populated, PNS).state == "suspended"


def test_a_gateway_adds_subsystems_of_its_own_member_only(populated: RegistryCountry) -> None:
    """Another member's gateway is refused."""
    populated.office.add_subsystem(populated.gateway(f"{PNS}/gw1"), "BJ/GOV/PNS/STATS")

    with pytest.raises(ExchangeError) as refused:
        populated.office.add_subsystem(populated.gateway(f"{PNS}/gw1"), "BJ/GOV/ANIP/AUTRE")

    assert refused.value.reason is Reason.NOT_AUTHORISED
    assert document(populated, PNS).subsystems == ["PORTAIL", "STATS"]


@pytest.mark.parametrize("name", ["BJ/GOV/PNS/P0RTAIL", "BJ/GOV/PNS/gwl", "BJ/GOV/PNS/registre"])
def test_subsystems_look_like_nothing_else(populated: RegistryCountry, name: str) -> None:
    """Not like another subsystem, not like a gateway, not like the layer itself."""
    with pytest.raises(ExchangeError) as refused:
        populated.office.add_subsystem(populated.operator(), name)

    assert refused.value.reason is Reason.IDENTIFIER_INVALID


def test_descriptors_are_published_byte_for_byte(populated: RegistryCountry) -> None:
    """The published target is the very set that was handed in."""
    data = descriptor_set(IDENTITY_SERVICE)

    targets = published(populated)
    service = document(populated, ANIP).services[0]

    assert targets[descriptors_target(digest(data))] == data
    assert (service.subsystem, service.service, service.state) == (RNPP, IDENTITY_SERVICE, "active")
    assert [method.name for method in service.methods] == ["GetPerson", "VerifyPerson", "SearchPerson"]


def test_a_retired_service_is_told_as_retired(populated: RegistryCountry) -> None:
    """It stays in the document, and its descriptors leave the configuration."""
    populated.office.retire_service(populated.gateway(f"{ANIP}/gw1"), RNPP, IDENTITY_SERVICE)

    assert document(populated, ANIP).services[0].state == "retired"
    assert not [path for path in published(populated) if path.startswith("descriptors/")]


def lonely_set(package: str, *, dependency: str = "") -> bytes:
    """A descriptor set with one service and no messages of its own."""
    file = FileDescriptorProto(name="x.proto", package=package, syntax="proto3")
    if dependency:
        file.dependency.append(dependency)
    message = file.message_type.add(name="Nothing")
    method = file.service.add(name="XService").method.add(name="Do")
    method.input_type = method.output_type = f".{package}.{message.name}"
    return FileDescriptorSet(file=[file]).SerializeToString()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.DOCUMENT_INVALID),
        (b"\xff" * 40, Reason.DOCUMENT_INVALID),
        (b"\x00" * (1024 * 1024 + 1), Reason.DOCUMENT_INVALID),
        (lonely_set("bj.x.v1", dependency="missing.proto"), Reason.DOCUMENT_INVALID),
        (lonely_set("passerelle.gateway.v1"), Reason.IDENTIFIER_INVALID),
        (lonely_set("grpc.health.v1"), Reason.IDENTIFIER_INVALID),
        (lonely_set("grpc.testing"), Reason.IDENTIFIER_INVALID),
        (FileDescriptorSet().SerializeToString(), Reason.DOCUMENT_INVALID),
    ],
)
def test_hostile_descriptors_are_refused(populated: RegistryCountry, data: bytes, reason: Reason) -> None:
    """Unreadable, incomplete, too large, empty, or in the layer's own name."""
    with pytest.raises(ExchangeError) as refused:
        populated.office.publish_services(populated.operator(), RNPP, data, [])

    assert refused.value.reason is reason


def test_a_subsystem_may_publish_the_health_and_reflection_of_its_server(populated: RegistryCountry) -> None:
    """They are its own, beside its services; whoever has no agreement over them learns nothing."""
    names = populated.office.publish_services(
        populated.operator(), RNPP, descriptor_set("grpc.health.v1.Health"), []
    )

    assert names == ["grpc.health.v1.Health"]


def test_packages_of_grpc_are_published_where_the_settings_name_them(populated: RegistryCountry) -> None:
    """In a sandbox, for gRPC's own cases; those of the layer nowhere."""
    office, operator = populated.office, populated.operator()
    office.settings = msgspec.structs.replace(office.settings, allowed_packages=("grpc.testing",))

    assert office.publish_services(operator, RNPP, lonely_set("grpc.testing"), []) == [
        "grpc.testing.XService"
    ]
    with pytest.raises(ExchangeError):
        office.publish_services(operator, RNPP, lonely_set("grpc.testing.more"), [])
    with pytest.raises(ValueError, match="cannot be allowed"):
        RegistrySettings(registry="BJ/GOV/ASIN/registre", allowed_packages=("passerelle.gateway.v1",))
