"""What ANIP's officers write of their own accord: deaths, records found to be of one person, records that are frozen."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.identity.credentials import revoke
from adapters.identity.person import Person, RecordState
from adapters.identity.records import open_record, standing_record
from adapters.identity.store import PERSONS, is_merged_into, replace_values
from adapters.identity.tables import CONSENTS, LINKS, TRAIL
from adapters.identity.telling import link, tell
from adapters.kit import forms
from adapters.kit.calendar import day_of
from adapters.kit.consents import Consenter, consent_inscriptions
from adapters.kit.desk import Desk
from adapters.kit.inscriptions import Field, Inscription, Inscriptions, Values, require
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.identity.v1 import events_pb2
from core.language import Text

_LIFE: Final = Text("doit être entre la naissance et aujourd'hui", "must be between birth and today")
_OTHER: Final = Text("doit être celui d'une autre fiche", "must be of another record")
_NPI_ALONE: Final = Text("doit être un NPI", "must be an NPI")


def _npi(name: str, label: Text) -> Field:
    return Field(name, label, forms.npi, is_personal=True)


def _record_death(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """What is said of the living holds no more: their documents are revoked with it."""
    person = open_record(tx, values["npi"], lock=True)
    require(not person.is_deceased)
    died = values["day"]
    if not person.birth_date <= died <= day_of(desk.clock.now_ms()).isoformat():
        raise InvalidFieldsError({"day": _LIFE})
    replace_values(tx, person, {"death_date": died})
    revoked = revoke(tx, person.npi, desk.clock.now_ms())
    tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_DEATH_RECORDED, person.npi, "life_status")
    _tell_revoked(desk, tx, person, revoked)


def _merge(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """One step always leads to the record that stands: what was merged into the former one follows it."""
    # In one order, whichever is which: two mergers of the same records never wait for each other.
    found = {number: open_record(tx, number, lock=True) for number in sorted(set(values.values()))}
    former, standing = found[values["former_npi"]], found[values["standing_npi"]]
    if former.npi == standing.npi:
        raise InvalidFieldsError({"standing_npi": _OTHER})
    # Merged before; and of one who died and one who lives, which it is must be settled first.
    require(former.npi == values["former_npi"] and standing.npi == values["standing_npi"])
    require(former.is_deceased == standing.is_deceased)
    # Before its numbers lead elsewhere: all that was given out under them.
    revoked = revoke(tx, former.npi, desk.clock.now_ms())
    replace_values(tx, former, {"state": RecordState.MERGED, "merged_into": standing.npi})
    tx.execute(PERSONS.update().where(is_merged_into(former.npi)).values(merged_into=standing.npi))
    for client in tx.execute(sa.select(LINKS.c.client).where(LINKS.c.npi == former.npi)).scalars().all():
        link(tx, standing.npi, client)
    tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_NPI_MERGED, former.npi, "npi", surviving_npi=standing.npi)
    _tell_revoked(desk, tx, former, revoked)


def _freeze(desk: Desk, tx: sa.Connection, values: Values) -> None:
    _change_state(tx, values["npi"], RecordState.ACTIVE, RecordState.LOCKED)


def _free(desk: Desk, tx: sa.Connection, values: Values) -> None:
    _change_state(tx, values["npi"], RecordState.LOCKED, RecordState.ACTIVE)


def _change_state(tx: sa.Connection, npi: str, before: RecordState, after: RecordState) -> None:
    person = standing_record(tx, npi, lock=True)
    require(person.state == before)
    replace_values(tx, person, {"state": after})


def _tell_revoked(desk: Desk, tx: sa.Connection, person: Person, revoked: list[str]) -> None:
    for doc_id in revoked:
        tell(desk, tx, events_pb2.PERSON_EVENT_TYPE_DOCUMENT_REVOKED, person.npi, doc_id=doc_id)


def _require_able(tx: sa.Connection, consenter: Consenter) -> None:
    """Who lives consents; and ANIP knows persons, and frozen records are nobody's to open."""
    if consenter.kind != "npi":
        raise InvalidFieldsError({"party": _NPI_ALONE})
    if open_record(tx, consenter.number).is_deceased:
        raise ProviderError(ProviderReason.DECEASED)


_OF_PERSON: Final = _npi("npi", Text("NPI de la personne", "the person's NPI"))

INSCRIPTIONS: Final = Inscriptions(
    TRAIL,
    Inscription(
        "death",
        Text("un décès", "a death"),
        (_OF_PERSON, Field("day", Text("jour du décès", "day of the death"), forms.day)),
        _record_death,
        is_final=True,
        needs_two=True,
    ),
    Inscription(
        "merger",
        Text("deux fiches d'une seule personne", "two records of one person"),
        (
            _npi("former_npi", Text("NPI abandonné", "NPI that is given up")),
            _npi("standing_npi", Text("NPI qui demeure", "NPI that stands")),
        ),
        _merge,
        is_final=True,
        needs_two=True,
    ),
    Inscription("lock", Text("le gel d'une fiche", "a record frozen"), (_OF_PERSON,), _freeze),
    Inscription("lock-end", Text("la fin d'un gel", "a record freed"), (_OF_PERSON,), _free, needs_two=True),
    *consent_inscriptions(CONSENTS, _require_able),
)
