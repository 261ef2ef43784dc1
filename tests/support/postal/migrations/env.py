"""How Alembic reaches the register: through the connection that ``kit.store.migrate`` opened."""

from alembic import context

from tests.support.postal.ministry import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
