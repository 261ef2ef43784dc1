"""The SQL index over logs: one row per request statement and log, rebuilt from the segments at will (DESIGN section 5).

A row is known by the leaf hash of its request, which every answer and ending names; a refusal at one's own gateway by
its own. The exchange id is what the consumer's gateway calls it: a peer may use one twice, and that makes two rows.

Control feeds it behind the traffic, in batches. It finds things; it proves nothing. Nothing but this module of the
ledger knows SQL: workers never import it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    create_engine,
    event,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import SQLAlchemyError

from core.leaves import MalformedLeafError
from ledger.reader import StoredLeaf
from ledger.rows import COUNTS, END, HANDED, OTHERS, PLACES, Batch, Row, by_kind

MAX_ROWS: Final = 10_000
# Counts up with every change of the tables, or of what a ``Batch`` takes: a file of another one is made anew.
SCHEMA: Final = 9


def _nothing(_: None) -> None:
    return None


# For each value that is neither number nor text the driver looks in vain for a way to adapt it, longer than it takes to
# store it. Told what to call it does not look; both stand for what they are.
sqlite3.register_adapter(bytes, bytearray)
sqlite3.register_adapter(type(None), _nothing)

_metadata = MetaData()

# Kept in the order in which requests were written, so that listing by time needs no further index.
EXCHANGES: Final = Table(
    "exchanges",
    _metadata,
    Column("begun_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("request", LargeBinary(32), primary_key=True),  # leaf hash
    Column("log", Integer, primary_key=True, autoincrement=False),  # number in ``cursors``
    Column("exchange", String(36), nullable=False),
    Column("role", String(8), nullable=False),  # consumer or provider
    Column("client", String(160)),
    Column("service", String(160)),
    Column("method", String(160)),
    Column("purpose", String(8)),
    Column("issue", String(64)),
    Column("agreement", String(64)),
    Column("agreement_version", Integer),
    Column("ended_ms", BigInteger),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(64)),
    Column("status", Integer),
    Column("said", BigInteger),  # index of our own statement of the exchange: request or response
    Column("heard", BigInteger),  # index of our record of the peer's
    Column("peer", Integer),  # number in ``cursors`` of the log that was asked, or that asked
    # What was said or taken here of each direction: segments, their messages, bytes of payloads with their metadata.
    *(
        Column(f"{way}_{what}", BigInteger, nullable=False)
        for way in ("asked", "answered")
        for what in ("segments", "messages", "bytes")
    ),
    # Segments that were handed to the adapter, and to the program; null as long as nobody has said so.
    Column("asked_handed", BigInteger),
    Column("answered_handed", BigInteger),
    # 1: nobody knows whether more were, says who should know.
    Column("asked_uncertain", BigInteger),
    Column("answered_uncertain", BigInteger),
    sqlite_with_rowid=False,
)
# What a peer recorded of a request of ours, if it told before it answered: ``taken`` or ``refused:REASON``.
RECEIPTS: Final = Table(
    "receipts",
    _metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("said", BigInteger, primary_key=True, autoincrement=False),
    Column("verdict", String(64), nullable=False),
    sqlite_with_rowid=False,
)
# Whom the records of an exchange are about, by the pseudonyms of their annexes; nothing in it is a personal number. An
# empty one says that there are, or may be, more than are named.
SUBJECTS: Final = Table(
    "subjects",
    _metadata,
    Column("pseudonym", LargeBinary(32), primary_key=True),
    Column("request", LargeBinary(32), primary_key=True),
    Column("log", Integer, primary_key=True, autoincrement=False),
    Column("exchange", String(36), nullable=False),
    sqlite_with_rowid=False,
)
_CURSORS: Final = Table(
    "cursors",
    _metadata,
    Column("log", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
)
_OPEN: Final = EXCHANGES.c.outcome == literal_column("'open'")
_IN_DOUBT: Final[ColumnElement[str]] = literal_column("'in_doubt'")
# How it ended is not known: what may still come names the request, and perhaps nothing else.
_IS_UNKNOWN: Final = EXCHANGES.c.outcome.in_([literal_column("'open'"), _IN_DOUBT])
Index("cursors_number", _CURSORS.c.number)
# No index of all leaf hashes: in no order, each would make a page dirty, and a row of a long log cost twice as much.
Index("exchanges_exchange", EXCHANGES.c.exchange, EXCHANGES.c.request, EXCHANGES.c.log)
Index("exchanges_issue", EXCHANGES.c.issue)
Index(
    "exchanges_unknown",
    EXCHANGES.c.request,
    EXCHANGES.c.log,
    sqlite_where=_IS_UNKNOWN,
    postgresql_where=_IS_UNKNOWN,
)

# Where a row stands in a list: when it begun, its request, the number of its log.
Place = tuple[int, bytes, int]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; absent values match all.

    Attributes:
        subjects: Pseudonyms of one person, under any key: exchanges that are about her, or about more persons than their
            annexes name.
        after: The last row of the page before, as ``place_of`` gives it.
    """

    exchange: str | None = None
    issue: str | None = None
    client: str | None = None
    service: str | None = None
    method: str | None = None
    purpose: str | None = None
    outcome: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    subjects: tuple[bytes, ...] = ()
    after: Place | None = None
    limit: int = 1000


_GRANTED: Final[ColumnElement[str]] = literal_column("'granted'")
_ERROR: Final[ColumnElement[str]] = literal_column("'error'")


def _yields(outcome: ColumnElement[str]) -> ColumnElement[bool]:
    """The rank of ``tell`` in SQL: whether a row is changed by a further ``outcome``."""
    stored = EXCHANGES.c.outcome
    return and_(
        or_(stored != _GRANTED, outcome == _GRANTED),
        or_(stored != _ERROR, outcome.in_([_GRANTED, _ERROR])),
        or_(outcome != _IN_DOUBT, _IS_UNKNOWN),
    )


# What PostgreSQL's ON CONFLICT says SQLite understands, not the other way round. Both do what ``tell`` does.
_insert = insert(EXCHANGES)
_is_consumer = EXCHANGES.c.role == literal_column("'consumer'")


def _place(name: str, begins: ColumnElement[bool]) -> ColumnElement[int]:
    """The leaf at which a request stands first stays, that of its end is the newest."""
    old, new = EXCHANGES.c[name], _insert.excluded[name]
    return case((begins, func.coalesce(old, new)), else_=func.coalesce(new, old))


def _if_it_yields(outcome: ColumnElement[str], new: dict[str, Any]) -> dict[str, ColumnElement[Any]]:
    return {name: case((_yields(outcome), value), else_=EXCHANGES.c[name]) for name, value in new.items()}


def _more(name: str, new: ColumnElement[int]) -> ColumnElement[int]:
    """The greater, of which either may be null: what was handed on only rises, as ``_count`` says it."""
    old = EXCHANGES.c[name]
    return case((or_(new.is_(None), new < old), old), else_=new)


_BEGIN: Final = _insert.on_conflict_do_update(
    index_elements=[EXCHANGES.c.begun_ms, EXCHANGES.c.request, EXCHANGES.c.log],
    set_=_if_it_yields(
        _insert.excluded.outcome,
        {name: _insert.excluded[name] for name in END}
        | {"said": _place("said", _is_consumer), "heard": _place("heard", not_(_is_consumer))},
    )
    | {name: EXCHANGES.c[name] + _insert.excluded[name] for name in COUNTS}
    | {name: _more(name, _insert.excluded[name]) for name in HANDED},
)
_is_row = and_(
    EXCHANGES.c.exchange == bindparam("exchange"),
    EXCHANGES.c.request == bindparam("request"),
    EXCHANGES.c.log == bindparam("log"),
)
_new_places: dict[str, ColumnElement[Any]] = {
    name: func.coalesce(bindparam(name), EXCHANGES.c[name]) for name in PLACES
}
_new_counts: dict[str, ColumnElement[Any]] = {
    name: EXCHANGES.c[name] + bindparam(name) for name in COUNTS
} | {name: _more(name, bindparam(name, type_=BigInteger)) for name in HANDED}
# Segments that end nothing, before what ends their call.
_COUNT: Final = update(EXCHANGES).where(_is_row).values(_new_counts | _new_places)
_CHANGE: Final = (
    update(EXCHANGES)
    .where(_is_row)
    .values(
        _if_it_yields(
            bindparam("outcome", type_=String),
            {name: bindparam(name, type_=EXCHANGES.c[name].type) for name in END} | _new_places,
        )
        | _new_counts
    )
)
# An answer that was refused ends what was open and nothing else. A partial index is used only where its own condition
# stands, so that of ``exchanges_unknown`` stands here beside the narrower one.
_REFUSE: Final = (
    update(EXCHANGES)
    .where(
        EXCHANGES.c.request == bindparam("request"), EXCHANGES.c.log == bindparam("log"), _IS_UNKNOWN, _OPEN
    )
    .values({name: bindparam(name) for name in ("outcome", "reason", "heard")})
    .values(_new_counts)
)
# What comes when nobody waits any more ends a doubt, if it comes from the peer that was asked.
_RESOLVE: Final = (
    update(EXCHANGES)
    .where(_is_row, EXCHANGES.c.peer == bindparam("peer"), _IS_UNKNOWN)
    .values({name: bindparam(name) for name in (*END, "heard")})
    .values({name: _new_counts[name] for name in ("asked_handed", "asked_uncertain")})
)
_SETTLE: Final = (
    update(EXCHANGES)
    .where(EXCHANGES.c.request == bindparam("request"), EXCHANGES.c.log == bindparam("log"), _IS_UNKNOWN)
    .values({name: bindparam(name) for name in (*END, "heard")})
)
_SUBJECT: Final = insert(SUBJECTS).on_conflict_do_nothing()
_receipt = insert(RECEIPTS)
_RECEIPT: Final = _receipt.on_conflict_do_update(
    index_elements=[RECEIPTS.c.log, RECEIPTS.c.said], set_={"verdict": _receipt.excluded.verdict}
)


def statements_for(dialect: Dialect) -> list[tuple[str, Sequence[str]]]:
    """What counts, begins a row, changes one, ends one by a refused answer; ends a doubt late, or by the peer's word.

    Each with its values' names in order. For a driver that takes values by place. It gets a batch of rows at once:
    SQLAlchemy would copy each for longer than SQLite takes to store it.
    """
    compiled = [
        statement.compile(dialect=dialect)
        for statement in (_COUNT, _BEGIN, _CHANGE, _REFUSE, _RESOLVE, _SETTLE)
    ]
    return [(str(one), one.positiontup or ()) for one in compiled]


class ExchangeIndex:
    """The index in one SQLite file; it may be deleted at any time and is then built anew.

    So is one of another schema, as an earlier or later version of this program left it. A disk that does not take the
    file now may take it later: whoever runs a gateway must not fail for its index. Every method raises
    ``SQLAlchemyError`` until then, and of a file that SQLite found malformed until ``renew``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_ready = self._is_malformed = False
        # One thread adds, others search: a connection is always to the file as it is named now, or was.
        self._opening = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._engine: Engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _tune)
        event.listen(self._engine, "handle_error", self._on_error)
        self._statements = [(sql, itemgetter(*names)) for sql, names in statements_for(self._engine.dialect)]
        with suppress(SQLAlchemyError):
            self._connect().close()

    def _connect(self) -> Connection:
        with self._opening:
            if not self._is_ready:
                try:
                    _remove_other_schema(self._path)
                except (OSError, sqlite3.Error) as error:
                    raise SQLAlchemyError(f"the index cannot be opened: {error}") from error
                _metadata.create_all(self._engine)
                with self._engine.begin() as connection:
                    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
                self._is_ready = True
            return self._engine.connect()

    def _on_error(self, context: ExceptionContext) -> None:
        # What Python itself raises has no code.
        code = getattr(context.original_exception, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._is_malformed = True

    @property
    def is_malformed(self) -> bool:
        """Whether SQLite, asked to write or to search, found that the file is not one of its own."""
        return self._is_malformed

    def renew(self) -> bool:
        """Put an empty file in the place of one that is malformed; true if so: all that was added is to be added again.

        Whoever adds calls it, in between: a new file that got later leaves only would never be complete. A search
        under way ends with the file it began with.

        Raises:
            SQLAlchemyError: The file cannot be removed.
        """
        if not self._is_malformed:
            return False
        with self._opening:
            self._engine.dispose()
            try:
                _remove(self._path)
            except OSError as error:
                raise SQLAlchemyError(f"the malformed index cannot be removed: {error}") from error
            self._numbers.clear()
            self._is_ready = self._is_malformed = False
        return True

    def size(self, log: str) -> int:
        """How many leaves of ``log`` the index has taken in."""
        with self._connect() as connection:
            found = connection.execute(select(_CURSORS.c.size).where(_CURSORS.c.log == log)).scalar()
        return int(found or 0)

    def add(self, log: str, leaves: Iterable[StoredLeaf]) -> int:
        """Take in further leaves of ``log``, in order, as one transaction; returns how many there are now.

        Keeps their rows until then, not the leaves. What was taken in before is not counted again.

        Raises:
            MalformedLeafError: One of them is none. Those before it are taken in.
        """
        batch = Batch()
        size = known = self.size(log)
        malformed: MalformedLeafError | None = None
        for stored in leaves:
            if stored.index < known:
                continue
            try:
                batch.take(stored)
            except MalformedLeafError as error:
                malformed = error
                break
            size = stored.index + 1
        if size > known:
            self._write(log, batch, size)
        if malformed is not None:
            raise malformed
        return size

    def _write(self, log: str, batch: Batch, size: int) -> None:
        rows = [*batch.counted.values(), *batch.rows.values(), *batch.resolving]
        with self._connect() as connection, connection.begin():
            names = {log, *filter(None, (row.get("peer") for row in rows))}
            numbers = {
                name: self._numbers[name] if name in self._numbers else _take_number(connection, name)
                for name in sorted(names)
            }
            for row in rows:
                row["log"], row["peer"] = numbers[log], numbers.get(row.get("peer") or "")
            *changing, resolve, settle = self._statements
            kinds = (list(batch.counted.values()), *by_kind(batch.rows.values()))
            for (sql, values), some in zip(changing, kinds, strict=True):
                if some:
                    connection.exec_driver_sql(sql, list(map(values, some)))
            # In their order: of a late answer and the peer's word, the first counts.
            for is_late, resolving in groupby(batch.resolving, key=lambda row: "exchange" in row):
                sql, values = resolve if is_late else settle
                connection.exec_driver_sql(sql, list(map(values, resolving)))
            if batch.subjects:
                connection.execute(_SUBJECT, [{"log": numbers[log]} | one for one in batch.subjects])
            receipts = [{"log": numbers[log]} | one for one in batch.receipts()]
            if receipts:
                connection.execute(_RECEIPT, receipts)
            connection.execute(update(_CURSORS).where(_CURSORS.c.log == log).values(size=size))
        self._numbers |= numbers

    def search(self, wanted: Filter) -> list[Row]:
        """Rows that match, newest request first; at most ``wanted.limit``. ``log`` is the log's id."""
        columns = EXCHANGES.c
        conditions = [
            columns[name] == value
            for name in ("exchange", "issue", "client", "service", "method", "purpose", "outcome")
            if (value := getattr(wanted, name)) is not None
        ]
        if wanted.subjects:
            about = select(SUBJECTS.c.exchange, SUBJECTS.c.request, SUBJECTS.c.log)
            about = about.where(SUBJECTS.c.pseudonym.in_((*wanted.subjects, OTHERS)))
            conditions.append(tuple_(columns.exchange, columns.request, columns.log).in_(about))
        if wanted.since_ms is not None:
            conditions.append(columns.begun_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            conditions.append(columns.begun_ms < wanted.until_ms)
        place = tuple_(columns.begun_ms, columns.request, columns.log)
        if wanted.after is not None:
            conditions.append(place < wanted.after)
        query = _rows().where(*conditions).order_by(*(column.desc() for column in place.clauses))
        with self._connect() as connection:
            rows = connection.execute(query.limit(min(wanted.limit, MAX_ROWS))).mappings()
            return [dict(row) for row in rows]

    def requests_of(self, exchange: str, limit: int) -> tuple[list[Row], int]:
        """The first ``limit`` requests that carry an exchange id, and how many there are.

        In the order of our own logs: what time a request claims is its sender's to choose.
        """
        columns = EXCHANGES.c
        begins = case((columns.role == "consumer", columns.said), else_=columns.heard)
        query = _rows().where(columns.exchange == exchange).order_by(begins, columns.log).limit(limit)
        count = select(func.count()).select_from(EXCHANGES).where(columns.exchange == exchange)
        with self._connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            return rows, connection.execute(count).scalar_one()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def place_of(row: Row) -> Place:
    """Where a row that ``search`` found stands in its list."""
    return row["begun_ms"], row["request"], row["log_number"]


def _rows() -> Select[Any]:
    columns = [column for column in EXCHANGES.c if column.name not in ("log", "peer")]
    peers = _CURSORS.alias()
    return (
        select(
            *columns,
            EXCHANGES.c.log.label("log_number"),
            _CURSORS.c.log,
            peers.c.log.label("peer"),
            RECEIPTS.c.verdict.label("receipt"),
        )
        .join(_CURSORS, _CURSORS.c.number == EXCHANGES.c.log)
        .outerjoin(peers, peers.c.number == EXCHANGES.c.peer)
        .outerjoin(
            RECEIPTS,
            and_(RECEIPTS.c.log == EXCHANGES.c.log, RECEIPTS.c.said == EXCHANGES.c.said, _is_consumer),
        )
    )


def _take_number(connection: Connection, log: str) -> int:
    """The number of a log, a new one if the log is new; its rows and index entries are shorter for it."""
    logs = select(func.count()).select_from(_CURSORS).scalar_subquery()
    connection.execute(insert(_CURSORS).values(log=log, number=logs, size=0).on_conflict_do_nothing())
    return int(connection.execute(select(_CURSORS.c.number).where(_CURSORS.c.log == log)).scalar_one())


def _remove_other_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        try:
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            raise  # the disk, not the file
        except sqlite3.DatabaseError:
            schema = None  # damaged
    if schema != SCHEMA:
        _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _tune(connection: Any, _record: object) -> None:
    """The index can be rebuilt: it need not survive a power loss, only stay whole."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
