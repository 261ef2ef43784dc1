"""The trail of what officers write of their own accord, and numbers that ANIP merged."""

from alembic import op

from adapters.kit.migrations import create_alias_v1, create_inscription_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create them."""
    create_inscription_v1(op)
    create_alias_v1(op)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("npi_alias")
    op.drop_table("inscription")
