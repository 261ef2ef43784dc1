"""What control judged is what workers decide by: the two halves of one argument, put together."""

import pytest

from core.agreements import Party
from core.configuration import CommonDocument, CurrentConfiguration, MemberDocument
from core.identifiers import MemberId, RegistryId
from core.reasons import Reason
from gateway.control.verification import Judge, JudgedConfiguration
from gateway.worker.trust import Grant, TrustView, build
from pki.keys import generate_key, key_thumbprint
from tests.support.published_country import REGISTRY, conclude, listed, succeed
from tests.unit.gateway_control.test_verification import NOW, Case

CLIENT = "BJ/GOV/PNS/PORTAIL"
METHOD = "bj.identity.v1.IdentityService/GetPerson"


def judged(case: Case, member: str, key: str) -> JudgedConfiguration:
    """What control of ``member`` makes of what the registry published."""
    judge = Judge(case.country.root.certificate, RegistryId.parse(REGISTRY), MemberId.parse(member), key)
    return judge.judge(case.country.documents(), NOW)


def view_of(common: CommonDocument, members: list[MemberDocument], member: str, key: str) -> TrustView:
    """What a worker of ``member`` makes of what it was handed."""
    current = CurrentConfiguration(
        v=1,
        version=1,
        digest="ab" * 32,
        fresh_at=NOW,
        expires_at=NOW + 1000,
        common=common,
        members=members,
        programs=[],
    )
    return build(current, own_member=member, own_key=key, fresh_ms=600_000)


def handed_over(case: Case, member: str, key: str) -> TrustView:
    """The one, then the other."""
    found = judged(case, member, key)
    return view_of(found.common, found.members, member, key)


@pytest.mark.parametrize("member", ["BJ/GOV/PNS", "BJ/GOV/ANIP"])
def test_an_agreement_that_holds_lets_the_call_through_on_both_sides(member: str) -> None:
    """The consumer's worker and the provider's worker find the same one."""
    case = Case()

    view = handed_over(case, member, case.country.members[member].thumbprint)

    grant = view.find_grant(CLIENT, None, METHOD, NOW)
    assert isinstance(grant, Grant)
    assert grant.provider == "BJ/GOV/ANIP/RNPP"
    assert [gateway.id for gateway, _ in view.provider_logs(grant)] == ["BJ/GOV/ANIP/gw1"]


def test_our_pinned_key_may_be_succeeded() -> None:
    """The administrator changes nothing when the member rotates its key."""
    case = Case()
    new = generate_key()
    case.pns.change(
        member_keys=[listed(case.pns.key, state="superseded"), listed(new)],
        successors=[succeed(case.pns.id, case.pns.key, new)],
    )
    consumer = Party(CLIENT, key_thumbprint(new.public_key()))
    agreement = case.country.agreement(case.pns, case.anip, consumer=consumer)
    case.anip.change(agreements=[conclude(agreement, new, case.anip.key)])

    view = handed_over(case, case.pns.id, case.pns.thumbprint)

    assert isinstance(view.find_grant(CLIENT, None, METHOD, NOW), Grant)


def test_a_key_that_names_ours_as_its_successor_grants_nothing() -> None:
    """Neither control nor a worker that was handed the documents as they are."""
    case = Case()
    forged = generate_key()
    case.pns.change(
        member_keys=[listed(forged), listed(case.pns.key)],
        successors=[succeed(case.pns.id, forged, case.pns.key)],
    )
    consumer = Party(CLIENT, key_thumbprint(forged.public_key()))
    agreement = case.country.agreement(case.pns, case.anip, consumer=consumer)
    case.anip.change(agreements=[conclude(agreement, forged, case.anip.key)])

    view = handed_over(case, case.pns.id, case.pns.thumbprint)

    assert view.find_grant(CLIENT, None, METHOD, NOW) is Reason.NO_AGREEMENT
    common = judged(case, case.pns.id, case.pns.thumbprint).common
    unjudged = [case.anip.document, case.pns.document]
    alone = view_of(common, unjudged, case.pns.id, case.pns.thumbprint)
    assert alone.find_grant(CLIENT, None, METHOD, NOW) is Reason.NO_AGREEMENT
