"""Notices of hiring and leaving, and attestations, over real gRPC."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.labour.tables import DISPUTES
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import labour_pb2, visa_pb2
from tests.support.labour.office import CNSS_NO, IFU, KOFFI, LabourOffice

NON_LITIGE = visa_pb2.ATTESTATION_KIND_NON_LITIGE
CODES = {1: "PS90411", 2: "PS90412", 3: "PS90413", 4: "PS90414"}
PAPER = "cd" * 32


def hire(key: str = "key-of-a-hiring-0001", **changes: str) -> visa_pb2.SubmitNoticeHireRequest:
    """Koffi was hired last Friday."""
    values = {"cnss_employer_no": CNSS_NO, "npi": KOFFI, "hired_on": "2026-11-20", **changes}
    return visa_pb2.SubmitNoticeHireRequest(idempotency_key=key, **values)


def leave(key: str = "key-of-a-leaving-0001", **changes: str) -> visa_pb2.SubmitNoticeLeaveRequest:
    """He left on Sunday."""
    values = {"cnss_employer_no": CNSS_NO, "npi": KOFFI, "left_on": "2026-11-22", **changes}
    return visa_pb2.SubmitNoticeLeaveRequest(idempotency_key=key, **values)


def attestation(
    kind: Any = NON_LITIGE,
    evidence: str = "",
    ifu: str = IFU,
    key: str = "key-of-a-request-0001",
    code: str = "",
) -> visa_pb2.RequestAttestationRequest:
    """Ask for an attestation."""
    return visa_pb2.RequestAttestationRequest(
        application=dossier_pb2.Application(
            idempotency_key=key, application_id="APP-1", service_code=code or CODES[kind]
        ),
        kind=kind,
        employer_ifu=ifu,
        evidence_sha256=evidence,
    )


def is_employed(office: LabourOffice) -> bool:
    """Whether Koffi works."""
    request = labour_pb2.GetEmploymentStatusRequest(npi=KOFFI)
    return bool(office.call(office.labour.GetEmploymentStatus, request).employed)


def test_a_hiring_and_a_leaving_are_taken(office: LabourOffice) -> None:
    """Told in time, over a week-end; the same notice again is the same answer, another one is news to nobody."""
    hired = office.call(office.filings.SubmitNoticeHire, hire(cnss_worker_no="90000001"))

    assert (hired.accepted, hired.late) == (True, False)
    assert is_employed(office)
    assert office.call(office.filings.SubmitNoticeHire, hire(cnss_worker_no="90000001")) == hired
    other_number = hire("key-of-a-hiring-0002", cnss_worker_no="90000002")
    assert not office.call(office.filings.SubmitNoticeHire, other_number).accepted
    left = office.call(office.filings.SubmitNoticeLeave, leave(cnss_worker_no="90000002"))
    assert (left.accepted, left.late) == (True, False)
    assert not is_employed(office)
    again = office.refused(office.filings.SubmitNoticeLeave, leave("key-of-a-leaving-0002"))
    assert again.reason == "NOT_FOUND"


def test_a_notice_after_48_working_hours_is_late(office: LabourOffice) -> None:
    """Taken all the same: Friday's is in time until Tuesday night, a week-end between."""
    office.clock.advance(timedelta(days=1, hours=14, minutes=59))
    assert not office.call(office.filings.SubmitNoticeHire, hire()).late
    office.clock.advance(timedelta(minutes=2))

    late = office.call(office.filings.SubmitNoticeHire, hire("key-of-a-hiring-0002", npi="0000000006"))
    left = office.call(office.filings.SubmitNoticeLeave, leave(left_on="2026-11-20"))

    assert (late.accepted, late.late) == (left.accepted, left.late) == (True, True)


def test_the_same_notice_sent_at_once_by_many_is_taken_once(office: LabourOffice) -> None:
    """By whatever key."""
    requests = [hire(f"key-of-a-hiring-{number:04d}") for number in range(4)]

    raced = office.race(
        *[
            lambda request=request: office.call(office.filings.SubmitNoticeHire, request).accepted
            for request in requests
        ]
    )

    assert sorted(raced) == [False, False, False, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cnss_employer_no": "9999999"}, "NOT_FOUND"),
        ({"hired_on": "2026-11-31"}, "FORMAT_INVALID"),
        ({"npi": "1"}, "FORMAT_INVALID"),
        ({"cnss_worker_no": "1"}, "FORMAT_INVALID"),
    ],
)
def test_a_notice_that_cannot_be_meant_is_refused(
    steady: LabourOffice, changes: dict[str, str], reason: str
) -> None:
    """An employer whom nobody knows, a day that is none."""
    assert steady.refused(steady.filings.SubmitNoticeHire, hire(**changes)).reason == reason
    if "hired_on" in changes:
        changes = {"left_on": changes["hired_on"]}
    assert steady.refused(steady.filings.SubmitNoticeLeave, leave(**changes)).reason == reason


def test_a_number_of_another_worker_is_refused(office: LabourOffice) -> None:
    """For a hiring and for a leaving."""
    office.call(office.filings.SubmitNoticeHire, hire(cnss_worker_no="90000001"))
    other = {"npi": "0000000006", "cnss_worker_no": "90000001"}

    for method, request in (
        (office.filings.SubmitNoticeHire, hire("key-of-a-hiring-0002", **other)),
        (office.filings.SubmitNoticeLeave, leave(**other)),
    ):
        assert office.refused(method, request).reason == "IDENTITY_MISMATCH"


def test_nobody_leaves_before_he_was_hired(office: LabourOffice) -> None:
    """The field is named."""
    office.call(office.filings.SubmitNoticeHire, hire())

    refused = office.refused(office.filings.SubmitNoticeLeave, leave(left_on="2026-11-19"))

    assert (refused.reason, refused.fields) == ("FORMAT_INVALID", {"left_on"})


@pytest.mark.parametrize("purpose", ["P01", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_notices_are_the_employers_duty(steady: LabourOffice, purpose: str) -> None:
    """No other purpose tells one."""
    for method, request in (
        (steady.filings.SubmitNoticeHire, hire()),
        (steady.filings.SubmitNoticeLeave, leave()),
    ):
        assert steady.refused(method, request, purpose).reason == "PURPOSE_NOT_ALLOWED"


@pytest.mark.parametrize(("kind", "evidence"), [(1, ""), (2, ""), (3, PAPER), (4, PAPER)])
def test_each_attestation_is_a_dossier_of_its_own_service(
    office: LabourOffice, kind: Any, evidence: str
) -> None:
    """Free, and followed for the purpose that opened it."""
    request = attestation(kind, evidence)

    opened = office.call(office.filings.RequestAttestation, request, "P01").dossier

    assert (opened.service_code, opened.fee.amount_xof) == (CODES[kind], 0)
    assert opened.state == dossier_pb2.DOSSIER_STATE_FILED
    assert office.call(office.filings.RequestAttestation, request, "P01").dossier == opened
    assert office.dossier(opened.reference, "P01") == opened


@pytest.mark.parametrize(
    ("request_", "reason", "fields"),
    [
        (attestation(ifu="3202590000212"), "NOT_FOUND", set()),
        (attestation(code="PS90412"), "FORMAT_INVALID", {"application.service_code"}),
        (attestation(evidence=PAPER), "FORMAT_INVALID", {"evidence_sha256"}),
        (attestation(3), "FORMAT_INVALID", {"evidence_sha256"}),
        (attestation(4), "FORMAT_INVALID", {"evidence_sha256"}),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    steady: LabourOffice, request_: visa_pb2.RequestAttestationRequest, reason: str, fields: set[str]
) -> None:
    """An employer whom nobody knows, another service, a paper where there is none or none where there must be."""
    refused = steady.refused(steady.filings.RequestAttestation, request_, "P01")

    assert (refused.reason, refused.fields) == (reason, fields)


@pytest.mark.parametrize("purpose", ["P02", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_attestations_are_asked_for_in_the_citizens_own_matter(steady: LabourOffice, purpose: str) -> None:
    """P01 only."""
    assert (
        steady.refused(steady.filings.RequestAttestation, attestation(), purpose).reason
        == "PURPOSE_NOT_ALLOWED"
    )


def test_while_a_dispute_is_open_nobody_attests_that_there_is_none(office: LabourOffice) -> None:
    """And the dossier says nothing of it: it stands as any other that waits for its officer."""
    values = {"employer_id": office.employer.id, "opened_on": "2026-01-01", "closed_on": ""}
    office.desk.store.write(lambda tx: tx.execute(DISPUTES.insert(), values))
    opened = office.call(office.filings.RequestAttestation, attestation(), "P01").dossier
    office.decide("review", opened.reference)

    with pytest.raises(ProviderError) as refused:
        office.decide("grant", opened.reference)

    assert refused.value.reason is ProviderReason.STATE_CONFLICT
    dossier = office.dossier(opened.reference, "P01")
    assert dossier.state == dossier_pb2.DOSSIER_STATE_UNDER_REVIEW
    assert (dossier.reason, list(dossier.steps), list(dossier.documents)) == ("", [], [])
