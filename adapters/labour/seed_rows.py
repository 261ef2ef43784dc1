"""Records of the fictitious world as rows of the register."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final, TypeAlias

from adapters.labour.contracts import CLOSED, FILED, VISED
from adapters.labour.days import parse_day, start_of
from adapters.labour.tables import SEEKERS
from adapters.labour.telling import of_client, of_employer, of_inspectorate
from adapters.world.records.labour import (
    Affiliation,
    Contract,
    ContractState,
    Employer,
    JobSeeker,
    VisaEvent,
    WorkPermit,
)
from adapters.world.work import Hiring
from bj.labour.v1 import events_pb2

Row: TypeAlias = dict[str, Any]

# Below it, ids are given to employers whom the register learns of later.
FIRST_ID: Final = 1_000_000
PORTAL: Final = "BJ/GOV/PNS/PORTAIL"

_INSPECTION: Final = "BJ/GOV/MTFP/INSPECTION"
# Firm of a persona: its contributions are late, too.
_DISPUTED: Final = 9
_DISPUTED_EVERY: Final = 40
_LATE_EVERY: Final = 10
_STATES: Final = {ContractState.GRANTED: VISED, ContractState.REJECTED: CLOSED}


def employer(one: Employer) -> Row:
    """An employer."""
    return {
        "id": FIRST_ID + one.firm,
        "name": one.name,
        "ifu": one.ifu or None,
        "rccm": one.rccm or None,
        "cnss_employer_no": one.cnss_employer_no or None,
        "sector": one.sector,
        "headcount": one.headcount,
        "contributions": one.contributions,
        "inspectorate_code": one.inspectorate_code,
        "registered_on": one.registered_on,
    }


def disputes(employers: Sequence[Employer], day: date) -> Iterator[Row]:
    """With the last persona and one employer in forty, every second of these settled."""
    opened = day - timedelta(200)
    for number, one in enumerate(employers):
        rank, rest = divmod(number + 1, _DISPUTED_EVERY)
        if one.firm == _DISPUTED or not rest:
            yield {
                "employer_id": FIRST_ID + one.firm,
                "opened_on": opened.isoformat(),
                "closed_on": (opened + timedelta(90)).isoformat() if rank % 2 else "",
            }


def inspectorates(employers: Sequence[Employer]) -> Iterator[Row]:
    """One subsystem speaks for all inspectorates of the sandbox."""
    codes = sorted({one.inspectorate_code for one in employers})
    return ({"client": _INSPECTION, "inspectorate_code": code} for code in codes)


def affiliation(one: Affiliation) -> Row:
    """A number at the CNSS."""
    return {"cnss_worker_no": one.cnss_worker_no, "npi": one.npi}


def permit(one: WorkPermit) -> Row:
    """A work permit."""
    return {
        "permit_no": one.number,
        "npi": one.npi,
        "valid_from": one.valid_from,
        "valid_until": one.valid_until,
    }


def contract(one: Contract) -> Row:
    """A contract; the worker's name is ANIP's to tell."""
    return {
        "reference": one.reference,
        "employer_id": FIRST_ID + one.employer,
        "worker_npi": one.worker_npi,
        "worker_name": "",
        "work_permit_no": one.work_permit_no,
        "type": one.type.lower(),
        "post": one.post,
        "signed_on": one.signed_on,
        "start_date": one.start_date,
        "end_date": one.end_date,
        "left_on": one.left_on,
        "is_full_time": one.full_time,
        "salary_xof": one.salary_xof,
        "is_fit": one.medical_fit,
        "contract_sha256": one.contract_sha256,
        "state": _STATES.get(one.state, FILED),
        "visa_no": one.visa_no or None,
        "changed_at": _ms(one.left_on or one.decided_on or one.filed_on),
    }


def hirings(batch: Iterable[Hiring], day: date) -> Iterator[Row]:
    """Whoever has a contract with its visa was hired under it; one notice in ten came late."""
    for one in (hiring.contract for hiring in batch):
        if one.state is ContractState.GRANTED:
            left_on = one.left_on or (one.end_date if one.end_date < day.isoformat() else "")
            yield {
                "employer_id": FIRST_ID + one.employer,
                "npi": one.worker_npi,
                "hired_on": one.start_date,
                "cnss_worker_no": one.cnss_worker_no,
                "left_on": left_on,
                "is_hire_late": one.ordinal % _LATE_EVERY == _LATE_EVERY - 1,
                "is_leave_late": False,
                "changed_at": _ms(left_on or one.start_date),
            }


def seeker(one: JobSeeker) -> Row:
    """An entry of the list of job seekers."""
    return {column.name: getattr(one, column.name) for column in SEEKERS.c}


def event(place: int, one: VisaEvent) -> Row:
    """An event, at its place."""
    kind = events_pb2.VisaEventType.Value(f"VISA_EVENT_TYPE_{one.kind}")
    told = events_pb2.VisaEvent(
        type=kind,
        reference=one.reference,
        employer_ifu=one.employer_ifu,
        inspectorate_code=one.inspectorate_code,
        visa_no=one.visa_no,
    )
    return {
        "place": place,
        "kind": kind,
        "subject": one.reference,
        "changed_fields": " ".join(one.changed_fields),
        "occurred_at": _ms(one.occurred_on),
        "payload": told.SerializeToString(),
    }


def links(one: VisaEvent) -> tuple[str, ...]:
    """Who may hear of it: all seeded contracts came from the portal."""
    return of_client(PORTAL), of_inspectorate(one.inspectorate_code), of_employer(one.employer_ifu)


def _ms(day: str) -> int:
    return start_of(parse_day(day))
