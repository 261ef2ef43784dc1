"""The land book: what stands in it for one title, and the numbers that new titles get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.numbers import next_number
from adapters.land.listing import share_message
from adapters.land.parties import party_message
from adapters.land.rights import current_rights, holdings
from adapters.land.tables import DISPUTES, MORTGAGES, PARCELS, RESTRICTIONS, TITLES
from bj.land.v1 import parcel_pb2


@dataclass(frozen=True, slots=True)
class TitleState:
    """What the book says of a title, and the holders' names in the order of the answer's holders."""

    answer: parcel_pb2.GetTitleResponse
    names: Sequence[str]

    def __repr__(self) -> str:
        return f"TitleState({self.answer.title_no})"


def read_title_state(tx: sa.Connection, title_no: str) -> TitleState:
    """All that stands in the book for a title that is there."""
    title = tx.execute(
        sa.select(TITLES, PARCELS.c.nup)
        .select_from(TITLES.join(PARCELS))
        .where(TITLES.c.title_no == title_no)
    ).one()
    rights = current_rights(tx, title.parcel_id)
    mortgages, restrictions, disputes = (_of(tx, table, title.parcel_id) for table in _BURDENS)
    answer = parcel_pb2.GetTitleResponse(
        title_no=title.title_no,
        nup=title.nup or "",
        holders=[
            parcel_pb2.Holder(
                party=party_message(holding.party),
                share=share_message(holding.share),
                capacity=parcel_pb2.HolderCapacity.Value(f"HOLDER_CAPACITY_{holding.capacity}"),
            )
            for holding in holdings(rights)
        ],
        origin=title.origin,
        mortgages=[
            parcel_pb2.Mortgage(
                creditor=row.creditor,
                rank=row.rank,
                amount_xof=row.amount_xof,
                registered_on=row.registered_on,
            )
            for row in sorted(mortgages, key=lambda row: row.rank)
            if not row.released_on
        ],
        restrictions=[row.text for row in restrictions],
        disputes=[row.text for row in disputes if not row.settled_on],
        book=title.book,
    )
    return TitleState(answer, [row.party_name for row in rights])


_BURDENS: Final = (MORTGAGES, RESTRICTIONS, DISPUTES)


def _of(tx: sa.Connection, table: sa.Table, parcel_id: int) -> Sequence[sa.Row[Any]]:
    query = sa.select(table).where(table.c.parcel_id == parcel_id).order_by(*table.primary_key)
    return tx.execute(query).all()


def write_title(tx: sa.Connection, parcel: sa.Row[Any], *, origin: str, day: str) -> str:
    """Write a new title of a parcel into the book of its commune; returns its number.

    Books are numbered without holes: two titles of one book come one after the other.
    """
    code = parcel.commune_code[-3:]
    title_no = f"TF/{code}/{next_number(tx, title_series(code))}"
    tx.execute(
        TITLES.insert().values(
            title_no=title_no,
            parcel_id=parcel.parcel_id,
            book=f"Livre foncier de {parcel.commune}",
            origin=origin,
            issued_on=day,
        )
    )
    tx.execute(
        PARCELS.update()
        .where(PARCELS.c.parcel_id == parcel.parcel_id)
        .values(right_type="TITLED", register_type="LAND_BOOK")
    )
    return title_no


def title_series(code: str) -> str:
    """The series from which titles of a book are numbered; ``code`` is the commune's, ``COT``."""
    return f"TF/{code}"
