"""The trail of what officers write of their own accord; all numbers of a person are found by an index."""

from alembic import op

from adapters.kit.migrations import create_inscription_v1

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create them."""
    create_inscription_v1(op)
    op.create_index("ix_npi_alias_standing_npi", "npi_alias", ["standing_npi"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_npi_alias_standing_npi", "npi_alias")
    op.drop_table("inscription")
