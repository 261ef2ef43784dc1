"""Contracts whose worker or employer cannot be asked about at once, or of whom something is said that ends it."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.kit.road import Away
from adapters.labour.tables import EMPLOYERS
from bj.business.v1 import business_pb2
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import visa_pb2
from tests.support.labour.office import (
    ANIP,
    APIEX,
    FOREIGNER,
    IFU,
    MINOR,
    LabourOffice,
    contract_request,
)

APPRENTICE = {"type": visa_pb2.CONTRACT_TYPE_APPRENTICESHIP, "service_code": "PS90402"}


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
    assert [one.worker_name for one in office.contracts()] == ["ADJOVI KOFFI"]


def test_a_dossier_decided_while_anip_is_asked_says_nothing_of_waiting(
    office: LabourOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays as it ended."""
    office.gateway.away.add(ANIP)
    reference = office.file().dossier.reference
    ended: list[dossier_pb2.Dossier] = []

    def reject_meanwhile(*_: object) -> None:
        office.decide("reject", reference, "contrat non conforme")
        ended.append(office.dossier(reference))
        raise Away("PEER_UNAVAILABLE")

    monkeypatch.setattr("adapters.labour.work.identify", reject_meanwhile)
    office.run_due()

    assert len(ended) == 1
    assert {one.name: one.state for one in office.dossier(reference).steps} == {
        one.name: one.state for one in ended[0].steps
    }
    assert office.dossier(reference).steps[0].detail == ""


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
    assert [one.state for one in office.contracts()] == ["closed"]
    assert office.told() == [("FILED", reference), ("REJECTED", reference)]
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
    assert office.contracts() == []


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
