"""Employers in the register, found by any of their numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from adapters.kit.numbers import next_number
from adapters.labour.tables import DISPUTES, EMPLOYERS
from adapters.reasons import ProviderError, ProviderReason

UP_TO_DATE: Final = "UP_TO_DATE"
LATE: Final = "LATE"
UNKNOWN: Final = "UNKNOWN"

# Employers are numbered in this series; a seed sets it after its last.
SERIES: Final = "employer"

_RCCM: Final = re.compile(r"(RB/[A-Z]{3,8}/[0-9]{2})([A-Z])([0-9]{3,6})")


@dataclass(frozen=True, slots=True)
class Employer:
    """One employer; a number that it does not have is empty. ``name`` may be a person's."""

    id: int
    name: str
    ifu: str
    rccm: str
    cnss_employer_no: str
    sector: str
    headcount: str
    contributions: str
    inspectorate_code: str
    registered_on: str

    def __repr__(self) -> str:
        return f"Employer({self.id})"


_COLUMNS: Final = (
    EMPLOYERS.c.id,
    EMPLOYERS.c.name,
    *(
        sa.func.coalesce(column, "")
        for column in (EMPLOYERS.c.ifu, EMPLOYERS.c.rccm, EMPLOYERS.c.cnss_employer_no)
    ),
    EMPLOYERS.c.sector,
    EMPLOYERS.c.headcount,
    EMPLOYERS.c.contributions,
    EMPLOYERS.c.inspectorate_code,
    EMPLOYERS.c.registered_on,
)


def employer_of(tx: sa.Connection, employer_id: int) -> Employer:
    """The employer of that id; ``LookupError`` if there is none."""
    found = _find(tx, EMPLOYERS.c.id == employer_id)
    if found is None:
        raise LookupError("no employer has this id")
    return found


def find_by_ifu(tx: sa.Connection, ifu: str) -> Employer | None:
    """The employer of that tax number."""
    return _find(tx, EMPLOYERS.c.ifu == ifu)


def find_by_rccm(tx: sa.Connection, rccm: str) -> Employer | None:
    """The employer of that number in the trade register, written with or without its blanks."""
    return _find(tx, EMPLOYERS.c.rccm == with_blanks(rccm))


def find_by_cnss(tx: sa.Connection, cnss_employer_no: str) -> Employer | None:
    """The employer of that number at the CNSS."""
    return _find(tx, EMPLOYERS.c.cnss_employer_no == cnss_employer_no)


def add_employer(
    tx: sa.Connection,
    *,
    name: str,
    ifu: str,
    rccm: str,
    cnss_employer_no: str,
    sector: str,
    inspectorate_code: str,
    registered_on: str,
) -> Employer:
    """Enter an employer whom the register does not know by this tax number.

    One that it knows by another number and without tax number gets it. What nobody has said yet is left open: headcount,
    and whether contributions are paid.

    Raises:
        ProviderError: Another of the numbers is that of an employer with another tax number (IDENTITY_MISMATCH).
    """
    # Whoever takes a number of the series waits for the transaction that took the one before: this sees what it entered.
    employer_id = next_number(tx, SERIES)
    known = find_by_ifu(tx, ifu) or find_by_rccm(tx, rccm) or find_by_cnss(tx, cnss_employer_no)
    if known is None:
        values = {
            "id": employer_id,
            "name": name,
            "ifu": ifu,
            "rccm": with_blanks(rccm) or None,
            "cnss_employer_no": cnss_employer_no or None,
            "sector": sector,
            "headcount": "",
            "contributions": UNKNOWN,
            "inspectorate_code": inspectorate_code,
            "registered_on": registered_on,
        }
        tx.execute(EMPLOYERS.insert(), values)
        return employer_of(tx, employer_id)
    if known.ifu not in ("", ifu):
        raise ProviderError(ProviderReason.IDENTITY_MISMATCH)
    tx.execute(EMPLOYERS.update().where(EMPLOYERS.c.id == known.id).values(ifu=ifu))
    return employer_of(tx, known.id)


def has_open_dispute(tx: sa.Connection, employer_id: int) -> bool:
    """Whether a labour dispute with the employer is pending."""
    query = sa.select(DISPUTES.c.employer_id).where(
        DISPUTES.c.employer_id == employer_id, DISPUTES.c.closed_on == ""
    )
    return tx.execute(query.limit(1)).first() is not None


def with_blanks(rccm: str) -> str:
    """``RB/COT/25B40056`` as ``RB/COT/25 B 40056``; any other form is left as it is."""
    parts = _RCCM.fullmatch(rccm.replace(" ", ""))
    return " ".join(parts.groups()) if parts else rccm


def _find(tx: sa.Connection, condition: sa.ColumnElement[bool]) -> Employer | None:
    row = tx.execute(sa.select(*_COLUMNS).where(condition)).first()
    return Employer(*row) if row else None
