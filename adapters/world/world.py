"""The country itself: ask it for what you need, as often as you like; it keeps nothing.

Lists of one kind (``holdings()``) and records with all that belongs to them (``estates()``) tell the same.

Every record hangs on the seed, its kind and its ordinal alone, so that each registry is seeded apart, in any order, with
bounded memory, and all of them agree: whoever holds a parcel, runs a firm or has a contract is in ``persons()``. The same
seed and sizes give the same records on every machine. Personas (``docs/personnes-de-test.md``) come first in every list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain
from typing import Any, Final, TypeVar

from adapters.world import events
from adapters.world.charges import Charges
from adapters.world.firms import Entry, Firms
from adapters.world.parcels import Estate, Parcels
from adapters.world.people import People
from adapters.world.personas.firms import ENTRIES
from adapters.world.personas.land import ESTATES, GIVEN_UP
from adapters.world.personas.people import PERSONAS
from adapters.world.personas.work import EMPLOYERS, HIRINGS, SEEKERS
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
from adapters.world.reserved import require_reserved
from adapters.world.sizes import MIN_DRAWN, Sizes
from adapters.world.work import Hiring, Work

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
        people = self._people = People(seed, sizes.persons - len(_PERSONS))
        # In a country of so few people nobody is left to own or run anything: it is the personas' alone.
        drawn = sizes.persons >= MIN_DRAWN
        first = len(ENTRIES)
        firms = self._firms = Firms(
            seed, people, first, max(sizes.businesses, first) if drawn else first, day
        )
        first = len(ESTATES)
        self._parcels = Parcels(
            seed, people, firms, first, max(sizes.parcels, first) if drawn else first, day
        )
        first = len(HIRINGS)
        size = max(sizes.contracts, first) if drawn else first
        seekers = max(sizes.job_seekers - len(SEEKERS), 0) if drawn else 0
        self._work = Work(seed, people, firms, first, size, seekers, day)

    # --- ANIP

    def persons(self) -> Iterator[Person]:
        """All records of persons; a larger country begins with the same ones."""
        return _checked(chain(_PERSONS, self._people))

    def persons_by_number(self) -> Iterator[Person]:
        """The same in the order of their numbers, as a database likes them."""
        return _checked(chain(_PERSONS, self._people.by_number()))

    def events_of(self, person: Person) -> Iterator[PersonEvent]:
        """What happened to the record of one of them; ``in_order_of_persons`` puts them in their order."""
        return _checked(events.person_events(self.seed, person, self.day))

    def person_events(self) -> Iterator[PersonEvent]:
        """What happened to records of persons."""
        return iter(events.in_order_of_persons(chain.from_iterable(map(self.events_of, self.persons()))))

    # --- ANDF

    def parcels(self) -> Iterator[Parcel]:
        """All parcels, those given up by splits and mergers included (beyond ``sizes.parcels``)."""
        return _checked(chain((estate.parcel for estate in self._estates()), self._given_up()))

    def estates(self) -> Iterator[Estate]:
        """Every parcel with its title, holdings and charges, in one pass; those given up have none of these."""
        given_up = (Estate(parcel, None, (), Charges()) for parcel in self._given_up())
        for estate in chain(self._estates(), given_up):
            for part in (estate.parcel, estate.title, *estate.holdings, *estate.charges.all()):
                if part:
                    require_reserved(part)
            yield estate

    def titles(self) -> Iterator[Title]:
        """One title per titled parcel, by parcel."""
        return _checked(estate.title for estate in self._estates() if estate.title)

    def holdings(self) -> Iterator[Holding]:
        """Who holds, by parcel and rank; nobody where ``party_exists`` is false."""
        return _checked(holding for estate in self._estates() for holding in estate.holdings)

    def mortgages(self) -> Iterator[Mortgage]:
        """Mortgages, standing and released, by parcel and rank."""
        return _checked(one for estate in self._estates() for one in estate.charges.mortgages)

    def restrictions(self) -> Iterator[Restriction]:
        """Easements, leases and other limits, by parcel."""
        return _checked(one for estate in self._estates() for one in estate.charges.restrictions)

    def disputes(self) -> Iterator[Dispute]:
        """Disputes, going on and settled, by parcel."""
        return _checked(one for estate in self._estates() for one in estate.charges.disputes)

    def belonging_certificates(self) -> Iterator[BelongingCertificate]:
        """Certificates of belonging, in force and expired, by parcel."""
        found = (estate.charges.certificate for estate in self._estates())
        return _checked(one for one in found if one)

    def notices(self) -> Iterator[Notice]:
        """Titles asked for whose notice is open, by parcel."""
        return _checked(estate.charges.notice for estate in self._estates() if estate.charges.notice)

    def oppositions(self) -> Iterator[Opposition]:
        """Oppositions to those, by parcel."""
        return _checked(one for estate in self._estates() for one in estate.charges.oppositions)

    def parcel_events(self) -> Iterator[ParcelEvent]:
        """What happened to parcels."""
        return _checked(events.parcel_events(self._estates(), self._given_up(), self.day))

    # --- APIEx

    def firms(self) -> Iterator[Firm]:
        """All entries of the trade register."""
        return _checked(entry.firm for entry in self._entries())

    def entries(self) -> Iterator[Entry]:
        """Every firm with its trade and the people behind it, in one pass."""
        for entry in self._entries():
            for part in (entry.firm, *entry.relations):
                require_reserved(part)
            yield entry

    def relations(self) -> Iterator[Relation]:
        """Who is behind them, by firm; former roles too."""
        return _checked(relation for entry in self._entries() for relation in entry.relations)

    def registry_events(self) -> Iterator[RegistryEvent]:
        """What happened in the trade register."""
        return _checked(events.registry_events(self._entries(), self.day))

    # --- MTFP and CNSS

    def employers(self) -> Iterator[Employer]:
        """Firms that have workers, by firm."""
        return _checked(chain(EMPLOYERS, self._work.employers()))

    def affiliations(self) -> Iterator[Affiliation]:
        """Workers' numbers at the CNSS; two of one worker stand together."""
        return _checked(one for hiring in self._hirings() for one in hiring.affiliations)

    def work_permits(self) -> Iterator[WorkPermit]:
        """Permits of foreigners, in force and expired."""
        return _checked(one for hiring in self._hirings() for one in hiring.permits)

    def contracts(self) -> Iterator[Contract]:
        """Contracts handed in for their visa, by ordinal."""
        return _checked(hiring.contract for hiring in self._hirings())

    def hirings(self) -> Iterator[Hiring]:
        """Every contract with the affiliations and permits that come with it, in one pass."""
        for hiring in self._hirings():
            for part in (hiring.contract, *hiring.affiliations, *hiring.permits):
                require_reserved(part)
            yield hiring

    def job_seekers(self) -> Iterator[JobSeeker]:
        """People on the list of job seekers."""
        return _checked(chain(SEEKERS, self._work.job_seekers()))

    def visa_events(self) -> Iterator[VisaEvent]:
        """What happened to visas and permits."""
        return _checked(events.visa_events(self._hirings(), self.day))

    def _estates(self) -> Iterator[Estate]:
        return chain(ESTATES, self._parcels)

    def _given_up(self) -> Iterator[Parcel]:
        return chain(GIVEN_UP, self._parcels.given_up())

    def _entries(self) -> Iterator[Entry]:
        return chain(ENTRIES, self._firms)

    def _hirings(self) -> Iterator[Hiring]:
        return chain(HIRINGS, self._work.hirings())


_PERSONS: Final = tuple(persona.record for persona in PERSONAS if persona.record)
_R = TypeVar("_R", bound=tuple[Any, ...])


def _checked(records: Iterable[_R]) -> Iterator[_R]:
    """Whatever leaves the world can be nobody's."""
    return map(require_reserved, records)
