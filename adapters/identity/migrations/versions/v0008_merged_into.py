"""Who was merged into a record is found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_MERGED = sa.text("merged_into <> ''")


def upgrade() -> None:
    """Create the index, of the few that were merged."""
    op.create_index(
        "ix_person_merged_into",
        "person",
        ["merged_into"],
        sqlite_where=_MERGED,
        postgresql_where=_MERGED,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_person_merged_into", table_name="person")
