"""The population of the sandbox: fictitious, deterministic, as untidy as a real register (DOMAIN section 6).

The same seed and size give the same bytes on every machine: all chance comes from
``random.Random.random()``, whose sequence Python keeps stable, and nothing depends on today's date.
Everybody is inside the reserved ranges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from random import Random
from typing import Final, NamedTuple, TypeVar

from adapters.identity import names, places
from adapters.identity.person import FEMALE, MALE, Person, RecordState, as_row
from adapters.identity.personas import PERSONAS
from adapters.identity.reserved import (
    EMAIL_DOMAIN,
    NPI_PREFIX,
    NPI_SPACE,
    PERSONA_NPIS,
    PHONE_CC,
    require_reserved,
)

DEFAULT_SEED: Final = 229
DEFAULT_SIZE: Final = 50_000
MAX_SIZE: Final = 5_000_000

# Ages are counted to this day, so that a seed does not grow older.
_TODAY: Final = date(2026, 1, 1).toordinal()
_NPIS: Final = NPI_SPACE - PERSONA_NPIS
# Odd and far from any divisor of _NPIS (2, 3, 5, 41, 271): stepping by it visits every number once, in no
# visible order.
_NPI_STEP: Final = 6_180_337
_REMEMBERED: Final = 512

_T = TypeVar("_T")


class _Name(NamedTuple):
    last: str
    first: str
    sex: str
    born: int


class _Home(NamedTuple):
    department: places.Department
    town: str
    district: str


_VILLAGES: Final = (
    "CENTRE", "ZONGO", "GARE", "MARCHE", "LYCEE", "CARREFOUR", "PLATEAU", "MISSION", "CAMP", "RIVE", "PORT",
)  # fmt: skip
_TOWNS_WITH_STREETS: Final = frozenset({"COTONOU", "PORTO-NOVO", "PARAKOU", "ABOMEY-CALAVI"})
_HOMES: Final = tuple(
    tuple(
        _Home(department, commune.name, district)
        for commune in department.communes
        for district in commune.arrondissements
    )
    for department in places.DEPARTMENTS
)
# One entry per thousandth of the people: drawing one is drawing by weight.
_HOMES_BY_WEIGHT: Final = tuple(
    homes
    for department, homes in zip(places.DEPARTMENTS, _HOMES, strict=True)
    for _ in range(department.weight)
)
_LAST_NAMES_BY_WEIGHT: Final = {
    region: tuple(pool for pool, weight in pools for _ in range(weight))
    for region, pools in names.LAST_NAMES.items()
}


def population(seed: int = DEFAULT_SEED, size: int = DEFAULT_SIZE) -> Iterator[Person]:
    """Yield ``size`` records: the personas first, then drawn ones.

    Raises:
        ValueError: ``size`` cannot hold the personas, or is more than the reserved numbers allow for.
    """
    fixed = [require_reserved(persona.record) for persona in PERSONAS if persona.record]
    if not len(fixed) <= size <= MAX_SIZE:
        raise ValueError(f"a population has {len(fixed)} to {MAX_SIZE} persons")
    yield from fixed
    source = _Source(seed)
    for _ in range(size - len(fixed)):
        yield require_reserved(source.person())


def digest(persons: Iterable[Person]) -> str:
    """SHA-256 over all fields of ``persons`` in order: equal digests mean equal populations."""
    hasher = hashlib.sha256()
    for person in persons:
        hasher.update("\x1f".join(map(str, as_row(person))).encode() + b"\n")
    return hasher.hexdigest()


class _Source:
    """Draws one person after the other."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311 - people are invented here, not keys
        self._next_npi = int(self._random() * _NPIS)
        self._recent: list[_Name] = []
        self._twin: Person | None = None
        self._survivor = ""

    def person(self) -> Person:
        """The next one: a twin of the last, or somebody new."""
        if self._twin:
            twin, self._twin = self._twin, None
            return twin
        person = self._draw()
        if self._chance(0.012) and person.sex == MALE and " " not in person.first_names:
            return self._as_twins(person)
        return person

    def _draw(self) -> Person:
        home = self._pick(self._pick(_HOMES_BY_WEIGHT))
        foreign = self._chance(0.02)
        name = self._name("foreign" if foreign else home.department.region)
        age_days = _TODAY - name.born
        adult = age_days > 18 * 365
        birth_country, birth_place = self._birth_place(home, foreign)
        last, first = name.last, name.first
        if self._chance(0.05):
            last, first = first, last
        phone = self._phone() if age_days > 15 * 365 else ""
        father, mother = self._parents(name.last, home.department.region)
        state, merged_into = self._state()
        npi = self._npi()
        if state is RecordState.ACTIVE:
            self._survivor = npi
        return Person(
            npi,
            last,
            first,
            self._marital_name(name, home.department.region, adult),
            self._birth_date(name.born),
            birth_country,
            birth_place,
            "BEN",
            home.department.name,
            home.town,
            home.district,
            self._pick(_VILLAGES),
            self._address(name.last, home.town),
            PHONE_CC if phone else "",
            phone,
            self._email(name) if adult and self._chance(0.27) else "",
            birth_country if foreign else "BEN",
            name.sex,
            self._death_date(name.born, age_days),
            *father,
            *mother,
            state,
            merged_into,
            1 + self._chance(0.1) + self._chance(0.02),
        )

    def _as_twins(self, elder: Person) -> Person:
        """``elder``, renamed, and the younger put in line: same parents, same day, names as custom has it."""
        elder = replace(elder, first_names=names.TWINS[0])
        self._twin = replace(
            elder,
            npi=self._npi(),
            first_names=names.TWINS[1],
            phone_cc="",
            phone="",
            email="",
            death_date="",
            state=RecordState.ACTIVE,
            merged_into="",
            record_version=1,
        )
        return elder

    def _name(self, region: str) -> _Name:
        if self._recent and self._chance(0.08):
            # A homonym: same names, same sex, same year, somebody else.
            other = self._pick(self._recent)
            new_year = date.fromordinal(other.born).replace(month=1, day=1).toordinal()
            return other._replace(born=min(new_year + self._below(365), _TODAY))
        sex = FEMALE if self._chance(0.5) else MALE
        northern = region == "north"
        last = self._pick(names.FOREIGN) if region == "foreign" else self._last_name(region)
        pool = names.FIRST_NAMES[northern, sex]
        count = 1 + self._below(3)
        first = " ".join(dict.fromkeys(self._pick(pool) for _ in range(count)))
        # Half of the people are under 23, few are over 80. A product, not a power: libraries round powers
        # differently.
        age_days = int(90 * 365 * self._random() * self._random() + self._random() * 365)
        name = _Name(last, first, sex, _TODAY - age_days)
        if len(self._recent) < _REMEMBERED:
            self._recent.append(name)
        else:
            self._recent[self._below(_REMEMBERED)] = name
        return name

    def _last_name(self, region: str) -> str:
        return self._pick(self._pick(_LAST_NAMES_BY_WEIGHT[region]))

    def _npi(self) -> str:
        self._next_npi = (self._next_npi + _NPI_STEP) % _NPIS
        return f"{NPI_PREFIX}{PERSONA_NPIS + self._next_npi:07d}"

    def _birth_place(self, home: _Home, foreign: bool) -> tuple[str, str]:
        if foreign:
            return self._pick(places.NEIGHBOURS)
        born_here = self._chance(0.7)
        return "BEN", home.town if born_here else self._pick(self._pick(_HOMES_BY_WEIGHT)).town

    def _birth_date(self, born: int) -> str:
        day = date.fromordinal(born).isoformat()
        return day[:4] if self._chance(0.12) else day

    def _death_date(self, born: int, age_days: int) -> str:
        if not self._chance(0.12 if age_days > 60 * 365 else 0.012):
            return ""
        return date.fromordinal(born + 1 + self._below(age_days)).isoformat() if age_days > 1 else ""

    def _parents(self, last_name: str, region: str) -> tuple[tuple[str, str], tuple[str, str]]:
        northern = region == "north"
        father, mother = ("", ""), ("", "")
        if not self._chance(0.04):
            father = (last_name, self._pick(names.FIRST_NAMES[northern, MALE]))
        if not self._chance(0.01):
            mother = (self._last_name(region), self._pick(names.FIRST_NAMES[northern, FEMALE]))
        return father, mother

    def _marital_name(self, name: _Name, region: str, adult: bool) -> str:
        return self._last_name(region) if adult and name.sex == FEMALE and self._chance(0.45) else ""

    def _address(self, last_name: str, town: str) -> str:
        if town in _TOWNS_WITH_STREETS:
            return f"C/{1 + self._below(2500)} M/{last_name}"
        return f"M/{last_name}" if self._chance(0.3) else ""

    def _phone(self) -> str:
        if self._chance(0.12):
            return ""
        digits = f"00{self._below(10**6):06d}"
        return digits if self._chance(0.4) else f"01{digits}"

    def _email(self, name: _Name) -> str:
        local = f"{name.first.split(' ', 1)[0]}.{name.last}{1 + self._below(999)}"
        return f"{local.replace(chr(39), '').lower()}@{EMAIL_DOMAIN}"

    def _state(self) -> tuple[RecordState, str]:
        if self._survivor and self._chance(0.001):
            return RecordState.MERGED, self._survivor
        return (RecordState.LOCKED if self._chance(0.002) else RecordState.ACTIVE), ""

    def _pick(self, pool: Sequence[_T]) -> _T:
        return pool[int(self._random() * len(pool))]

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)

    def _chance(self, probability: float) -> bool:
        return self._random() < probability
