"""How a claim is compared with the register: what counts as the same name, the same date.

People write their names with and without accents, in any case and order, with hyphens and apostrophes as
they come. None of that may turn a YES into a NO; a different name must.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from adapters.folding import fold
from adapters.identity.person import Person

_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")


class Match(Enum):
    """The outcome for one claim."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says about a person; empty where nothing is said."""

    last_name: str = ""
    first_names: str = ""
    birth_date: str = ""
    sex: str = ""
    mother_last_name: str = ""

    def __repr__(self) -> str:
        return "Claim(…)"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome claim by claim, and their weight in sum (0 to 100)."""

    last_name: Match
    first_names: Match
    birth_date: Match
    sex: Match
    mother_last_name: Match
    score: int


def record_words(last_name: str, marital_name: str, first_names: str) -> set[str]:
    """The words under which a search finds somebody: all of his names, and each name, or both last names, as one word."""
    both = f"{last_name} {marital_name}" if marital_name else last_name
    return {word for name in (both, last_name, marital_name, first_names) for word in search_words(name)}


@lru_cache(16_384)
def search_words(name: str) -> frozenset[str]:
    """The folded words of a name, and all of them in one: people divide names as they like."""
    words, whole = divided(name)
    return frozenset((*words, whole)) - {""}


@lru_cache(16_384)
def divided(name: str) -> tuple[tuple[str, ...], str]:
    """The folded words of a name in their order, and all of them in one."""
    # Blanks divide words whatever the folding: some hundred words make all the names of a register.
    words = tuple(word for part in name.split() for word in _folded(part))
    return words, "".join(words)


_folded: Final = lru_cache(16_384)(fold)


def is_same_name(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two folded names have the same words in any order, or the same letters, however divided."""
    return sorted(one) == sorted(other) or "".join(one) == "".join(other)


def is_date(text: str) -> bool:
    """Whether ``text`` is a day, a month or a year that the calendar has."""
    found = _DATE.fullmatch(text)
    if not found:
        return False
    year, month, day = (int(part) if part else 1 for part in found.groups())
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


def compare_dates(claimed: str, registered: str) -> Match:
    """Compare two dates as far as both are known; what the register cannot confirm is unknown."""
    if not claimed:
        return Match.NOT_COMPARED
    if not registered:
        return Match.UNKNOWN
    common = min(len(claimed), len(registered))
    if claimed[:common] != registered[:common]:
        return Match.NO
    return Match.YES if len(claimed) == common else Match.UNKNOWN


def compare(claim: Claim, person: Person) -> Comparison:
    """Compare every claim with ``person``; last and first names may stand in each other's place."""
    names = _compare_names(claim, person.last_name, person.marital_name, person.first_names)
    # One record in twenty has them exchanged, and more of the forms that people fill in.
    exchanged = _compare_names(claim, person.first_names, "", person.last_name)
    if exchanged.agreements > names.agreements:
        names = exchanged
    birth_date = compare_dates(claim.birth_date, person.birth_date)
    sex = _compare_words(claim.sex, person.sex)
    mother = _compare_words(claim.mother_last_name, person.mother_last_name)
    score = _score(
        (30, names.last, 1.0),
        (25, names.first, names.coverage),
        (25, birth_date, 1.0),
        (15, mother, 1.0),
        (5, sex, 1.0),
    )
    return Comparison(names.last, names.first, birth_date, sex, mother, score)


@dataclass(frozen=True, slots=True)
class _Names:
    """Outcome for last and first names; ``coverage`` is the share of the registered first names claimed."""

    last: Match
    first: Match
    coverage: float

    @property
    def agreements(self) -> int:
        return (self.last is Match.YES) + (self.first is Match.YES)


def _compare_names(claim: Claim, last_name: str, marital_name: str, first_names: str) -> _Names:
    last = _compare_words(claim.last_name, last_name)
    if last is Match.NO and marital_name:
        others = (marital_name, f"{last_name} {marital_name}")
        if any(_compare_words(claim.last_name, other) is Match.YES for other in others):
            last = Match.YES
    first = _compare_words(claim.first_names, first_names)
    if first is not Match.NO:
        return _Names(last, first, 1.0)
    claimed, known = (set(divided(name)[0]) for name in (claim.first_names, first_names))
    if claimed <= known:
        return _Names(last, Match.YES, len(claimed) / len(known))
    return _Names(last, Match.NO, 0.0)


def _compare_words(claimed: str, registered: str) -> Match:
    words, known = divided(claimed)[0], divided(registered)[0]
    if not words:
        return Match.NOT_COMPARED
    if not known:
        return Match.UNKNOWN
    return Match.YES if is_same_name(words, known) else Match.NO


def _score(*outcomes: tuple[int, Match, float]) -> int:
    compared = sum(weight for weight, match, _ in outcomes if match in (Match.YES, Match.NO))
    agreed = sum(weight * share for weight, match, share in outcomes if match is Match.YES)
    return round(100 * agreed / compared) if compared else 0
