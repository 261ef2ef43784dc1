"""Consents: what somebody let one consumer ask about him, for which purposes, until when.

A register keeps the consents to what it holds itself: whoever answers for the data shows the consent, and what is taken
back ends at that moment, whoever else is away. A text in ``consent_ref`` is a claim; a row here is a consent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from adapters.context import current_caller
from adapters.reasons import ProviderError, ProviderReason


@dataclass(frozen=True, slots=True)
class Consenter:
    """Who consented: ``npi`` and the number of a person, ``ifu`` and that of a firm, as they were when it was given."""

    kind: str
    number: str = field(repr=False)


def consent_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the table in ``metadata``: for a ministry that answers under P03, created by a migration of its own."""
    return sa.Table(
        "consent",
        metadata,
        sa.Column("consent_ref", sa.String(64), primary_key=True),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        # The consumer's subsystem, and codes of purposes, separated by blanks.
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("purposes", sa.String(60), nullable=False),
        # The first millisecond in which it holds no more; when it was taken back.
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )


def find_consenter(
    tx: sa.Connection, consents: sa.Table, consent_ref: str, *, client: str, purpose: str, now_ms: int
) -> Consenter | None:
    """Who lets ``client`` ask for ``purpose`` at this moment; None if nobody does under that reference."""
    row = tx.execute(sa.select(consents).where(consents.c.consent_ref == consent_ref)).first()
    if row is None or row.client != client or purpose not in row.purposes.split():
        return None
    if row.revoked_at_ms is not None or now_ms >= row.until_ms:
        return None
    return Consenter(row.party_kind, row.party_number)


def require_consenter(tx: sa.Connection, consents: sa.Table, consent_ref: str, now_ms: int) -> Consenter:
    """Who consented to the call that is being served; that he is the one asked about is the caller's to check.

    Raises:
        ExchangeError: The call names no purpose (PURPOSE_REQUIRED).
        ProviderError: Nobody did (CONSENT_REQUIRED): no such consent, not to this consumer, not for this purpose, ended
            or taken back; which of them is not told.
    """
    caller = current_caller()
    found = find_consenter(
        tx, consents, consent_ref, client=str(caller.client), purpose=caller.require_purpose(), now_ms=now_ms
    )
    if found is None:
        raise ProviderError(ProviderReason.CONSENT_REQUIRED)
    return found
