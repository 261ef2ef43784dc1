"""Agreements: two member keys grant, two operators let pass, one word stops."""

from collections.abc import Callable

import pytest
import structlog
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from sqlalchemy import select

from adapters.descriptors import descriptor_set
from core.agreements import Party
from core.configuration import AgreementEntry, MemberDocument, member_target
from core.documents import decode_strict, digest, encode
from core.jws import DocumentKind
from core.reasons import ExchangeError, Reason
from pki.documents import sign_document, verify_document
from pki.keys import key_thumbprint
from registry import models
from tests.support.registry_country import ANIP, IDENTITY_SERVICE, PNS, PORTAIL, RNPP, RegistryCountry


def entries(country: RegistryCountry) -> list[AgreementEntry]:
    """The agreements that ANIP's document publishes."""
    with country.office.sessions() as session:
        data = country.office.documents(session)[member_target(ANIP)]
    return decode_strict(data, MemberDocument).agreements


def refused_reason(country: RegistryCountry, *signed: str) -> Reason:
    """Why an agreement is refused."""
    with pytest.raises(ExchangeError) as refused:
        country.office.conclude_agreement(country.operator(), signed[0], signed[1])
    return refused.value.reason


def test_an_agreement_is_published_as_it_was_signed(populated: RegistryCountry) -> None:
    """Both documents verify against the keys that the agreement itself names."""
    populated.conclude()

    (entry,) = entries(populated)
    for jws, member in ((entry.consumer_jws, PNS), (entry.provider_jws, ANIP)):
        payload = verify_document(DocumentKind.AGREEMENT, jws, populated.key(member).public_key())
        assert payload == encode(populated.agreement())
    assert entry.state == "active"


def test_one_key_cannot_forge_a_grant(populated: RegistryCountry) -> None:
    """One member signing for both sides, or naming its own key for both, gets nowhere, whatever operators want."""
    pns = key_thumbprint(populated.key(PNS).public_key())
    both_sides = populated.agreement(provider=Party(RNPP, pns))

    assert refused_reason(populated, *populated.sign_agreement(populated.agreement(), PNS, PNS)) is (
        Reason.SIGNATURE_INVALID
    )
    assert refused_reason(populated, *populated.sign_agreement(both_sides, PNS, PNS)) is (
        Reason.SIGNATURE_INVALID
    )
    assert refused_reason(populated, *populated.sign_agreement(populated.agreement(), ANIP, PNS)) is (
        Reason.SIGNATURE_INVALID
    )


def test_two_texts_are_no_agreement(populated: RegistryCountry) -> None:
    """Both sides must have signed the same bytes."""
    narrow, _ = populated.sign_agreement(populated.agreement())
    _, wide = populated.sign_agreement(populated.agreement(methods=["GetPerson", "VerifyPerson"]))

    assert refused_reason(populated, narrow, wide) is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"methods": ["DropEverything"]}, Reason.NOT_FOUND),
        ({"service": "bj.land.v1.LandService"}, Reason.NOT_FOUND),
        ({"purposes": ["P99"]}, Reason.NOT_FOUND),
        ({"version": 2, "supersedes": "0" * 64}, Reason.STATE_CONFLICT),
        (
            {"not_before": "2020-01-01T00:00:00Z", "not_after": "2021-01-01T00:00:00Z"},
            Reason.DOCUMENT_INVALID,
        ),
        ({"legal_basis": {"fr": "", "en": ""}}, Reason.DOCUMENT_INVALID),
    ],
)
def test_agreements_about_nothing_are_refused(
    populated: RegistryCountry, fields: dict[str, object], reason: Reason
) -> None:
    """Unknown methods, services, purposes; a version out of order; one that is over; one without a basis."""
    assert refused_reason(populated, *populated.sign_agreement(populated.agreement(**fields))) is reason


def test_a_field_that_the_published_descriptors_do_not_know_is_refused(populated: RegistryCountry) -> None:
    """With the path and the message, before anybody approves what no gateway could enforce."""
    terms = populated.agreement(field_mask={"GetPerson": ["last_name", "surname"]})

    with pytest.raises(
        ExchangeError, match=r"GetPerson: surname: .*GetPersonResponse has no field"
    ) as refused:
        populated.office.conclude_agreement(populated.operator(), *populated.sign_agreement(terms))

    assert refused.value.reason is Reason.DOCUMENT_INVALID
    populated.conclude(field_mask={"GetPerson": ["last_name", "residence.town"]})
    assert [entry.state for entry in entries(populated)] == ["active"]


def test_unknown_keys_of_a_document_are_refused(populated: RegistryCountry) -> None:
    """A term that this registry does not know could mean anything to another reader."""
    payload = encode(populated.agreement())[:-1] + b',"surprise":1}'
    signed = [sign_document(DocumentKind.AGREEMENT, payload, populated.key(one)) for one in (PNS, ANIP)]

    assert refused_reason(populated, *signed) is Reason.DOCUMENT_INVALID


def test_an_amendment_names_the_version_before(populated: RegistryCountry) -> None:
    """The older version is superseded in the same publication; the digest chains them."""
    populated.conclude()
    first = digest(encode(populated.agreement()))

    populated.conclude(version=2, supersedes=first, methods=["GetPerson", "VerifyPerson"])

    assert [entry.state for entry in entries(populated)] == ["superseded", "active"]


def test_a_method_is_granted_once(populated: RegistryCountry) -> None:
    """A second agreement for the same method would leave open which one was used."""
    populated.conclude()
    other = populated.sign_agreement(populated.agreement(id="CV-0002"))

    assert refused_reason(populated, *other) is Reason.STATE_CONFLICT
    populated.conclude(id="CV-0003", methods=["VerifyPerson"])
    assert [entry.state for entry in entries(populated)] == ["active", "active"]


@pytest.mark.parametrize("who", ["operator", f"{PNS}/gw1", f"{ANIP}/gw1"])
def test_revoking_takes_one_word(populated: RegistryCountry, who: str) -> None:
    """An operator's, or that of either member's own gateway; it is published at once, for good."""
    populated.conclude()
    before = populated.version
    actor = populated.operator(2) if who == "operator" else populated.gateway(who)

    populated.office.stop_agreement(actor, "CV-0001", "fin de mission", for_good=True)

    assert populated.version == before + 1
    assert [entry.state for entry in entries(populated)] == ["revoked"]
    with pytest.raises(ExchangeError) as refused:
        populated.office.resume_agreement(populated.operator(), "CV-0001")
    assert refused.value.reason is Reason.STATE_CONFLICT


def test_a_third_member_stops_nothing(populated: RegistryCountry) -> None:
    """Only the parties and operators have a word."""
    populated.conclude()
    populated.add_member("BJ/GOV/ANDF")

    with pytest.raises(ExchangeError) as refused:
        populated.office.stop_agreement(
            populated.gateway("BJ/GOV/ANDF/gw1"), "CV-0001", "gêne", for_good=True
        )

    assert refused.value.reason is Reason.NOT_AUTHORISED


def test_a_suspended_agreement_comes_back_with_two(populated: RegistryCountry) -> None:
    """One stops, two start again."""
    populated.conclude()
    populated.office.stop_agreement(populated.operator(), "CV-0001", "contrôle", for_good=False)
    assert [entry.state for entry in entries(populated)] == ["suspended"]

    populated.approve(populated.office.resume_agreement(populated.gateway(f"{ANIP}/gw1"), "CV-0001"))

    assert [entry.state for entry in entries(populated)] == ["active"]


def test_a_suspended_member_concludes_nothing(populated: RegistryCountry) -> None:
    """Its key still verifies, its word does not count."""
    signed = populated.sign_agreement(populated.agreement())
    populated.office.suspend_member(populated.operator(), PNS, "contrôle")

    assert refused_reason(populated, *signed) is Reason.MEMBER_SUSPENDED


def test_the_same_paper_waits_once(populated: RegistryCountry) -> None:
    """Handing it in again makes no second request."""
    signed = populated.sign_agreement(populated.agreement())
    populated.office.conclude_agreement(populated.operator(), *signed)

    assert refused_reason(populated, *signed) is Reason.ALREADY_EXISTS


def test_a_subsystem_needs_no_agreement_with_itself(populated: RegistryCountry) -> None:
    """It could only be a mistake."""
    own = populated.agreement(consumer=Party(RNPP, key_thumbprint(populated.key(ANIP).public_key())))

    assert refused_reason(populated, *populated.sign_agreement(own, ANIP, ANIP)) is Reason.DOCUMENT_INVALID
    assert PORTAIL != RNPP


# --- descriptors under an agreement ---


def republish(country: RegistryCountry, replaced: bytes, by: bytes) -> None:
    """Publish the identity service again, with one name changed by another of its length."""
    data = descriptor_set(IDENTITY_SERVICE).replace(replaced, by)
    country.office.publish_services(country.operator(), RNPP, data, [IDENTITY_SERVICE])


def changed(change: Callable[[FileDescriptorSet, DescriptorProto], None]) -> bytes:
    """The identity service's descriptors after ``change`` to them and to what ``GetPerson`` returns."""
    files = FileDescriptorSet.FromString(descriptor_set(IDENTITY_SERVICE))
    (message,) = [one for file in files.file for one in file.message_type if one.name == "GetPersonResponse"]
    change(files, message)
    return files.SerializeToString()


def publish(country: RegistryCountry, data: bytes) -> None:
    """Publish the identity service again."""
    country.office.publish_services(country.operator(), RNPP, data, [IDENTITY_SERVICE])


def add_things(_: FileDescriptorSet, message: DescriptorProto) -> None:
    """Repeated messages of a key and a value: as a map travels, and none."""
    entry = message.nested_type.add(name="ThingsEntry")
    for number, name in ((1, "key"), (2, "value")):
        entry.field.add(name=name, number=number, label=1, type=9)
    type_name = ".bj.identity.v1.GetPersonResponse.ThingsEntry"
    message.field.add(name="things", number=500, label=3, type=11, type_name=type_name)


def make_a_map(files: FileDescriptorSet, message: DescriptorProto) -> None:
    """The same, declared to be a map."""
    add_things(files, message)
    message.nested_type[-1].options.map_entry = True


def add_group(files: FileDescriptorSet, message: DescriptorProto) -> None:
    """Within what is granted whole, a message of old times that has a group."""
    add_things(files, message)
    file = FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
    old = file.message_type.add(name="Old")
    old.nested_type.add(name="G")
    old.field.add(name="g", number=1, type=10, label=1, type_name=".old.Old.G")
    (identity,) = [one for one in files.file if message in one.message_type]
    identity.dependency.append(file.name)
    (residence,) = [one for one in identity.message_type if one.name == "Residence"]
    residence.field.add(name="old", number=500, label=1, type=11, type_name=".old.Old")
    files.file.insert(0, file)


@pytest.mark.parametrize(("change", "why"), [(make_a_map, "is no message"), (add_group, "is a group")])
def test_descriptors_with_which_no_gateway_could_enforce_a_mask_are_refused(
    populated: RegistryCountry, change: Callable[[FileDescriptorSet, DescriptorProto], None], why: str
) -> None:
    """They would break its agreement, and nothing would be left that the next descriptors must keep."""
    publish(populated, changed(add_things))
    populated.conclude(field_mask={"GetPerson": ["residence", "things.value"]})

    with pytest.raises(ExchangeError, match=rf"CV-0001, version 1, grants GetPerson: .*{why}") as lost:
        publish(populated, changed(change))

    assert lost.value.reason is Reason.GRANTED_FIELD_LOST


def test_published_descriptors_that_link_no_more_hold_nobody_up(populated: RegistryCountry) -> None:
    """The protobuf that links them may be another than when they were published; the new ones are judged alone."""
    populated.conclude(field_mask={"GetPerson": ["last_name"]})
    alone = FileDescriptorProto(name="alone.proto", dependency=["gone.proto"])
    with populated.office.sessions.begin() as session:
        for row in session.scalars(select(models.DescriptorSet)):
            row.data = FileDescriptorSet(file=[alone]).SerializeToString()

    with structlog.testing.capture_logs() as logs:
        republish(populated, b"last_name", b"last_nome")

    assert "published_descriptors_not_linked" in [one["event"] for one in logs]


def test_descriptors_without_a_field_that_an_agreement_grants_are_refused(populated: RegistryCountry) -> None:
    """With agreement, method and field; also while the agreement or the service rests, for both may come back."""
    populated.conclude(field_mask={"GetPerson": ["last_name", "residence.town"]})

    with pytest.raises(
        ExchangeError, match=r"agreement CV-0001, version 1, grants GetPerson: last_name"
    ) as lost:
        republish(populated, b"last_name", b"last_nome")

    assert lost.value.reason is Reason.GRANTED_FIELD_LOST
    populated.office.stop_agreement(populated.operator(), "CV-0001", "contrôle", for_good=False)
    populated.office.retire_service(populated.operator(), RNPP, IDENTITY_SERVICE)
    with pytest.raises(ExchangeError, match=r"grants GetPerson: the descriptors have no method"):
        republish(populated, b"GetPerson", b"GotPerson")
    republish(populated, b"first_names", b"first_nomes")  # nobody was granted it by its name


def test_an_agreement_that_is_over_or_has_no_mask_holds_no_descriptors(populated: RegistryCountry) -> None:
    """The first grants nothing any more, the second whatever there is."""
    populated.conclude(field_mask={"GetPerson": ["last_name"]})
    populated.office.stop_agreement(populated.operator(), "CV-0001", "fin", for_good=True)
    populated.conclude(id="CV-0002")

    republish(populated, b"last_name", b"last_nome")
