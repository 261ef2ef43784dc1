"""ANDF's schema: what its migrations leave is what its modules use, on both databases."""

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from adapters.kit.consents import Consenter, find_consenter
from adapters.kit.store import migrate, open_store
from adapters.land.adapter import MINISTRY
from adapters.land.tables import CONSENTS, METADATA
from tests.support.consents import BANK

FAR_MS = 4_102_444_800_000


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


def test_a_consent_of_before_stands_for_both_purposes(database: str) -> None:
    """As it did when none was written down."""
    engine, config = sa.create_engine(database), Config()
    config.set_main_option("script_location", str(MINISTRY.migrations))
    given = {"consent_ref": "C-1", "party_kind": "npi", "party_number": "0000000001"}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        consents = sa.table("consent", *map(sa.column, (*given, "client", "until_ms")))
        connection.execute(consents.insert().values(**given, client=BANK, until_ms=FAR_MS))
    engine.dispose()

    migrate(database, MINISTRY.migrations)

    store = open_store(database, MINISTRY.migrations)
    with store.reading() as tx:
        found = {
            purpose: find_consenter(tx, CONSENTS, "C-1", client=BANK, purpose=purpose, now_ms=FAR_MS - 1)
            for purpose in ("P01", "P02", "P03")
        }
    store.close()
    afi = Consenter("npi", "0000000001")
    assert found == {"P01": afi, "P02": None, "P03": afi}
