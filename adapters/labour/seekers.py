"""The list of job seekers: one entry in force for each person, for six months."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

import sqlalchemy as sa

from adapters.kit.numbers import next_number
from adapters.labour.days import add_months
from adapters.labour.ruleset import Ruleset
from adapters.labour.tables import SEEKERS
from adapters.labour.workers import numbers_of, standing_npi
from adapters.reasons import ProviderError, ProviderReason

# Whoever comes back takes the place of his former entry; two who ask for the same person at once get one entry.
_ENTER: Final = sa.text(
    "INSERT INTO job_seeker (npi, seeker_no, diploma, occupation_code, commune_code, valid_until)"
    " VALUES (:npi, :seeker_no, :diploma, :occupation_code, :commune_code, :valid_until)"
    " ON CONFLICT (npi) DO UPDATE SET seeker_no = :seeker_no, diploma = :diploma, occupation_code = :occupation_code,"
    " commune_code = :commune_code, valid_until = :valid_until WHERE job_seeker.valid_until < :today"
)


@dataclass(frozen=True, slots=True)
class Seeker:
    """One entry, by the number that stands for its person.

    ``diploma`` is the proto's word, empty if it was not said; ``valid_until`` is the last day.
    """

    seeker_no: str
    npi: str = field(repr=False)
    diploma: str
    occupation_code: str
    commune_code: str
    valid_until: str


def register_seeker(
    tx: sa.Connection,
    *,
    npi: str,
    diploma: str,
    occupation_code: str,
    commune_code: str,
    today: date,
    rules: Ruleset,
) -> Seeker:
    """Enter somebody.

    Raises:
        ProviderError: He is on the list already, under any of his numbers (DUPLICATE_REQUEST).
    """
    if find_by_npi(tx, npi, today):
        raise ProviderError(ProviderReason.DUPLICATE_REQUEST)
    number = next_number(tx, series(today.year))
    entry = Seeker(
        seeker_no=f"DE-{today.year}-{number:06d}",
        npi=npi,
        diploma=diploma,
        occupation_code=occupation_code,
        commune_code=commune_code,
        valid_until=add_months(today, rules.seekers.months).isoformat(),
    )
    values = {column.name: getattr(entry, column.name) for column in SEEKERS.c}
    if tx.execute(_ENTER, {**values, "today": today.isoformat()}).rowcount == 0:
        raise ProviderError(ProviderReason.DUPLICATE_REQUEST)
    return entry


def series(year: int) -> str:
    """Where the numbers of one year are counted."""
    return f"DE-{year}"


def find_by_npi(tx: sa.Connection, npi: str, today: date) -> Seeker | None:
    """The entry of a person, if it holds on ``today``; under whichever number, and of two the one that holds longer."""
    return _find(tx, SEEKERS.c.npi.in_(numbers_of(tx, npi)), today)


def find_by_number(tx: sa.Connection, seeker_no: str, today: date) -> Seeker | None:
    """The entry of that number, if it holds on ``today``."""
    return _find(tx, SEEKERS.c.seeker_no == seeker_no, today)


def _find(tx: sa.Connection, condition: sa.ColumnElement[bool], today: date) -> Seeker | None:
    query = sa.select(SEEKERS).where(condition, SEEKERS.c.valid_until >= today.isoformat())
    query = query.order_by(SEEKERS.c.valid_until.desc(), SEEKERS.c.seeker_no)
    row = tx.execute(query).mappings().first()
    return Seeker(**{**row, "npi": standing_npi(tx, row["npi"])}) if row else None
