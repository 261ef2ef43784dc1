"""The ranges that no real person, firm or parcel can have, and the check that keeps every record inside them.

DOMAIN section 6. A record is judged by the names of its fields: whoever adds one called ``npi``, ``employer_ifu`` or
``related_nups`` has it checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

R = TypeVar("R", bound=tuple[Any, ...])

# Three zeroes and seven digits; the first hundred belong to the personas.
NPI_PREFIX: Final = "000"
PERSONA_NPIS: Final = 100
NPI_SPACE: Final = 10**7
PHONE_CC: Final = "+229"
EMAIL_DOMAIN: Final = "example.bj"
# Of trade register, tax numbers and land books: 900000 to 900099 are the personas', so are the first NUP.
FIRST_RANK: Final = 900_100
FIRST_NUP: Final = 900_000_100

# What a field holds, by the end of its name.
_FORMS: Final = {
    "npi": r"000[0-9]{7}",
    "merged_into": r"000[0-9]{7}",
    "ifu": r"[1-6]20[0-9]{2}9[0-9]{5}[01][0-9]",
    "rccm": r"RB/[A-Z]{3,8}/[0-9]{2} [A-Z] 9[0-9]{5}",
    "nup": r"9[0-9]{8}",
    "nups": r"9[0-9]{8}",
    "title_no": r"TF/[A-Z]{3}/9[0-9]{5}",
    # Forms and ranges of the CNSS and of permits are this project's.
    "cnss_employer_no": r"9[0-9]{6}",
    "cnss_worker_no": r"9[0-9]{9}",
    "work_permit_no": r"PT-20[0-9]{2}-9[0-9]{5,7}",
    "seeker_no": r"DE-20[0-9]{2}-9[0-9]{5,7}",
    # +229 01 00 xx xx xx, or the same number as it was written before the renumbering of 2024.
    "phone": r"(?:\+229)?(?:01)?00[0-9]{6}",
    "phone_cc": r"\+229",
    "email": r"[a-z0-9.-]+@example\.bj",
}
# Fields that hold something else than their name says.
_OTHERWISE: Final = {("WorkPermit", "number"): "work_permit_no"}
_BY_LENGTH: Final = sorted(_FORMS, key=len, reverse=True)


class ReservedRangeError(ValueError):
    """A record left the reserved ranges; it names the field, never the value, which may be somebody's."""


class _Rule(NamedTuple):
    position: int
    field: str
    accepts: Callable[[str], object]


_rules: Final[dict[type, tuple[_Rule, ...]]] = {}


def require_reserved(record: R) -> R:
    """Return ``record`` if every number, telephone and e-mail in it can be nobody's; raises ``ReservedRangeError``."""
    kind = type(record)
    rules = _rules.get(kind)
    if rules is None:
        rules = _rules[kind] = _rules_of(kind)
    for position, field, accepts in rules:
        value = record[position]
        if value and not accepts(value):
            raise ReservedRangeError(f"{field} outside the reserved range")
    return record


def _rules_of(kind: type) -> tuple[_Rule, ...]:
    fields: tuple[str, ...] = getattr(kind, "_fields")  # noqa: B009 - of any NamedTuple
    rules = []
    for position, field in enumerate(fields):
        name = _OTHERWISE.get((kind.__name__, field), field)
        form = next((form for form in _BY_LENGTH if name == form or name.endswith(f"_{form}")), None)
        if form is not None:
            one = re.compile(_FORMS[form]).fullmatch
            accepts = _all(one) if form.endswith("nups") else one
            rules.append(_Rule(position, field, accepts))
    return tuple(rules)


def _all(accepts: Callable[[str], object]) -> Callable[[Any], bool]:
    return lambda values: all(accepts(value) for value in values)
