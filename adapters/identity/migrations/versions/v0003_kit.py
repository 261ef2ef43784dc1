"""The kit's tables: dossiers, documents, events, tasks."""

from alembic import op

from adapters.kit.migrations import create_v1, drop_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create them."""
    create_v1(op)


def downgrade() -> None:
    """Drop them."""
    drop_v1(op)
