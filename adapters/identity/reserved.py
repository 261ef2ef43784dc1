"""The ranges that no real person can have, and the check that keeps every seed inside them."""

from __future__ import annotations

import re
from typing import Final

from adapters.identity.person import Person

# Three zeroes and seven digits; the first hundred belong to the personas.
NPI_PREFIX: Final = "000"
PERSONA_NPIS: Final = 100
NPI_SPACE: Final = 10**7
PHONE_CC: Final = "+229"
EMAIL_DOMAIN: Final = "example.bj"

_NPI: Final = re.compile(r"000[0-9]{7}")
# +229 01 00 xx xx xx, or the same number as it was written before the renumbering of 2024.
_PHONE: Final = re.compile(r"(?:01)?00[0-9]{6}")
_EMAIL: Final = re.compile(r"[a-z0-9.-]+@example\.bj")


class ReservedRangeError(ValueError):
    """A seed left the reserved ranges; it names the field, never the value, which may be somebody's."""


def require_reserved(person: Person) -> Person:
    """Return ``person`` if number, telephone and e-mail can be nobody's; raises ``ReservedRangeError``."""
    if not _NPI.fullmatch(person.npi):
        raise ReservedRangeError("npi outside the reserved range")
    if person.merged_into and not _NPI.fullmatch(person.merged_into):
        raise ReservedRangeError("merged_into outside the reserved range")
    if person.phone and not (person.phone_cc == PHONE_CC and _PHONE.fullmatch(person.phone)):
        raise ReservedRangeError("phone outside the reserved range")
    if person.email and not _EMAIL.fullmatch(person.email):
        raise ReservedRangeError("email outside the reserved range")
    return person
