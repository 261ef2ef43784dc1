"""The kit's schema: what its migrations leave is what its modules use, on both databases."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from adapters.kit.migrations import create_v1, drop_v1
from adapters.kit.store import naming
from adapters.kit.tables import kit_tables


def test_the_first_version_is_what_the_modules_use(database: str) -> None:
    """Tables, columns, keys and indexes."""
    metadata = naming()
    kit_tables(metadata)
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        create_v1(Operations(context))

        differences = compare_metadata(context, metadata)

    assert differences == []
    engine.dispose()


def test_it_can_be_dropped(database: str) -> None:
    """A ministry's migration has a way back."""
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        create_v1(operations)
        drop_v1(operations)

        assert sa.inspect(connection).get_table_names() == []
    engine.dispose()
