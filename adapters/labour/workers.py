"""Workers by their numbers: one person, whichever of them ANIP lets stand today."""

from __future__ import annotations

import sqlalchemy as sa

from adapters.kit import aliases
from adapters.labour.identity import Person
from adapters.labour.tables import ALIASES


def numbers_of(tx: sa.Connection, npi: str) -> frozenset[str]:
    """All numbers under which a worker may stand in the register."""
    return aliases.numbers_of(tx, ALIASES, npi)


def standing_npi(tx: sa.Connection, npi: str) -> str:
    """The number under which a worker is served."""
    return aliases.standing_npi(tx, ALIASES, npi)


def follow_merger(tx: sa.Connection, former: str, standing: str) -> None:
    """ANIP merged one number into another."""
    aliases.follow_merger(tx, ALIASES, former, standing)


def follow(tx: sa.Connection, asked_npi: str, person: Person) -> frozenset[str]:
    """All numbers of ``person``, after what ANIP just said of the one that was asked for."""
    if asked_npi != person.npi:
        follow_merger(tx, asked_npi, person.npi)
    return numbers_of(tx, person.npi)
