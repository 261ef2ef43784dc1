"""Applications that were filed, and the reports that were heard on them."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v1, drop_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables, beside the kit's."""
    create_v1(op)
    op.create_table(
        "application",
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("issue", sa.String(64), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(1000), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", name="pk_application"),
    )
    op.create_index("ix_application_issue", "application", ["issue"])
    op.create_table(
        "report",
        sa.Column("exchange_id", sa.String(36), nullable=False),
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id", name="pk_report"),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.application_id"], name="fk_report_application_id"
        ),
    )
    op.create_index("ix_report_application_id", "report", ["application_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("report")
    op.drop_table("application")
    drop_v1(op)
