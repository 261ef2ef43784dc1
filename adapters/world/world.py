"""The country itself: ask it for what you need, as often as you like; it keeps nothing.

Every record hangs on the seed, its kind and its ordinal alone, so that each registry is seeded apart, in any order, with
bounded memory, and all of them agree: whoever holds a parcel, runs a firm or has a contract is in ``persons()``. The same
seed and sizes give the same records on every machine. Personas (``docs/personnes-de-test.md``) come first in every list.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from adapters.world.records.business import Firm, RegistryEvent, Relation
from adapters.world.records.labour import (
    Affiliation,
    Contract,
    Employer,
    JobSeeker,
    VisaEvent,
    WorkPermit,
)
from adapters.world.records.land import (
    BelongingCertificate,
    Dispute,
    Holding,
    Mortgage,
    Notice,
    Opposition,
    Parcel,
    ParcelEvent,
    Restriction,
    Title,
)
from adapters.world.records.person import Person, PersonEvent
from adapters.world.sizes import Sizes

DEFAULT_SEED: Final = 229
DEFAULT_SIZES: Final = Sizes()
DEFAULT_DAY: Final = date(2026, 11, 1)
"""The world's day: contracts run, notices are open and permits hold on it. Persons' ages do not hang on it."""


class World:
    """A fictitious Benin. Iterators stream; events are told from the oldest, the last year's only.

    Args:
        seed: What everything hangs on.
        sizes: How much of everything.
        day: The day on which the country is shown.
    """

    def __init__(
        self,
        seed: int = DEFAULT_SEED,
        sizes: Sizes = DEFAULT_SIZES,
        day: date = DEFAULT_DAY,
    ) -> None:
        self.seed = seed
        self.sizes = sizes
        self.day = day

    # --- ANIP

    def persons(self) -> Iterator[Person]:
        """All records of persons; a larger country begins with the same ones."""
        raise NotImplementedError

    def person_events(self) -> Iterator[PersonEvent]:
        """What happened to records of persons."""
        raise NotImplementedError

    # --- ANDF

    def parcels(self) -> Iterator[Parcel]:
        """All parcels, those given up by splits and mergers included (beyond ``sizes.parcels``)."""
        raise NotImplementedError

    def titles(self) -> Iterator[Title]:
        """One title per titled parcel, by parcel."""
        raise NotImplementedError

    def holdings(self) -> Iterator[Holding]:
        """Who holds, by parcel and rank; nobody where ``party_exists`` is false."""
        raise NotImplementedError

    def mortgages(self) -> Iterator[Mortgage]:
        """Mortgages, standing and released, by parcel and rank."""
        raise NotImplementedError

    def restrictions(self) -> Iterator[Restriction]:
        """Easements, leases and other limits, by parcel."""
        raise NotImplementedError

    def disputes(self) -> Iterator[Dispute]:
        """Disputes, going on and settled, by parcel."""
        raise NotImplementedError

    def belonging_certificates(self) -> Iterator[BelongingCertificate]:
        """Certificates of belonging, in force and expired, by parcel."""
        raise NotImplementedError

    def notices(self) -> Iterator[Notice]:
        """Titles asked for whose notice is open, by parcel."""
        raise NotImplementedError

    def oppositions(self) -> Iterator[Opposition]:
        """Oppositions to those, by parcel."""
        raise NotImplementedError

    def parcel_events(self) -> Iterator[ParcelEvent]:
        """What happened to parcels."""
        raise NotImplementedError

    # --- APIEx

    def firms(self) -> Iterator[Firm]:
        """All entries of the trade register."""
        raise NotImplementedError

    def relations(self) -> Iterator[Relation]:
        """Who is behind them, by firm; former roles too."""
        raise NotImplementedError

    def registry_events(self) -> Iterator[RegistryEvent]:
        """What happened in the trade register."""
        raise NotImplementedError

    # --- MTFP and CNSS

    def employers(self) -> Iterator[Employer]:
        """Firms that have workers, by firm."""
        raise NotImplementedError

    def affiliations(self) -> Iterator[Affiliation]:
        """Workers' numbers at the CNSS; two of one worker stand together."""
        raise NotImplementedError

    def work_permits(self) -> Iterator[WorkPermit]:
        """Permits of foreigners, in force and expired."""
        raise NotImplementedError

    def contracts(self) -> Iterator[Contract]:
        """Contracts handed in for their visa, by ordinal."""
        raise NotImplementedError

    def job_seekers(self) -> Iterator[JobSeeker]:
        """People on the list of job seekers."""
        raise NotImplementedError

    def visa_events(self) -> Iterator[VisaEvent]:
        """What happened to visas and permits."""
        raise NotImplementedError
