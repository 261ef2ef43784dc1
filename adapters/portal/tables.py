"""The portal's tables: applications that it filed with agencies, and every report that it heard on them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.store import naming
from adapters.kit.tables import kit_tables

METADATA: Final = naming()
KIT: Final = kit_tables(METADATA)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


# Of the response token its digest alone: whoever reads this database can answer for no agency.
APPLICATIONS: Final = sa.Table(
    "application",
    METADATA,
    sa.Column("application_id", sa.String(64), primary_key=True),
    _text("token_sha256", 64),
    # With whom it was filed: nobody else may decide on it.
    _text("provider", 200),
    _text("issue", 64),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    # The agency's dossier, once it has told.
    _text("reference", 24),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("state", sa.BigInteger, nullable=False),
    sa.Column("decided_at", sa.BigInteger, nullable=False),
    _text("message", 1000),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("ix_application_issue", "issue"),
)

# What was heard, news or not, with the exchange that proves it.
REPORTS: Final = sa.Table(
    "report",
    METADATA,
    sa.Column("exchange_id", sa.String(36), primary_key=True),
    sa.Column("application_id", sa.String(64), sa.ForeignKey("application.application_id"), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("state", sa.BigInteger, nullable=False),
    sa.Column("heard_at", sa.BigInteger, nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Index("ix_report_application_id", "application_id"),
)
