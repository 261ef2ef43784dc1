"""MTFP's register as tables, beside those of the kit.

Days are written ``2026-11-28``, times are UTC milliseconds; what is unknown is empty, except for the numbers of
employers: they are unique where they are known, so NULL where not. Numbers and contributions of the CNSS are copies of
what that fund says: the ministry does not own them.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.aliases import alias_table
from adapters.kit.inscriptions import inscription_table
from adapters.kit.store import naming
from adapters.kit.tables import kit_tables

METADATA: Final = naming()
KIT: Final = kit_tables(METADATA)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _day(name: str) -> sa.Column[str]:
    return _text(name, 10)


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _employer() -> sa.Column[int]:
    return sa.Column("employer_id", sa.BigInteger, sa.ForeignKey("employer.id"), nullable=False)


EMPLOYERS: Final = sa.Table(
    "employer",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("name", 200),
    sa.Column("ifu", sa.String(13), unique=True),
    sa.Column("rccm", sa.String(40), unique=True),
    sa.Column("cnss_employer_no", sa.String(10), unique=True),
    _text("sector", 200),
    # Words of the proto without their prefix: ``1_TO_9``, ``UP_TO_DATE``; an unknown headcount is empty.
    _text("headcount", 20),
    _text("contributions", 20),
    _text("inspectorate_code", 13),
    _day("registered_on"),
)

# Contracts handed in for their visa, by dossier. ``left_on``: the worker left before the end, or there was none.
CONTRACTS: Final = sa.Table(
    "contract",
    METADATA,
    sa.Column("reference", sa.String(24), primary_key=True),
    _employer(),
    _text("worker_npi", 10),
    # As ANIP writes them; empty until it was asked.
    _text("worker_name", 320),
    _text("work_permit_no", 16),
    _text("type", 20),
    _text("post", 200),
    _day("signed_on"),
    _day("start_date"),
    _day("end_date"),
    _day("left_on"),
    sa.Column("is_full_time", sa.Boolean, nullable=False),
    # S3: neither leaves this table but for the officer's eyes.
    sa.Column("salary_xof", sa.BigInteger, nullable=False),
    sa.Column("is_fit", sa.Boolean, nullable=False),
    _text("contract_sha256", 64),
    _text("state", 10),
    sa.Column("visa_no", sa.String(24), unique=True),
    _time("changed_at"),
    sa.CheckConstraint("state IN ('filed', 'vised', 'closed')", name="state"),
    sa.CheckConstraint("(state = 'vised') = (visa_no IS NOT NULL)", name="visa_no"),
    sa.Index("ix_contract_worker_npi", "worker_npi"),
    sa.Index("ix_contract_employer_id", "employer_id"),
)

PERMITS: Final = sa.Table(
    "work_permit",
    METADATA,
    sa.Column("permit_no", sa.String(16), primary_key=True),
    _text("npi", 10),
    _day("valid_from"),
    _day("valid_until"),
    sa.Index("ix_work_permit_npi", "npi"),
)

# One worker in a hundred has two numbers.
AFFILIATIONS: Final = sa.Table(
    "affiliation",
    METADATA,
    sa.Column("cnss_worker_no", sa.String(12), primary_key=True),
    _text("npi", 10),
    sa.Index("ix_affiliation_npi", "npi"),
)

# What notices told: one row per hiring, ``left_on`` empty while it lasts.
HIRINGS: Final = sa.Table(
    "hiring",
    METADATA,
    _employer(),
    _text("npi", 10),
    _day("hired_on"),
    _text("cnss_worker_no", 12),
    _day("left_on"),
    sa.Column("is_hire_late", sa.Boolean, nullable=False),
    sa.Column("is_leave_late", sa.Boolean, nullable=False),
    _time("changed_at"),
    sa.PrimaryKeyConstraint("employer_id", "npi", "hired_on"),
    sa.Index("ix_hiring_npi", "npi"),
    # Nobody is hired twice by the same employer at the same time.
    sa.Index(
        "uq_hiring_open",
        "employer_id",
        "npi",
        unique=True,
        sqlite_where=sa.text("left_on = ''"),
        postgresql_where=sa.text("left_on = ''"),
    ),
)

# Labour disputes with an employer; S3.
DISPUTES: Final = sa.Table(
    "dispute",
    METADATA,
    _employer(),
    _day("opened_on"),
    _day("closed_on"),
    sa.PrimaryKeyConstraint("employer_id", "opened_on"),
)

ATTESTATIONS: Final = sa.Table(
    "attestation",
    METADATA,
    sa.Column("reference", sa.String(24), primary_key=True),
    _employer(),
    _text("kind", 20),
    _text("evidence_sha256", 64),
)

# One entry per person; whoever comes back after it ended takes its place with a new number.
SEEKERS: Final = sa.Table(
    "job_seeker",
    METADATA,
    sa.Column("npi", sa.String(10), primary_key=True),
    sa.Column("seeker_no", sa.String(16), nullable=False, unique=True),
    _text("diploma", 20),
    _text("occupation_code", 5),
    _text("commune_code", 13),
    _day("valid_until"),
)

# Which subsystem speaks for which inspectorate: the links behind P04 in the stream of events.
INSPECTORATES: Final = sa.Table(
    "inspectorate_link",
    METADATA,
    _text("client", 200),
    _text("inspectorate_code", 13),
    sa.PrimaryKeyConstraint("client", "inspectorate_code"),
)

ALIASES: Final = alias_table(METADATA)

TRAIL: Final = inscription_table(METADATA)
