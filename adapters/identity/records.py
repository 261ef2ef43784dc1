"""Records of persons inside a transaction: found, as dossiers need them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import sqlalchemy as sa

from adapters.identity.person import Person, RecordState
from adapters.identity.store import PERSONS, is_merged_into
from adapters.reasons import ProviderError, ProviderReason

_PREFIX: Final = "npi:"


def standing(find: Callable[[str], Person | None], npi: str) -> Person | None:
    """The record of a number, or the one that it was merged into, where ``find`` gives the record of each number."""
    person = find(npi)
    if person and person.state == RecordState.MERGED:
        person = find(person.merged_into)
    # A record that leads to another merged one is a fault of the register; nobody is served from it.
    return None if person is None or person.state == RecordState.MERGED else person


def are_one(find: Callable[[str], Person | None], npi: str, other_npi: str) -> bool:
    """Whether two numbers are one person's; somebody unknown is nobody."""
    one, other = standing(find, npi), standing(find, other_npi)
    return one is not None and other is not None and one.npi == other.npi


def standing_record(tx: sa.Connection, npi: str, *, lock: bool = False) -> Person:
    """As ``standing``, in a transaction.

    Raises:
        ProviderError: There is none (NOT_FOUND).
    """
    person = standing(partial(find_record, tx, lock=lock), npi)
    if person is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    return person


def open_record(tx: sa.Connection, npi: str, *, lock: bool = False) -> Person:
    """The same, if ANIP has not frozen it.

    Raises:
        ProviderError: There is none (NOT_FOUND), or it is frozen (RECORD_LOCKED).
    """
    person = standing_record(tx, npi, lock=lock)
    if person.state == RecordState.LOCKED:
        raise ProviderError(ProviderReason.RECORD_LOCKED)
    return person


def numbers_of(tx: sa.Connection, npi: str) -> frozenset[str]:
    """The number of a record, and those that were merged into it."""
    return frozenset({npi}.union(tx.execute(sa.select(PERSONS.c.npi).where(is_merged_into(npi))).scalars()))


def subject_of(npi: str) -> str:
    """How a dossier about somebody names him."""
    return f"{_PREFIX}{npi}"


def npi_of(subject: str) -> str:
    """Whom a dossier's subject names."""
    return subject.removeprefix(_PREFIX)


def find_record(tx: sa.Connection, npi: str, *, lock: bool = False) -> Person | None:
    """The record of a number, whatever its state; with ``lock`` nobody changes it until ``tx`` ends."""
    query = sa.select(PERSONS).where(PERSONS.c.npi == npi)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return Person(*row) if row else None
