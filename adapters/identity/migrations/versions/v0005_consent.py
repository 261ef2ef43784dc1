"""Who let whom ask about him."""

from alembic import op

from adapters.kit.migrations import create_consent_v1

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    create_consent_v1(op)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("consent")
