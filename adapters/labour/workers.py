"""Workers by their numbers: one person, whichever of them ANIP lets stand today."""

from __future__ import annotations

import sqlalchemy as sa

from adapters.kit import aliases
from adapters.kit.desk import Desk
from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away
from adapters.labour.contracts import find_permit
from adapters.labour.identity import Person, identify
from adapters.labour.tables import ALIASES
from adapters.reasons import ProviderError


def numbers_of(tx: sa.Connection, npi: str) -> frozenset[str]:
    """All numbers under which a worker may stand in the register."""
    return aliases.numbers_of(tx, ALIASES, npi)


def standing_npi(tx: sa.Connection, npi: str) -> str:
    """The number under which a worker is served."""
    return aliases.standing_npi(tx, ALIASES, npi)


def follow_merger(tx: sa.Connection, former: str, standing: str) -> None:
    """ANIP merged one number into another."""
    aliases.follow_merger(tx, ALIASES, former, standing)


def follow(tx: sa.Connection, person: Person, *former_npis: str) -> frozenset[str]:
    """All numbers of ``person``, after ANIP said that ``former_npis`` are his; the one that stands may be among them."""
    for former in former_npis:
        if former != person.npi:
            follow_merger(tx, former, person.npi)
    return numbers_of(tx, person.npi)


def permit_npi(desk: Desk, permit_no: str, person: Person, issue: str) -> str:
    """The number of ``person`` under which he got a work permit; the one that stands if that permit is not his.

    ANIP is asked about a permit of another number only: it may have been merged into his since. Never inside a
    transaction.

    Raises:
        Away: ANIP does not answer.
    """
    with desk.store.reading() as tx:
        permit = find_permit(tx, permit_no)
        if permit is None or permit.npi in numbers_of(tx, person.npi):
            return person.npi
    try:
        holder = identify(desk.road, permit.npi, REGISTRATION_DUTY, issue)
    except Away:
        raise
    except ProviderError:
        return person.npi
    return permit.npi if holder.npi == person.npi else person.npi
