"""Two numbers that ANIP merged are one worker, whichever his contracts, permits and notices came under."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.kit.road import Away
from adapters.labour import workers
from adapters.labour.tables import HIRINGS
from adapters.labour.workers import follow_merger, numbers_of, standing_npi
from bj.labour.v1 import labour_pb2, visa_pb2
from tests.integration.adapters.labour.test_labour_notices import hire, leave
from tests.integration.adapters.labour.test_labour_service import seeker_request, vise
from tests.integration.adapters.labour.test_labour_visas import FOREIGN
from tests.support.labour.office import ANIP, FOREIGNER, MONDAY_MS, LabourOffice, contract_request

# ANIP merged the one into the other; nobody here has merged the third yet.
FORMER, STANDING, LATER = "0000000010", "0000000011", "0000000013"


def open_contracts(office: LabourOffice, npi: str) -> int:
    """How many engagements the register counts."""
    request = labour_pb2.GetEmploymentStatusRequest(npi=npi)
    return int(office.call(office.labour.GetEmploymentStatus, request).open_contracts)


def merge(office: LabourOffice, former: str, standing: str) -> None:
    """The register is told of a merger, as its officers tell it."""
    office.desk.store.write(lambda tx: follow_merger(tx, former, standing))


def learn_by_asking(office: LabourOffice) -> None:
    """ANIP is asked about the former number in some other matter, and says whom it means."""
    office.call(office.labour.RegisterJobSeeker, seeker_request(FORMER), "P01")


def learn_from_officer(office: LabourOffice) -> None:
    """An officer wrote the merger in."""
    merge(office, FORMER, STANDING)


@pytest.mark.parametrize("learn", [learn_by_asking, learn_from_officer])
def test_contracts_and_notices_are_found_under_every_number(office: LabourOffice, learn: Any) -> None:
    """What came before the merger under the former one, and what comes after it under either."""
    vise(office, office.employer, worker_npi=FORMER)
    office.call(office.filings.SubmitNoticeHire, hire(npi=FORMER))

    unknown = open_contracts(office, STANDING)
    learn(office)

    assert unknown == 0
    assert [open_contracts(office, npi) for npi in (FORMER, STANDING)] == [1, 1]
    again = office.call(office.filings.SubmitNoticeHire, hire("key-of-a-hiring-0002", npi=STANDING))
    assert not again.accepted
    office.call(office.filings.SubmitNoticeLeave, leave(npi=STANDING))
    assert [open_contracts(office, npi) for npi in (FORMER, STANDING)] == [0, 0]
    assert [one.left_on for one in office.contracts()] == ["2026-11-22"]


def test_a_contract_is_judged_by_what_came_under_the_former_number(office: LabourOffice) -> None:
    """His permit is his own, and his other contract is warned of."""
    office.enter_permit("PT-2026-900016", LATER, "2026-06-01", "2027-05-31")
    vise(office, office.employer, worker_npi=LATER)
    stranger = office.refused(
        office.filings.SubmitContractVisa, contract_request(**{**FOREIGN, "worker_npi": FOREIGNER})
    )
    merge(office, LATER, FOREIGNER)

    filed = office.file(**{**FOREIGN, "worker_npi": FOREIGNER})

    assert stranger.fields == {"work_permit_no"}
    assert list(filed.warnings) == [visa_pb2.VISA_WARNING_OVERLAPPING_CONTRACT]


def test_a_permit_of_another_number_is_asked_about(office: LabourOffice) -> None:
    """ANIP says that it became the worker's: nobody had told the register. Another person's stays another's."""
    office.enter_permit("PT-2026-900016", FORMER, "2026-06-01", "2027-05-31")
    office.enter_permit("PT-2026-900017", LATER, "2026-06-01", "2027-05-31")

    filed = office.file(**{**FOREIGN, "worker_npi": STANDING})
    other = {**FOREIGN, "worker_npi": STANDING, "work_permit_no": "PT-2026-900017"}
    refused = office.refused(
        office.filings.SubmitContractVisa, contract_request(**other, key="key-of-a-contract-0002")
    )

    assert filed.dossier.reference
    assert refused.fields == {"work_permit_no"}
    with office.desk.store.reading() as tx:
        assert numbers_of(tx, STANDING) == {FORMER, STANDING}


def test_while_anip_is_away_a_permit_of_another_number_waits(
    office: LabourOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first question on, or before the one about the permit: neither refuses nor rejects anything."""
    office.enter_permit("PT-2026-900016", FORMER, "2026-06-01", "2027-05-31")
    foreign = {**FOREIGN, "worker_npi": STANDING}

    def be_away(*_: Any, **__: Any) -> Any:
        raise Away("PEER_UNAVAILABLE")

    office.gateway.away = {ANIP}
    filed = [office.file(**foreign).dossier.reference]
    office.gateway.away = set()
    with monkeypatch.context() as patch:
        patch.setattr(workers, "identify", be_away)
        filed.append(office.file(**foreign, key="key-of-a-contract-0002").dossier.reference)
        office.run_due()
    waiting = [office.steps(reference)["identity"] for reference in filed]
    office.clock.advance(timedelta(hours=1))
    office.run_due()

    assert waiting == ["RUNNING", "RUNNING"]
    assert [office.steps(reference)["identity"] for reference in filed] == ["DONE", "DONE"]


def test_a_hiring_told_under_two_numbers_is_one(office: LabourOffice) -> None:
    """Once they are known for one; leaving ends both."""
    for key, npi in (("key-of-a-hiring-0001", FORMER), ("key-of-a-hiring-0002", STANDING)):
        office.call(office.filings.SubmitNoticeHire, hire(key, npi=npi))
    merge(office, FORMER, STANDING)

    counted = open_contracts(office, STANDING)
    office.call(office.filings.SubmitNoticeLeave, leave(npi=FORMER))

    assert (counted, open_contracts(office, STANDING)) == (1, 0)
    with office.desk.store.reading() as tx:
        assert {row.left_on for row in tx.execute(HIRINGS.select())} == {"2026-11-22"}


def test_a_seeker_is_on_the_list_once_under_the_number_that_stands(office: LabourOffice) -> None:
    """Entered before the merger, he is served under the number of after."""
    entered = office.call(office.labour.RegisterJobSeeker, seeker_request(LATER), "P01").seeker
    merge(office, LATER, FOREIGNER)

    again = seeker_request(FOREIGNER, "key-of-a-seeker-0002")
    assert office.refused(office.labour.RegisterJobSeeker, again, "P01").reason == "DUPLICATE_REQUEST"
    for by in ({"npi": FOREIGNER}, {"npi": LATER}, {"seeker_no": entered.seeker_no}):
        found = office.call(office.labour.GetJobSeeker, labour_pb2.GetJobSeekerRequest(**by), "P01").seeker
        assert (found.npi, found.seeker_no) == (FOREIGNER, entered.seeker_no)


def test_a_permit_of_the_former_number_is_watched(office: LabourOffice) -> None:
    """Its end is told of the contract that stands under the other."""
    office.enter_permit("PT-2026-900016", LATER, "2026-01-01", "2026-12-15")
    contract = {"type": "foreign", "work_permit_no": "PT-2026-900016", "worker_npi": FOREIGNER}
    vise(office, office.employer, **contract)
    merge(office, LATER, FOREIGNER)
    office.desk.store.write(
        lambda tx: office.desk.tasks.add(tx, "visa.permit", "DGT-202601-0001", due_at_ms=MONDAY_MS)
    )

    office.run_due()

    with office.desk.store.reading() as tx:
        kinds = [one for (one,) in tx.exec_driver_sql("SELECT subject FROM event").all()]
    assert kinds == ["DGT-202601-0001"]


def test_mergers_are_followed_to_their_end(office: LabourOffice) -> None:
    """In whatever order they are told, and told twice."""
    with office.desk.store.writing() as tx:
        for former, standing in ((FORMER, STANDING), (STANDING, LATER), (STANDING, LATER)):
            follow_merger(tx, former, standing)

        assert {standing_npi(tx, npi) for npi in (FORMER, STANDING, LATER)} == {LATER}
        for npi in (FORMER, STANDING, LATER):
            assert numbers_of(tx, npi) == {FORMER, STANDING, LATER}
        assert numbers_of(tx, FOREIGNER) == {FOREIGNER}
