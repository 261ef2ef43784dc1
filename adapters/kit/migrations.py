"""The kit's tables, version by version, for the migrations of each ministry.

A new ministry calls the newest ``create_v…`` in its first migration; one that is there already the newest ``upgrade_v…``
in a migration of its own. What an old version does never changes. ``tables`` says what the newest version is; a test
compares the two.
"""

from __future__ import annotations

import secrets
from types import ModuleType

import sqlalchemy as sa
from alembic.operations import Operations


def create_v2(op: ModuleType | Operations) -> None:
    """Create the tables: in a ministry's first migration, ``create_v2(op)`` with ``from alembic import op``."""
    create_v1(op)
    upgrade_v2(op)


def drop_v2(op: ModuleType | Operations) -> None:
    """Drop them."""
    drop_v1(op)


def upgrade_v2(op: ModuleType | Operations) -> None:
    """From version 1: payments are named for each client, tasks say in which lane they wait, what is old is found.

    In a ministry's next migration, ``upgrade_v2(op)``.
    """
    op.add_column("payment", sa.Column("client", sa.String(200), nullable=False, server_default=""))
    op.execute(
        "UPDATE payment SET client ="
        " (SELECT dossier.client FROM dossier WHERE dossier.reference = payment.reference)"
    )
    with op.batch_alter_table("payment") as payment:
        payment.drop_constraint("pk_payment", type_="primary")
        payment.create_primary_key("pk_payment", ["client", "payment_ref"])
        payment.alter_column("client", server_default=None)
    # An adapter of before, which still runs while this does, asks for tasks without a lane.
    op.add_column("task", sa.Column("lane", sa.String(200), nullable=False, server_default=""))
    op.execute("UPDATE task SET lane = kind")
    op.execute(
        "UPDATE task SET lane = (SELECT dossier.client FROM dossier WHERE dossier.reference = task.reference)"
        " WHERE kind = 'report_decision'"
    )
    op.create_index("ix_task_reference", "task", ["reference", "due_at"])
    op.create_index("ix_answered_answered_at", "answered", ["answered_at"])


def downgrade_v2(op: ModuleType | Operations) -> None:
    """Back to version 1; refused by the database if two clients have named a payment the same."""
    op.drop_index("ix_answered_answered_at", "answered")
    op.drop_index("ix_task_reference", "task")
    op.drop_column("task", "lane")
    with op.batch_alter_table("payment") as payment:
        payment.drop_constraint("pk_payment", type_="primary")
        payment.create_primary_key("pk_payment", ["payment_ref"])
        payment.drop_column("client")


def create_v1(op: ModuleType | Operations) -> None:
    """Create the tables of version 1."""
    op.create_table(
        "answered",
        sa.Column("client", sa.String(200), nullable=False),
        sa.Column("method", sa.String(200), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client", "method", "key", name="pk_answered"),
    )
    op.create_table(
        "dossier",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("client", sa.String(200), nullable=False),
        sa.Column("purposes", sa.String(60), nullable=False),
        sa.Column("issue", sa.String(64), nullable=False),
        sa.Column("service_code", sa.String(7), nullable=False),
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("response_token", sa.String(128), nullable=False),
        sa.Column("applicant_npi", sa.String(10), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.String(16), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("reported_version", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("officer_ref", sa.String(64), nullable=False),
        sa.Column("fee_xof", sa.BigInteger(), nullable=False),
        sa.Column("payment_ref", sa.String(64), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("filed_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("notice_ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reference", name="pk_dossier"),
        sa.CheckConstraint("state <> 10 OR length(reason) >= 5", name="ck_dossier_reason"),
        sa.CheckConstraint("state BETWEEN 1 AND 12", name="ck_dossier_state"),
    )
    op.create_index("ix_dossier_state", "dossier", ["state", "due_at"])
    op.create_index("ix_dossier_subject", "dossier", ["subject"])
    op.create_table(
        "event",
        sa.Column("place", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("changed_fields", sa.String(1000), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_event"),
    )
    op.create_table(
        "event_link",
        sa.Column("link", sa.String(200), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("link", "place", name="pk_event_link"),
    )
    op.create_index("ix_event_link_place", "event_link", ["place"])
    op.create_table(
        "event_log",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_log"),
        sa.CheckConstraint("id = 1", name="ck_event_log_one"),
    )
    op.create_table(
        "series",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_series"),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("last_error", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
    )
    op.create_index("ix_task_due_at", "task", ["due_at"])
    op.create_table(
        "document",
        sa.Column("doc_id", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("type", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("qr_jwt", sa.String(4096), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("doc_id", name="pk_document"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_document_reference"),
    )
    op.create_index("ix_document_reference", "document", ["reference"])
    op.create_table(
        "dossier_correction",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("asked", sa.String(1000), nullable=False),
        sa.Column("answer", sa.String(2000), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reference", "version", name="pk_dossier_correction"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_dossier_correction_reference"),
    )
    op.create_table(
        "dossier_move",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("officer_ref", sa.String(64), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reference", "version", name="pk_dossier_move"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_dossier_move_reference"),
    )
    op.create_table(
        "dossier_step",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("name", sa.String(41), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("reference", "name", name="pk_dossier_step"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_dossier_step_reference"),
    )
    op.create_table(
        "issued_number",
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("type", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("value", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("reference", "type", "value", name="pk_issued_number"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_issued_number_reference"),
    )
    op.create_table(
        "payment",
        sa.Column("payment_ref", sa.String(64), nullable=False),
        sa.Column("reference", sa.String(24), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("amount_xof", sa.BigInteger(), nullable=False),
        sa.Column("receipt_no", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("refund", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("payment_ref", name="pk_payment"),
        sa.ForeignKeyConstraint(["reference"], ["dossier.reference"], name="fk_payment_reference"),
    )
    op.create_index("ix_payment_reference", "payment", ["reference"])
    # Names this log of events: a cursor of another one, of before a restored backup say, is not taken for one of its own.
    log = sa.table("event_log", *(sa.column(name) for name in ("id", "epoch", "newest", "dropped")))
    op.execute(log.insert().values(id=1, epoch=secrets.token_hex(4), newest=0, dropped=0))


def drop_v1(op: ModuleType | Operations) -> None:
    """Drop them."""
    for table in (
        "payment",
        "issued_number",
        "dossier_step",
        "dossier_move",
        "dossier_correction",
        "document",
        "task",
        "series",
        "event_log",
        "event_link",
        "event",
        "dossier",
        "answered",
    ):
        op.drop_table(table)


def create_consent_v1(op: ModuleType | Operations) -> None:
    """Create the table of ``consents``, for a ministry that answers under P03."""
    op.create_table(
        "consent",
        sa.Column("consent_ref", sa.String(64), nullable=False),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("purposes", sa.String(60), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("consent_ref", name="pk_consent"),
    )


def create_inscription_v1(op: ModuleType | Operations) -> None:
    """Create the trail of ``inscriptions``, for a ministry that has some."""
    op.create_table(
        "inscription",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("officer_ref", sa.String(64), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("evidence_ref", sa.String(64), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_inscription"),
    )


def create_alias_v1(op: ModuleType | Operations) -> None:
    """Create the table of ``aliases``, for a ministry that keeps numbers of persons."""
    op.create_table(
        "npi_alias",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("standing_npi", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("npi", name="pk_npi_alias"),
    )
    op.create_index("ix_npi_alias_standing_npi", "npi_alias", ["standing_npi"])
