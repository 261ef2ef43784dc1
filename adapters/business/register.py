"""Firms in the store: found by number, written by formalities. Every function works in the transaction it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from adapters.business.records import Firm, Relation, firm_of, firm_row, relation_of, relation_row
from adapters.business.tables import ALIASES, FIRM, RELATION
from adapters.kit import aliases
from bj.business.v1 import business_pb2 as pb

# As many as ListRelationsResponse and ListByPersonResponse hold.
MAX_LISTED: Final = 500


def firm_by_rccm(tx: sa.Connection, rccm: str, *, to_change: bool = False) -> Firm | None:
    """The firm of that number, in its canonical form; ``to_change`` keeps others from changing it meanwhile."""
    query = sa.select(FIRM).where(FIRM.c.rccm == rccm)
    row = tx.execute(query.with_for_update() if to_change else query).first()
    return firm_of(row) if row else None


def firm_by_ifu(tx: sa.Connection, ifu: str) -> Firm | None:
    """The firm of that tax number."""
    row = tx.execute(sa.select(FIRM).where(FIRM.c.ifu == ifu, FIRM.c.ifu != "")).first()
    return firm_of(row) if row else None


def firm_created_by(tx: sa.Connection, reference: str, *, to_change: bool = False) -> Firm | None:
    """The firm whose entry a dossier made; ``to_change`` keeps others from changing it meanwhile."""
    query = sa.select(FIRM).where(FIRM.c.created_by == reference, FIRM.c.created_by != "")
    row = tx.execute(query.with_for_update() if to_change else query).first()
    return firm_of(row) if row else None


def relations_of(tx: sa.Connection, rccm: str, *, with_former: bool) -> list[Relation]:
    """Who is behind a firm, the newest first; at most ``MAX_LISTED``."""
    query = sa.select(RELATION).where(RELATION.c.rccm == rccm)
    if not with_former:
        query = query.where(RELATION.c.to_date == "")
    query = query.order_by(RELATION.c.from_date.desc(), RELATION.c.rank).limit(MAX_LISTED)
    return [relation_of(row) for row in tx.execute(query)]


def relations_of_person(tx: sa.Connection, npi: str) -> list[tuple[Relation, Firm]]:
    """Where somebody has or had a role, under any of his numbers, the newest first; at most ``MAX_LISTED``."""
    numbers = aliases.numbers_of(tx, ALIASES, npi)
    newest = (RELATION.c.from_date.desc(), RELATION.c.rccm, RELATION.c.rank)
    query = sa.select(RELATION).where(RELATION.c.npi.in_(numbers)).order_by(*newest).limit(MAX_LISTED)
    relations = [relation_of(row) for row in tx.execute(query)]
    rccms = sorted({relation.rccm for relation in relations})
    firms = {row.rccm: firm_of(row) for row in tx.execute(sa.select(FIRM).where(FIRM.c.rccm.in_(rccms)))}
    return [(relation, firms[relation.rccm]) for relation in relations]


def leaders_of(tx: sa.Connection, rccm: str) -> list[Relation]:
    """Who may act for a firm: those who own, run or direct it now."""
    roles = (pb.RELATION_ROLE_OWNER, pb.RELATION_ROLE_MANAGER, pb.RELATION_ROLE_DIRECTOR)
    return [one for one in relations_of(tx, rccm, with_former=False) if one.role in roles and one.npi]


def enter_firm(tx: sa.Connection, firm: Firm, relations: Sequence[Relation]) -> None:
    """Write a new entry."""
    tx.execute(FIRM.insert(), firm_row(firm))
    add_relations(tx, firm.rccm, relations)


def change_firm(tx: sa.Connection, firm: Firm) -> None:
    """Write an entry anew."""
    tx.execute(FIRM.update().where(FIRM.c.rccm == firm.rccm), firm_row(firm))


def add_relations(tx: sa.Connection, rccm: str, relations: Sequence[Relation]) -> None:
    """Write roles after those that a firm has."""
    highest = sa.select(sa.func.coalesce(sa.func.max(RELATION.c.rank), 0)).where(RELATION.c.rccm == rccm)
    first = tx.execute(highest).scalar_one() + 1
    if relations:
        tx.execute(RELATION.insert(), [relation_row(one, rank) for rank, one in enumerate(relations, first)])


def replace_relations(
    tx: sa.Connection, rccm: str, role: int, relations: Sequence[Relation], on: str
) -> bool:
    """Let those of ``relations`` alone have ``role`` from a day on, and say whether anything changed.

    Who stays keeps his row.
    """
    lasting = sa.and_(RELATION.c.rccm == rccm, RELATION.c.role == role, RELATION.c.to_date == "")
    new = {_holding(relation): relation for relation in relations}
    rows = tx.execute(sa.select(RELATION).where(lasting)).all()
    staying = {_holding(row) for row in rows} & new.keys()
    leaving = [row.rank for row in rows if _holding(row) not in staying]
    tx.execute(RELATION.update().where(lasting, RELATION.c.rank.in_(leaving)).values(to_date=on))
    coming = [relation for holding, relation in new.items() if holding not in staying]
    add_relations(tx, rccm, coming)
    return bool(leaving or coming)


def end_relations(tx: sa.Connection, rccm: str, on: str) -> None:
    """End all roles that last, on a day."""
    lasting = sa.and_(RELATION.c.rccm == rccm, RELATION.c.to_date == "")
    tx.execute(RELATION.update().where(lasting).values(to_date=on))


def follow_merger(tx: sa.Connection, old_npi: str, new_npi: str) -> None:
    """ANIP merged two records: who had the one number has the other, in every firm, and is known by both."""
    stands = aliases.follow_merger(tx, ALIASES, old_npi, new_npi)
    tx.execute(RELATION.update().where(RELATION.c.npi == old_npi).values(npi=stands))


def _holding(row: sa.Row[tuple[object, ...]] | Relation) -> tuple[str, str, int]:
    return (row.npi, row.ifu, row.share_xof)
