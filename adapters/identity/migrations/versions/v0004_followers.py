"""Who follows whom, which documents were revoked, photographs and their readings."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "person_link",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("client", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("npi", "client", name="pk_person_link"),
    )
    op.create_table(
        "document_revocation",
        sa.Column("doc_id", sa.String(40), nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("doc_id", name="pk_document_revocation"),
    )
    op.create_table(
        "photo",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("jpeg", sa.LargeBinary, nullable=False),
        sa.Column("capture_date", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("npi", name="pk_photo"),
    )
    op.create_table(
        "photo_reading",
        sa.Column("client", sa.String(200), nullable=False),
        sa.Column("issue", sa.String(64), nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("client", "issue", name="pk_photo_reading"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("photo_reading", "photo", "document_revocation", "person_link"):
        op.drop_table(table)
