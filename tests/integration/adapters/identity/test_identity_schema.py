"""ANIP's schema: what its migrations leave is what its modules use, on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from adapters.identity.adapter import MINISTRY
from adapters.identity.store import METADATA
from adapters.kit.store import migrate


def test_the_migrations_leave_what_the_modules_use(database: str) -> None:
    """Tables, columns, keys and indexes."""
    migrate(database, MINISTRY.migrations)
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": METADATA})

        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_migrating_twice_is_migrating_once(database: str) -> None:
    """An operator who is not sure runs it again."""
    migrate(database, MINISTRY.migrations)
    migrate(database, MINISTRY.migrations)
