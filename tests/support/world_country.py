"""The default fictitious country in lists, drawn part by part as tests ask for it."""

import hashlib
from collections.abc import Iterable
from functools import cached_property

from adapters.world.firms import Entry
from adapters.world.parcels import Estate
from adapters.world.records.labour import Employer, JobSeeker
from adapters.world.records.land import Parcel
from adapters.world.records.person import Person
from adapters.world.work import Hiring
from adapters.world.world import World


class Country:
    """What ``World()`` tells, in lists."""

    world = World()

    @cached_property
    def persons(self) -> dict[str, Person]:
        """By NPI."""
        return {person.npi: person for person in self.world.persons()}

    @cached_property
    def _all_estates(self) -> list[Estate]:
        return list(self.world.estates())

    @property
    def parcels(self) -> list[Parcel]:
        """All of them, those given up last."""
        return [estate.parcel for estate in self._all_estates]

    @cached_property
    def estates(self) -> list[Estate]:
        """Parcels that are, with their titles, holdings and charges."""
        return [estate for estate in self._all_estates if not estate.parcel.successor_nups]

    @cached_property
    def entries(self) -> list[Entry]:
        """Firms with the people behind them."""
        return list(self.world.entries())

    @cached_property
    def hirings(self) -> list[Hiring]:
        """Contracts with affiliations and permits."""
        return list(self.world.hirings())

    @cached_property
    def employers(self) -> list[Employer]:
        """Employers."""
        return list(self.world.employers())

    @cached_property
    def seekers(self) -> list[JobSeeker]:
        """Job seekers."""
        return list(self.world.job_seekers())


def digest(records: Iterable[tuple[object, ...]]) -> str:
    """SHA-256 over all fields in order: equal digests mean equal records."""
    hasher = hashlib.sha256()
    for record in records:
        hasher.update("\x1f".join(map(str, record)).encode() + b"\n")
    return hasher.hexdigest()
