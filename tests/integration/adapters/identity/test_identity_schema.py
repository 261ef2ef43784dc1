"""ANIP's schema: what its migrations leave is what its modules use, on both databases."""

import dataclasses

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from adapters.identity.adapter import MINISTRY
from adapters.identity.comparison import record_words
from adapters.identity.person import COLUMNS, as_row
from adapters.identity.seed import population
from adapters.identity.store import METADATA, PERSONS, WORDS
from adapters.kit.store import _alembic, migrate


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


def test_people_who_were_there_are_found_by_year(database: str) -> None:
    """The migration writes for them what a seed or a correction writes today."""
    people = list(population(size=60))
    unknown = dataclasses.replace(people[0], npi="0000000900", birth_date="", marital_name="N'DAH SÈ")
    engine = sa.create_engine(database)
    config = _alembic(database, MINISTRY.migrations)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        rows = [dict(zip(COLUMNS, as_row(one), strict=True)) for one in (*people, unknown)]
        connection.execute(PERSONS.insert(), rows)
        connection.execute(sa.text("INSERT INTO person_word VALUES ('old', '0000000001')"))

    migrate(database, MINISTRY.migrations)

    with engine.connect() as connection:
        found = {tuple(row) for row in connection.execute(sa.select(WORDS))}
    engine.dispose()
    assert found == {
        (word, int(one.birth_date[:4] or 0), one.npi)
        for one in (*people, unknown)
        for word in record_words(one.last_name, one.marital_name, one.first_names)
    }
