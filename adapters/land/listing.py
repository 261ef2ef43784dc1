"""What somebody holds, page by page."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from typing import Final

import sqlalchemy as sa

from adapters.land.parties import Party
from adapters.land.tables import HOLDINGS, PARCELS, TITLES
from adapters.reasons import InvalidFieldsError
from bj.land.v1 import parcel_pb2

DEFAULT_PAGE: Final = 100

_PLACE: Final = re.compile(rb"([0-9]{0,9})\.([0-9]{1,10})")
_NUP: Final = sa.func.coalesce(PARCELS.c.nup, "")


def list_holdings(
    tx: sa.Connection, party: Party, size: int, token: str
) -> tuple[list[parcel_pb2.Holding], str]:
    """One page of what ``party`` holds today, by parcel number, and the token of the next; empty at the end.

    Raises:
        InvalidFieldsError: The token is none that this method gave.
    """
    query = (
        sa.select(HOLDINGS, PARCELS.c.nup, PARCELS.c.right_type, TITLES.c.title_no)
        .select_from(HOLDINGS.join(PARCELS).outerjoin(TITLES, TITLES.c.parcel_id == PARCELS.c.parcel_id))
        .where(
            HOLDINGS.c.party_number == party.number,
            HOLDINGS.c.party_kind == party.kind,
            HOLDINGS.c.to_ms.is_(None),
        )
        .order_by(_NUP, HOLDINGS.c.holding_id)
        .limit(size + 1)
    )
    if token:
        nup, holding_id = _read_token(token)
        after = sa.tuple_(_NUP, HOLDINGS.c.holding_id) > sa.tuple_(sa.literal(nup), sa.literal(holding_id))
        query = query.where(after)
    rows = tx.execute(query).all()
    page = rows[:size]
    more = len(rows) > size
    found = [
        parcel_pb2.Holding(
            nup=row.nup or "",
            title_no=row.title_no or "",
            share=share_message(Fraction(row.numerator, row.denominator)),
            capacity=parcel_pb2.HolderCapacity.Value(f"HOLDER_CAPACITY_{row.capacity}"),
            right_type=parcel_pb2.RightType.Value(f"RIGHT_TYPE_{row.right_type}"),
        )
        for row in page
    ]
    return found, _token(page[-1].nup or "", page[-1].holding_id) if more else ""


def share_message(share: Fraction) -> parcel_pb2.Share:
    """A share as answers tell it."""
    return parcel_pb2.Share(numerator=share.numerator, denominator=share.denominator)


def _token(nup: str, holding_id: int) -> str:
    return base64.urlsafe_b64encode(f"{nup}.{holding_id}".encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, int]:
    try:
        place = _PLACE.fullmatch(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        place = None
    if place is None:
        raise InvalidFieldsError({"page_token": "must be a token that this method gave"})
    return place[1].decode(), int(place[2])
