"""The register on disk: one table, read by number, and the words of names by which people are found.

Schema changes are Alembic migrations in ``migrations/``; ``migrate`` brings a store to the newest one,
``open_store`` refuses any other. SQLite by default (write-ahead log, so that reads go on while a seed is
written).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from adapters.identity.comparison import name_words, search_words
from adapters.identity.person import COLUMNS, Person, RecordState, as_row
from adapters.identity.reserved import NPI_PREFIX
from adapters.reasons import ProviderError, ProviderReason
from core.reasons import ExchangeError, Reason

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BATCH: Final = 10_000

# The database is not there, is locked, or has no connection left; anything else is a mistake of ours.
_AWAY: Final = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)

_log = structlog.get_logger()

METADATA: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


# Same names and order as ``Person``; what is unknown is the empty text, never NULL.
PERSONS: Final = sa.Table(
    "person",
    METADATA,
    sa.Column("npi", sa.String(10), primary_key=True),
    _text("last_name", 100),
    _text("first_names", 200),
    _text("marital_name", 100),
    _text("birth_date", 10),
    _text("birth_country", 3),
    _text("birth_place", 100),
    _text("residence_country", 3),
    _text("residence_department", 40),
    _text("residence_town", 60),
    _text("residence_district", 80),
    _text("residence_village", 80),
    _text("residence_address", 200),
    _text("phone_cc", 5),
    _text("phone", 15),
    _text("email", 120),
    _text("nationality", 3),
    _text("sex", 1),
    _text("death_date", 10),
    _text("father_last_name", 100),
    _text("father_first_names", 200),
    _text("mother_last_name", 100),
    _text("mother_first_names", 200),
    _text("state", 10),
    _text("merged_into", 10),
    sa.Column("record_version", sa.Integer, nullable=False),
    sa.CheckConstraint("state IN ('active', 'locked', 'merged')", name="state"),
    sa.CheckConstraint("(state = 'merged') = (merged_into <> '')", name="merged_into"),
    # The rows are found by their key only: without row ids SQLite keeps one tree instead of two.
    sqlite_with_rowid=False,
)

# Under which words of their names people are found; see ``comparison.name_words``.
WORDS: Final = sa.Table(
    "person_word",
    METADATA,
    sa.Column("word", sa.String(200), primary_key=True),
    sa.Column("npi", sa.String(10), primary_key=True),
    sqlite_with_rowid=False,
)

_FIND: Final = sa.select(PERSONS).where(PERSONS.c.npi == sa.bindparam("npi"))


class PersonStore:
    """Finds records by number; safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, npi: str) -> Person | None:
        """The record of that number, whatever its state.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE).
        """
        found = self._read(_FIND, npi=npi)
        return found[0] if found else None

    def _read(self, query: sa.Select[Any], **values: str) -> list[Person]:
        try:
            with self._engine.connect() as connection:
                return [Person(*row) for row in connection.execute(query, values)]
        except _AWAY as error:
            _log.error("store_unavailable", error=type(error).__name__)
            raise ProviderError(ProviderReason.UPSTREAM_UNAVAILABLE) from None

    def search(
        self, last_name: str, first_names: str, years: tuple[int, int] | None, limit: int
    ) -> list[Person]:
        """Records that may be meant, for ``comparison.compare`` to judge; at most ``limit``.

        Only those that searches may see: neither locked nor merged, of living people.

        Args:
            last_name: At birth or by marriage; it may also stand among the first names.
            first_names: Some of them.
            years: First and last year of birth.
            limit: How many.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE).
        """

        def named(name: str) -> sa.Select[tuple[str]]:
            return sa.select(WORDS.c.npi).where(WORDS.c.word.in_(sorted(search_words(name))))

        query = sa.select(PERSONS).where(
            PERSONS.c.npi.in_(sa.intersect(named(last_name), named(first_names))),
            PERSONS.c.state == RecordState.ACTIVE,
            PERSONS.c.death_date == "",
        )
        if years is not None:
            year = sa.func.substr(PERSONS.c.birth_date, 1, 4)
            query = query.where(year.between(f"{years[0]:04d}", f"{years[1]:04d}"))
        return self._read(query.order_by(PERSONS.c.npi).limit(limit))

    def count(self) -> int:
        """How many records there are."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(PERSONS)).scalar_one()

    def replace_all(self, persons: Iterable[Person], written: Callable[[int], None] = lambda _: None) -> int:
        """Put ``persons`` in the place of whatever seed is there, all or nothing; return their number.

        ``written`` is told after each batch how many went in with it.

        Raises:
            ExchangeError: The store holds somebody outside the reserved ranges: it is no sandbox
                (STATE_CONFLICT).
        """
        total = 0
        people = iter(persons)
        with self._engine.begin() as connection:
            real = sa.select(PERSONS.c.npi).where(PERSONS.c.npi.not_like(f"{NPI_PREFIX}%")).limit(1)
            if connection.execute(real).first():
                raise ExchangeError(
                    Reason.STATE_CONFLICT, "this register holds real persons; no seed may touch it"
                )
            connection.execute(WORDS.delete())
            connection.execute(PERSONS.delete())
            while batch := list(itertools.islice(people, _BATCH)):
                # In order of their keys, a batch goes into few pages instead of all; no more than one is in memory.
                rows = sorted(map(as_row, batch))
                connection.execute(PERSONS.insert(), [dict(zip(COLUMNS, row, strict=True)) for row in rows])
                words = sorted((word, person.npi) for person in batch for word in name_words(person))
                if words:
                    connection.execute(WORDS.insert(), [{"word": word, "npi": npi} for word, npi in words])
                total += len(batch)
                written(len(batch))
        return total

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


def open_store(url: str) -> PersonStore:
    """Open the register at ``url``.

    Raises:
        ExchangeError: Its schema is not this version's; ``passerelle adapter migrate`` brings it there
            (STATE_CONFLICT).
    """
    engine = _engine(url)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory.from_config(_alembic(url)).get_current_head()
    if current != newest:
        engine.dispose()
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"the register has schema {current or 'none'}, this version needs {newest}; "
            "run passerelle adapter migrate",
        )
    return PersonStore(engine)


def migrate(url: str) -> None:
    """Create the register at ``url``, or bring its schema to this version's."""
    engine = _engine(url)
    config = _alembic(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _alembic(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def _engine(url: str) -> sa.Engine:
    # Parameters hold personal numbers: they stay out of every error text.
    engine = sa.create_engine(url, pool_size=16, max_overflow=0, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
