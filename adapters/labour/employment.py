"""Who works where: contracts that have their visa, and what notices of hiring and leaving told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from adapters.labour.contract import Term
from adapters.labour.days import parse_day, start_of
from adapters.labour.tables import CONTRACTS, EMPLOYERS, HIRINGS
from adapters.labour.workers import numbers_of


@dataclass(frozen=True, slots=True)
class Employment:
    """Whether somebody works.

    Attributes:
        is_employed: He has work on the day asked for.
        open_contracts: Engagements that have not ended, those that begin later included.
        changed_at_ms: When that last changed; 0 if it never did.
        employers: Names of those who employ him, in the order of the alphabet.
    """

    is_employed: bool
    open_contracts: int
    changed_at_ms: int
    employers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Engagement:
    employer_id: int
    employer: str
    start: date
    end: date | None
    changed_at_ms: int

    def lasts(self, today: date) -> bool:
        """Whether it has not ended."""
        return self.end is None or self.end >= today

    def tells(self, hiring: _Engagement) -> bool:
        """Whether this contract is what somebody was hired under."""
        held = Term(self.start, self.end).holds(hiring.start)
        return hiring.employer_id == self.employer_id and held

    def changes(self, today: date) -> list[int]:
        """When it came about, began and ended, as far as that is past."""
        days = [self.start, self.end + timedelta(1) if self.end else None]
        return [self.changed_at_ms, *(start_of(day) for day in days if day is not None and day <= today)]


def employment_of(tx: sa.Connection, npi: str, today: date) -> Employment:
    """Whether somebody works on ``today``; somebody unknown has no work.

    A worker with two numbers, at the CNSS or at ANIP, is one worker, and a hiring under a contract is that contract told
    again: it ends with it, whether or not anybody told that he left. Nor is he hired twice by one employer at a time.
    """
    npis = numbers_of(tx, npi)
    contracts = _engagements(tx, _CONTRACTS, npis)
    hirings = _told_once(_engagements(tx, _HIRINGS, npis))
    by_notice = [one for one in hirings if not any(contract.tells(one) for contract in contracts)]
    open_ones = [one for one in contracts + by_notice if one.lasts(today)]
    current = [one for one in open_ones if one.start <= today]
    return Employment(
        is_employed=bool(current),
        open_contracts=len(open_ones),
        changed_at_ms=max((ms for one in contracts + hirings for ms in one.changes(today)), default=0),
        employers=tuple(sorted({one.employer for one in current})),
    )


_NPIS: Final[sa.BindParameter[Collection[str]]] = sa.bindparam("npis", expanding=True)
# A contract ends on the day on which the worker left, or else on its last day.
_CONTRACTS: Final = (
    sa.select(
        CONTRACTS.c.employer_id,
        EMPLOYERS.c.name,
        CONTRACTS.c.start_date,
        sa.case((CONTRACTS.c.left_on != "", CONTRACTS.c.left_on), else_=CONTRACTS.c.end_date),
        CONTRACTS.c.changed_at,
    )
    .join(EMPLOYERS, EMPLOYERS.c.id == CONTRACTS.c.employer_id)
    .where(CONTRACTS.c.worker_npi.in_(_NPIS), CONTRACTS.c.state == "vised")
)
_HIRINGS: Final = (
    sa.select(
        HIRINGS.c.employer_id,
        EMPLOYERS.c.name,
        HIRINGS.c.hired_on,
        HIRINGS.c.left_on,
        HIRINGS.c.changed_at,
    )
    .join(EMPLOYERS, EMPLOYERS.c.id == HIRINGS.c.employer_id)
    .where(HIRINGS.c.npi.in_(_NPIS))
)


def _told_once(hirings: list[_Engagement]) -> list[_Engagement]:
    """Of hirings that last with one employer, as two numbers may have that were merged since, the earliest."""
    latest_first = sorted(hirings, key=lambda one: one.start, reverse=True)
    return list({(one.employer_id, one.end and one.start): one for one in latest_first}.values())


def _engagements(tx: sa.Connection, query: sa.Select[Any], npis: Collection[str]) -> list[_Engagement]:
    return [
        _Engagement(employer, name, parse_day(start), parse_day(end) if end else None, changed_at)
        for employer, name, start, end, changed_at in tx.execute(query, {"npis": sorted(npis)})
    ]
