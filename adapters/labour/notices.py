"""Notices of hiring and leaving: what they change in the register, and whether they came in time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import Calendar
from adapters.labour.days import start_of
from adapters.labour.ruleset import Ruleset
from adapters.labour.tables import AFFILIATIONS, CONTRACTS, HIRINGS
from adapters.labour.workers import numbers_of
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason

# Two notices of the same thing may come at once: the second finds what the first entered, or waits for it.
_AFFILIATE: Final = sa.text(
    "INSERT INTO affiliation (cnss_worker_no, npi) VALUES (:cnss_worker_no, :npi)"
    " ON CONFLICT (cnss_worker_no) DO NOTHING"
)
_HIRE: Final = sa.text(
    "INSERT INTO hiring"
    " (employer_id, npi, hired_on, cnss_worker_no, left_on, is_hire_late, is_leave_late, changed_at)"
    " VALUES (:employer_id, :npi, :hired_on, :cnss_worker_no, '', :is_hire_late, false, :changed_at)"
    " ON CONFLICT DO NOTHING"
)


def is_late(day: date, told_ms: int, calendar: Calendar, rules: Ruleset) -> bool:
    """Whether a notice of what happened on ``day`` came too late.

    The delay runs on working time from the end of that day: a hiring of Friday is told by Tuesday night.
    """
    ends = start_of(day + timedelta(1))
    return told_ms > calendar.add_working_time(ends, timedelta(hours=rules.notices.hours))


def affiliate(tx: sa.Connection, cnss_worker_no: str, npi: str) -> None:
    """Note whose number that is at the CNSS; a worker may have several.

    Raises:
        ProviderError: It is somebody else's (IDENTITY_MISMATCH).
    """
    tx.execute(_AFFILIATE, {"cnss_worker_no": cnss_worker_no, "npi": npi})
    query = sa.select(AFFILIATIONS.c.npi).where(AFFILIATIONS.c.cnss_worker_no == cnss_worker_no)
    if tx.execute(query).scalar_one() not in numbers_of(tx, npi):
        raise ProviderError(ProviderReason.IDENTITY_MISMATCH)


def hire(
    tx: sa.Connection, *, employer_id: int, npi: str, cnss_worker_no: str, day: date, late: bool, now_ms: int
) -> bool:
    """Enter a hiring; False, and no change, if the worker, by any number, is in that employer's service already."""
    if tx.execute(_open_hirings(employer_id, numbers_of(tx, npi))).first():
        return False
    values = {
        "employer_id": employer_id,
        "npi": npi,
        "hired_on": day.isoformat(),
        "cnss_worker_no": cnss_worker_no,
        "is_hire_late": late,
        "changed_at": now_ms,
    }
    return tx.execute(_HIRE, values).rowcount == 1


def leave(tx: sa.Connection, *, employer_id: int, npi: str, day: date, late: bool, now_ms: int) -> None:
    """End the worker's hiring, and his contract with that employer.

    Raises:
        ProviderError: He is not in that employer's service (NOT_FOUND).
        InvalidFieldsError: He had not been hired yet on that day.
    """
    npis = numbers_of(tx, npi)
    hired_on = list(tx.execute(_open_hirings(employer_id, npis).with_for_update()).scalars())
    if not hired_on:
        raise ProviderError(ProviderReason.NOT_FOUND)
    if day.isoformat() < min(hired_on):
        raise InvalidFieldsError({"left_on": "must not be before the hiring"})
    left_on = day.isoformat()
    tx.execute(
        HIRINGS.update()
        .where(HIRINGS.c.employer_id == employer_id, HIRINGS.c.npi.in_(npis), HIRINGS.c.left_on == "")
        .values(left_on=left_on, is_leave_late=late, changed_at=now_ms)
    )
    tx.execute(
        CONTRACTS.update()
        .where(
            CONTRACTS.c.employer_id == employer_id,
            CONTRACTS.c.worker_npi.in_(npis),
            CONTRACTS.c.state == "vised",
            CONTRACTS.c.left_on == "",
            sa.or_(CONTRACTS.c.end_date == "", CONTRACTS.c.end_date > left_on),
            CONTRACTS.c.start_date <= left_on,
        )
        .values(left_on=left_on, changed_at=now_ms)
    )


def _open_hirings(employer_id: int, npis: Collection[str]) -> sa.Select[str]:
    """On which days a worker was hired by an employer whom he has not left: two, if two of his numbers were merged."""
    return sa.select(HIRINGS.c.hired_on).where(
        HIRINGS.c.employer_id == employer_id, HIRINGS.c.npi.in_(npis), HIRINGS.c.left_on == ""
    )
