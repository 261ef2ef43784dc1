"""Parcels as everybody may know them: found by their number or by what they were called before it."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.land.tables import HOLDINGS, PARCELS, SUCCESSIONS, TITLES
from bj.common.v1 import person_pb2
from bj.land.v1 import parcel_pb2

# A row of ``PARCEL``: the parcel, its title_no ("" without) and party_exists.
ParcelRow: TypeAlias = "sa.Row[Any]"

_HELD: Final = (
    sa.select(HOLDINGS.c.holding_id)
    .where(HOLDINGS.c.parcel_id == PARCELS.c.parcel_id, HOLDINGS.c.to_ms.is_(None))
    .exists()
)
PARCEL: Final = sa.select(
    PARCELS, sa.func.coalesce(TITLES.c.title_no, "").label("title_no"), _HELD.label("party_exists")
).select_from(PARCELS.outerjoin(TITLES))
_BY_NUP: Final = PARCEL.where(PARCELS.c.nup == sa.bindparam("nup"))
_SUCCESSION: Final = sa.select(SUCCESSIONS).where(
    sa.or_(SUCCESSIONS.c.from_nup == sa.bindparam("nup"), SUCCESSIONS.c.to_nup == sa.bindparam("nup"))
)


def find_parcel(tx: sa.Connection, nup: str) -> ParcelRow | None:
    """The parcel of that number, whether it stands or was given up."""
    return tx.execute(_BY_NUP, {"nup": nup}).first()


def parcel_of(tx: sa.Connection, parcel_id: int) -> ParcelRow:
    """The parcel of that row, which is there."""
    return tx.execute(PARCEL.where(PARCELS.c.parcel_id == parcel_id)).one()


def lock_parcel(tx: sa.Connection, parcel_id: int) -> None:
    """Let nobody else change the parcel's rights until ``tx`` ends."""
    tx.execute(sa.select(PARCELS.c.parcel_id).where(PARCELS.c.parcel_id == parcel_id).with_for_update())


def find_legacy(tx: sa.Connection, reference: parcel_pb2.LegacyParcelRef, limit: int) -> list[ParcelRow]:
    """Parcels that were called so, at most ``limit``; what the reference leaves empty may be anything."""
    query = PARCEL.where(PARCELS.c.commune_code == reference.commune_code)
    for name in ("lotissement", "ilot", "parcelle", "lot"):
        if said := fold(getattr(reference, name)):
            query = query.where(PARCELS.c[name] == said)
    return list(tx.execute(query.order_by(PARCELS.c.parcel_id).limit(limit)))


def fold(name: str) -> str:
    """How names of before the NUP are compared: capitals, no accents, single blanks."""
    bare = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return " ".join("".join(bare).upper().split())


def parcel_message(tx: sa.Connection, row: ParcelRow, *, with_polygon: bool) -> parcel_pb2.GetParcelResponse:
    """The parcel as ``GetParcel`` answers it: who holds it is not in it."""
    successions = tx.execute(_SUCCESSION, {"nup": row.nup}).all() if row.nup else []
    polygon = json.loads(row.polygon) if with_polygon else []
    return parcel_pb2.GetParcelResponse(
        nup=row.nup or "",
        legacy=_legacy(row),
        calculated_area_m2=row.calculated_area_m2,
        surveyed_area_m2=row.surveyed_area_m2,
        nature=parcel_pb2.ParcelNature.Value(f"PARCEL_NATURE_{row.nature}"),
        register_type=parcel_pb2.RegisterType.Value(f"REGISTER_TYPE_{row.register_type}"),
        ba_unit_type=parcel_pb2.BaUnitType.Value(f"BA_UNIT_TYPE_{row.ba_unit_type}"),
        right_type=parcel_pb2.RightType.Value(f"RIGHT_TYPE_{row.right_type}"),
        title_no=row.title_no,
        unit=person_pb2.AdministrativeUnit(
            code=row.unit_code,
            department=row.department,
            commune=row.commune,
            arrondissement=row.arrondissement,
            quarter=row.quarter,
        ),
        centroid=parcel_pb2.Point(x=row.x, y=row.y),
        polygon=[parcel_pb2.Point(x=x, y=y) for x, y in polygon],
        party_exists=bool(row.party_exists),
        shortcomings=json.loads(row.shortcomings),
        predecessor_nups=sorted(one.from_nup for one in successions if one.to_nup == row.nup),
        successor_nups=sorted(one.to_nup for one in successions if one.from_nup == row.nup),
        valid_from=timestamp(row.valid_from_ms),
        valid_to=None if row.valid_to_ms is None else timestamp(row.valid_to_ms),
    )


def _legacy(row: ParcelRow) -> parcel_pb2.LegacyParcelRef | None:
    if not row.legacy:
        return None
    lotissement, ilot, parcelle, lot = json.loads(row.legacy)
    return parcel_pb2.LegacyParcelRef(
        commune_code=row.commune_code, lotissement=lotissement, ilot=ilot, parcelle=parcelle, lot=lot
    )


def timestamp(ms: int) -> Timestamp:
    """An instant as messages have it."""
    instant = Timestamp()
    instant.FromMilliseconds(ms)
    return instant
