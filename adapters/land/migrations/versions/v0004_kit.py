"""Version 2 of the kit's tables."""

from alembic import op

from adapters.kit.migrations import downgrade_v2, upgrade_v2

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From version 1."""
    upgrade_v2(op)


def downgrade() -> None:
    """Back to it."""
    downgrade_v2(op)
