"""What a granted dossier gives: a visa with its number and stamp, attestations, and what they change."""

import base64
import hashlib
import json
from datetime import date, timedelta
from typing import Any

import pytest

from adapters.labour.days import start_of
from adapters.labour.tables import DISPUTES
from adapters.reasons import ProviderError
from bj.common.v1 import document_pb2, dossier_pb2, dossier_service_pb2
from bj.labour.v1 import events_pb2, labour_pb2, visa_pb2
from tests.support.labour.office import FOREIGNER, IFU, KOFFI, MONDAY_MS, LabourOffice

DAY_MS = 86_400_000


@pytest.fixture
def office(office: LabourOffice) -> LabourOffice:
    """The adapter, able to sign."""
    office.side.write_document_key(MONDAY_MS)
    return office


def granted(office: LabourOffice, **changes: Any) -> dossier_pb2.Dossier:
    """A contract that has its visa."""
    reference = office.file(**changes).dossier.reference
    office.run_due()
    office.decide("review", reference)
    office.decide("grant", reference)
    return office.dossier(reference)


def content(office: LabourOffice, dossier: dossier_pb2.Dossier, purpose: str) -> bytes:
    """The bytes of the dossier's only document, which are those that its particulars name."""
    (document,) = dossier.documents
    request = dossier_service_pb2.GetDocumentRequest(reference=dossier.reference, doc_id=document.doc_id)
    found = office.call(office.follow.GetDocument, request, purpose)
    assert hashlib.sha256(found.content).hexdigest() == document.sha256
    assert found.content.startswith(b"%PDF")
    return bytes(found.content)


def claims(document: document_pb2.Document) -> dict[str, Any]:
    """What its QR code says."""
    body = document.qr_jwt.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


def test_a_vised_contract_has_its_number_and_its_stamp(office: LabourOffice) -> None:
    """Both in the dossier and in the event; the document names the worker and nothing that is his alone to know."""
    dossier = granted(office)

    assert dossier.state == dossier_pb2.DOSSIER_STATE_GRANTED
    assert [(one.type, one.value) for one in dossier.issued] == [
        (dossier_pb2.ISSUED_NUMBER_TYPE_VISA_NO, "VISA-202611-0001")
    ]
    (document,) = dossier.documents
    assert document.type == document_pb2.DOCUMENT_TYPE_CONTRACT_VISA
    assert document.valid_until.ToMilliseconds() == start_of(date(2027, 12, 1)) - 1
    assert claims(document)["names"] == ["ADJOVI KOFFI"]
    for secret in (b"987654", b"987 654"):
        assert secret not in content(office, dossier, "P02")
    answer = office.call(office.events.ListVisaChanges, events_pb2.ListVisaChangesRequest())
    last = answer.events[-1]
    assert (last.type, last.visa_no) == (events_pb2.VISA_EVENT_TYPE_VISED, "VISA-202611-0001")
    assert list(last.header.changed_fields) == ["state", "visa_no", "documents"]
    assert office.tasks() == set()


def test_a_vised_contract_is_work_from_its_first_day(office: LabourOffice) -> None:
    """Open at once, and work when it begins; the notice of leaving ends it."""
    granted(office)
    request = labour_pb2.GetEmploymentStatusRequest(npi=KOFFI)
    status = office.call(office.labour.GetEmploymentStatus, request)
    assert (status.employed, status.open_contracts) == (False, 1)

    office.clock.advance(timedelta(days=10))
    hired = visa_pb2.SubmitNoticeHireRequest(
        idempotency_key="key-of-a-hiring-0001", cnss_employer_no="9000001", npi=KOFFI, hired_on="2026-12-01"
    )
    office.call(office.filings.SubmitNoticeHire, hired)
    status = office.call(office.labour.GetEmploymentStatus, request)
    assert (status.employed, status.open_contracts) == (True, 1)
    left = visa_pb2.SubmitNoticeLeaveRequest(
        idempotency_key="key-of-a-leave-00001", cnss_employer_no="9000001", npi=KOFFI, left_on="2026-12-02"
    )
    office.call(office.filings.SubmitNoticeLeave, left)

    status = office.call(office.labour.GetEmploymentStatus, request)
    assert (status.employed, status.open_contracts) == (False, 0)


def test_a_foreigners_permit_is_watched_once_he_has_his_visa(office: LabourOffice) -> None:
    """From the grant on."""
    office.enter_permit("PT-2026-900016", FOREIGNER, "2026-06-01", "2027-05-31")

    dossier = granted(
        office,
        type=visa_pb2.CONTRACT_TYPE_FOREIGN,
        worker_npi=FOREIGNER,
        work_permit_no="PT-2026-900016",
    )

    assert office.tasks() == {("visa.permit", dossier.reference)}


def test_two_officers_who_grant_at_once_give_one_visa(office: LabourOffice) -> None:
    """The second one is told that it is decided."""
    reference = office.file().dossier.reference
    office.run_due()
    office.decide("review", reference)

    def grant() -> str:
        try:
            office.decide("grant", reference)
        except ProviderError as refused:
            return refused.reason
        return "granted"

    raced = office.race(*[grant] * 3)

    assert sorted(raced) == ["STATE_CONFLICT", "STATE_CONFLICT", "granted"]
    dossier = office.dossier(reference)
    assert (len(dossier.documents), len(dossier.issued)) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "evidence", "document_type", "last_day"),
    [
        (visa_pb2.ATTESTATION_KIND_NON_LITIGE, "", "NO_DISPUTE", date(2027, 2, 23)),
        (visa_pb2.ATTESTATION_KIND_SERVICE_FAIT, "", "SERVICE_DONE", date(2027, 2, 23)),
        (visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR, "cd" * 32, "INTERNAL_RULES", None),
        (visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO, "cd" * 32, "ECONOMIC_DISMISSAL", date(2027, 2, 23)),
    ],
)
def test_each_attestation_is_signed_and_holds_as_long_as_the_rules_say(
    office: LabourOffice,
    kind: visa_pb2.AttestationKind.ValueType,
    evidence: str,
    document_type: str,
    last_day: date | None,
) -> None:
    """Three months, and internal rules for ever; none is given while a dispute about it is open."""
    codes = {1: "PS90411", 2: "PS90412", 3: "PS90413", 4: "PS90414"}
    application = dossier_pb2.Application(
        idempotency_key="key-of-a-request-0001", application_id="APP-1", service_code=codes[kind]
    )
    request = visa_pb2.RequestAttestationRequest(
        application=application, kind=kind, employer_ifu=IFU, evidence_sha256=evidence
    )
    closed = {"employer_id": office.employer.id, "opened_on": "2026-01-01", "closed_on": "2026-06-01"}
    office.desk.store.write(lambda tx: tx.execute(DISPUTES.insert(), closed))
    reference = office.call(office.filings.RequestAttestation, request, "P01").dossier.reference
    office.decide("review", reference)
    office.decide("grant", reference)

    dossier = office.dossier(reference, "P01")

    (document,) = dossier.documents
    assert document.type == document_pb2.DocumentType.Value(f"DOCUMENT_TYPE_{document_type}")
    assert claims(document)["names"] == ["Zinsou & fils SARL"]
    content(office, dossier, "P01")
    until = start_of(last_day) + DAY_MS - 1 if last_day else 0
    assert document.valid_until.ToMilliseconds() == until
