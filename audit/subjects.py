"""Whom a list is to be about: personal numbers as they are typed, and the pseudonyms that the keys make of them (M13).

A number is read from the standard input, never from an argument: those stand in lists of processes and in the history
of shells. It goes no further than this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.language import Text
from core.pseudonyms import key_id, pseudonym
from core.reasons import ExchangeError, MalformedError, Reason
from pki.pseudonyms import read_keys

MAX_NUMBERS: Final = 32

_NUMBER: Final = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, slots=True)
class Subject:
    """One person, under every number that she has or had, as the keys at hand know her.

    Attributes:
        pseudonyms: Of each number, under each key.
        numbers: How many numbers were given.
        keys: Year and ``key_id`` of each key, rising.
    """

    pseudonyms: frozenset[str]
    numbers: int
    keys: tuple[tuple[int, str], ...]


def subject_of(numbers: Sequence[str], keys: dict[int, list[bytes]]) -> Subject:
    """The person who has these numbers."""
    found = {
        pseudonym(key, number.encode("ascii")) for held in keys.values() for key in held for number in numbers
    }
    named = {(year, key_id(key)) for year, held in keys.items() for key in held}
    return Subject(frozenset(found), len(numbers), tuple(sorted(named)))


def read_numbers(lines: Iterable[str]) -> list[str]:
    """The numbers of one person, one a line, the present one first; empty lines count for nothing.

    Raises:
        MalformedError: There is none, or too many, or one is not ten digits; what was typed is not repeated.
    """
    numbers: dict[str, None] = {}
    for place, line in enumerate(lines, 1):
        number = line.strip()
        if not number:
            continue
        if not _NUMBER.fullmatch(number):
            raise MalformedError(Reason.DOCUMENT_INVALID, f"line {place}: a personal number has ten digits")
        numbers[number] = None
        if len(numbers) > MAX_NUMBERS:
            raise MalformedError(Reason.DOCUMENT_INVALID, f"one person has at most {MAX_NUMBERS} numbers")
    if not numbers:
        raise MalformedError(Reason.DOCUMENT_INVALID, "no personal number was given")
    return list(numbers)


def read_all_keys(gateway: Path, handed_out: Sequence[Path]) -> dict[int, list[bytes]]:
    """The keys of pseudonyms by year: those that the member handed out, else those of the gateway's directory.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: there are none, or one cannot be read.
    """
    keys: dict[int, list[bytes]] = {}
    for directory in handed_out or (gateway / "keys/pseudonyms",):
        try:
            found = read_keys(directory)
        except ExchangeError as error:
            raise _without_keys(str(error)) from None
        for year, key in found.items():
            keys.setdefault(year, []).append(key)
    if not keys:
        raise _without_keys("no key of pseudonyms is here")
    return keys


def _without_keys(why: str) -> ExchangeError:
    return ExchangeError(
        Reason.KEY_UNREADABLE,
        why,
        remedy=Text(
            "demander au membre les clés de pseudonymes des années voulues (keys/pseudonyms/AAAA.key), et donner leur "
            "répertoire : --pseudonym-keys DIR",
            "ask the member for the keys of pseudonyms of the years that are wanted (keys/pseudonyms/YYYY.key), and name "
            "their directory: --pseudonym-keys DIR",
        ),
    )
