"""The register's tables beside records and dossiers: who follows whom, what was revoked, photographs."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.identity.store import METADATA
from adapters.kit.consents import consent_table
from adapters.kit.inscriptions import inscription_table

# Subsystems that keep somebody's number: they hear what becomes of his record.
LINKS: Final = sa.Table(
    "person_link",
    METADATA,
    sa.Column("npi", sa.String(10), primary_key=True),
    sa.Column("client", sa.String(200), primary_key=True),
)

# Documents that hold no more, and since when (UTC milliseconds).
REVOCATIONS: Final = sa.Table(
    "document_revocation",
    METADATA,
    sa.Column("doc_id", sa.String(40), primary_key=True),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
)

PHOTOS: Final = sa.Table(
    "photo",
    METADATA,
    sa.Column("npi", sa.String(10), primary_key=True),
    sa.Column("jpeg", sa.LargeBinary, nullable=False),
    sa.Column("capture_date", sa.String(10), nullable=False),
)

# In which dossier of which subsystem a photograph was read, and when (UTC milliseconds).
PHOTO_READINGS: Final = sa.Table(
    "photo_reading",
    METADATA,
    sa.Column("client", sa.String(200), primary_key=True),
    sa.Column("issue", sa.String(64), primary_key=True),
    sa.Column("read_at", sa.BigInteger, nullable=False),
)

CONSENTS: Final = consent_table(METADATA)

TRAIL: Final = inscription_table(METADATA)
