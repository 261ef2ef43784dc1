"""A firm is changed, struck off, attested, on both databases."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.business.tables import FIRM
from adapters.context import serving
from adapters.kit.dossier import State
from adapters.reasons import ContendedError, InvalidFieldsError, ProviderError, ProviderReason
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import formality_pb2
from bj.common.v1 import person_pb2
from tests.support.business import AFI, KOFFI, NO_CONTEXT, ROSINE, SARL, TRADE, Apiex, caller, relation, share
from tests.support.next_door import AnipNextDoor

MERGED, SURVIVING = "0000000010", "0000000011"
STRIKE: dict[str, Any] = {"kind": formality_pb2.FORMALITY_KIND_STRIKE_OFF}


@pytest.fixture
def anip(apiex: Apiex) -> AnipNextDoor:
    """ANIP, which the dossiers' first step asks."""
    return apiex.open_anip()


def strike_off(apiex: Apiex, npi: str = KOFFI) -> formality_pb2.SubmitFormalityRequest:
    """The end of the company."""
    return apiex.change(SARL, application=apiex.application("PS90304", npi), **STRIKE)


def who(apiex: Apiex, role: pb.RelationRole.ValueType) -> list[str]:
    """Who has a role in the company now."""
    request = pb.ListRelationsRequest(rccm=SARL.rccm)
    with serving(caller()):
        found = apiex.business.ListRelations(request, NO_CONTEXT).relations
    return sorted(one.npi for one in found if one.role == role)


def test_a_change_writes_what_it_names_and_leaves_the_rest(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Told by the names of the fields; without name token there is no step for the name."""
    seat = person_pb2.AdministrativeUnit(code="OU-PNO-01", commune="Porto-Novo")
    reference = apiex.paid(apiex.change(SARL, activity="Import", seat=seat))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert apiex.steps(reference) == {"identity": "DONE", "rccm": "DONE"}
    firm = apiex.firm(SARL.rccm)
    assert (firm.activity, firm.seat.code, firm.name) == ("Import", "OU-PNO-01", SARL.name)
    assert apiex.events() == [("MODIFIED", SARL.rccm)]
    assert len(apiex.read(reference).documents) == 1


def test_another_name_frees_the_former_one(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Both at once: nobody finds the firm without a name."""
    reference = apiex.paid(apiex.change(SARL, name_token=apiex.reserve("Fifamè Transit")))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert apiex.firm(SARL.rccm).name == "Fifamè Transit"
    apiex.reserve("Sènan Services", npi=AFI)
    with pytest.raises(ContendedError):
        apiex.reserve("Fifame Transit SARL", npi=AFI)


def test_managers_and_partners_are_replaced_and_who_stays_keeps_his_day(
    apiex: Apiex, anip: AnipNextDoor
) -> None:
    """Who came or went is not told to the public."""
    managers = [formality_pb2.ManagerRef(npi=KOFFI), formality_pb2.ManagerRef(npi=ROSINE)]
    partners = [share(KOFFI, 600_000), share(ROSINE, 900_000)]
    reference = apiex.paid(apiex.change(SARL, managers=managers, partners=partners, capital_xof=1_500_000))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert who(apiex, pb.RELATION_ROLE_MANAGER) == [KOFFI, ROSINE]
    assert who(apiex, pb.RELATION_ROLE_PARTNER) == [KOFFI, ROSINE]
    assert apiex.firm(SARL.rccm).capital_xof == 1_500_000
    assert apiex.events() == [("MANAGER_CHANGED", SARL.rccm), ("MODIFIED", SARL.rccm)]
    with serving(caller("P07")):
        found = apiex.business.ListByPerson(pb.ListByPersonRequest(npi=KOFFI), NO_CONTEXT).registrations
    assert {one.from_date for one in found if one.rccm == SARL.rccm} == {SARL.registered_on}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "kind"),
        ({"legal_form": pb.LEGAL_FORM_EI}, "legal_form"),
        ({"legal_form": pb.LEGAL_FORM_SA}, "partners"),
        ({"capital_xof": 2_000_000}, "partners"),
        ({"partners": [share(KOFFI, 1), share(AFI, 2)]}, "capital_xof"),
        ({"seat": person_pb2.AdministrativeUnit(code="LI")}, "seat.code"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_its_field(
    apiex: Apiex, changes: dict[str, Any], field: str
) -> None:
    """Before a dossier is opened."""
    with pytest.raises(InvalidFieldsError) as refused:
        apiex.submit(apiex.change(SARL, **changes))

    assert set(refused.value.violations) == {field}


def test_a_sole_trader_stays_alone(apiex: Apiex) -> None:
    """Partners and capital are of companies."""
    with pytest.raises(InvalidFieldsError) as refused:
        apiex.submit(apiex.change(TRADE, partners=[share(KOFFI, 1)], capital_xof=1))

    assert set(refused.value.violations) == {"partners"}


def test_a_firm_that_is_not_there_suspended_or_struck_off_is_not_changed(apiex: Apiex) -> None:
    """Each for its reason."""
    for status, reason in (
        (pb.BUSINESS_STATUS_SUSPENDED, ProviderReason.RECORD_LOCKED),
        (pb.BUSINESS_STATUS_STRUCK_OFF, ProviderReason.STATE_CONFLICT),
    ):
        with apiex.desk.store.writing() as tx:
            tx.execute(FIRM.update().values(status=status))
        with pytest.raises(ProviderError) as refused:
            apiex.submit(apiex.change(SARL, activity="Import"))
        assert refused.value.reason is reason
    with pytest.raises(ProviderError) as missing:
        apiex.submit(apiex.change(replace(SARL, rccm="RB/COT/25 B 900099"), activity="Import"))
    assert missing.value.reason is ProviderReason.NOT_FOUND


def test_of_two_formalities_of_one_firm_one_is_under_way(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Real threads; when it has ended the next one may come, in whatever spelling of the number."""
    requests = [apiex.change(SARL, activity=f"Import {number}") for number in range(2)]

    outcomes = apiex.race(*(partial(apiex.submit, request) for request in requests))

    assert outcomes.count(ProviderReason.STATE_CONFLICT) == 1
    (filed,) = [one for one in outcomes if one is not ProviderReason.STATE_CONFLICT]
    compact = replace(SARL, rccm=SARL.rccm.replace(" ", ""))
    with pytest.raises(ContendedError):
        apiex.submit(apiex.change(compact, activity="Export"))
    apiex.pay(filed)
    apiex.run()
    assert State(apiex.submit(apiex.change(compact, activity="Export")).state) is State.AWAITING_PAYMENT


def test_only_who_leads_a_firm_changes_it(apiex: Apiex, anip: AnipNextDoor) -> None:
    """A partner alone does not; the reason is told, nobody is named."""
    request = apiex.change(SARL, application=apiex.application("PS90303", "0000000013"), activity="Import")
    reference = apiex.paid(request)
    apiex.run()

    rejected = apiex.read(reference)
    assert State(rejected.state) is State.REJECTED
    assert rejected.reason.startswith("IDENTITY_MISMATCH")
    assert apiex.firm(SARL.rccm).activity == SARL.activity


def test_a_manager_whose_number_was_merged_still_leads_his_firm(apiex: Apiex, anip: AnipNextDoor) -> None:
    """The register has the old number, he has the new one: ANIP says that they are one, and the register follows."""
    firm = replace(SARL, rccm="RB/COT/25 B 900050", name="Adjoua Négoce", ifu="")
    apiex.enter([(firm, [relation(firm, pb.RELATION_ROLE_MANAGER, MERGED)])])
    application = apiex.application("PS90303", SURVIVING)

    reference = apiex.paid(apiex.change(firm, application=application, activity="Import"))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    with serving(caller("P07")):
        found = apiex.business.ListByPerson(pb.ListByPersonRequest(npi=SURVIVING), NO_CONTEXT).registrations
    assert [one.rccm for one in found] == [firm.rccm]


def test_a_firm_is_struck_off(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Its roles end, its name is free, its number answers for ever."""
    reference = apiex.paid(strike_off(apiex))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert apiex.steps(reference) == {"identity": "DONE", "rccm": "DONE"}
    assert apiex.firm(SARL.rccm).status == pb.BUSINESS_STATUS_STRUCK_OFF
    assert apiex.row(FIRM, rccm=SARL.rccm).struck_off_on == "2026-11-28"
    assert who(apiex, pb.RELATION_ROLE_PARTNER) == []
    assert apiex.events() == [("STRUCK_OFF", SARL.rccm)]
    apiex.reserve("Sènan Services", npi=AFI)


# --- extracts


def test_an_extract_of_the_digital_register_is_given_at_once(apiex: Apiex) -> None:
    """As soon as its 5,000 F are paid."""
    filed = apiex.extract("RB/COT/25B900001")
    assert (State(filed.state), filed.fee.amount_xof) == (State.AWAITING_PAYMENT, 5_000)
    assert list(filed.documents) == []

    granted = apiex.pay(filed)

    assert State(granted.state) is State.GRANTED
    (document,) = granted.documents
    page = dict(apiex.documents.pages[document.doc_id])
    assert page["N° RCCM"] == SARL.rccm
    assert page["Associé"] == "ADJOVI Afi (400000 F CFA)"
    assert KOFFI not in str(page)


def test_an_extract_of_a_paper_entry_is_an_officers_within_48_hours(apiex: Apiex) -> None:
    """Working hours: from Saturday to Tuesday evening."""
    filed = apiex.pay(apiex.extract(TRADE.rccm))
    assert State(filed.state) is State.FILED
    assert filed.due_at.ToDatetime().isoformat() == "2026-12-01T23:00:00"

    apiex.desk.store.write(lambda tx: apiex.desk.dossiers.review(tx, filed.reference, "agent-7"))
    apiex.desk.store.write(lambda tx: apiex.desk.dossiers.grant(tx, filed.reference, "agent-7"))

    (document,) = apiex.read(filed.reference).documents
    assert dict(apiex.documents.pages[document.doc_id])["Né(e) à"] == "COTONOU"


def test_extracts_are_refused_for_their_reasons(apiex: Apiex) -> None:
    """No such firm, another purpose, another service."""
    with pytest.raises(ProviderError) as missing:
        apiex.extract("RB/COT/25 B 900099")
    assert missing.value.reason is ProviderReason.NOT_FOUND
    with pytest.raises(ProviderError) as purpose:
        apiex.extract(SARL.rccm, purpose="P02")
    assert purpose.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED
    with pytest.raises(InvalidFieldsError) as code:
        apiex.extract(SARL.rccm, code="PS90301")
    assert set(code.value.violations) == {"application.service_code"}


def test_the_database_itself_keeps_one_number_for_one_firm(apiex: Apiex) -> None:
    """Whatever a later version forgets to check."""
    with pytest.raises(sa.exc.IntegrityError):
        apiex.enter([(replace(SARL, rccm="RB/COT/25 B 900077", name="Autre"), [])])
