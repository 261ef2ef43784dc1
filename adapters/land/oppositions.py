"""Oppositions to a title that is asked for: taken from anybody while the notice is open, told to nobody but ANDF."""

from __future__ import annotations

import json
from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import month_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.kit.numbers import next_number
from adapters.land.claims import TITLE_REQUEST
from adapters.land.events import tell
from adapters.land.parcels import find_parcel, timestamp
from adapters.land.parties import read_party
from adapters.land.rights import standing_party
from adapters.land.tables import CLAIMS, OPPOSITIONS, TITLE_REQUESTS
from adapters.reasons import ProviderError, ProviderReason
from bj.land.v1 import events_pb2, transfer_pb2

_OPPOSABLE: Final = frozenset({State.OPPOSITION_PERIOD, State.ARBITRATION})


def lodge_opposition(
    desk: Desk, tx: sa.Connection, request: transfer_pb2.LodgeOppositionRequest
) -> transfer_pb2.LodgeOppositionResponse:
    """Take an opposition down; the dossier goes into arbitration, if it is not there already.

    Raises:
        ProviderError: No such parcel (NOT_FOUND); no notice is open on it (STATE_CONFLICT).
    """
    parcel = find_parcel(tx, request.nup)
    if parcel is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    reference = _open_notice(desk, tx, parcel.parcel_id)
    now_ms = desk.clock.now_ms()
    opponent = standing_party(tx, read_party(request.opponent))
    month = month_of(now_ms)
    opposition_ref = f"OPP-{month}-{next_number(tx, f'OPP-{month}'):04d}"
    tx.execute(
        OPPOSITIONS.insert().values(
            opposition_ref=opposition_ref,
            reference=reference,
            party_kind=opponent.kind,
            party_number=opponent.number,
            ground=request.ground,
            evidence=json.dumps(list(request.evidence_sha256)),
            lodged_ms=now_ms,
        )
    )
    if desk.dossiers.get(tx, reference).state is State.OPPOSITION_PERIOD:
        desk.dossiers.arbitrate(tx, reference)
    tell(desk, tx, events_pb2.PARCEL_EVENT_TYPE_OPPOSITION, parcel)
    return transfer_pb2.LodgeOppositionResponse(opposition_ref=opposition_ref, lodged_at=timestamp(now_ms))


def _open_notice(desk: Desk, tx: sa.Connection, parcel_id: int) -> str:
    """The dossier whose notice is open on a parcel, locked."""
    query = (
        sa.select(TITLE_REQUESTS)
        .select_from(TITLE_REQUESTS.join(CLAIMS, CLAIMS.c.reference == TITLE_REQUESTS.c.reference))
        .where(CLAIMS.c.parcel_id == parcel_id, CLAIMS.c.kind == TITLE_REQUEST)
    )
    found = tx.execute(query).first()
    if found is None:
        raise ProviderError(ProviderReason.STATE_CONFLICT)
    dossier = desk.dossiers.get(tx, found.reference)
    is_open = dossier.state in _OPPOSABLE and desk.clock.now_ms() < (found.notice_until_ms or 0)
    if not is_open:
        raise ProviderError(ProviderReason.STATE_CONFLICT)
    return str(found.reference)
