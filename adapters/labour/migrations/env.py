"""How Alembic reaches the register: through the connection that ``kit.store.migrate`` opened."""

from alembic import context

from adapters.labour.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite changes a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
