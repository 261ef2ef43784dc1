"""The trail of what officers write of their own accord."""

from alembic import op

from adapters.kit.migrations import create_inscription_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create it."""
    create_inscription_v1(op)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("inscription")
