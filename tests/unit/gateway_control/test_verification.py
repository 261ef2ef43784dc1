"""The judge: registry and CA keys can refuse, suspend and revoke; they can grant nothing."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from adapters.descriptors import descriptor_set
from bj.identity.v1 import identity_pb2
from core.agreements import Agreement, Party, parse_agreement
from core.configuration import RegistrationEntry
from core.documents import digest, encode
from core.identifiers import MemberId, RegistryId
from core.jws import DocumentKind, parse_document
from core.registrations import RegisteredLog, parse_registration
from core.wire import unpack_plan
from gateway.control.repository import UntrustedConfigurationError
from gateway.control.verification import Judge, JudgedConfiguration
from pki.documents import sign_document
from pki.keys import generate_key, key_thumbprint, load_chain
from pki.profiles import AuthorityKind, Profile
from rpc.plans import mask_plan, outline_plan
from tests.support.published_country import (
    REGISTRY,
    PublishedCountry,
    PublishedMember,
    conclude,
    found_authority,
    listed,
    registered,
    succeed,
)

NOW = 1_795_000_000_000
IDENTITY = "bj.identity.v1.IdentityService"


class Case:
    """PNS consumes, ANIP provides; the judge works for PNS."""

    def __init__(self) -> None:
        self.country = PublishedCountry(NOW)
        self.pns = self.country.member("BJ/GOV/PNS")
        self.anip = self.country.member("BJ/GOV/ANIP")
        for member in (self.pns, self.anip):
            self.country.register(member, self.country.registration(f"{member.id}/gw1"))
        descriptors = descriptor_set(identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name)
        self.country.provide(
            self.anip, "RNPP", IDENTITY, descriptors, "GetPerson", "VerifyPerson", "SearchPerson"
        )
        self.anip.change(
            agreements=[conclude(self.country.agreement(self.pns, self.anip), self.pns.key, self.anip.key)]
        )

    def judge(self, *, own: PublishedMember | None = None, now_ms: int = NOW) -> JudgedConfiguration:
        own = own or self.pns
        judge = Judge(
            self.country.root.certificate, RegistryId.parse(REGISTRY), MemberId.parse(own.id), own.thumbprint
        )
        return judge.judge(self.country.documents(), now_ms)

    def left_out(self) -> list[tuple[str, str]]:
        return [(one.target, one.part) for one in self.judge().left_out]

    def agreements(self) -> list[str]:
        judged = self.judge()
        return [
            parse_agreement(parse_document(DocumentKind.AGREEMENT, entry.consumer_jws).unverified_payload).id
            for member in judged.members
            for entry in member.agreements
        ]

    def gateways(self, now_ms: int = NOW) -> list[str]:
        return [
            parse_registration(
                parse_document(DocumentKind.REGISTRATION, entry.jws).unverified_payload
            ).gateway
            for member in self.judge(now_ms=now_ms).members
            for entry in member.registrations
        ]


@pytest.fixture
def case() -> Case:
    return Case()


def test_what_holds_is_kept_whole(case: Case) -> None:
    """Members, registrations, services and agreements, and nothing is left out."""
    judged = case.judge()

    assert judged.left_out == ()
    assert [member.member for member in judged.members] == ["BJ/GOV/ANIP", "BJ/GOV/PNS"]
    assert judged.members == [case.anip.document, case.pns.document]


# --- Step 1 ---


@pytest.mark.parametrize(
    "spoil",
    [
        lambda documents: documents.pop("common.json"),
        lambda documents: documents.update({"common.json": b"{}"}),
        lambda documents: documents.update(
            {"common.json": documents["common.json"].replace(REGISTRY.encode(), b"BJ/GOV/AUTRE/registre")}
        ),
        lambda documents: documents.update(
            {"common.json": documents["common.json"].replace(b'"instance":"BJ"', b'"instance":"TG"')}
        ),
        lambda documents: documents.update(
            {"common.json": documents["common.json"].replace(b"BEGIN CERTIFICATE", b"BEGIN NOTHING")}
        ),
        lambda documents: documents.update(
            {"common.json": documents["common.json"].replace(b"BEGIN X509 CRL", b"BEGIN NOTHING")}
        ),
    ],
)
def test_a_bad_common_document_refuses_the_version(
    spoil: Callable[[dict[str, bytes]], object], case: Case
) -> None:
    """The version before stays in force."""
    documents = case.country.documents()
    spoil(documents)
    judge = Judge(
        case.country.root.certificate,
        RegistryId.parse(REGISTRY),
        MemberId.parse(case.pns.id),
        case.pns.thumbprint,
    )

    with pytest.raises(UntrustedConfigurationError):
        judge.judge(documents, NOW)


# --- Step 2 ---


def test_a_malformed_member_is_left_out_and_the_others_stay(case: Case) -> None:
    """One ministry's mistake stops one ministry."""
    case.country.files["members/BJ.GOV.X.json"] = b'{"v":1'

    judged = case.judge()

    assert [(one.target, one.part) for one in judged.left_out] == [("members/BJ.GOV.X.json", "document")]
    assert len(judged.members) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"member": "BJ/GOV/ANDF"},
        {"member": "nonsense"},
        {"v": 2},
        {"member_keys": [listed(generate_key(), thumbprint="x" * 43)]},
        {"member_keys": [listed(generate_key(), public_key="no key")]},
    ],
)
def test_a_member_that_is_not_who_it_says_is_left_out(change: dict[str, object], case: Case) -> None:
    """The target names the member, the thumbprint names the key."""
    documents = case.country.documents()
    documents["members/BJ.GOV.ANIP.json"] = encode(msgspec.structs.replace(case.anip.document, **change))
    judge = Judge(
        case.country.root.certificate,
        RegistryId.parse(REGISTRY),
        MemberId.parse(case.pns.id),
        case.pns.thumbprint,
    )

    judged = judge.judge(documents, NOW)

    assert [(one.target, one.part) for one in judged.left_out] == [("members/BJ.GOV.ANIP.json", "document")]


# --- Steps 3 and 6: keys and their successors ---


def test_an_agreement_goes_on_under_the_successor_of_our_key(case: Case) -> None:
    """The pinned key named the new one; agreements signed with the new one count."""
    new = generate_key()
    case.pns.change(
        member_keys=[listed(case.pns.key, state="superseded"), listed(new)],
        successors=[succeed(case.pns.id, case.pns.key, new)],
    )
    agreement = case.country.agreement(
        case.pns, case.anip, consumer=Party(f"{case.pns.id}/PORTAIL", key_thumbprint(new.public_key()))
    )
    case.anip.change(agreements=[conclude(agreement, new, case.anip.key)])

    assert case.agreements() == ["CV-0042"]


def test_a_key_that_claims_ours_as_its_successor_grants_nothing(case: Case) -> None:
    """Anybody can name our key as his successor: succession counts forward only."""
    forged = generate_key()
    case.pns.change(
        member_keys=[listed(forged), listed(case.pns.key)],
        successors=[succeed(case.pns.id, forged, case.pns.key)],
    )
    agreement = case.country.agreement(
        case.pns, case.anip, consumer=Party(f"{case.pns.id}/PORTAIL", key_thumbprint(forged.public_key()))
    )
    case.anip.change(agreements=[conclude(agreement, forged, case.anip.key)])

    assert case.agreements() == []
    assert case.left_out() == [("members/BJ.GOV.ANIP.json", "agreement")]


def test_a_successor_of_another_member_or_an_unlisted_key_is_left_out(case: Case) -> None:
    """It must speak of this member and of keys that its document lists."""
    new = generate_key()
    case.pns.change(
        member_keys=[listed(case.pns.key)],
        successors=[
            succeed("BJ/GOV/ANIP", case.pns.key, new),
            succeed(case.pns.id, case.pns.key, new),
            succeed(case.pns.id, new, case.pns.key),
            "nonsense",
        ],
    )

    assert case.left_out() == [("members/BJ.GOV.PNS.json", "successor")] * 4


# --- Step 4: registrations ---


def test_the_registry_cannot_register_a_gateway_for_a_member(case: Case) -> None:
    """Its own certificates and a key that the member does not have are worth nothing."""
    case.anip.change(registrations=[])
    case.country.register(case.anip, case.country.registration("BJ/GOV/ANIP/gw1"), key=generate_key())

    assert case.gateways() == ["BJ/GOV/PNS/gw1"]


def test_a_member_cannot_register_another_members_gateway(case: Case) -> None:
    """Each signs for its own."""
    case.country.register(case.anip, case.country.registration("BJ/GOV/PNS/gw2"))

    assert case.left_out() == [("members/BJ.GOV.ANIP.json", "registration")]


def test_a_registration_signed_with_a_revoked_key_is_left_out(case: Case) -> None:
    """Agreements of that key with it."""
    case.anip.change(member_keys=[listed(case.anip.key, state="revoked")])

    assert case.gateways() == ["BJ/GOV/PNS/gw1"]
    assert case.agreements() == []


def test_a_superseded_key_still_speaks(case: Case) -> None:
    """Rotation of a member key touches nothing that was signed before."""
    case.anip.change(member_keys=[listed(case.anip.key, state="superseded")])

    assert len(case.gateways()) == 2
    assert case.agreements() == ["CV-0042"]


def test_the_highest_serial_counts(case: Case) -> None:
    """An older registration that the registry still lists is not used."""
    newer = case.country.registration("BJ/GOV/ANIP/gw1", serial=2)
    case.country.register(case.anip, newer)

    judged = case.judge()

    (entry,) = judged.members[0].registrations
    payload = parse_document(DocumentKind.REGISTRATION, entry.jws).unverified_payload
    assert parse_registration(payload).serial == 2


@pytest.mark.parametrize("state", ["suspended", "revoked"])
def test_the_registrys_word_on_a_gateway_is_kept(state: str, case: Case) -> None:
    """Workers refuse it by name; its certificates no longer matter."""
    entry = case.anip.document.registrations[0]
    case.anip.change(registrations=[RegistrationEntry(jws=entry.jws, state=state)])  # type: ignore[arg-type]
    certificate = parse_registration(
        parse_document(DocumentKind.REGISTRATION, entry.jws).unverified_payload
    ).auth[0]
    case.country.revoked.append(load_chain(certificate.chain)[0])

    judged = case.judge()

    assert judged.left_out == ()
    assert judged.members[0].registrations[0].state == state


def test_a_revoked_certificate_closes_its_gateway(case: Case) -> None:
    """Auth and seal alike, even beside another that is valid."""
    for profile in (Profile.AUTH, Profile.SEAL):
        good = case.country.certificate(profile, "BJ/GOV/ANIP/gw1")
        bad = case.country.certificate(profile, "BJ/GOV/ANIP/gw1")
        case.country.revoked = [load_chain(bad.chain)[0]]
        case.anip.change(registrations=[])
        case.country.register(
            case.anip, case.country.registration("BJ/GOV/ANIP/gw1", **{profile.value: [good, bad]})
        )

        assert case.gateways() == ["BJ/GOV/PNS/gw1"]
        assert "revoked" in case.judge().left_out[0].why


def test_an_expired_certificate_beside_a_valid_one_is_a_rotation(case: Case) -> None:
    """Alone it closes the gateway."""
    short = case.country.certificate(Profile.AUTH, "BJ/GOV/ANIP/gw1", lifetime=timedelta(days=1))
    good = case.country.certificate(Profile.AUTH, "BJ/GOV/ANIP/gw1")
    later = NOW + 2 * 86_400_000
    case.anip.change(registrations=[])
    case.country.register(case.anip, case.country.registration("BJ/GOV/ANIP/gw1", auth=[short, good]))
    assert len(case.gateways(now_ms=later)) == 2

    case.anip.change(registrations=[])
    case.country.register(case.anip, case.country.registration("BJ/GOV/ANIP/gw1", auth=[short]))
    assert case.gateways(now_ms=later) == ["BJ/GOV/PNS/gw1"]


def test_certificates_of_another_gateway_profile_or_root_are_refused(case: Case) -> None:
    """The name, the use and the CA must be the ones that the registration needs."""
    stranger = PublishedCountry(NOW)
    gateway = "BJ/GOV/ANIP/gw1"
    wrong: list[dict[str, object]] = [
        {"auth": [case.country.certificate(Profile.AUTH, "BJ/GOV/PNS/gw1")]},
        {"auth": [case.country.certificate(Profile.SEAL, gateway)]},
        {"seal": [case.country.certificate(Profile.AUTH, gateway)]},
        {"auth": [stranger.certificate(Profile.AUTH, gateway)]},
        {
            "auth": [
                msgspec.structs.replace(case.country.certificate(Profile.AUTH, gateway), thumbprint="x" * 43)
            ]
        },
        {
            "auth": [
                msgspec.structs.replace(case.country.certificate(Profile.AUTH, gateway), chain="nonsense")
            ]
        },
    ]
    for fields in wrong:
        case.anip.change(registrations=[])
        case.country.register(case.anip, case.country.registration(gateway, **fields))

        assert case.gateways() == ["BJ/GOV/PNS/gw1"]


def test_an_intermediate_that_the_configuration_does_not_list_may_not_issue(case: Case) -> None:
    """Not even under the right root: a stray CA is not made good by coming along in a chain."""
    stray = found_authority(AuthorityKind.AUTH, case.country.root, NOW)
    listed_auth, case.country.auth = case.country.auth, stray
    certificate = case.country.certificate(Profile.AUTH, "BJ/GOV/ANIP/gw1")
    case.country.auth = listed_auth
    case.anip.change(registrations=[])
    case.country.register(case.anip, case.country.registration("BJ/GOV/ANIP/gw1", auth=[certificate]))

    assert case.gateways() == ["BJ/GOV/PNS/gw1"]
    assert registered(load_chain(certificate.chain)[0]).thumbprint == certificate.thumbprint


def test_a_log_that_two_gateways_claim_belongs_to_none(case: Case) -> None:
    """Nobody can take another's log by registering it."""
    shared = [RegisteredLog(id="ab" * 32, worker=0, address="127.0.0.1:1")]
    for member in (case.pns, case.anip):
        member.change(registrations=[])
        case.country.register(member, case.country.registration(f"{member.id}/gw1", logs=shared))

    assert case.gateways() == []


def test_without_a_fresh_revocation_list_no_gateway_is_accepted(case: Case) -> None:
    """Not knowing is not the same as not revoked."""
    case.country.crl_lifetime = timedelta(days=1)

    assert case.gateways(now_ms=NOW + 2 * 86_400_000) == []


# --- Step 5: services ---


def test_descriptors_that_are_not_the_published_ones_hide_the_service(case: Case) -> None:
    """The digest in the document decides."""
    (service,) = case.anip.document.services
    for files in ({}, {f"descriptors/{service.descriptors}.binpb": b"other"}):
        case.country.files = files

        assert case.left_out() == [("members/BJ.GOV.ANIP.json", "service")]


@pytest.mark.parametrize(
    "change",
    [
        {"subsystem": "BJ/GOV/PNS/RNPP"},
        {"subsystem": "BJ/GOV/ANIP/AUTRE"},
        {"subsystem": "nonsense"},
        {"service": "bj.identity.v1.OtherService"},
        {"methods": []},
    ],
)
def test_a_service_that_its_descriptors_do_not_have_is_left_out(
    change: dict[str, object], case: Case
) -> None:
    """Names and methods are those of the descriptors, under a subsystem of the member."""
    (service,) = case.anip.document.services
    case.anip.change(services=[msgspec.structs.replace(service, **change)])

    assert case.left_out() == [("members/BJ.GOV.ANIP.json", "service")]


def test_descriptors_that_cannot_be_read_are_left_out(case: Case) -> None:
    """Even if the digest is right."""
    case.anip.change(services=[], subsystems=[])
    case.country.provide(case.anip, "RNPP", IDENTITY, b"\xff\xff", "GetPerson")

    assert case.left_out() == [("members/BJ.GOV.ANIP.json", "service")]


# --- Step 6: agreements ---


def test_the_registry_cannot_grant(case: Case) -> None:
    """Both signatures must be of the keys that the members hold."""
    forged = generate_key()
    agreement = case.country.agreement(case.pns, case.anip)
    for consumer_key, provider_key in ((forged, case.anip.key), (case.pns.key, forged), (forged, forged)):
        case.anip.change(agreements=[conclude(agreement, consumer_key, provider_key)])

        assert case.agreements() == []


def test_a_key_that_the_registry_adds_to_our_member_grants_nothing(case: Case) -> None:
    """We pinned our own key: an agreement under another one is not ours, on either side."""
    forged = generate_key()
    case.pns.change(member_keys=[listed(case.pns.key), listed(forged)])
    agreement = case.country.agreement(
        case.pns, case.anip, consumer=Party(f"{case.pns.id}/PORTAIL", key_thumbprint(forged.public_key()))
    )
    case.anip.change(agreements=[conclude(agreement, forged, case.anip.key)])

    assert case.agreements() == []
    assert "not our member key" in case.judge().left_out[0].why


def test_both_sides_must_have_signed_the_same_bytes(case: Case) -> None:
    """Else each could mean another agreement."""
    one = case.country.agreement(case.pns, case.anip)
    other = msgspec.structs.replace(one, methods=["GetPerson", "VerifyPerson"])
    entry = conclude(one, case.pns.key, case.anip.key)
    other_entry = conclude(other, case.pns.key, case.anip.key)
    case.anip.change(agreements=[msgspec.structs.replace(entry, provider_jws=other_entry.provider_jws)])

    assert case.agreements() == []


def test_a_document_of_another_kind_is_no_agreement(case: Case) -> None:
    """Each kind has its own typ."""
    payload = encode(case.country.agreement(case.pns, case.anip))
    entry = conclude(case.country.agreement(case.pns, case.anip), case.pns.key, case.anip.key)
    registration = sign_document(DocumentKind.REGISTRATION, payload, case.pns.key)
    case.anip.change(agreements=[msgspec.structs.replace(entry, consumer_jws=registration)])

    assert case.agreements() == []


def test_an_agreement_is_published_by_its_provider_only(case: Case) -> None:
    """A copy in another document is left out."""
    case.pns.change(agreements=case.anip.document.agreements)

    assert case.left_out() == [("members/BJ.GOV.PNS.json", "agreement")]


def test_an_agreement_with_a_member_that_is_not_there_is_left_out(case: Case) -> None:
    """Its key cannot be known."""
    ghost = PublishedMember("BJ/GOV/ANDF")
    agreement = case.country.agreement(ghost, case.anip)
    case.anip.change(agreements=[conclude(agreement, ghost.key, case.anip.key)])

    judged = case.judge(own=case.anip)

    assert [one.part for one in judged.left_out] == ["agreement"]


def test_agreements_between_others_are_not_our_affair(case: Case) -> None:
    """They are neither kept nor complained about."""
    andf = case.country.member("BJ/GOV/ANDF")
    agreement = case.country.agreement(andf, case.anip)
    case.anip.change(agreements=[conclude(agreement, generate_key(), generate_key())])

    assert case.agreements() == []
    assert case.left_out() == []


@pytest.mark.parametrize("state", ["suspended", "revoked", "superseded"])
def test_the_registrys_word_on_an_agreement_is_kept(state: str, case: Case) -> None:
    """Workers refuse by it."""
    case.anip.change(
        agreements=[
            conclude(case.country.agreement(case.pns, case.anip), case.pns.key, case.anip.key, state=state)
        ]
    )

    assert [entry.state for member in case.judge().members for entry in member.agreements] == [state]


def _with_mask(case: Case, paths: list[str], **changes: object) -> Agreement:
    terms = case.country.agreement(case.pns, case.anip, field_mask={"GetPerson": paths})
    entry = conclude(terms, case.pns.key, case.anip.key)
    case.anip.change(agreements=[msgspec.structs.replace(entry, **changes)])
    return terms


def test_a_field_mask_is_compiled_with_the_descriptors_of_its_service(case: Case) -> None:
    """For workers, which have none; on both sides of the agreement."""
    terms = _with_mask(case, ["last_name", "residence.town"])
    person = identity_pb2.GetPersonResponse.DESCRIPTOR

    for own in (case.pns, case.anip):
        judged = case.judge(own=own)
        assert not judged.left_out
        [plan] = judged.masks
        assert (plan.agreement, plan.method) == (digest(encode(terms)), "GetPerson")
        assert unpack_plan(plan.tables) == mask_plan(person, ["last_name", "residence.town"])
        assert unpack_plan(plan.outline) == outline_plan(person, ["last_name", "residence.town"])


def test_a_field_that_the_descriptors_do_not_know_is_told_and_the_agreement_stays(case: Case) -> None:
    """Which agreement, which path, which message: whoever wrote it must understand why nobody can call."""
    _with_mask(case, ["last_name", "surname"])

    judged = case.judge()

    assert judged.masks == []
    [left_out] = judged.left_out
    assert (left_out.target, left_out.part) == ("members/BJ.GOV.ANIP.json", "field mask")
    assert left_out.why == (
        "the field mask of agreement CV-0042, version 1, for GetPerson: "
        "surname: bj.identity.v1.GetPersonResponse has no field surname"
    )
    assert case.agreements() == ["CV-0042"]


def test_masks_that_cannot_count_any_more_are_not_compiled(case: Case) -> None:
    """Of what is revoked, or of a service that is retired."""
    _with_mask(case, ["surname"], state="revoked")
    assert (case.judge().masks, case.judge().left_out) == ([], ())
    _with_mask(case, ["last_name"])
    [service] = case.anip.document.services
    case.anip.change(services=[msgspec.structs.replace(service, state="retired")])

    assert (case.judge().masks, case.judge().left_out) == ([], ())
