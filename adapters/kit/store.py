"""A register's database: SQLite or PostgreSQL, reached the same way and promising the same.

``writing`` is one transaction whose effects are all there or none; two of them that touch the same dossier, number
or key come one after the other. On SQLite every writer waits for the one before (BEGIN IMMEDIATE). On PostgreSQL
(READ COMMITTED) order comes from row locks and unique keys, which the kit's own functions take; a ministry that
reads a row of its own to change it locks it with ``with_for_update``, which SQLite passes over.

``write`` is ``writing`` for a function, which is run again when PostgreSQL has broken a deadlock by ending it: what
serves calls takes this one. Neither is for calls on the road: a transaction never waits for somebody else's answer.

Schema changes are Alembic migrations in a directory of each ministry; ``migrate`` brings a database to the newest one,
``open_store`` refuses any other. Statements never tell their parameters: those are personal numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from adapters.reasons import ProviderError, ProviderReason
from core.reasons import ExchangeError, Reason

# The database is not there, is locked, or has no connection left; anything else is a mistake of ours.
_AWAY: Final = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
# serialization_failure, deadlock_detected: PostgreSQL ended the transaction so that another may go on.
_AGAIN: Final = frozenset({"40001", "40P01"})
_ATTEMPTS: Final = 5
_WRITES: Final = "passerelle_writes"

_T = TypeVar("_T")
_log = structlog.get_logger("adapter")


def naming() -> sa.MetaData:
    """Metadata whose constraints are named one way, as migrations need it."""
    return sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )


class Store:
    """One register's database; safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_postgresql(self) -> bool:
        """Whether row locks are what keeps writers apart."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that changes nothing.

        On SQLite all its reads see the same moment; on PostgreSQL each statement sees what is committed when it runs.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE).
        """
        with _answering(), self._engine.begin() as tx:
            yield tx

    def prepare(self, query: sa.Select[Any]) -> Callable[..., Sequence[Sequence[Any]]]:
        """A query for calls that come by the thousand: written out once, then run by the driver itself.

        What is returned takes the query's parameters by name and gives its rows: what ``reading`` would see, at a quarter
        of the CPU. Its columns are texts and whole numbers, which drivers give as they are.

        Raises:
            ProviderError: The database does not answer (UPSTREAM_UNAVAILABLE); by what is returned.
        """
        dialect = self._engine.dialect
        compiled = query.compile(dialect=dialect)
        text, constants, places = str(compiled), compiled.params, compiled.positiontup
        driver: Any = dialect.loaded_dbapi
        away = (driver.OperationalError, driver.InterfaceError, *_AWAY)

        def rows(**values: str | int) -> Sequence[Sequence[Any]]:
            named = {**constants, **values}
            with _answering(away), closing(self._engine.raw_connection()) as connection:
                # One statement is a transaction of its own; the pool ends what PostgreSQL's driver has begun around it.
                cursor = connection.cursor()
                cursor.execute(text, named if places is None else [named[place] for place in places])
                return cursor.fetchall()

        return rows

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction that changes: committed when the block ends, undone when it raises.

        Raises:
            ProviderError: The database does not answer, or ended the transaction for another's sake
                (UPSTREAM_UNAVAILABLE): nothing was changed.
        """
        with _answering():
            with self._writer.begin() as tx:
                yield tx
            self._tell()

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Run ``work`` in a transaction and return what it returns.

        ``work`` is run again if PostgreSQL ended its transaction for another's sake, so it does nothing that a second run
        would double, beyond the database.

        Raises:
            ProviderError: As ``writing``.
        """
        attempt = 1
        while True:
            try:
                with _answering(), self._writer.begin() as tx:
                    done = work(tx)
            except _BrokenOffError:
                attempt += 1
                if attempt > _ATTEMPTS:
                    raise
            else:
                self._tell()
                return done

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every commit of this process: whoever waits for news looks again."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


class _BrokenOffError(ProviderError):
    """A transaction that PostgreSQL ended for another's sake; may be run again."""

    def __init__(self) -> None:
        super().__init__(ProviderReason.UPSTREAM_UNAVAILABLE)


@contextmanager
def _answering(away: tuple[type[Exception], ...] = _AWAY) -> Iterator[None]:
    try:
        yield
    except away as error:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if state in _AGAIN:
            raise _BrokenOffError from None
        _log.error("store_unavailable", error=type(error).__name__)
        raise ProviderError(ProviderReason.UPSTREAM_UNAVAILABLE) from None


def open_store(url: str, directory: Path) -> Store:
    """Open the database at ``url``, whose migrations lie in ``directory``.

    Raises:
        ExchangeError: Its schema is not this version's; ``passerelle adapter migrate`` brings it there
            (STATE_CONFLICT).
    """
    engine = _engine(url)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory.from_config(_alembic(url, directory)).get_current_head()
    if current != newest:
        engine.dispose()
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"the register has schema {current or 'none'}, this version needs {newest}; "
            "run passerelle adapter migrate",
        )
    return Store(engine)


def migrate(url: str, directory: Path) -> None:
    """Create the database at ``url``, or bring its schema to the newest migration in ``directory``."""
    engine = _engine(url, is_migration=True)
    config = _alembic(url, directory)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _alembic(url: str, directory: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def _engine(url: str, *, is_migration: bool = False) -> sa.Engine:
    # Parameters hold personal numbers: they stay out of every error text.
    is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
    engine = sa.create_engine(
        url, pool_size=16, max_overflow=0, hide_parameters=True, pool_pre_ping=not is_sqlite
    )
    if is_sqlite:
        # A migration changes a table by copying it, which foreign keys would take for its loss.
        sa.event.listen(engine, "connect", _prepare_migration if is_migration else _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_migration(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    _prepare(connection, "foreign_keys=OFF")


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    _prepare(connection, "foreign_keys=ON")


def _prepare(connection: DBAPIConnection, foreign_keys: str) -> None:
    # The driver begins nothing by itself: ``_begin_sqlite`` says when, and how.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", foreign_keys):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock before it reads: it never finds out at its first write that what it read is old.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
