"""A natural person, as the register of persons (RNPP) holds it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class RecordState(StrEnum):
    """Whether a record may be read."""

    ACTIVE = "active"
    LOCKED = "locked"
    """Frozen by ANIP while an operation on it is examined."""
    MERGED = "merged"
    """Found to be a second record of somebody; ``merged_into`` is the one that stands."""


class PersonEventKind(StrEnum):
    """What happened to a record (``PersonEventType``)."""

    NAME_CORRECTED = "NAME_CORRECTED"
    ADDRESS_CHANGED = "ADDRESS_CHANGED"
    PHONE_CHANGED = "PHONE_CHANGED"
    DEATH_RECORDED = "DEATH_RECORDED"
    NPI_MERGED = "NPI_MERGED"


FEMALE: Final = "F"
MALE: Final = "M"


class Person(NamedTuple):
    """One record: names in capitals without accents, as the register keeps them; what is unknown is empty.

    ``birth_date`` and ``death_date`` are written ``1987-04-12``, ``1987-04`` or ``1987``: no more than is known.
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
        return "Person(…)"

    @property
    def is_deceased(self) -> bool:
        """Whether a death is registered."""
        return bool(self.death_date)


class PersonEvent(NamedTuple):
    """Something that happened to a record on a day; ``surviving_npi`` with ``NPI_MERGED`` only."""

    kind: PersonEventKind
    npi: str
    occurred_on: str
    changed_fields: tuple[str, ...]
    surviving_npi: str

    def __repr__(self) -> str:
        return "PersonEvent(…)"
