"""A consent says for which purposes it is; those of before were taken for both that there are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    with op.batch_alter_table("consent") as batch:
        batch.add_column(sa.Column("purposes", sa.String(60), nullable=False, server_default="P01 P03"))
    with op.batch_alter_table("consent") as batch:
        batch.alter_column("purposes", server_default=None)


def downgrade() -> None:
    """Take it out."""
    with op.batch_alter_table("consent") as batch:
        batch.drop_column("purposes")
