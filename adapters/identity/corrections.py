"""Corrections of records: one officer takes the dossier up, another grants it; neither alone changes anything.

Both are named when the correction is asked for. What the register said before stands in the documents of before:
those that still hold are revoked with the correction.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Never

import sqlalchemy as sa

from adapters.identity.comparison import is_date
from adapters.identity.credentials import revoke
from adapters.identity.person import FEMALE, MALE, Person
from adapters.identity.records import npi_of, open_record
from adapters.identity.store import KIT, replace_values
from adapters.identity.telling import tell
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.procedure import Procedure
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.identity.v1 import acts_pb2, events_pb2

CORRECTION: Final = "PS90110"

_NAMES: Final = {
    acts_pb2.CORRECTED_FIELD_LAST_NAME: ("last_name", 100),
    acts_pb2.CORRECTED_FIELD_FIRST_NAMES: ("first_names", 200),
    acts_pb2.CORRECTED_FIELD_MARITAL_NAME: ("marital_name", 100),
    acts_pb2.CORRECTED_FIELD_BIRTH_PLACE: ("birth_place", 100),
}
_OF_THE_PERSON: Final = frozenset({"last_name", "first_names", "marital_name"})
# Which of the parents, then his last and first names.
_PARENT: Final = re.compile(r"(PERE|MERE): *([^,:]+), *([^,:]+)")
_PARENTS: Final = {"PERE": "father", "MERE": "mother"}
_PHONE: Final = re.compile(r"(?:\+229)?((?:01)?[0-9]{8})")
_PHONE_CC: Final = "+229"


def corrected_values(field: acts_pb2.CorrectedField.ValueType, text: str) -> dict[str, str]:
    """The columns that a correction writes, and their values as the register keeps them.

    Raises:
        InvalidFieldsError: The value is none for that field (``corrected_value``); the value is not repeated.
    """
    if field in _NAMES:
        column, length = _NAMES[field]
        return {column: _name(text, length)}
    if field == acts_pb2.CORRECTED_FIELD_BIRTH_DATE:
        return {"birth_date": text} if is_date(text) else _refuse("must be a date of the calendar")
    if field == acts_pb2.CORRECTED_FIELD_SEX:
        return {"sex": text} if text in (FEMALE, MALE) else _refuse("must be F or M")
    if field == acts_pb2.CORRECTED_FIELD_PHONE:
        found = _PHONE.fullmatch(text)
        return (
            {"phone_cc": _PHONE_CC, "phone": found[1]} if found else _refuse("must be a telephone of Benin")
        )
    found = _PARENT.fullmatch(_plain(text))
    if found is None:
        return _refuse("must be written PERE: NOM, PRENOMS or MERE: NOM, PRENOMS")
    parent = _PARENTS[found[1]]
    return {f"{parent}_last_name": _name(found[2], 100), f"{parent}_first_names": _name(found[3], 200)}


class Correction(Procedure):
    """What happens to a dossier that asks for one."""

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The record changes.

        Raises:
            ProviderError: It is not the second officer who grants it, or the first has not taken it up (STATE_CONFLICT);
                the record was frozen (RECORD_LOCKED) meanwhile.
        """
        asked = acts_pb2.RequestCorrectionRequest.FromString(dossier.details)
        took_up = asked.first_officer_ref in _officers(tx, dossier.reference, State.UNDER_REVIEW)
        if not took_up or _officers(tx, dossier.reference, State.GRANTED) != {asked.second_officer_ref}:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        person = open_record(tx, npi_of(dossier.subject), lock=True)
        values = corrected_values(asked.field, asked.corrected_value)
        replace_values(tx, person, values)
        _tell(desk, tx, person, tuple(values))


def _tell(desk: Desk, tx: sa.Connection, person: Person, changed: tuple[str, ...]) -> None:
    """What changed, by name; then each document that holds no more. No document shows a telephone."""
    is_phone = "phone" in changed
    revoked = [] if is_phone else revoke(tx, person.npi, desk.clock.now_ms())
    if is_phone:
        tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_PHONE_CHANGED, person.npi, *changed)
    elif _OF_THE_PERSON.intersection(changed):
        tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_NAME_CORRECTED, person.npi, *changed)
    for doc_id in revoked:
        tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_DOCUMENT_REVOKED, person.npi, doc_id=doc_id)


def _officers(tx: sa.Connection, reference: str, state: State) -> set[str]:
    """Who moved a dossier to that state."""
    query = sa.select(KIT.move.c.officer_ref)
    query = query.where(KIT.move.c.reference == reference, KIT.move.c.state == int(state))
    return set(tx.execute(query).scalars())


def _name(text: str, length: int) -> str:
    """In capitals without accents, as the register keeps names."""
    name = _plain(text)
    if not 1 <= len(name) <= length or not any(letter.isalpha() for letter in name):
        return _refuse(f"must be a name of at most {length} characters")
    return name


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.upper().split())


def _refuse(must: str) -> Never:
    raise InvalidFieldsError({"corrected_value": must})
