"""Comment Alembic atteint la base : par la connexion que « adapter migrate » a ouverte."""

from alembic import context
from diplomes.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
