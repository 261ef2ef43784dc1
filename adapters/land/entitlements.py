"""Who may do what with land that is not his own by his office."""

from __future__ import annotations

import sqlalchemy as sa

from adapters.land.tables import NOTARIES


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
