"""The tables that every ministry's database has, as the kit's newest migration leaves them.

Times are UTC milliseconds, 0 where there is none; texts that are not known are empty, never NULL. ``Tables`` gives the
columns to the kit's own modules; a ministry reads them where it joins its register with dossiers, and never writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Tables:
    """The kit's tables in one ministry's metadata."""

    series: sa.Table
    dossier: sa.Table
    move: sa.Table
    correction: sa.Table
    step: sa.Table
    issued: sa.Table
    payment: sa.Table
    document: sa.Table
    answered: sa.Table
    event_log: sa.Table
    event: sa.Table
    event_link: sa.Table
    task: sa.Table


def kit_tables(metadata: sa.MetaData) -> Tables:
    """Declare the kit's tables in ``metadata``, which comes from ``store.naming``; once for each metadata."""
    return Tables(
        series=_series(metadata),
        dossier=_dossier(metadata),
        move=_move(metadata),
        correction=_correction(metadata),
        step=_step(metadata),
        issued=_issued(metadata),
        payment=_payment(metadata),
        document=_document(metadata),
        answered=_answered(metadata),
        event_log=_event_log(metadata),
        event=_event(metadata),
        event_link=_event_link(metadata),
        task=_task(metadata),
    )


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _reference() -> sa.Column[str]:
    """The dossier that a row belongs to."""
    return sa.Column("reference", sa.String(24), sa.ForeignKey("dossier.reference"), nullable=False)


def _series(metadata: sa.MetaData) -> sa.Table:
    """Numbers given out, by series: the last one of each."""
    return sa.Table("series", metadata, sa.Column("name", sa.String(80), primary_key=True), _number("last"))


def _dossier(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "dossier",
        metadata,
        sa.Column("reference", sa.String(24), primary_key=True),
        # Who opened it and may follow it, and for which purposes.
        _text("client", 200),
        _text("purposes", 60),
        _text("issue", 64),
        _text("service_code", 7),
        _text("application_id", 64),
        _text("response_token", 128),
        _text("applicant_npi", 10),
        _number("channel"),
        _text("phone", 16),
        _text("email", 254),
        # What it is about, in the ministry's own terms, and what the ministry keeps of the request.
        _text("subject", 200),
        _bytes("details"),
        _number("state"),
        _number("version"),
        _number("reported_version"),
        _text("reason", 1000),
        _text("officer_ref", 64),
        _number("fee_xof"),
        _text("payment_ref", 64),
        _number("opened_at"),
        _number("changed_at"),
        _number("filed_at"),
        _number("due_at"),
        # Since when due_at stands still; when it expires unless paid or corrected; when its notice ends.
        _number("paused_at"),
        _number("expires_at"),
        _number("notice_ends_at"),
        sa.CheckConstraint("state BETWEEN 1 AND 12", name="state"),
        sa.CheckConstraint("state <> 10 OR length(reason) >= 5", name="reason"),
        sa.Index("ix_dossier_state", "state", "due_at"),
        sa.Index("ix_dossier_subject", "subject"),
    )


def _move(metadata: sa.MetaData) -> sa.Table:
    """Who moved a dossier where, and when: what an inspector of the agency reads."""
    return sa.Table(
        "dossier_move",
        metadata,
        _reference(),
        _number("version"),
        _number("state"),
        _text("officer_ref", 64),
        _number("moved_at"),
        sa.PrimaryKeyConstraint("reference", "version"),
    )


def _correction(metadata: sa.MetaData) -> sa.Table:
    """What was asked of applicants, and what they answered."""
    return sa.Table(
        "dossier_correction",
        metadata,
        _reference(),
        _number("version"),
        _text("asked", 1000),
        _text("answer", 2000),
        # SHA-256 of papers, separated by blanks.
        sa.Column("evidence", sa.Text, nullable=False),
        _number("answered_at"),
        sa.PrimaryKeyConstraint("reference", "version"),
    )


def _step(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "dossier_step",
        metadata,
        _reference(),
        _text("name", 41),
        _number("rank"),
        _number("state"),
        _number("changed_at"),
        _text("detail", 500),
        sa.PrimaryKeyConstraint("reference", "name"),
    )


def _issued(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "issued_number",
        metadata,
        _reference(),
        _number("type"),
        _text("value", 64),
        sa.PrimaryKeyConstraint("reference", "type", "value"),
    )


def _payment(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "payment",
        metadata,
        _text("payment_ref", 64),
        _reference(),
        _number("channel"),
        _number("state"),
        _number("amount_xof"),
        _text("receipt_no", 64),
        _number("changed_at"),
        _number("heard_at"),
        # Why it is to be given back: empty if it is not.
        _text("refund", 20),
        # Who told of it: what one client names its payments neither shows to another nor stands in its way.
        _text("client", 200),
        sa.PrimaryKeyConstraint("client", "payment_ref"),
        sa.Index("ix_payment_reference", "reference"),
    )


def _document(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "document",
        metadata,
        sa.Column("doc_id", sa.String(40), primary_key=True),
        _reference(),
        _number("type"),
        _number("issued_at"),
        _number("valid_until"),
        _text("sha256", 64),
        _bytes("signature"),
        _text("qr_jwt", 4096),
        _text("media_type", 100),
        _bytes("content"),
        sa.Index("ix_document_reference", "reference"),
    )


def _answered(metadata: sa.MetaData) -> sa.Table:
    """Writes that were answered, by who asked, which method, and the key."""
    return sa.Table(
        "answered",
        metadata,
        _text("client", 200),
        _text("method", 200),
        _text("key", 64),
        _bytes("request"),
        _bytes("response"),
        _number("answered_at"),
        sa.PrimaryKeyConstraint("client", "method", "key"),
        sa.Index("ix_answered_answered_at", "answered_at"),
    )


def _event_log(metadata: sa.MetaData) -> sa.Table:
    """One row: its lock makes the order of cursors that of commits."""
    return sa.Table(
        "event_log",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _text("epoch", 16),
        _number("newest"),
        # The events up to this one are kept no more.
        _number("dropped"),
        sa.CheckConstraint("id = 1", name="one"),
    )


def _event(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "event",
        metadata,
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        _number("kind"),
        _text("subject", 200),
        _text("changed_fields", 1000),
        _number("occurred_at"),
        _bytes("payload"),
    )


def _event_link(metadata: sa.MetaData) -> sa.Table:
    """Under which keys an event is found: of linked clients, communes, employers."""
    return sa.Table(
        "event_link",
        metadata,
        _text("link", 200),
        _number("place"),
        sa.PrimaryKeyConstraint("link", "place"),
        sa.Index("ix_event_link_place", "place"),
    )


def _task(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        "task",
        metadata,
        sa.Column("id", sa.String(32), primary_key=True),
        _text("kind", 60),
        _text("reference", 64),
        _number("due_at"),
        _number("attempts"),
        _bytes("payload"),
        # Why it was not done last time: a word, never a person.
        _text("last_error", 80),
        # Whom it waits for: tasks of one lane run one after the other.
        sa.Column("lane", sa.String(200), nullable=False, server_default=""),
        sa.Index("ix_task_due_at", "due_at"),
        sa.Index("ix_task_reference", "reference", "due_at"),
    )
