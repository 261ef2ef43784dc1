"""The kit's tables, and the register: employers, contracts, permits, hirings, disputes, attestations, job seekers."""

import sqlalchemy as sa
from alembic import op

from adapters.kit.migrations import create_v1, drop_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    create_v1(op)
    op.create_table(
        "employer",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("ifu", sa.String(13), nullable=True),
        sa.Column("rccm", sa.String(40), nullable=True),
        sa.Column("cnss_employer_no", sa.String(10), nullable=True),
        sa.Column("sector", sa.String(200), nullable=False),
        sa.Column("headcount", sa.String(20), nullable=False),
        sa.Column("contributions", sa.String(20), nullable=False),
        sa.Column("inspectorate_code", sa.String(13), nullable=False),
        sa.Column("registered_on", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_employer"),
        sa.UniqueConstraint("ifu", name="uq_employer_ifu"),
        sa.UniqueConstraint("rccm", name="uq_employer_rccm"),
        sa.UniqueConstraint("cnss_employer_no", name="uq_employer_cnss_employer_no"),
    )
    op.create_table(
        "contract",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("employer_id", sa.BigInteger(), nullable=False),
        sa.Column("worker_npi", sa.String(10), nullable=False),
        sa.Column("worker_name", sa.String(320), nullable=False),
        sa.Column("work_permit_no", sa.String(16), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("post", sa.String(200), nullable=False),
        sa.Column("signed_on", sa.String(10), nullable=False),
        sa.Column("start_date", sa.String(10), nullable=False),
        sa.Column("end_date", sa.String(10), nullable=False),
        sa.Column("left_on", sa.String(10), nullable=False),
        sa.Column("is_full_time", sa.Boolean(), nullable=False),
        sa.Column("salary_xof", sa.BigInteger(), nullable=False),
        sa.Column("is_fit", sa.Boolean(), nullable=False),
        sa.Column("contract_sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("visa_no", sa.String(24), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reference", name="pk_contract"),
        sa.UniqueConstraint("visa_no", name="uq_contract_visa_no"),
        sa.ForeignKeyConstraint(["employer_id"], ["employer.id"], name="fk_contract_employer_id"),
        sa.CheckConstraint("state IN ('filed', 'vised', 'closed')", name="ck_contract_state"),
        sa.CheckConstraint("(state = 'vised') = (visa_no IS NOT NULL)", name="ck_contract_visa_no"),
    )
    op.create_index("ix_contract_worker_npi", "contract", ["worker_npi"])
    op.create_index("ix_contract_employer_id", "contract", ["employer_id"])
    op.create_table(
        "work_permit",
        sa.Column("permit_no", sa.String(16), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("valid_from", sa.String(10), nullable=False),
        sa.Column("valid_until", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("permit_no", name="pk_work_permit"),
    )
    op.create_index("ix_work_permit_npi", "work_permit", ["npi"])
    op.create_table(
        "affiliation",
        sa.Column("cnss_worker_no", sa.String(12), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("cnss_worker_no", name="pk_affiliation"),
    )
    op.create_index("ix_affiliation_npi", "affiliation", ["npi"])
    op.create_table(
        "hiring",
        sa.Column("employer_id", sa.BigInteger(), nullable=False),
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("hired_on", sa.String(10), nullable=False),
        sa.Column("cnss_worker_no", sa.String(12), nullable=False),
        sa.Column("left_on", sa.String(10), nullable=False),
        sa.Column("is_hire_late", sa.Boolean(), nullable=False),
        sa.Column("is_leave_late", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("employer_id", "npi", "hired_on", name="pk_hiring"),
        sa.ForeignKeyConstraint(["employer_id"], ["employer.id"], name="fk_hiring_employer_id"),
    )
    op.create_index("ix_hiring_npi", "hiring", ["npi"])
    lasts = sa.text("left_on = ''")
    op.create_index(
        "uq_hiring_open",
        "hiring",
        ["employer_id", "npi"],
        unique=True,
        sqlite_where=lasts,
        postgresql_where=lasts,
    )
    op.create_table(
        "dispute",
        sa.Column("employer_id", sa.BigInteger(), nullable=False),
        sa.Column("opened_on", sa.String(10), nullable=False),
        sa.Column("closed_on", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("employer_id", "opened_on", name="pk_dispute"),
        sa.ForeignKeyConstraint(["employer_id"], ["employer.id"], name="fk_dispute_employer_id"),
    )
    op.create_table(
        "attestation",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("employer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("evidence_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("reference", name="pk_attestation"),
        sa.ForeignKeyConstraint(["employer_id"], ["employer.id"], name="fk_attestation_employer_id"),
    )
    op.create_table(
        "job_seeker",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("seeker_no", sa.String(16), nullable=False),
        sa.Column("diploma", sa.String(20), nullable=False),
        sa.Column("occupation_code", sa.String(5), nullable=False),
        sa.Column("commune_code", sa.String(13), nullable=False),
        sa.Column("valid_until", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("npi", name="pk_job_seeker"),
        sa.UniqueConstraint("seeker_no", name="uq_job_seeker_seeker_no"),
    )
    op.create_table(
        "inspectorate_link",
        sa.Column("client", sa.String(200), nullable=False),
        sa.Column("inspectorate_code", sa.String(13), nullable=False),
        sa.PrimaryKeyConstraint("client", "inspectorate_code", name="pk_inspectorate_link"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in (
        "inspectorate_link",
        "job_seeker",
        "attestation",
        "dispute",
        "hiring",
        "affiliation",
        "work_permit",
        "contract",
        "employer",
    ):
        op.drop_table(table)
    drop_v1(op)
