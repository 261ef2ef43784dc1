"""The people: fictitious, as untidy as a real register (DOMAIN section 6).

A person is drawn from the ordinal, without those before; so all registries find the same people. Ages are counted to a
fixed day: a seed does not grow older.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from datetime import date
from typing import Final, NamedTuple

from adapters.world import names, places
from adapters.world.draws import Draws, spread
from adapters.world.records.person import FEMALE, MALE, Person, RecordState
from adapters.world.reserved import EMAIL_DOMAIN, NPI_PREFIX, NPI_SPACE, PERSONA_NPIS, PHONE_CC

TODAY: Final = date(2026, 1, 1).toordinal()
_YEAR: Final = 365
_NPIS: Final = NPI_SPACE - PERSONA_NPIS
# Odd and far from any divisor of _NPIS (2, 3, 5, 41, 271).
_NPI_STEP: Final = 6_180_337

# Every fiftieth is a foreigner: the order of ordinals shows nowhere, numbers hide it.
FOREIGN_EVERY: Final = 50
FOREIGN_AT: Final = 17
_REMEMBERED: Final = 512

_Word = Callable[[], int]

_TOWNS_WITH_STREETS: Final = frozenset({"COTONOU", "PORTO-NOVO", "PARAKOU", "ABOMEY-CALAVI"})


class _Who(NamedTuple):
    """Names in the register's spelling, sex and day of birth, before any mistake."""

    last: str
    first: str
    sex: str
    born: int


class Citizen(NamedTuple):
    """Somebody with his record; names in the register's spelling, each in its place; ``born`` is the day's ordinal."""

    ordinal: int
    record: Person
    last: str
    first: str
    born: int

    def __repr__(self) -> str:
        return "Citizen(…)"

    @property
    def last_name(self) -> str:
        """As people write it."""
        return names.as_written(self.last)

    @property
    def first_names(self) -> str:
        """As people write them."""
        return names.as_written(self.first)

    @property
    def stands(self) -> bool:
        """Whether he is alive and his record is neither locked nor merged."""
        return self.record.state == RecordState.ACTIVE and not self.record.death_date

    @property
    def marital_name(self) -> str:
        """As people write it; empty if there is none."""
        return names.as_written(self.record.marital_name)

    @property
    def name(self) -> str:
        """As a deed has it: ``ADJOVI Koffi``."""
        return f"{self.last_name.upper()} {self.first_names}"


def is_foreign(ordinal: int) -> bool:
    """Whether that person is a foreigner."""
    return ordinal % FOREIGN_EVERY == FOREIGN_AT


class People:
    """Everybody but the personas; ordinals go from 0 to ``size`` - 1."""

    def __init__(self, seed: int, size: int) -> None:
        self._seed = seed
        self._first_npi = spread(seed, b"npi", 0, _NPIS, _NPI_STEP)
        self._mixed = Draws(seed, b"mix", 0).word()
        self.size = size

    def __iter__(self) -> Iterator[Person]:
        for ordinal in range(self.size):
            yield self.citizen(ordinal).record

    def by_number(self) -> Iterator[Person]:
        """Everybody in the order of numbers: a table whose key they are grows at its end. Four bytes a person."""
        step_back = pow(_NPI_STEP, -1, _NPIS)
        places_taken = array("I", sorted(self._place(ordinal) for ordinal in range(self.size)))
        for taken in places_taken:
            yield self.citizen((taken - self._first_npi) * step_back % _NPIS).record

    def npi(self, ordinal: int) -> str:
        """The number of that person."""
        return f"{NPI_PREFIX}{PERSONA_NPIS + self._place(ordinal):07d}"

    def _place(self, ordinal: int) -> int:
        return (self._first_npi + ordinal * _NPI_STEP) % _NPIS

    def born(self, ordinal: int) -> int:
        """The day of birth of that person, if it is nobody's second record: cheaper than ``citizen``."""
        return self._somebody(ordinal).born

    def citizen(self, ordinal: int) -> Citizen:
        """That person, with what the other registers know."""
        elder = ordinal & ~1
        if self._may_have_twins(elder):
            one = self._draw(elder)
            if one.record.sex == MALE and " " not in one.first and one.first == one.record.first_names:
                return self._as_twin(one, ordinal)
        return self._draw(ordinal)

    def _draw(self, ordinal: int) -> Citizen:
        draws = Draws(self._seed, b"person", ordinal)
        word = draws.word
        home = _home(draws)
        last, first, sex, born = who = self._who(ordinal, draws, home.region)
        state, survivor = self._state(ordinal)
        if survivor is not None:
            last, first, sex, born = who = self._somebody(survivor)
        foreign = is_foreign(ordinal)
        age_days = TODAY - born
        adult = age_days > 18 * _YEAR
        department, town, district = home.registered
        if foreign:
            birth_country, birth_place = draws.pick(places.NEIGHBOURS)
        else:
            birth_country, birth_place = "BEN", town if word() % 10 < 7 else _home(draws).registered[1]
        phone = _phone(word) if age_days > 15 * _YEAR else ""
        swapped = word() % 100 < 5
        day = date.fromordinal(born).isoformat()
        record = Person(
            self.npi(ordinal),
            first if swapped else last,
            last if swapped else first,
            _last_name(word, home.region) if adult and sex == FEMALE and word() % 100 < 45 else "",
            day[:4] if word() % 100 < 12 else day,
            birth_country,
            birth_place,
            "BEN",
            department,
            town,
            district,
            places.REGISTERED_QUARTERS[word() % home.quarters],
            _address(word, last, town),
            PHONE_CC if phone else "",
            phone,
            _email(word, who) if adult and word() % 1000 < 300 else "",
            birth_country if foreign else "BEN",
            sex,
            "" if survivor is not None else _death_date(word, born, age_days),
            *_parents(word, last, home.region),
            state.value,  # a plain text, as drivers of databases like it
            "" if survivor is None else self.npi(survivor),
            1 + (word() % 100 < 10) + (word() % 100 < 2),
        )
        return Citizen(ordinal, record, last, first, born)

    def _somebody(self, ordinal: int) -> _Who:
        draws = Draws(self._seed, b"person", ordinal)
        return self._who(ordinal, draws, _home(draws).region)

    def _who(self, ordinal: int, draws: Draws, region: str) -> _Who:
        word = draws.word
        foreign = is_foreign(ordinal)
        if word() % 100 < 8 and ordinal and not foreign:
            # A homonym: same names, same sex, same year, somebody else.
            other = self._somebody(ordinal - 1 - word() % min(ordinal, _REMEMBERED))
            new_year = date(date.fromordinal(other.born).year, 1, 1).toordinal()
            return other._replace(born=min(new_year + word() % 365, TODAY))
        sex = FEMALE if word() & 1 else MALE
        last = draws.pick(names.FOREIGN) if foreign else _last_name(word, region)
        pool = (names.FEMALE_NAMES if sex == FEMALE else names.MALE_NAMES)[region]
        first = pool[word() % len(pool)]
        more = word() % 3
        if more:
            first = " ".join(dict.fromkeys((first, *(pool[word() % len(pool)] for _ in range(more)))))
        # Half of the people are under 23, few are over 80; who comes from abroad comes to work.
        age_days = (18 * _YEAR + word() % (42 * _YEAR)) if foreign else draws.fraction(90 * _YEAR)
        return _Who(last, first, sex, TODAY - age_days - word() % _YEAR)

    def _mix(self, ordinal: int) -> int:
        """Cheaper than draws, for what is asked of the neighbours; spread by the golden ratio."""
        return (ordinal * 0x9E3779B97F4A7C15 + self._mixed & 0xFFFFFFFFFFFFFFFF) >> 32

    def _may_have_twins(self, elder: int) -> bool:
        # Half of these are girls, most have more first names.
        return self._mix(elder) % 1000 < 30 and not is_foreign(elder) and not is_foreign(elder + 1)

    def _as_twin(self, elder: Citizen, ordinal: int) -> Citizen:
        """One of twins, the elder first: same parents, same day, names as custom has it."""
        number = ordinal - elder.ordinal
        first = names.TWINS[number]
        record = elder.record._replace(first_names=first)
        if number:
            record = record._replace(
                npi=self.npi(ordinal),
                phone_cc="",
                phone="",
                email="",
                death_date="",
                state=RecordState.ACTIVE.value,
                merged_into="",
                record_version=1,
            )
        return Citizen(ordinal, record, elder.last, first, elder.born)

    def _state(self, ordinal: int) -> tuple[RecordState, int | None]:
        """The state of a record, and the ordinal of the one that it was merged into."""
        chance = self._mix(ordinal) // 1000 % 1000
        if chance < 2:
            return RecordState.LOCKED, None
        if chance > 2 or is_foreign(ordinal) or self._may_have_twins(ordinal & ~1):
            return RecordState.ACTIVE, None
        for survivor in range(ordinal - 1, -1, -1):
            stands = self._mix(survivor) // 1000 % 1000 > 2 and not is_foreign(survivor)
            if stands and not self._may_have_twins(survivor & ~1):
                return RecordState.MERGED, survivor
        return RecordState.ACTIVE, None


def _home(draws: Draws) -> places.Arrondissement:
    homes = places.BY_WEIGHT[draws.word() % 1000]
    return homes[draws.word() % len(homes)]


def _last_name(word: _Word, region: str) -> str:
    pool = names.LAST_NAMES[region][word() % 100]
    return pool[word() % len(pool)]


def _parents(word: _Word, last: str, region: str) -> tuple[str, str, str, str]:
    fathers, mothers = names.MALE_NAMES[region], names.FEMALE_NAMES[region]
    father = ("", "") if word() % 100 < 4 else (last, fathers[word() % len(fathers)])
    mother = ("", "") if word() % 100 < 1 else (_last_name(word, region), mothers[word() % len(mothers)])
    return *father, *mother


def _address(word: _Word, last: str, town: str) -> str:
    if town in _TOWNS_WITH_STREETS:
        return f"C/{1 + word() % 2500} M/{last}"
    return f"M/{last}" if word() % 10 < 3 else ""


def _phone(word: _Word) -> str:
    if word() % 100 < 12:
        return ""
    digits = f"00{word() % 10**6:06d}"
    return digits if word() % 10 < 4 else f"01{digits}"


def _email(word: _Word, who: _Who) -> str:
    local = f"{who.first.split(' ', 1)[0]}.{who.last}{1 + word() % 999}"
    return f"{local.replace(chr(39), '').lower()}@{EMAIL_DOMAIN}"


def _death_date(word: _Word, born: int, age_days: int) -> str:
    if age_days < 2 or word() % 1000 >= (120 if age_days > 60 * _YEAR else 12):
        return ""
    # The register is of 2017: who died before was never in it.
    return date.fromordinal(born + age_days - word() % min(age_days - 1, 8 * _YEAR)).isoformat()
