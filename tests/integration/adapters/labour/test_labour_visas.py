"""Contracts on their way to a visa, over real gRPC: what is taken, what is refused, what happens when others are away."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.labour.tables import CONTRACTS, EMPLOYERS
from bj.business.v1 import business_pb2
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import events_pb2, visa_pb2
from tests.support.labour.office import (
    ANIP,
    APIEX,
    FOREIGNER,
    IFU,
    KOFFI,
    MINOR,
    MONDAY_MS,
    LabourOffice,
    contract_request,
)

DOSSIERS = "BJ/GOV/MTFP/TRAVAIL/bj.labour.v1.LabourDossierService"
DAY_MS = 86_400_000
CDI = {"type": visa_pb2.CONTRACT_TYPE_CDI, "end_date": ""}
APPRENTICE = {"type": visa_pb2.CONTRACT_TYPE_APPRENTICESHIP, "service_code": "PS90402"}
FOREIGN = {
    "type": visa_pb2.CONTRACT_TYPE_FOREIGN,
    "worker_npi": FOREIGNER,
    "work_permit_no": "PT-2026-900016",
}


def events(office: LabourOffice) -> list[tuple[str, str]]:
    """Type and dossier of all that the portal may hear."""
    answer = office.call(office.events.ListVisaChanges, events_pb2.ListVisaChangesRequest())
    return [
        (events_pb2.VisaEventType.Name(one.type).removeprefix("VISA_EVENT_TYPE_"), one.reference)
        for one in answer.events
    ]


def contracts(office: LabourOffice) -> list[Any]:
    """The contracts in the register."""
    with office.desk.store.reading() as tx:
        return list(tx.execute(sa.select(CONTRACTS).order_by(CONTRACTS.c.reference)))


def test_a_sound_contract_becomes_a_dossier(office: LabourOffice) -> None:
    """Free, due in eight working days, its worker known to ANIP; APIEx is asked next."""
    answer = office.file()

    dossier = answer.dossier
    assert dossier.reference == "DGT-202611-0001"
    assert dossier.state == dossier_pb2.DOSSIER_STATE_FILED
    assert (dossier.fee.amount_xof, list(answer.warnings)) == (0, [])
    # Monday the 23rd, and eight working days: Thursday, 3 December.
    assert dossier.due_at.ToMilliseconds() == MONDAY_MS + 10 * DAY_MS
    assert [(step.name, step.detail) for step in dossier.steps] == [
        ("identity", ""),
        ("employer", ""),
        ("warnings", ""),
    ]
    assert office.steps(dossier.reference) == {"identity": "DONE", "employer": "PENDING", "warnings": "DONE"}
    assert office.gateway.heard == [(ANIP, "GetPerson", "P02", "ACT-202611-0001")]
    assert events(office) == [("FILED", dossier.reference)]

    office.run_due()

    assert office.steps(dossier.reference)["employer"] == "DONE"
    assert office.gateway.heard[1:] == [(APIEX, "GetBusiness", "P02", dossier.reference)]


def test_the_same_filing_again_is_the_same_dossier(office: LabourOffice) -> None:
    """However often it comes, even while others are away; another contract under its key is refused."""
    first = office.file()
    office.gateway.away = {ANIP, APIEX}

    assert office.file() == first
    office.gateway.away = set()
    refused = office.refused(office.filings.SubmitContractVisa, contract_request(post="Caissier"))
    assert (refused.reason, refused.domain) == ("DUPLICATE_REQUEST", DOSSIERS)
    raced = office.race(*[lambda: office.file(key="key-of-a-contract-0002")] * 4)
    assert [one.dossier.reference for one in raced] == ["DGT-202611-0002"] * 4
    assert len(contracts(office)) == 2


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"salary_xof": 51_999}, {"salary_xof"}),
        ({"salary_xof": 39_999, "signed_on": "2022-12-31"}, {"salary_xof"}),
        ({"end_date": "2026-12-01"}, {""}),
        ({"end_date": ""}, {""}),
        ({"type": visa_pb2.CONTRACT_TYPE_CDI}, {""}),
        ({"start_date": "2026-02-30"}, {"start_date"}),
        ({"signed_on": "2026-11-31"}, {"signed_on"}),
        ({"end_date": "2027-02-29"}, {"end_date"}),
        ({"service_code": "PS90402"}, {"application.service_code"}),
        ({"type": visa_pb2.CONTRACT_TYPE_APPRENTICESHIP}, {"application.service_code"}),
        ({**APPRENTICE, "end_date": "2030-12-02"}, {"end_date"}),
        ({**APPRENTICE, "worker_npi": MINOR}, {"worker_npi"}),
        ({"worker_npi": FOREIGNER}, {"work_permit_no"}),
        ({"worker_npi": FOREIGNER, **CDI}, {"work_permit_no"}),
        (FOREIGN, {"work_permit_no"}),
        ({"type": visa_pb2.CONTRACT_TYPE_FOREIGN}, {""}),
        ({"employer_ifu": "9202590000112"}, {"employer_ifu"}),
    ],
)
def test_a_contract_that_breaks_a_rule_is_refused_by_the_field(
    steady: LabourOffice, changes: dict[str, Any], fields: set[str]
) -> None:
    """The field is named, its value is not, and nothing is entered."""
    refused = steady.refused(steady.filings.SubmitContractVisa, contract_request(**changes))

    assert (refused.reason, refused.domain, refused.fields) == ("FORMAT_INVALID", DOSSIERS, fields)
    assert contracts(steady) == []
    assert events(steady) == []


@pytest.mark.parametrize(
    ("npi", "reason"),
    [
        ("0000000002", "DECEASED"),
        ("0000000003", "IDENTITY_MISMATCH"),
        ("0000000012", "RECORD_LOCKED"),
    ],
)
def test_what_anip_says_of_the_worker_refuses_the_contract(
    steady: LabourOffice, npi: str, reason: str
) -> None:
    """Dead, unknown, locked."""
    refused = steady.refused(steady.filings.SubmitContractVisa, contract_request(worker_npi=npi))

    assert (refused.reason, refused.domain) == (reason, DOSSIERS)
    assert contracts(steady) == []


@pytest.mark.parametrize("purpose", ["P01", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_only_the_duty_to_register_opens_a_dossier(steady: LabourOffice, purpose: str) -> None:
    """Any other purpose is refused before anybody is asked."""
    refused = steady.refused(steady.filings.SubmitContractVisa, contract_request(), purpose)

    assert refused.reason == "PURPOSE_NOT_ALLOWED"
    assert purpose not in {said for _, _, said, _ in steady.gateway.heard}


def test_a_merged_number_gives_way_to_the_one_that_stands(office: LabourOffice) -> None:
    """The register keeps the worker under the number by which ANIP knows him."""
    office.file(worker_npi="0000000010")

    assert [one.worker_npi for one in contracts(office)] == ["0000000011"]


def test_a_foreigner_with_a_permit_is_taken(office: LabourOffice) -> None:
    """In force on the first day of work, and his own; without term only after two years."""
    office.enter_permit("PT-2026-900016", FOREIGNER, "2026-06-01", "2027-05-31")
    office.enter_permit("PT-2026-900017", KOFFI, "2026-06-01", "2027-05-31")

    assert office.file(**FOREIGN).dossier.reference
    for changes, fields in (
        ({"start_date": "2027-06-01"}, {"work_permit_no"}),
        ({"work_permit_no": "PT-2026-900017"}, {"work_permit_no"}),
        ({"end_date": ""}, {"end_date"}),
    ):
        request = contract_request(**{**FOREIGN, **changes}, key="key-of-a-contract-0002")
        assert office.refused(office.filings.SubmitContractVisa, request).fields == fields
    office.enter_permit("PT-2024-900016", FOREIGNER, "2024-11-01", "2025-10-31")
    assert office.file(**{**FOREIGN, "end_date": ""}, key="key-of-a-contract-0003").dossier.reference


def test_what_speaks_against_a_contract_is_told_and_refuses_nothing(office: LabourOffice) -> None:
    """To whoever hands it in, and to the officer in the dossier; nobody is named."""
    office.file()
    office.desk.store.write(lambda tx: tx.execute(EMPLOYERS.update().values(contributions="LATE")))

    answer = office.file(key="key-of-a-contract-0002", start_date="2026-11-01")

    assert list(answer.warnings) == [1, 2, 3]
    detail = {step.name: step.detail for step in answer.dossier.steps}["warnings"]
    assert len(detail.split(" ; ")) == 3
    assert KOFFI not in detail
    later = office.file(key="key-of-a-contract-0003", start_date="2027-12-01", end_date="2028-01-31")
    assert list(later.warnings) == [visa_pb2.VISA_WARNING_CONTRIBUTIONS_LATE]


def test_while_anip_is_away_the_dossier_waits_and_is_asked_for_again(office: LabourOffice) -> None:
    """Opened all the same; the step tells it; when ANIP is back, it goes on."""
    office.gateway.away.add(ANIP)
    reference = office.file().dossier.reference
    assert office.steps(reference)["identity"] == "PENDING"

    office.run_due()

    assert office.steps(reference)["identity"] == "RUNNING"
    (step, *_) = office.dossier(reference).steps
    assert "ne répond pas" in step.detail
    version = office.dossier(reference).version
    office.clock.advance(timedelta(seconds=10))
    office.run_due()
    assert office.dossier(reference).version == version
    with pytest.raises(Exception, match="state does not allow"):
        office.decide("grant", reference)

    office.gateway.away.clear()
    office.clock.advance(timedelta(minutes=10))
    office.run_due()

    assert office.steps(reference) == {"identity": "DONE", "employer": "DONE", "warnings": "DONE"}
    assert [one.worker_name for one in contracts(office)] == ["ADJOVI KOFFI"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"worker_npi": "0000000002"}, "décès"),
        ({"worker_npi": "0000000003"}, "connaît"),
        ({"worker_npi": "0000000012"}, "verrouillée"),
        ({**APPRENTICE, "worker_npi": MINOR}, "âge"),
        ({"worker_npi": FOREIGNER}, "permis"),
    ],
)
def test_what_anip_says_late_rejects_the_dossier(
    office: LabourOffice, changes: dict[str, Any], word: str
) -> None:
    """With a reason that names nobody; the contract binds nobody, and the portal hears of it."""
    office.gateway.away.add(ANIP)
    reference = office.file(**changes).dossier.reference
    office.gateway.away.clear()

    office.run_due()

    dossier = office.dossier(reference)
    assert dossier.state == dossier_pb2.DOSSIER_STATE_REJECTED
    assert word in dossier.reason
    assert office.steps(reference)["identity"] == "FAILED"
    assert [one.state for one in contracts(office)] == ["closed"]
    assert events(office) == [("FILED", reference), ("REJECTED", reference)]
    assert office.tasks() == set()


@pytest.mark.parametrize(
    "status", [business_pb2.BUSINESS_STATUS_STRUCK_OFF, business_pb2.BUSINESS_STATUS_LIQUIDATION]
)
def test_an_employer_who_is_not_active_gets_no_visa(
    office: LabourOffice, status: business_pb2.BusinessStatus.ValueType
) -> None:
    """As APIEx says."""
    office.apiex.enter(IFU, status)
    reference = office.file().dossier.reference

    office.run_due()

    assert office.dossier(reference).state == dossier_pb2.DOSSIER_STATE_REJECTED
    assert office.steps(reference)["employer"] == "FAILED"


def test_while_apiex_is_away_the_dossier_waits(office: LabourOffice) -> None:
    """As for ANIP."""
    office.gateway.away.add(APIEX)
    reference = office.file().dossier.reference

    office.run_due()
    assert office.steps(reference)["employer"] == "RUNNING"
    office.gateway.away.clear()
    office.clock.advance(timedelta(minutes=10))
    office.run_due()

    assert office.steps(reference)["employer"] == "DONE"


def test_a_firm_founded_this_morning_may_hire_this_afternoon(office: LabourOffice) -> None:
    """An employer whom the ministry does not know is entered as APIEx knows it."""
    founded = "3202690000118"
    office.apiex.enter(founded)

    answer = office.file(employer_ifu=founded)

    assert office.steps(answer.dossier.reference)["employer"] == "DONE"
    with office.desk.store.reading() as tx:
        row = tx.execute(sa.select(EMPLOYERS).where(EMPLOYERS.c.ifu == founded)).one()
    assert (row.inspectorate_code, row.contributions, row.sector) == ("AQ", "UNKNOWN", "Commerce de détail")


def test_an_employer_whom_nobody_knows_hires_nobody(office: LabourOffice) -> None:
    """Neither the ministry nor APIEx; while APIEx is away, nobody can say, and nothing is entered."""
    request = contract_request(employer_ifu="3202690000218")

    assert office.refused(office.filings.SubmitContractVisa, request).reason == "NOT_FOUND"
    office.gateway.away.add(APIEX)
    assert office.refused(office.filings.SubmitContractVisa, request).reason == "UPSTREAM_UNAVAILABLE"
    assert contracts(office) == []


def test_the_state_is_an_employer_that_no_trade_register_holds(office: LabourOffice) -> None:
    """Nor does it hold organisations and associations: APIEx is not asked for them."""
    for ifu in ("4202690000118", "6202690000118"):
        office.desk.store.write(
            lambda tx, ifu=ifu: tx.execute(EMPLOYERS.update().values(ifu=ifu))  # type: ignore[misc]
        )
        reference = office.file(employer_ifu=ifu, key=f"key-of-a-contract-{ifu}").dossier.reference
        office.run_due()
        assert office.steps(reference)["employer"] == "DONE"
    assert APIEX not in {provider for provider, *_ in office.gateway.heard}


def test_an_overdue_dossier_is_told_once(office: LabourOffice) -> None:
    """After the promised day, and not while an arbitration lets time stand still."""
    reference = office.file().dossier.reference
    office.run_due()
    office.decide("review", reference)
    office.decide("arbitrate", reference)
    office.clock.advance(timedelta(days=20))
    office.run_due()
    assert ("OVERDUE", reference) not in events(office)
    office.decide("resume", reference)

    for _ in range(30):
        office.clock.advance(timedelta(days=1))
        office.run_due()

    assert [kind for kind, _ in events(office)] == ["FILED", "OVERDUE"]


def test_whoever_gives_up_is_not_overdue(office: LabourOffice) -> None:
    """A dossier that ended is watched no more, and its contract binds nobody."""
    reference = office.file().dossier.reference
    office.desk.store.write(lambda tx: office.desk.dossiers.cancel(tx, reference))

    office.clock.advance(timedelta(days=30))
    office.run_due()

    assert events(office) == [("FILED", reference)]
    assert [one.state for one in contracts(office)] == ["closed"]
    assert office.tasks() == set()
