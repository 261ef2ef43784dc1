"""Employers, employment and job seekers over real gRPC: who may know what, for which purpose."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.labour.employers import Employer
from adapters.labour.tables import CONTRACTS, EMPLOYERS
from bj.labour.v1 import labour_pb2
from tests.support.labour.office import ANIP, CNSS_NO, IFU, KOFFI, MONDAY_MS, LabourOffice

DOMAIN = "BJ/GOV/MTFP/TRAVAIL/bj.labour.v1.LabourService"
RCCM = "RB/COT/25 B 900001"


def seeker_request(
    npi: str = KOFFI, key: str = "key-of-a-seeker-0001"
) -> labour_pb2.RegisterJobSeekerRequest:
    """Somebody who seeks work as a typist."""
    return labour_pb2.RegisterJobSeekerRequest(
        idempotency_key=key,
        npi=npi,
        diploma=labour_pb2.DIPLOMA_BAC,
        occupation_code="M1607",
        commune_code="LI-COT",
    )


def vise(office: LabourOffice, employer: Employer, **changes: Any) -> None:
    """Enter a contract of Koffi that has its visa."""
    values = {
        "reference": "DGT-202601-0001",
        "employer_id": employer.id,
        "worker_npi": KOFFI,
        "worker_name": "ADJOVI KOFFI",
        "work_permit_no": "",
        "type": "cdd",
        "post": "Comptable",
        "signed_on": "2026-01-05",
        "start_date": "2026-02-01",
        "end_date": "2027-01-31",
        "left_on": "",
        "is_full_time": True,
        "salary_xof": 80_000,
        "is_fit": True,
        "contract_sha256": "0" * 64,
        "state": "vised",
        "visa_no": "VISA-202601-0001",
        "changed_at": MONDAY_MS - 86_400_000,
        **changes,
    }
    office.desk.store.write(lambda tx: tx.execute(CONTRACTS.insert(), values))


def test_an_employer_is_read_by_any_of_its_numbers(office: LabourOffice) -> None:
    """For the duty to register, and for an inspector with a mission."""
    told = {"headcount": "10_TO_49", "contributions": "LATE"}
    office.desk.store.write(lambda tx: tx.execute(EMPLOYERS.update().values(**told)))
    request = labour_pb2.GetEmployerRequest

    found = [
        office.call(office.labour.GetEmployer, request(ifu=IFU)),
        office.call(office.labour.GetEmployer, request(rccm=RCCM.replace(" ", ""))),
        office.call(office.labour.GetEmployer, request(cnss_employer_no=CNSS_NO)),
        office.call(office.labour.GetEmployer, request(ifu=IFU, mission_ref="OM-2026-7"), "P04"),
    ]

    assert (
        found
        == [
            labour_pb2.GetEmployerResponse(
                name="Zinsou & fils SARL",
                ifu=IFU,
                rccm=RCCM,
                cnss_employer_no=CNSS_NO,
                sector="Commerce",
                headcount=labour_pb2.HEADCOUNT_BAND_10_TO_49,
                inspectorate_code="LI",
                registered_on="2025-03-01",
                contributions=labour_pb2.CONTRIBUTIONS_LATE,
            )
        ]
        * 4
    )


@pytest.mark.parametrize("purpose", ["P01", "P03", "P05", "P06", "P07", "P08"])
def test_other_purposes_read_no_employer(steady: LabourOffice, purpose: str) -> None:
    """Known or not, alike."""
    for ifu in (IFU, "3202590000212"):
        request = labour_pb2.GetEmployerRequest(ifu=ifu)
        refused = steady.refused(steady.labour.GetEmployer, request, purpose)

        assert (refused.reason, refused.domain) == ("PURPOSE_NOT_ALLOWED", DOMAIN)


def test_whoever_inspects_or_judges_says_by_which_order(steady: LabourOffice) -> None:
    """Before the register is read: known and unknown are refused alike."""
    for ifu in (IFU, "3202590000212"):
        request = labour_pb2.GetEmployerRequest(ifu=ifu)
        refused = steady.refused(steady.labour.GetEmployer, request, "P04")
        assert (refused.reason, refused.fields) == ("FORMAT_INVALID", {"mission_ref"})
    for purpose in ("P04", "P05"):
        status = labour_pb2.GetEmploymentStatusRequest(npi=KOFFI)
        assert steady.refused(steady.labour.GetEmploymentStatus, status, purpose).fields == {"mission_ref"}


def test_an_unknown_employer_is_not_found(steady: LabourOffice) -> None:
    """By any number; a malformed one is told as such."""
    request = labour_pb2.GetEmployerRequest
    for asked in (request(ifu="3202590000212"), request(rccm="RB/COT/25 B 9"), request(cnss_employer_no="1")):
        refused = steady.refused(steady.labour.GetEmployer, asked)
        assert refused.reason == ("NOT_FOUND" if asked.ifu else "FORMAT_INVALID")


@pytest.mark.parametrize(
    ("purpose", "employers"),
    [
        ("P02", []),
        ("P04", ["Zinsou & fils SARL"]),
        ("P05", ["Zinsou & fils SARL"]),
        ("P07", ["Zinsou & fils SARL"]),
    ],
)
def test_who_employs_is_for_those_who_may_know(
    office: LabourOffice, purpose: str, employers: list[str]
) -> None:
    """Whether somebody works is the basis of a contract; with whom is not."""
    vise(office, office.employer)
    request = labour_pb2.GetEmploymentStatusRequest(npi=KOFFI, mission_ref="OM-2026-7")

    found = office.call(office.labour.GetEmploymentStatus, request, purpose)

    assert (found.employed, found.open_contracts) == (True, 1)
    assert found.last_change.ToMilliseconds() == MONDAY_MS - 86_400_000
    assert list(found.employer_names) == employers


@pytest.mark.parametrize("purpose", ["P01", "P03", "P06", "P08"])
def test_other_purposes_do_not_learn_who_works(steady: LabourOffice, purpose: str) -> None:
    """Refused before the register is read."""
    request = labour_pb2.GetEmploymentStatusRequest(npi=KOFFI)

    assert steady.refused(steady.labour.GetEmploymentStatus, request, purpose).reason == "PURPOSE_NOT_ALLOWED"


def test_somebody_unknown_is_answered_as_somebody_without_work(steady: LabourOffice) -> None:
    """Whether the register has heard of him is not told."""
    for npi in (KOFFI, "0000000003"):
        request = labour_pb2.GetEmploymentStatusRequest(npi=npi)
        found = steady.call(steady.labour.GetEmploymentStatus, request)
        assert found == labour_pb2.GetEmploymentStatusResponse()


def test_a_call_without_purpose_is_refused_by_the_layers_reason(steady: LabourOffice) -> None:
    """Each method needs one."""
    for method, request in (
        (steady.labour.GetEmployer, labour_pb2.GetEmployerRequest(ifu=IFU)),
        (steady.labour.GetEmploymentStatus, labour_pb2.GetEmploymentStatusRequest(npi=KOFFI)),
        (steady.labour.RegisterJobSeeker, seeker_request()),
        (steady.labour.GetJobSeeker, labour_pb2.GetJobSeekerRequest(npi=KOFFI)),
    ):
        refused = steady.refused(method, request, None)
        assert (refused.reason, refused.domain) == ("PURPOSE_REQUIRED", "passerelle")


def test_a_job_seeker_is_registered_once(office: LabourOffice) -> None:
    """The same request gives the same entry; another one for the same person is refused until his entry ends."""
    entered = office.call(office.labour.RegisterJobSeeker, seeker_request(), "P01").seeker

    assert (entered.seeker_no, entered.valid_until) == ("DE-2026-000001", "2027-05-23")
    assert office.gateway.heard == [(ANIP, "GetPerson", "P01", "ACT-202611-0001")]
    office.gateway.away.add(ANIP)
    assert office.call(office.labour.RegisterJobSeeker, seeker_request(), "P01").seeker == entered
    office.gateway.away.clear()
    again = seeker_request(key="key-of-a-seeker-0002")
    assert office.refused(office.labour.RegisterJobSeeker, again, "P01").reason == "DUPLICATE_REQUEST"
    for request in (
        labour_pb2.GetJobSeekerRequest(npi=KOFFI),
        labour_pb2.GetJobSeekerRequest(seeker_no="DE-2026-000001"),
    ):
        assert office.call(office.labour.GetJobSeeker, request, "P01").seeker == entered

    office.clock.advance(timedelta(days=200))

    gone = labour_pb2.GetJobSeekerRequest(seeker_no="DE-2026-000001")
    assert office.refused(office.labour.GetJobSeeker, gone, "P01").reason == "NOT_FOUND"
    anew = office.call(office.labour.RegisterJobSeeker, again, "P01").seeker
    assert anew.seeker_no == "DE-2027-000001"


def test_two_who_register_the_same_person_at_once_get_one_entry(office: LabourOffice) -> None:
    """Whoever comes second is told that he is on the list."""

    def register(key: str) -> str:
        entered = office.call(office.labour.RegisterJobSeeker, seeker_request(key=key), "P01")
        return str(entered.seeker.npi)

    keys = [f"key-of-a-seeker-{number:04d}" for number in range(4)]

    raced = office.race(*[lambda key=key: register(key) for key in keys])

    assert sorted(raced) == [KOFFI, *["DUPLICATE_REQUEST"] * 3]


@pytest.mark.parametrize(
    ("npi", "reason"),
    [
        ("0000000002", "DECEASED"),
        ("0000000003", "IDENTITY_MISMATCH"),
        ("0000000012", "RECORD_LOCKED"),
    ],
)
def test_anip_says_who_may_be_registered(steady: LabourOffice, npi: str, reason: str) -> None:
    """The refusal is the ministry's own, for its own service."""
    refused = steady.refused(steady.labour.RegisterJobSeeker, seeker_request(npi), "P01")

    assert (refused.reason, refused.domain) == (reason, DOMAIN)


def test_a_merged_number_is_registered_under_the_one_that_stands(office: LabourOffice) -> None:
    """Either number of a request leads to one person."""
    entered = office.call(office.labour.RegisterJobSeeker, seeker_request("0000000010"), "P01").seeker

    assert entered.npi == "0000000011"
    again = seeker_request("0000000011", "key-of-a-seeker-0002")
    assert office.refused(office.labour.RegisterJobSeeker, again, "P01").reason == "DUPLICATE_REQUEST"


def test_while_anip_is_away_nobody_is_registered(office: LabourOffice) -> None:
    """The caller is told to try again, and the key is still free."""
    office.gateway.away.add(ANIP)
    assert (
        office.refused(office.labour.RegisterJobSeeker, seeker_request(), "P01").reason
        == "UPSTREAM_UNAVAILABLE"
    )
    office.gateway.away.clear()

    assert office.call(office.labour.RegisterJobSeeker, seeker_request(), "P01").seeker.npi == KOFFI


@pytest.mark.parametrize("purpose", ["P02", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_other_purposes_see_no_job_seeker(steady: LabourOffice, purpose: str) -> None:
    """Neither register nor read."""
    for method, request in (
        (steady.labour.RegisterJobSeeker, seeker_request()),
        (steady.labour.GetJobSeeker, labour_pb2.GetJobSeekerRequest(npi=KOFFI)),
    ):
        assert steady.refused(method, request, purpose).reason == "PURPOSE_NOT_ALLOWED"


def test_the_register_keeps_no_trace_of_a_refused_call(steady: LabourOffice) -> None:
    """What this module was refused left nothing behind."""
    with steady.desk.store.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(EMPLOYERS)).scalar_one() == 1
