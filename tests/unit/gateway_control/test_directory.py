"""What a program may find out."""

import msgspec
import pytest

from core.agreements import Agreement, Bilingual, Party
from core.configuration import AgreementEntry, AgreementState, MemberDocument, ServiceEntry, ServiceMethod
from core.documents import encode
from core.heads import b64url
from core.identifiers import SubsystemId
from core.jws import DocumentKind, document_header
from core.reasons import ExchangeError, Reason
from core.times import parse_time_ms
from gateway.control.directory import Directory

NOW = parse_time_ms("2026-11-23T10:00:00Z")
PORTAL = SubsystemId.parse("BJ/GOV/PNS/PORTAIL")
RNPP = SubsystemId.parse("BJ/GOV/ANIP/RNPP")
IDENTITY = "bj.identity.v1.IdentityService"
KEY = "k" * 43

AGREEMENT = Agreement(
    v=1,
    id="CV-0042",
    version=1,
    supersedes=None,
    consumer=Party(str(PORTAL), KEY),
    provider=Party(str(RNPP), KEY),
    service=IDENTITY,
    methods=["GetPerson"],
    purposes=["P01"],
    issue_required=True,
    field_mask=None,
    quota=None,
    represented_parties=None,
    allow_loopback=False,
    max_configuration_age_s=None,
    not_before="2026-01-01T00:00:00Z",
    not_after="2027-01-01T00:00:00Z",
    legal_basis=Bilingual("loi", "law"),
    apdp_decision=None,
)


def entry(agreement: Agreement = AGREEMENT, state: AgreementState = "active") -> AgreementEntry:
    """An agreement as the judge passed it on; the Directory does not verify again."""
    parts = (document_header(DocumentKind.AGREEMENT, KEY), encode(agreement), bytes(64))
    jws = b".".join(map(b64url, parts)).decode()
    return AgreementEntry(consumer_jws=jws, provider_jws=jws, state=state, changed_at=0)


def service(subsystem: SubsystemId = RNPP, *methods: str, retired: bool = False) -> ServiceEntry:
    return ServiceEntry(
        subsystem=str(subsystem),
        service=IDENTITY,
        descriptors="ab" * 32,
        methods=[
            ServiceMethod(name, False, False, True) for name in methods or ("GetPerson", "VerifyPerson")
        ],
        state="retired" if retired else "active",
    )


def member(
    subsystem: SubsystemId, services: list[ServiceEntry], agreements: list[AgreementEntry]
) -> MemberDocument:
    return MemberDocument(
        v=1,
        member=str(subsystem.member),
        name=Bilingual("nom", "name"),
        state="active",
        member_keys=[],
        successors=[],
        registrations=[],
        subsystems=[subsystem.code],
        services=services,
        agreements=agreements,
    )


def names(directory: Directory) -> list[tuple[str, frozenset[str]]]:
    return [(one.entry.subsystem, one.granted) for one in directory.services()]


def test_a_program_sees_what_an_agreement_opens_to_it() -> None:
    """With the methods that are granted."""
    directory = Directory([member(RNPP, [service()], [entry()])], NOW, PORTAL)

    assert names(directory) == [(str(RNPP), frozenset({"GetPerson"}))]
    assert directory.require(IDENTITY, "").entry.subsystem == str(RNPP)


@pytest.mark.parametrize(
    "without_effect",
    [
        [],
        [entry(state="suspended")],
        [entry(state="revoked")],
        [entry(state="superseded")],
        [entry(msgspec.structs.replace(AGREEMENT, not_after="2026-06-01T00:00:00Z"))],
        [entry(msgspec.structs.replace(AGREEMENT, not_before="2026-12-01T00:00:00Z"))],
        [entry(msgspec.structs.replace(AGREEMENT, service="bj.land.v1.LandService"))],
        [entry(msgspec.structs.replace(AGREEMENT, consumer=Party("BJ/GOV/ANDF/CADASTRE", KEY)))],
        [entry(msgspec.structs.replace(AGREEMENT, provider=Party("BJ/GOV/ANIP/AUTRE", KEY)))],
    ],
)
def test_a_service_without_agreement_is_not_there(without_effect: list[AgreementEntry]) -> None:
    """Existence is hidden as on the road."""
    directory = Directory([member(RNPP, [service()], without_effect)], NOW, PORTAL)

    assert directory.services() == []
    with pytest.raises(ExchangeError) as refused:
        directory.require(IDENTITY, str(RNPP))
    assert refused.value.reason is Reason.NO_AGREEMENT


def test_a_program_sees_its_own_members_services() -> None:
    """Its ministry provides them; nothing is granted by that."""
    own = SubsystemId.parse("BJ/GOV/ANIP/GUICHET")
    directory = Directory([member(RNPP, [service()], [])], NOW, own)

    assert names(directory) == [(str(RNPP), frozenset())]


def test_the_administrator_on_the_machine_sees_all() -> None:
    """Whoever may open the socket."""
    directory = Directory([member(RNPP, [service()], [])], NOW, None)

    assert names(directory) == [(str(RNPP), frozenset())]


def test_a_retired_service_is_not_there() -> None:
    """Even if an agreement still names it."""
    directory = Directory([member(RNPP, [service(retired=True)], [entry()])], NOW, PORTAL)

    assert directory.services() == []


def test_two_providers_of_one_service_have_to_be_told_apart() -> None:
    """As x-road-service does on the road."""
    other = SubsystemId.parse("BJ/GOV/MJ/ETATCIVIL")
    second = msgspec.structs.replace(AGREEMENT, provider=Party(str(other), KEY))
    directory = Directory(
        [member(RNPP, [service()], [entry()]), member(other, [service(other)], [entry(second)])], NOW, PORTAL
    )

    with pytest.raises(ExchangeError) as refused:
        directory.require(IDENTITY, "")

    assert refused.value.reason is Reason.SERVICE_AMBIGUOUS
    assert directory.require(IDENTITY, str(other)).entry.subsystem == str(other)
    assert [name for name, _ in names(directory)] == [str(RNPP), str(other)]
