"""The people of the fictitious country, in the register's own records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from adapters.identity.person import Person, RecordState
from adapters.world.personas.people import record_of as world_record_of
from adapters.world.records import person as world_person
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED, World

DEFAULT_SIZE = Sizes().persons


def population(seed: int = DEFAULT_SEED, size: int = DEFAULT_SIZE) -> Iterator[Person]:
    """Give ``size`` records: the personas first, then drawn ones.

    Raises:
        ValueError: ``size`` cannot hold the personas, or is more than the reserved numbers allow for.
    """
    return map(from_world, World(seed, Sizes.of(size)).persons())


def record_of(npi: str) -> Person:
    """The record of one persona; ``LookupError`` for a number that is none, or has no record on purpose."""
    return from_world(world_record_of(npi))


def from_world(record: world_person.Person) -> Person:
    """The register's own record of somebody: the same fields in the same order."""
    return replace(Person(*record), state=RecordState(record.state))
