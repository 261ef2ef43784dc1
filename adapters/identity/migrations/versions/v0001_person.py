"""One table of persons, read by number."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "person",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("last_name", sa.String(100), nullable=False),
        sa.Column("first_names", sa.String(200), nullable=False),
        sa.Column("marital_name", sa.String(100), nullable=False),
        sa.Column("birth_date", sa.String(10), nullable=False),
        sa.Column("birth_country", sa.String(3), nullable=False),
        sa.Column("birth_place", sa.String(100), nullable=False),
        sa.Column("residence_country", sa.String(3), nullable=False),
        sa.Column("residence_department", sa.String(40), nullable=False),
        sa.Column("residence_town", sa.String(60), nullable=False),
        sa.Column("residence_district", sa.String(80), nullable=False),
        sa.Column("residence_village", sa.String(80), nullable=False),
        sa.Column("residence_address", sa.String(200), nullable=False),
        sa.Column("phone_cc", sa.String(5), nullable=False),
        sa.Column("phone", sa.String(15), nullable=False),
        sa.Column("email", sa.String(120), nullable=False),
        sa.Column("nationality", sa.String(3), nullable=False),
        sa.Column("sex", sa.String(1), nullable=False),
        sa.Column("death_date", sa.String(10), nullable=False),
        sa.Column("father_last_name", sa.String(100), nullable=False),
        sa.Column("father_first_names", sa.String(200), nullable=False),
        sa.Column("mother_last_name", sa.String(100), nullable=False),
        sa.Column("mother_first_names", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("merged_into", sa.String(10), nullable=False),
        sa.Column("record_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("npi", name="pk_person"),
        sa.CheckConstraint("state IN ('active', 'locked', 'merged')", name="ck_person_state"),
        sa.CheckConstraint("(state = 'merged') = (merged_into <> '')", name="ck_person_merged_into"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("person")
