"""One record of the register of natural persons, as the store holds it and the service reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Final


class RecordState(StrEnum):
    """Whether a record may be read."""

    ACTIVE = "active"
    LOCKED = "locked"
    """Frozen by ANIP while an operation on it is examined."""
    MERGED = "merged"
    """Found to be a second record of somebody; ``merged_into`` is the one that stands."""


FEMALE: Final = "F"
MALE: Final = "M"


@dataclass(frozen=True, slots=True)
class Person:
    """One record: names in capitals without accents, as the register keeps them; what is unknown is empty.

    ``birth_date`` and ``death_date`` are written ``1987-04-12``, ``1987-04`` or ``1987``: no more than is
    known. Columns of the store carry the same names in the same order.
    """

    npi: str
    last_name: str
    first_names: str
    marital_name: str
    birth_date: str
    birth_country: str
    birth_place: str
    residence_country: str
    residence_department: str
    residence_town: str
    residence_district: str
    residence_village: str
    residence_address: str
    phone_cc: str
    phone: str
    email: str
    nationality: str
    sex: str
    death_date: str
    father_last_name: str
    father_first_names: str
    mother_last_name: str
    mother_first_names: str
    state: str
    merged_into: str
    record_version: int

    def __repr__(self) -> str:
        # A record that lands in a log line or an error text must say nothing about its person.
        return "Person(…)"

    @property
    def is_deceased(self) -> bool:
        """Whether a death is registered."""
        return bool(self.death_date)


COLUMNS: Final = tuple(field.name for field in fields(Person))
as_row: Final[Callable[[Person], tuple[str | int, ...]]] = attrgetter(*COLUMNS)
"""The values of a record in the order of ``COLUMNS``."""
