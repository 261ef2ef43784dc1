"""The register's schema: what its migrations leave is what its modules use, on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from adapters.business.tables import METADATA, MIGRATIONS
from adapters.kit.store import migrate


def test_migrations_end_at_the_schema_that_the_modules_use(database: str) -> None:
    """Tables, columns, keys and indexes; twice changes nothing."""
    migrate(database, MIGRATIONS)
    migrate(database, MIGRATIONS)

    engine = sa.create_engine(database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": METADATA})
        differences = compare_metadata(context, METADATA)
    engine.dispose()

    assert differences == []
