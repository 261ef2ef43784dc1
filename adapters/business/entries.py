"""How a formality changes the register: a new entry, a changed one, one struck off, one undone.

Every function works in the transaction of a step and writes all of it: the entry, who is behind it, its name, the
dossier's numbers and steps are committed together, so that a process that dies leaves a step done or not begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from adapters.business import namebook
from adapters.business.courts import court_of
from adapters.business.formality import Formality
from adapters.business.forms import FORMS
from adapters.business.names import name_rules
from adapters.business.numbers import canonical_rccm, make_rccm
from adapters.business.people import KnownPerson
from adapters.business.records import Firm, Relation, Seat
from adapters.business.register import (
    change_firm,
    end_relations,
    enter_firm,
    firm_by_ifu,
    firm_by_rccm,
    replace_relations,
)
from adapters.kit.calendar import day_of
from adapters.kit.numbers import next_number
from bj.business.v1 import business_pb2 as pb
from bj.common.v1 import person_pb2

# Reserved ranges (DOMAIN section 6): the sandbox gives ranks from 900000.
_FIRST_RANK: Final = 900_000


@dataclass(frozen=True, slots=True)
class Changed:
    """An entry after a formality, the fields of it that changed, and whether who runs it changed."""

    firm: Firm
    fields: tuple[str, ...]
    leaders_changed: bool = False


def register_firm(
    tx: sa.Connection, reference: str, formality: Formality, people: Mapping[str, KnownPerson], now_ms: int
) -> Firm:
    """Write the entry of a new firm under a number that nobody had."""
    request, today = formality.request, day_of(now_ms)
    kept = namebook.used_by(tx, reference)
    if kept is None:
        raise LookupError("the dossier keeps no name")
    court = court_of(request.seat.code)
    owner = people.get(formality.managers[0]) if FORMS[request.legal_form].is_person else None
    firm = Firm(
        rccm=_free_rccm(tx, court, today.year, request.legal_form),
        name=kept.name,
        legal_form=request.legal_form,
        registered_on=today.isoformat(),
        court=court,
        capital_xof=request.capital_xof,
        activity=request.activity,
        seat=_seat(request.seat),
        seat_nup=request.seat_nup,
        regime=request.regime,
        owner_birth_date=owner.birth_date if owner else "",
        owner_birth_place=owner.birth_place if owner else "",
        created_by=reference,
    )
    since = today.isoformat()
    relations = _leaders(firm, formality, people, since) + _partners(tx, firm, formality, people, since)
    enter_firm(tx, firm, relations)
    namebook.give_to_firm(tx, name_rules(), firm, reference)
    return firm


def change_entry(
    tx: sa.Connection, reference: str, formality: Formality, people: Mapping[str, KnownPerson], now_ms: int
) -> Changed:
    """Write what a change asks for; what it does not name stays."""
    request, today = formality.request, day_of(now_ms).isoformat()
    old = _require_firm(tx, formality)
    new = replace(
        old,
        legal_form=request.legal_form or old.legal_form,
        capital_xof=request.capital_xof or old.capital_xof,
        activity=request.activity or old.activity,
        seat=_seat(request.seat) if request.HasField("seat") else old.seat,
        seat_nup=request.seat_nup or old.seat_nup,
        regime=request.regime or old.regime,
    )
    kept = namebook.used_by(tx, reference)
    if kept is not None:
        is_sign_board = FORMS[old.legal_form].is_person and bool(old.trade_name)
        new = replace(new, trade_name=kept.name) if is_sign_board else replace(new, name=kept.name)
    change_firm(tx, new)
    leaders_changed = bool(formality.managers) and replace_relations(
        tx, new.rccm, pb.RELATION_ROLE_MANAGER, _leaders(new, formality, people, today), today
    )
    if formality.shares:
        partners = _partners(tx, new, formality, people, today)
        replace_relations(tx, new.rccm, pb.RELATION_ROLE_PARTNER, partners, today)
    if kept is not None:
        namebook.give_to_firm(tx, name_rules(), new, reference)
    return Changed(new, tuple(_changed_fields(old, new)), leaders_changed)


def strike_off(tx: sa.Connection, firm: Firm, now_ms: int) -> Changed:
    """End an entry: all roles in it end, its name is free, its number is nobody else's for ever."""
    today = day_of(now_ms).isoformat()
    struck = replace(firm, status=pb.BUSINESS_STATUS_STRUCK_OFF, struck_off_on=today)
    change_firm(tx, struck)
    end_relations(tx, firm.rccm, today)
    namebook.lock(tx)
    namebook.free(tx, firm.rccm)
    return Changed(struck, ("status",))


def strike_off_entry(tx: sa.Connection, formality: Formality, now_ms: int) -> Changed:
    """The same, as a formality asks for it."""
    return strike_off(tx, _require_firm(tx, formality), now_ms)


def _require_firm(tx: sa.Connection, formality: Formality) -> Firm:
    firm = firm_by_rccm(tx, canonical_rccm(formality.request.rccm), to_change=True)
    if firm is None:
        raise LookupError("the firm of the dossier is gone")
    return firm


def _free_rccm(tx: sa.Connection, court: str, year: int, legal_form: pb.LegalForm.ValueType) -> str:
    """The next number of a court's book for the year that no entry has."""
    series = f"rccm/{court}/{year}/{FORMS[legal_form].letter}"
    while True:
        # A full book ends in ``make_rccm``'s ValueError.
        rccm = make_rccm(court, year, legal_form, _FIRST_RANK - 1 + next_number(tx, series))
        if firm_by_rccm(tx, rccm) is None:
            return rccm


def _leaders(
    firm: Firm, formality: Formality, people: Mapping[str, KnownPerson], since: str
) -> list[Relation]:
    is_person = FORMS[firm.legal_form].is_person
    role = pb.RELATION_ROLE_OWNER if is_person else pb.RELATION_ROLE_MANAGER
    # Two numbers that ANIP merged are one person.
    found = {people[npi].npi: people[npi] for npi in formality.managers}
    return [_of_person(firm, role, person, since) for person in found.values()]


def _partners(
    tx: sa.Connection, firm: Firm, formality: Formality, people: Mapping[str, KnownPerson], since: str
) -> list[Relation]:
    shares: dict[str, int] = {}
    persons: dict[str, KnownPerson] = {}
    for share in formality.shares:
        person = people.get(share.holder)
        holder = person.npi if person else share.holder
        if person:
            persons[holder] = person
        shares[holder] = shares.get(holder, 0) + share.amount_xof
    relations = []
    for holder, amount in shares.items():
        if holder in persons:
            one = _of_person(firm, pb.RELATION_ROLE_PARTNER, persons[holder], since)
        else:
            other = firm_by_ifu(tx, holder)
            one = Relation(
                rccm=firm.rccm,
                role=pb.RELATION_ROLE_PARTNER,
                ifu=holder,
                firm_name=other.name if other else "",
                from_date=since,
            )
        relations.append(replace(one, share_xof=amount))
    return relations


def _of_person(firm: Firm, role: pb.RelationRole.ValueType, person: KnownPerson, since: str) -> Relation:
    return Relation(
        rccm=firm.rccm,
        role=role,
        npi=person.npi,
        last_name=person.last_name,
        first_names=person.first_names,
        marital_name=person.marital_name,
        from_date=since,
    )


def _seat(unit: person_pb2.AdministrativeUnit) -> Seat:
    return Seat(unit.code, unit.department, unit.commune, unit.arrondissement, unit.quarter)


def _changed_fields(old: Firm, new: Firm) -> Iterable[str]:
    # Names of GetBusinessResponse, in its order.
    for name in ("name", "trade_name", "legal_form", "capital_xof", "activity", "seat"):
        if getattr(old, name) != getattr(new, name):
            yield name
