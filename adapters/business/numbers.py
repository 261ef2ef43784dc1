"""Numbers of firms: how the trade register writes its own, and what a tax number says of its holder.

A number of the register names court, year, letter of the form and rank: ``RB/COT/26 B 900001``. People leave its blanks
out; the register keeps and answers the one written form, so that two spellings are never two firms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from adapters.business.forms import FORMS, IFU_COMPANY, LegalForm

# RB/COT/25 B 40056, with or without its blanks.
_NATIONAL: Final = re.compile(r"RB/([A-Z]{3,8})/([0-9]{2}) ?([A-Z]) ?([0-9]{3,6})")
# BJ-COT-01-2024-B12-09431: OHADA's act of 2019, not seen in Benin yet; it has one spelling.
_OHADA: Final = re.compile(r"BJ-([A-Z]{3})-[0-9]{2}-[0-9]{4}-([A-Z])[0-9]{2}-[0-9]{5,6}")
_IFU: Final = re.compile(r"([1-6])(20[0-9]{2})([0-9]{6})([0-9])[0-9]")

EUID_PREFIX: Final = "BJRCCM."
# Some numbers of the year 2006 are the oldest: the tax number was made then.
_FIRST_IFU_YEAR: Final = 2006


def canonical_rccm(text: str) -> str:
    """The one written form of a number of the trade register.

    Raises:
        ValueError: It is none; the error does not repeat it.
    """
    if found := _NATIONAL.fullmatch(text):
        court, year, letter, rank = found.groups()
        return f"RB/{court}/{year} {letter} {rank}"
    if _OHADA.fullmatch(text):
        return text
    raise ValueError("not a number of the trade register")


def rccm_letter(text: str) -> str:
    """The letter that tells the kind of firm; raises ``ValueError``."""
    canonical = canonical_rccm(text)
    if found := _NATIONAL.fullmatch(canonical):
        return found[3]
    return _OHADA.fullmatch(canonical)[2]  # type: ignore[index]  # canonical_rccm knows these two forms only


def rccm_court(text: str) -> str:
    """The court that keeps the entry; raises ``ValueError``."""
    canonical = canonical_rccm(text)
    found = _NATIONAL.fullmatch(canonical) or _OHADA.fullmatch(canonical)
    return found[1]  # type: ignore[index]  # as above


def make_rccm(court: str, year: int, legal_form: LegalForm, rank: int) -> str:
    """Write the number of a new entry.

    Raises:
        ValueError: No number is made of these.
    """
    if not 1 <= rank <= 999_999:
        raise ValueError("a rank has at most six digits")
    return canonical_rccm(f"RB/{court}/{year % 100:02d} {FORMS[legal_form].letter} {rank:06d}")


def euid(rccm: str) -> str:
    """The identifier that European registers would give: ``BJRCCM.RBCOT26B900001``."""
    return EUID_PREFIX + canonical_rccm(rccm).replace("/", "").replace(" ", "")


@dataclass(frozen=True, slots=True)
class Ifu:
    """A tax number in its parts, written ``3202690000117``.

    The last digit's computation is not published: it is carried and never judged.
    """

    holder: str
    year: int
    rank: int
    branch: str

    def __repr__(self) -> str:
        # A sole trader's is a number of a person.
        return "Ifu(…)"

    @classmethod
    def parse(cls, text: str) -> Ifu:
        """Read one; raises ``ValueError``, which does not repeat it."""
        found = _IFU.fullmatch(text)
        if found is None or int(found[2]) < _FIRST_IFU_YEAR:
            raise ValueError("not a tax number")
        return cls(found[1], int(found[2]), int(found[3]), found[4])


def require_ifu_of(text: str, legal_form: LegalForm, owner_digit: str, today: date) -> None:
    """Return if ``text`` can be the tax number of such a firm.

    Args:
        text: The number.
        legal_form: Of the firm.
        owner_digit: ``1`` or ``2`` as the owner is a man or a woman; of firms that are their owner.
        today: No number is of a year to come.

    Raises:
        ValueError: Its first digit or its year is another's.
    """
    ifu = Ifu.parse(text)
    if ifu.holder != (owner_digit if FORMS[legal_form].is_person else IFU_COMPANY):
        raise ValueError("the first digit of the tax number is another holder's")
    if ifu.year > today.year:
        raise ValueError("the tax number is of a year to come")
