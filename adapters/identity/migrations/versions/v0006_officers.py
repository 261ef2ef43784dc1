"""Who let whom ask about him, and the trail of what officers write of their own accord."""

from alembic import op

from adapters.kit.migrations import create_consent_v1, create_inscription_v1

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    create_consent_v1(op)
    create_inscription_v1(op)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("inscription")
    op.drop_table("consent")
