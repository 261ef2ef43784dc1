"""What the trade register answers and refuses, on both databases."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from adapters.business.register import follow_merger
from adapters.business.service import BusinessService
from adapters.business.tables import CONSENTS, RELATION
from adapters.context import serving
from adapters.reasons import ContendedError, InvalidFieldsError, ProviderError, ProviderReason
from adapters.validation import require_valid
from bj.business.v1 import business_pb2 as pb
from core.reasons import ExchangeError, Reason
from tests.support.business import AFI, KOFFI, NO_CONTEXT, ROSINE, SARL, TRADE, Apiex, caller
from tests.support.consents import BANK, give_consent, give_lacking

KEY = "key-of-a-reservation-1"


@pytest.fixture
def service(apiex: Apiex) -> BusinessService:
    """The servicer."""
    return BusinessService(apiex.desk)


def get(service: BusinessService, purpose: str | None = None, **business: str) -> pb.GetBusinessResponse:
    """Call GetBusiness."""
    with serving(caller(purpose)):
        return service.GetBusiness(pb.GetBusinessRequest(**business), NO_CONTEXT)


def reserve(
    service: BusinessService,
    name: str,
    *,
    key: str = KEY,
    npi: str = KOFFI,
    client: str = "BJ/GOV/PNS/PORTAIL",
    **more: Any,
) -> pb.ReserveNameResponse:
    """Call ReserveName."""
    request = pb.ReserveNameRequest(
        idempotency_key=key,
        name=name,
        legal_form=more.get("legal_form", pb.LEGAL_FORM_SARL),
        applicant_npi=npi,
    )
    with serving(caller(more.get("purpose", "P02"), client)):
        return service.ReserveName(request, NO_CONTEXT)


def check(
    service: BusinessService, name: str, legal_form: pb.LegalForm.ValueType = pb.LEGAL_FORM_SARL
) -> pb.CheckNameResponse:
    """Call CheckName."""
    with serving(caller(None)):
        return service.CheckName(pb.CheckNameRequest(name=name, legal_form=legal_form), NO_CONTEXT)


def list_by_person(
    service: BusinessService, purpose: str | None, client: str = BANK, **request: str
) -> pb.ListByPersonResponse:
    """Call ListByPerson."""
    with serving(caller(purpose, client)):
        return service.ListByPerson(pb.ListByPersonRequest(**{"npi": KOFFI, **request}), NO_CONTEXT)


def list_relations(
    service: BusinessService, purpose: str | None, rccm: str = SARL.rccm, *, with_former: bool = False
) -> list[pb.Relation]:
    """Call ListRelations."""
    request = pb.ListRelationsRequest(rccm=rccm, with_former=with_former)
    with serving(caller(purpose)):
        return list(service.ListRelations(request, NO_CONTEXT).relations)


# --- GetBusiness


@pytest.mark.parametrize(
    "number", [{"rccm": "RB/COT/25 B 900001"}, {"rccm": "RB/COT/25B900001"}, {"ifu": "3202590000117"}]
)
def test_a_firm_is_found_by_any_of_its_numbers_and_spellings(
    service: BusinessService, number: dict[str, str]
) -> None:
    """Without a purpose: the register is public."""
    found = get(service, **number)

    require_valid(found)
    assert (found.rccm, found.name, found.capital_xof) == (SARL.rccm, SARL.name, SARL.capital_xof)
    assert found.euid == "BJRCCM.RBCOT25B900001"
    assert (found.seat.code, found.seat.commune) == ("LI-COT-05-012", "Cotonou")


@pytest.mark.parametrize("number", [{"rccm": "RB/COT/25 B 900009"}, {"ifu": "3202590000999"}])
def test_no_such_firm_is_not_found(service: BusinessService, number: dict[str, str]) -> None:
    """By either number."""
    with pytest.raises(ProviderError) as refused:
        get(service, **number)

    assert refused.value.reason is ProviderReason.NOT_FOUND


@pytest.mark.parametrize(
    ("purpose", "is_seen"), [(None, False), ("P01", False), ("P03", False), ("P02", True), ("P05", True)]
)
def test_the_birth_of_a_sole_trader_is_for_the_duty_to_register_and_courts(
    service: BusinessService, purpose: str | None, is_seen: bool
) -> None:
    """All else is public."""
    found = get(service, purpose, rccm=TRADE.rccm)

    assert found.owner_birth_date == ("1987-04-12" if is_seen else "")
    assert found.owner_birth_place == ("COTONOU" if is_seen else "")
    assert found.name == TRADE.name


# --- ListRelations


def test_who_is_behind_a_firm_is_named_and_numbered_for_whom_it_concerns(service: BusinessService) -> None:
    """Three digits for a citizen's dossier, the whole number for registration and courts."""
    for purpose in ("P02", "P05"):
        assert {one.npi for one in list_relations(service, purpose)} == {KOFFI, AFI}
        assert {one.npi_masked for one in list_relations(service, purpose)} == {""}

    masked = list_relations(service, "P01")

    assert {one.npi for one in masked} == {""}
    assert {one.npi_masked for one in masked} == {"*******001", "*******021"}
    assert masked[0].name.last_name == "ADJOVI"


def test_those_who_left_are_told_when_asked_for(service: BusinessService) -> None:
    """With the day on which they left."""
    former = [one for one in list_relations(service, "P02", with_former=True) if one.to_date]

    assert [(one.npi, one.to_date) for one in former] == [(ROSINE, "2025-09-01")]
    assert not any(one.to_date for one in list_relations(service, "P02"))


def test_relations_are_for_the_purposes_of_the_method(service: BusinessService) -> None:
    """Refused before the register is read: a firm that does not exist is refused alike."""
    for purpose in ("P03", "P04", "P06", "P07", "P08"):
        with pytest.raises(ProviderError) as refused:
            list_relations(service, purpose, "RB/COT/25 B 900009")
        assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED

    with pytest.raises(ExchangeError) as missing:
        list_relations(service, None)
    assert missing.value.reason is Reason.PURPOSE_REQUIRED
    with pytest.raises(ProviderError) as unknown:
        list_relations(service, "P01", "RB/COT/25 B 900009")
    assert unknown.value.reason is ProviderReason.NOT_FOUND


# --- ListByPerson


def test_a_persons_firms_are_told_to_himself_a_court_and_a_bank_with_his_consent(
    service: BusinessService, apiex: Apiex
) -> None:
    """All of his roles, the newest first; former ones too."""
    give_consent(apiex.desk.store, CONSENTS, "CONS-1", KOFFI)
    for purpose, proof in (
        ("P07", {}),
        ("P05", {"order_ref": "TRIB-COT-77"}),
        ("P03", {"consent_ref": "CONS-1"}),
    ):
        found = list_by_person(service, purpose, **proof).registrations

        assert [(one.rccm, one.role) for one in found] == [
            (SARL.rccm, pb.RELATION_ROLE_MANAGER),
            (SARL.rccm, pb.RELATION_ROLE_PARTNER),
            (TRADE.rccm, pb.RELATION_ROLE_OWNER),
        ]


def test_a_bank_without_consent_and_a_court_without_order_are_refused(service: BusinessService) -> None:
    """Whoever is asked about."""
    for npi in (KOFFI, "0000000003"):
        with pytest.raises(ProviderError) as refused:
            list_by_person(service, "P03", npi=npi)
        assert refused.value.reason is ProviderReason.CONSENT_REQUIRED
        with pytest.raises(InvalidFieldsError) as unproven:
            list_by_person(service, "P05", npi=npi)
        assert set(unproven.value.violations) == {"order_ref"}
        for purpose in ("P01", "P02", "P04"):
            with pytest.raises(ProviderError) as forbidden:
                list_by_person(service, purpose, npi=npi)
            assert forbidden.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


def test_a_bank_needs_a_consent_of_that_person_to_it_that_holds(
    service: BusinessService, apiex: Apiex
) -> None:
    """Each way in which one does not stand is refused alike, whether or not somebody has firms."""
    give_consent(apiex.desk.store, CONSENTS, "CONS-1", KOFFI)
    lacking = give_lacking(apiex.desk.store, CONSENTS, KOFFI, ROSINE, apiex.clock.now_ms())
    asked = [(KOFFI, reference) for reference in lacking] + [("0000000003", "CONS-1")]

    for npi, reference in asked:
        with pytest.raises(ProviderError) as refused:
            list_by_person(service, "P03", npi=npi, consent_ref=reference)
        assert refused.value.reason is ProviderReason.CONSENT_REQUIRED


def test_a_persons_firms_and_consents_are_found_under_every_number(
    service: BusinessService, apiex: Apiex
) -> None:
    """Once ANIP has merged some, told in any order, whichever was consented under and is asked for."""
    give_consent(apiex.desk.store, CONSENTS, "CONS-1", KOFFI)
    before = list_by_person(service, "P07", npi=KOFFI)
    apiex.desk.store.write(lambda tx: follow_merger(tx, "0000000019", "0000000777"))
    apiex.desk.store.write(lambda tx: follow_merger(tx, KOFFI, "0000000019"))

    for npi in (KOFFI, "0000000019", "0000000777"):
        assert list_by_person(service, "P07", npi=npi) == before
        assert list_by_person(service, "P03", npi=npi, consent_ref="CONS-1") == before


def test_a_role_written_under_the_former_number_after_the_merger_is_found(
    service: BusinessService, apiex: Apiex
) -> None:
    """A formality writes what ANIP said on the day before."""
    before = list_by_person(service, "P07", npi=KOFFI)
    with apiex.desk.store.writing() as tx:
        follow_merger(tx, KOFFI, "0000000019")
        tx.execute(RELATION.update().where(RELATION.c.npi == "0000000019").values(npi=KOFFI))

    for npi in (KOFFI, "0000000019"):
        assert list_by_person(service, "P07", npi=npi) == before


def test_nobody_and_somebody_without_firms_look_the_same(service: BusinessService) -> None:
    """An empty list tells neither that somebody exists nor that he does not."""
    nobody = list_by_person(service, "P07", npi="0000000003")
    nothing = list_by_person(service, "P07", npi="0000000019")

    assert nobody == nothing == pb.ListByPersonResponse()


# --- names


def test_a_name_that_nobody_has_is_free(service: BusinessService) -> None:
    """Until somebody keeps it."""
    assert check(service, "Fifamè Transit").availability == pb.NAME_AVAILABILITY_AVAILABLE


@pytest.mark.parametrize(
    "name", ["Senan Services", "SERVICES SÈNAN S.A.", "Établissements Sènan-Services", "Senan Servicez"]
)
def test_a_name_in_use_or_too_near_is_a_conflict_that_names_the_firm(
    service: BusinessService, name: str
) -> None:
    """However it is written."""
    answer = check(service, name)

    assert answer.availability == pb.NAME_AVAILABILITY_CONFLICT
    assert list(answer.similar) == [SARL.name]


def test_a_sole_traders_own_name_is_no_name_of_a_firm(service: BusinessService) -> None:
    """Homonyms trade side by side; the sign over the door is kept."""
    assert check(service, "Adjovi Koffi").availability == pb.NAME_AVAILABILITY_AVAILABLE
    assert check(service, "Chez Koffi Couture").availability == pb.NAME_AVAILABILITY_CONFLICT


def test_a_forbidden_name_is_refused_by_both_methods(service: BusinessService) -> None:
    """And a licensed trade is for its forms."""
    assert check(service, "Police du Bénin").availability == pb.NAME_AVAILABILITY_FORBIDDEN
    assert check(service, "Banque Mahugnon").availability == pb.NAME_AVAILABILITY_FORBIDDEN
    assert check(service, "Banque Mahugnon", pb.LEGAL_FORM_SA).availability == pb.NAME_AVAILABILITY_AVAILABLE
    with pytest.raises(ContendedError):
        reserve(service, "Police du Bénin")


def test_no_more_than_ten_firms_are_named(apiex: Apiex, service: BusinessService) -> None:
    """The nearest ones."""
    firms = [
        (replace(SARL, rccm=f"RB/COT/25 B 9100{number:02d}", name=f"Mahugnon Transit {letter}", ifu=""), ())
        for number, letter in enumerate("bcdefghjkmnp")
    ]
    apiex.enter(firms)

    assert len(check(service, "Mahugnon Transit").similar) == 10


def test_a_kept_name_is_a_conflict_that_tells_nobody(service: BusinessService) -> None:
    """Names of firms to be are no part of the public register."""
    reserve(service, "Fifamè Transit")

    answer = check(service, "FIFAME-TRANSIT SARL")

    assert answer.availability == pb.NAME_AVAILABILITY_CONFLICT
    assert list(answer.similar) == []


def test_a_name_is_kept_for_thirty_days_for_its_applicant(apiex: Apiex, service: BusinessService) -> None:
    """The last day is told, and on the day after the name is anybody's."""
    kept = reserve(service, "Fifamè Transit")
    require_valid(kept)
    assert kept.reserved_until == "2026-12-28"

    apiex.clock.advance(timedelta(days=30, hours=14))
    with pytest.raises(ContendedError):
        reserve(service, "Fifamè Transit", key="key-of-a-reservation-2", npi=AFI)
    apiex.clock.advance(timedelta(hours=2))

    assert check(service, "Fifamè Transit").availability == pb.NAME_AVAILABILITY_AVAILABLE
    assert (
        reserve(service, "Fifamè Transit", key="key-of-a-reservation-3", npi=AFI).name_token
        != kept.name_token
    )


def test_a_kept_name_is_refused_to_anybody_else_even_a_letter_apart(service: BusinessService) -> None:
    """Another person, or the same through another consumer."""
    reserve(service, "Fifamè Transit")

    for name, npi, client in (
        ("Transit Fifame", AFI, "BJ/GOV/PNS/PORTAIL"),
        ("Fifame Transits", AFI, "BJ/GOV/PNS/PORTAIL"),
        ("Fifamè Transit", KOFFI, "BJ/COM/NOTAIRES/ETUDES"),
        ("Sènan Services", KOFFI, "BJ/GOV/PNS/PORTAIL"),
    ):
        with pytest.raises(ContendedError):
            reserve(service, name, key="key-of-a-reservation-2", npi=npi, client=client)


def test_a_name_kept_twice_by_the_same_applicant_is_one_reservation(
    apiex: Apiex, service: BusinessService
) -> None:
    """Sent again with the key, or asked for again: the same token, and no day more."""
    kept = reserve(service, "Fifamè Transit")
    apiex.clock.advance(timedelta(days=10))

    assert reserve(service, "Fifamè Transit") == kept
    assert reserve(service, "FIFAMÈ TRANSIT SARL", key="key-of-a-reservation-2") == kept


def test_a_key_that_served_another_name_is_refused(service: BusinessService) -> None:
    """One key, one intent."""
    reserve(service, "Fifamè Transit")

    with pytest.raises(ProviderError) as refused:
        reserve(service, "Mahugnon Transit")

    assert refused.value.reason is ProviderReason.DUPLICATE_REQUEST


def test_names_are_kept_for_a_duty_to_register_only(service: BusinessService) -> None:
    """P02."""
    with pytest.raises(ProviderError) as refused:
        reserve(service, "Fifamè Transit", purpose="P01")

    assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


@pytest.mark.parametrize("other", ["fifame TRANSIT sarl", "Fifame Transits", "TRANSIT, FIFAMÈ"])
def test_of_two_who_want_one_name_at_once_one_gets_it(
    apiex: Apiex, service: BusinessService, other: str
) -> None:
    """Real threads, real transactions; the same name or a letter apart."""
    for letters in ("AAA", "BBB", "CCC", "DDD", "EEE"):
        mine = partial(reserve, service, f"{letters} Fifamè Transit", key=f"key-of-a-race-a-{letters}")
        theirs = partial(reserve, service, f"{letters} {other}", key=f"key-of-a-race-b-{letters}", npi=AFI)

        outcomes = apiex.race(mine, theirs)

        assert sorted(isinstance(one, pb.ReserveNameResponse) for one in outcomes) == [False, True]
        assert ProviderReason.STATE_CONFLICT in outcomes
