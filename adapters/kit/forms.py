"""How officers write what they write into a register: the forms of ``bj/common/v1/rules.proto``, read strictly.

Each takes a text and returns it in its one form; it raises ``FormError`` with what it must be, never with what it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from adapters.kit.purposes import PURPOSES
from core.identifiers import SubsystemId
from core.language import Text

# NPI, and IFU: that of a sole trader is his.
_PERSONAL: Final = re.compile(r"(?<![0-9])(?:[0-9]{10}|[1-6]20[0-9]{10})(?![0-9])")
_FIRST_DAY: Final = date(1900, 1, 1)
_LAST_DAY: Final = date(2199, 12, 31)


class FormError(ValueError):
    """What was written is not in its form; ``must`` says to people what it must be."""

    def __init__(self, must: Text) -> None:
        super().__init__(must.en)
        self.must = must


def matching(pattern: str, must: Text) -> Callable[[str], str]:
    """What matches ``pattern`` whole; ``must`` says so to people."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise FormError(must)
        return text

    return read


npi: Final = matching(r"[0-9]{10}", Text("doit avoir 10 chiffres", "must be 10 digits"))
party: Final = matching(
    r"[0-9]{10}|[1-6]20[0-9]{10}",
    Text("doit être un NPI de 10 chiffres ou un IFU de 13", "must be an NPI of 10 digits or an IFU of 13"),
)
ifu: Final = matching(
    r"[1-6]20[0-9]{10}", Text("doit être un IFU de 13 chiffres", "must be an IFU of 13 digits")
)
nup: Final = matching(
    r"[1-9][0-9]{8}",
    Text("doit avoir 9 chiffres, le premier n'est pas 0", "must be 9 digits, the first not 0"),
)
amount: Final = matching(r"[1-9][0-9]{0,14}", Text("doit être un nombre entier", "must be a whole number"))
_handle: Final = matching(
    r"[A-Za-z0-9._:/-]{1,64}",
    Text("doit avoir 1 à 64 lettres, chiffres ou ._:/-", "must be 1 to 64 letters, digits or ._:/-"),
)
_IMPERSONAL: Final = Text("ne doit contenir ni NPI ni IFU", "must hold neither an NPI nor an IFU")
_DAY: Final = Text(
    "doit être un jour, de 1900 à 2199, écrit 2026-11-28", "must be a day of 1900 to 2199, written 2026-11-28"
)
_SUBSYSTEM: Final = Text(
    "doit être un sous-système, écrit BJ/COM/BANQUE/CREDIT",
    "must be a subsystem, written BJ/COM/BANQUE/CREDIT",
)
_PURPOSES: Final = Text(
    "doit être des codes de finalités, P01 à P08, écrits P01,P03",
    "must be codes of purposes, P01 to P08, written P01,P03",
)


def party_kind(number: str) -> str:
    """What kind of number ``party`` has read: ``npi`` or ``ifu``."""
    return "npi" if len(number) == len("0000000001") else "ifu"


def handle(value: str) -> str:
    """An opaque handle, which is written into logs."""
    if _PERSONAL.search(value):
        raise FormError(_IMPERSONAL)
    return _handle(value)


def text(length: int) -> Callable[[str], str]:
    """Words on one line, without a personal number."""
    must = Text(
        f"doit avoir 1 à {length} caractères, sur une ligne", f"must be 1 to {length} characters on one line"
    )

    def read(value: str) -> str:
        if not 1 <= len(value) <= length or not value.isprintable():
            raise FormError(must)
        if _PERSONAL.search(value):
            raise FormError(_IMPERSONAL)
        return value

    return read


def day(value: str) -> str:
    """A day of the calendar, ``2026-11-28``, of 1900 to 2199: it may be reckoned with."""
    try:
        read = date.fromisoformat(value)
    except ValueError:
        raise FormError(_DAY) from None
    if read.isoformat() != value or not _FIRST_DAY <= read <= _LAST_DAY:
        raise FormError(_DAY)
    return value


def subsystem(value: str) -> str:
    """A subsystem, ``BJ/COM/BANQUE/CREDIT``."""
    try:
        return str(SubsystemId.parse(value))
    except ValueError:
        raise FormError(_SUBSYSTEM) from None


def purposes(value: str) -> str:
    """Codes of purposes, ``P01,P03``; kept separated by blanks."""
    codes = frozenset(value.split(","))
    if not codes <= PURPOSES:
        raise FormError(_PURPOSES)
    return " ".join(sorted(codes))
