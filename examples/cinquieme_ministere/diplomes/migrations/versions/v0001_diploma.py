"""Les diplômes, à côté des tables de la trousse."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v2, drop_v2

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Créer les tables."""
    create_v2(op)
    op.create_table(
        "diploma",
        sa.Column("number", sa.String(15), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("holder", sa.String(80), nullable=False),
        sa.Column("series", sa.String(10), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("honours", sa.String(20), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_diploma"),
    )


def downgrade() -> None:
    """Les retirer."""
    op.drop_table("diploma")
    drop_v2(op)
