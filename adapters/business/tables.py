"""The register's tables, as the newest migration leaves them; dossiers, documents and events are the kit's.

What is not known is the empty text, never NULL. Numbers that name one firm are kept apart by the database itself:
the number of the register, the tax number, and the dossier that created an entry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from adapters.kit.aliases import alias_table
from adapters.kit.consents import consent_table
from adapters.kit.inscriptions import inscription_table
from adapters.kit.store import naming
from adapters.kit.tables import kit_tables

MIGRATIONS: Final = Path(__file__).parent / "migrations"
METADATA: Final = naming()
KIT: Final = kit_tables(METADATA)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _one_firm_each(column: str) -> sa.Index:
    """Two firms never have the same; several may have none."""
    is_given = sa.text(f"{column} <> ''")
    return sa.Index(
        f"ix_firm_{column}", column, unique=True, sqlite_where=is_given, postgresql_where=is_given
    )


FIRM: Final = sa.Table(
    "firm",
    METADATA,
    sa.Column("rccm", sa.String(32), primary_key=True),
    _text("name", 200),
    _text("trade_name", 200),
    _text("sign", 200),
    # Numbers of LegalForm, BusinessStatus and TaxRegime in the protos.
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
    # The entry is of before the digital register: its extracts are made by hand.
    sa.Column("on_paper", sa.Boolean, nullable=False),
    # Of a sole trader.
    _text("owner_birth_date", 10),
    _text("owner_birth_place", 100),
    # The dossier that made the entry; empty for those of before.
    _text("created_by", 24),
    _one_firm_each("ifu"),
    _one_firm_each("created_by"),
)

RELATION: Final = sa.Table(
    "relation",
    METADATA,
    sa.Column("rccm", sa.String(32), sa.ForeignKey("firm.rccm"), nullable=False),
    # In the order in which they were written.
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
    sa.PrimaryKeyConstraint("rccm", "rank"),
    sa.CheckConstraint("(npi = '') <> (ifu = '')", name="holder"),
    sa.Index("ix_relation_npi", "npi"),
)

# A name kept for somebody: one row for all writings of it, so that the database itself keeps it for one only.
RESERVATION: Final = sa.Table(
    "name_reservation",
    METADATA,
    sa.Column("name_key", sa.String(32), primary_key=True),
    _text("token", 64),
    _text("name", 200),
    _number("legal_form"),
    _text("applicant_npi", 10),
    _text("client", 200),
    _number("until"),
    # The dossier that uses it: the name is kept as long as that goes on.
    _text("reference", 24),
    sa.UniqueConstraint("token"),
)

# Under which traces of its letters a name in use is found: of a firm (its RCCM) or a reservation (its key).
NAME_TRACE: Final = sa.Table(
    "name_trace",
    METADATA,
    sa.Column("trace", sa.String(16), primary_key=True),
    sa.Column("holder", sa.String(32), primary_key=True),
    sa.Index("ix_name_trace_holder", "holder"),
    sqlite_with_rowid=False,
)

# One row, whose lock makes whoever takes a name wait for whoever takes another: names a letter apart have no row in
# common.
NAME_BOOK: Final = sa.Table(
    "name_book",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.CheckConstraint("id = 1", name="one"),
)

# What ANIP said of each person of a formality: asked once a day at most, whatever becomes of the rest.
PERSON: Final = sa.Table(
    "formality_person",
    METADATA,
    sa.Column("reference", sa.String(24), sa.ForeignKey("dossier.reference"), primary_key=True),
    # As the applicant gave it, and as ANIP knows it now: they differ once ANIP merged two records.
    sa.Column("asked_npi", sa.String(10), primary_key=True),
    _text("npi", 10),
    _text("last_name", 100),
    _text("first_names", 200),
    _text("marital_name", 100),
    _text("sex", 1),
    _text("birth_date", 10),
    _text("birth_place", 100),
    sa.Column("is_deceased", sa.Boolean, nullable=False),
    # Whether ANIP has such a record at all.
    sa.Column("is_known", sa.Boolean, nullable=False),
    # When ANIP said so, UTC ms: what is a day old is asked anew.
    _number("asked_at"),
)

CONSENTS: Final = consent_table(METADATA)

ALIASES: Final = alias_table(METADATA)

# The sandbox's own DGI and CNSS: whether they answer, and the numbers that they gave (see ``offices``).
OFFICE: Final = sa.Table(
    "office",
    METADATA,
    sa.Column("name", sa.String(8), primary_key=True),
    _text("state", 10),
    _text("reason", 200),
)
OFFICE_NUMBER: Final = sa.Table(
    "office_number",
    METADATA,
    sa.Column("office", sa.String(8), primary_key=True),
    # The dossier; of numbers given before there were any, the firm's RCCM.
    sa.Column("reference", sa.String(32), primary_key=True),
    _text("number", 13),
    sa.Column("given_back", sa.Boolean, nullable=False),
    sa.UniqueConstraint("number"),
)

TRAIL: Final = inscription_table(METADATA)
