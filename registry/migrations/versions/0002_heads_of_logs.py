"""The newest heads of the gateways' logs, and alarms about heads that could not follow them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "newest_heads",
        sa.Column("log_id", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=160), nullable=False),
        sa.Column("size", _number(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("iat", _number(), nullable=False),
        sa.Column("jws", sa.String(), nullable=False),
        sa.Column("reported_at", _number(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_newest_heads_gateway_id_gateways")
        ),
        sa.ForeignKeyConstraint(
            ["log_id"], ["registered_logs.log_id"], name=op.f("fk_newest_heads_log_id_registered_logs")
        ),
        sa.PrimaryKeyConstraint("log_id", name=op.f("pk_newest_heads")),
    )
    with op.batch_alter_table("newest_heads", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_newest_heads_gateway_id"), ["gateway_id"], unique=False)

    op.create_table(
        "head_alarms",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        sa.Column("log_id", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=160), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size", _number(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("held", sa.String(), nullable=False),
        sa.Column("shown", sa.String(), nullable=False),
        sa.Column("at", _number(), nullable=False),
        sa.CheckConstraint("kind IN ('behind', 'forked')", name=op.f("ck_head_alarms_kind")),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_head_alarms_gateway_id_gateways")
        ),
        sa.ForeignKeyConstraint(
            ["log_id"], ["registered_logs.log_id"], name=op.f("fk_head_alarms_log_id_registered_logs")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_head_alarms")),
        sa.UniqueConstraint("log_id", "size", "root", name=op.f("uq_head_alarms_log_id_size_root")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("head_alarms")
    with op.batch_alter_table("newest_heads", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_newest_heads_gateway_id"))

    op.drop_table("newest_heads")
