"""Contracts on their way to a visa, over real gRPC: what is taken, what is refused, what happens when others are away."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters.labour.adapter import MINISTRY
from adapters.labour.tables import EMPLOYERS
from bj.common.v1 import dossier_pb2, dossier_service_pb2, payment_pb2
from bj.labour.v1 import visa_pb2
from tests.support.labour.office import (
    ANIP,
    APIEX,
    FOREIGNER,
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
    assert office.told() == [("FILED", dossier.reference)]

    office.run_due()

    assert office.steps(dossier.reference)["employer"] == "DONE"
    assert office.gateway.heard[1:] == [(APIEX, "GetBusiness", "P02", "ACT-202611-0001")]


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
    assert len(office.contracts()) == 2


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
    assert steady.contracts() == []
    assert steady.told() == []


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
    assert steady.contracts() == []


@pytest.mark.parametrize("purpose", ["P01", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_only_the_duty_to_register_opens_a_dossier(steady: LabourOffice, purpose: str) -> None:
    """Any other purpose is refused before anybody is asked."""
    refused = steady.refused(steady.filings.SubmitContractVisa, contract_request(), purpose)

    assert refused.reason == "PURPOSE_NOT_ALLOWED"
    assert purpose not in {said for _, _, said, _ in steady.gateway.heard}


def test_a_merged_number_gives_way_to_the_one_that_stands(office: LabourOffice) -> None:
    """The register keeps the worker under the number by which ANIP knows him."""
    office.file(worker_npi="0000000010")

    assert [one.worker_npi for one in office.contracts()] == ["0000000011"]


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


def test_an_overdue_dossier_is_told_once(office: LabourOffice) -> None:
    """After the promised day, and not while an arbitration lets time stand still."""
    reference = office.file().dossier.reference
    office.run_due()
    office.decide("review", reference)
    office.decide("arbitrate", reference)
    office.clock.advance(timedelta(days=20))
    office.run_due()
    assert ("OVERDUE", reference) not in office.told()
    office.decide("resume", reference)

    for _ in range(30):
        office.clock.advance(timedelta(days=1))
        office.run_due()

    assert [kind for kind, _ in office.told()] == ["FILED", "OVERDUE"]


def test_whoever_gives_up_is_not_overdue(office: LabourOffice) -> None:
    """A dossier that ended is watched no more, and its contract binds nobody."""
    reference = office.file().dossier.reference
    office.desk.store.write(lambda tx: office.desk.dossiers.cancel(tx, reference))

    office.clock.advance(timedelta(days=30))
    office.run_due()

    assert office.told() == [("FILED", reference)]
    assert [one.state for one in office.contracts()] == ["closed"]
    assert office.tasks() == set()


def test_a_fee_of_the_catalogue_is_awaited_before_anything_is_told_or_asked(
    database: str, tmp_path: Path, anip: grpc.Channel
) -> None:
    """Free is what the catalogue says today: another one is data. The promise runs from the payment."""
    catalogue = tmp_path / "catalogue.toml"
    assert MINISTRY.catalogue is not None
    text = MINISTRY.catalogue.read_text(encoding="utf-8")
    catalogue.write_text(text.replace("fee_xof = 0", "fee_xof = 2000", 1), encoding="utf-8")
    office = LabourOffice(database, tmp_path, anip, catalogue=str(catalogue))
    try:
        dossier = office.file().dossier
        assert dossier.state == dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT
        assert (office.told(), dossier.fee.amount_xof) == ([], 2000)
        paid = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key="key-of-a-payment-0001",
            reference=dossier.reference,
            payment=payment_pb2.Payment(
                payment_ref="TP-000001",
                channel=payment_pb2.PAYMENT_CHANNEL_MTN_MOMO,
                state=payment_pb2.PAYMENT_STATE_CONFIRMED,
                amount_xof=2000,
                receipt_no="Q-000001",
            ),
        )
        office.clock.advance(timedelta(days=1))

        filed = office.call(office.follow.ReportPayment, paid).dossier

        assert filed.state == dossier_pb2.DOSSIER_STATE_FILED
        assert filed.due_at.ToMilliseconds() == MONDAY_MS + 11 * DAY_MS
        assert office.told() == [("FILED", dossier.reference)]
        office.run_due()
        assert set(office.steps(dossier.reference).values()) == {"DONE"}
    finally:
        office.close()
