"""Runs the migrations on the connection that ``registry.store`` hands over."""

from __future__ import annotations

from alembic import context

from registry.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a table in place; on PostgreSQL batch mode changes nothing.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
