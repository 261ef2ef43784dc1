"""What is under way on a parcel: one thing at a time, by a key that the database holds unique."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.land.tables import CLAIMS
from adapters.reasons import ContendedError

TRANSFER: Final = "transfer"
TITLE_REQUEST: Final = "title_request"


def claim_parcel(tx: sa.Connection, parcel_id: int, reference: str, kind: str) -> None:
    """Take the parcel for a dossier, until ``release_parcel``.

    Two that come at the same moment are decided by the database: the second waits until the first is committed or undone.

    Raises:
        ContendedError: Another dossier has it (ABORTED, STATE_CONFLICT).
    """
    try:
        tx.execute(CLAIMS.insert().values(parcel_id=parcel_id, reference=reference, kind=kind))
    except sa.exc.IntegrityError:
        raise ContendedError from None


def release_parcel(tx: sa.Connection, reference: str) -> None:
    """Give back what a dossier holds; nothing if it holds nothing."""
    tx.execute(CLAIMS.delete().where(CLAIMS.c.reference == reference))
