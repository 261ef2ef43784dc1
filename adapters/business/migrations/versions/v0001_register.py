"""The register of firms, the names in use, the sandbox's offices, and the kit's tables."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v1, drop_v1

revision = "0001"
down_revision = None


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Create the tables."""
    create_v1(op)
    _create_firms()
    _create_names()
    _create_formalities()


def _create_firms() -> None:
    op.create_table(
        "firm",
        _text("rccm", 32),
        _text("name", 200),
        _text("trade_name", 200),
        _text("sign", 200),
        _number("legal_form"),
        _number("status"),
        _number("capital_xof"),
        _text("activity", 500),
        _text("seat_code", 14),
        _text("seat_department", 60),
        _text("seat_commune", 60),
        _text("seat_arrondissement", 60),
        _text("seat_quarter", 60),
        _text("seat_line", 200),
        _text("seat_nup", 9),
        _text("registered_on", 10),
        _text("struck_off_on", 10),
        _text("court", 8),
        _text("ifu", 13),
        _text("cnss_employer_no", 10),
        _number("regime"),
        sa.Column("on_paper", sa.Boolean(), nullable=False),
        _text("owner_birth_date", 10),
        _text("owner_birth_place", 100),
        _text("created_by", 24),
        sa.PrimaryKeyConstraint("rccm", name="pk_firm"),
    )
    for column in ("ifu", "created_by"):
        given = sa.text(f"{column} <> ''")
        op.create_index(
            f"ix_firm_{column}", "firm", [column], unique=True, sqlite_where=given, postgresql_where=given
        )
    op.create_table(
        "relation",
        _text("rccm", 32),
        _number("rank"),
        _number("role"),
        _text("npi", 10),
        _text("last_name", 100),
        _text("first_names", 200),
        _text("marital_name", 100),
        _text("ifu", 13),
        _text("firm_name", 200),
        _number("share_xof"),
        _text("from_date", 10),
        _text("to_date", 10),
        sa.PrimaryKeyConstraint("rccm", "rank", name="pk_relation"),
        sa.ForeignKeyConstraint(["rccm"], ["firm.rccm"], name="fk_relation_rccm"),
        sa.CheckConstraint("(npi = '') <> (ifu = '')", name="ck_relation_holder"),
    )
    op.create_index("ix_relation_npi", "relation", ["npi"])


def _create_names() -> None:
    op.create_table(
        "name_reservation",
        _text("name_key", 32),
        _text("token", 64),
        _text("name", 200),
        _number("legal_form"),
        _text("applicant_npi", 10),
        _text("client", 200),
        _number("until"),
        _text("reference", 24),
        sa.PrimaryKeyConstraint("name_key", name="pk_name_reservation"),
        sa.UniqueConstraint("token", name="uq_name_reservation_token"),
    )
    op.create_table(
        "name_trace",
        _text("trace", 16),
        _text("holder", 32),
        sa.PrimaryKeyConstraint("trace", "holder", name="pk_name_trace"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_name_trace_holder", "name_trace", ["holder"])
    book = op.create_table(
        "name_book",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("id", name="pk_name_book"),
        sa.CheckConstraint("id = 1", name="ck_name_book_one"),
    )
    op.execute(book.insert().values(id=1))


def _create_formalities() -> None:
    op.create_table(
        "formality_person",
        _text("reference", 24),
        _text("asked_npi", 10),
        _text("npi", 10),
        _text("last_name", 100),
        _text("first_names", 200),
        _text("marital_name", 100),
        _text("sex", 1),
        _text("birth_date", 10),
        _text("birth_place", 100),
        sa.Column("is_deceased", sa.Boolean(), nullable=False),
        sa.Column("is_known", sa.Boolean(), nullable=False),
        _number("asked_at"),
        sa.PrimaryKeyConstraint("reference", "asked_npi", name="pk_formality_person"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_formality_person_reference"),
    )
    op.create_table(
        "office",
        _text("name", 8),
        _text("state", 10),
        _text("reason", 200),
        sa.PrimaryKeyConstraint("name", name="pk_office"),
    )
    op.create_table(
        "office_number",
        _text("office", 8),
        _text("reference", 32),
        _text("number", 13),
        sa.Column("given_back", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("office", "reference", name="pk_office_number"),
        sa.UniqueConstraint("number", name="uq_office_number_number"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in (
        "office_number", "office", "formality_person", "name_book", "name_trace", "name_reservation", "relation", "firm",
    ):  # fmt: skip
        op.drop_table(table)
    drop_v1(op)
