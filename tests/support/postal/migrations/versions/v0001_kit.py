"""The kit's tables, and the ministry's own."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v2, drop_v2

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    create_v2(op)
    op.create_table(
        "box",
        sa.Column("number", sa.String(20), nullable=False),
        sa.Column("holder", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_box"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("box")
    drop_v2(op)
