"""Who may do what with land that is not his own: notaries by their office, others by a holder's consent."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from adapters.land.parties import Party
from adapters.land.tables import CONSENTS, NOTARIES


def is_notary(tx: sa.Connection, notary_ref: str) -> bool:
    """Whether that handle is a notary's who is in office."""
    query = sa.select(NOTARIES.c.notary_ref).where(NOTARIES.c.notary_ref == notary_ref, NOTARIES.c.in_office)
    return tx.execute(query).first() is not None


def is_notary_person(tx: sa.Connection, npi: str) -> bool:
    """Whether that person is a notary in office."""
    return (
        tx.execute(sa.select(NOTARIES.c.npi).where(NOTARIES.c.npi == npi, NOTARIES.c.in_office)).first()
        is not None
    )


def has_consent(
    tx: sa.Connection, consent_ref: str, client: str, parties: Iterable[Party], now_ms: int
) -> bool:
    """Whether one of ``parties`` let ``client`` read what is theirs, and the consent holds at this moment."""
    row = tx.execute(sa.select(CONSENTS).where(CONSENTS.c.consent_ref == consent_ref)).first()
    if row is None or row.client != client or row.revoked_at_ms is not None or now_ms >= row.until_ms:
        return False
    return any((row.party_kind, row.party_number) == (party.kind, party.number) for party in parties)
