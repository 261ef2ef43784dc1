"""How Alembic reaches the register: through the connection that ``store.migrate`` opened."""

from alembic import context

from adapters.identity import tables  # noqa: F401 - declared in METADATA
from adapters.identity.store import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite changes a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
