"""Rights on parcels: who holds what today, what stands against a sale, and how a change is written in.

A right that ends keeps its row with ``to_ms`` and the dossier that ended it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.aliases import follow_merger, standing_npi
from adapters.kit.consents import Consenter
from adapters.land.blocking import Standing
from adapters.land.parties import Party, PartyKind
from adapters.land.shares import OWNING, Capacity, Holding
from adapters.land.tables import (
    ALIASES,
    CERTIFICATES,
    CLAIMS,
    DISPUTES,
    HOLDINGS,
    MORTGAGES,
    PARCELS,
    TITLES,
)

_ID: Final[sa.BindParameter[int]] = sa.bindparam("parcel_id")
_CURRENT: Final = (
    sa.select(HOLDINGS)
    .where(HOLDINGS.c.parcel_id == _ID, HOLDINGS.c.to_ms.is_(None))
    .order_by(HOLDINGS.c.holding_id)
)


def _is_there(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.select(sa.literal(1)).where(table.c.parcel_id == _ID, *conditions).exists()


_STANDING: Final = sa.select(
    _is_there(TITLES).label("is_titled"),
    _is_there(
        CERTIFICATES, CERTIFICATES.c.used_by == "", CERTIFICATES.c.valid_until >= sa.bindparam("today")
    ).label("has_certificate"),
    _is_there(CLAIMS, CLAIMS.c.kind == "title_request").label("is_opposable"),
    _is_there(DISPUTES, DISPUTES.c.settled_on == "").label("is_disputed"),
    _is_there(MORTGAGES, MORTGAGES.c.released_on == "").label("is_mortgaged"),
    _is_there(CLAIMS, CLAIMS.c.kind == "transfer", CLAIMS.c.reference != sa.bindparam("but")).label(
        "has_transfer"
    ),
    _is_there(HOLDINGS, HOLDINGS.c.to_ms.is_(None), HOLDINGS.c.is_deceased).label("has_deceased_holder"),
    _is_there(PARCELS, PARCELS.c.valid_to_ms.is_not(None)).label("is_superseded"),
)


def current_rights(tx: sa.Connection, parcel_id: int) -> Sequence[sa.Row[Any]]:
    """The rows of the rights that hold today."""
    return tx.execute(_CURRENT, {"parcel_id": parcel_id}).all()


def holdings(rights: Iterable[sa.Row[Any]]) -> tuple[Holding, ...]:
    """Who holds what, of rows of ``current_rights``."""
    return tuple(
        Holding(party_of(row), Fraction(row.numerator, row.denominator), Capacity(row.capacity))
        for row in rights
    )


def party_of(row: sa.Row[Any]) -> Party:
    """The holder of one row."""
    return Party(PartyKind(row.party_kind), row.party_number)


def read_standing(tx: sa.Connection, parcel_id: int, today: str, *, but: str = "") -> Standing:
    """What bears on a sale, in one query; ``but`` is a transfer that does not stand in its own way."""
    row = tx.execute(_STANDING, {"parcel_id": parcel_id, "today": today, "but": but}).one()
    return Standing(**{name: bool(value) for name, value in row._mapping.items()})


def nature_of(after: Iterable[Holding]) -> str:
    """Who holds, as a kind: ``bj.land.v1.ParcelNature``. Firms whose IFU begins with 4 are the State."""
    owners = {holding.party for holding in after if holding.capacity in OWNING}
    if all(not owner.is_person and owner.number.startswith("4") for owner in owners):
        return "STATE"
    return "INDIVIDUAL" if len(owners) == 1 else "COLLECTIVE"


def write_holdings(
    tx: sa.Connection,
    parcel_id: int,
    after: Sequence[Holding],
    names: Mapping[Party, str],
    *,
    at_ms: int,
    reference: str,
) -> None:
    """Make ``after`` what is held: rights that are no more end, new ones begin, the others stay untouched.

    Args:
        tx: The transaction; it holds the parcel's lock.
        parcel_id: The parcel.
        after: All holdings from now on.
        names: Names of those who held nothing of the parcel before.
        at_ms: When.
        reference: The dossier that says so.
    """
    rows = current_rights(tx, parcel_id)
    before = dict(zip(holdings(rows), rows, strict=True))
    known = {party_of(row): row.party_name for row in rows}
    ended = [row.holding_id for holding, row in before.items() if holding not in after]
    if ended:
        tx.execute(
            HOLDINGS.update().where(HOLDINGS.c.holding_id.in_(ended)).values(to_ms=at_ms, ended_by=reference)
        )
    begun = [
        {
            "parcel_id": parcel_id,
            "party_kind": holding.party.kind,
            "party_number": holding.party.number,
            "party_name": known.get(holding.party) or names.get(holding.party, ""),
            "numerator": holding.share.numerator,
            "denominator": holding.share.denominator,
            "capacity": holding.capacity,
            "is_deceased": False,
            "from_ms": at_ms,
            "by_reference": reference,
            "ended_by": "",
        }
        for holding in after
        if holding not in before
    ]
    if begun:
        tx.execute(HOLDINGS.insert(), begun)


def mark_deceased(tx: sa.Connection, party: Party) -> None:
    """ANIP told that a holder died: until his heirs are written in, nothing of his is sold."""
    tx.execute(_current_of(party).values(is_deceased=True))


def standing_party(tx: sa.Connection, party: Party) -> Party:
    """The party by the number that stands for it, if ANIP merged its number into another."""
    if not party.is_person:
        return party
    return Party(PartyKind.PERSON, standing_npi(tx, ALIASES, party.number))


def consenting_party(tx: sa.Connection, consenter: Consenter) -> Party:
    """Who consented, by the number that stands for him now."""
    return standing_party(tx, Party(PartyKind(consenter.kind), consenter.number))


def merge_party(tx: sa.Connection, merged: Party, standing: Party) -> None:
    """ANIP merged one number into another: rights are held, and requests understood, by the one that stands."""
    stands = follow_merger(tx, ALIASES, merged.number, standing.number)
    tx.execute(_current_of(merged).values(party_number=stands))


def _current_of(party: Party) -> sa.Update:
    return HOLDINGS.update().where(
        HOLDINGS.c.party_kind == party.kind,
        HOLDINGS.c.party_number == party.number,
        HOLDINGS.c.to_ms.is_(None),
    )
