"""The SQL index over logs: one row per exchange and log, always rebuildable from the segments (DESIGN section 5).

Control feeds it behind the traffic, in batches. It finds things; it proves nothing. Nothing but this module of the
ledger knows SQL: workers never import it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from core.leaves import HEARD, SAID, Heard, MalformedLeafError
from core.statements import Statement
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind

MAX_ROWS: Final = 10_000

_metadata = MetaData()

EXCHANGES: Final = Table(
    "exchanges",
    _metadata,
    Column("exchange", String(36), primary_key=True),
    Column("log", String(64), primary_key=True),
    Column("role", String(8), nullable=False),  # consumer or provider
    Column("peer", String(64)),
    Column("reference", String(64)),
    Column("client", String(160)),
    Column("service", String(160)),
    Column("method", String(160)),
    Column("purpose", String(8)),
    Column("issue", String(64)),
    Column("user", String(64)),
    Column("agreement", String(64)),
    Column("agreement_version", Integer),
    Column("begun_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(64)),
    Column("status", Integer),
    Column("said", BigInteger),  # index of our own statement of the exchange: request or response
    Column("heard", BigInteger),  # index of our record of the peer's
)
_CURSORS: Final = Table(
    "cursors",
    _metadata,
    Column("log", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
Index("exchanges_begun", EXCHANGES.c.begun_ms)
Index("exchanges_issue", EXCHANGES.c.issue)

OUTCOMES: Final = ("open", "granted", "error", "refused", "cancelled", "in_doubt", "invalid")


# Values of one exchange by column; ``None`` tells nothing. One that begins an exchange has all columns but ``log``,
# one that goes on with it has ``exchange`` and what its end brings.
Row = dict[str, Any]
_END: Final = ("ended_ms", "outcome", "reason", "status", "said", "heard")

_statements = msgspec.json.Decoder(Statement)
_records = msgspec.json.Decoder(Heard)


def row_of(stored: StoredLeaf) -> Row | None:
    """What a leaf of our own log tells of an exchange; ``None`` for leaves that tell of none.

    Our worker checked every byte before it wrote them, the peer's too, and the reader checked that they are the same:
    they are decoded here, not judged again.

    Raises:
        MalformedLeafError: It cannot be decoded.
    """
    try:
        label, _, body = stored.leaf.split(b"\n", 2)
        if label == SAID:
            return _said(stored.index, _statements.decode(body))
        if label == HEARD:
            heard = _records.decode(body)
            for kind, data in stored.attachments:
                if kind is AttachmentKind.STATEMENT:
                    return _heard(stored.index, heard, _statements.decode(data))
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedLeafError(f"leaf {stored.index}: {str(error)[:120]!a}") from None
    return None


def _said(index: int, s: Statement) -> Row | None:
    if s.exchange is None:
        return None
    if s.kind == "request":
        return _begun(s, "consumer", s.to, "open", said=index)
    if s.to is None:
        return _begun(s, "consumer", None, "refused", ended_ms=s.issued_at, said=index)
    if s.kind in ("response", "refusal"):
        return _ended(s, _outcome(s), said=index)
    return _ended(s, "in_doubt" if s.kind == "abandon" else "cancelled")


def _heard(index: int, heard: Heard, s: Statement) -> Row | None:
    if s.exchange is None:
        return None
    if s.kind == "request":
        return _begun(s, "provider", s.from_, "open" if heard.verdict == "taken" else "refused", heard=index)
    if heard.role == "response" and heard.verdict == "taken":
        return _ended(s, _outcome(s), heard=index)
    if heard.role == "response" and heard.verdict.startswith("refused:"):
        row = dict.fromkeys(_END) | {"outcome": "invalid", "reason": heard.verdict.partition(":")[2]}
        return row | {"exchange": s.exchange, "heard": index}
    return None


def _begun(
    s: Statement,
    role: str,
    peer: str | None,
    outcome: str,
    *,
    ended_ms: int | None = None,
    said: int | None = None,
    heard: int | None = None,
) -> Row:
    return {
        "exchange": s.exchange,
        "role": role,
        "peer": peer,
        "reference": s.reference,
        "client": s.client,
        "service": s.service,
        "method": s.method,
        "purpose": s.purpose,
        "issue": s.issue,
        "user": s.user.id if s.user else None,
        "agreement": s.agreement.id if s.agreement else None,
        "agreement_version": s.agreement.version if s.agreement else None,
        "begun_ms": s.issued_at,
        "ended_ms": ended_ms,
        "outcome": outcome,
        "reason": s.reason,
        "status": s.status,
        "said": said,
        "heard": heard,
    }


def _ended(s: Statement, outcome: str, *, said: int | None = None, heard: int | None = None) -> Row:
    return {
        "exchange": s.exchange,
        "ended_ms": s.issued_at,
        "outcome": outcome,
        "reason": s.reason,
        "status": s.status,
        "said": said,
        "heard": heard,
    }


def _outcome(s: Statement) -> str:
    if s.kind == "refusal":
        return "refused"
    return "granted" if s.status == 0 else "error"


def _take(rows: dict[str, Row], told: Row | None) -> None:
    """Fold what one leaf tells into the rows: the later wins, ``None`` changes nothing."""
    if told is None:
        return
    row = rows.setdefault(told["exchange"], told)
    if row is not told:
        row.update([(name, value) for name, value in told.items() if value is not None or name not in row])


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; absent values match all."""

    exchange: str | None = None
    issue: str | None = None
    client: str | None = None
    service: str | None = None
    method: str | None = None
    purpose: str | None = None
    outcome: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int = 1000


# What PostgreSQL's ON CONFLICT says SQLite understands, not the other way round.
_insert = insert(EXCHANGES)
_BEGIN: Final = _insert.on_conflict_do_update(
    index_elements=[EXCHANGES.c.exchange, EXCHANGES.c.log],
    set_={
        column.name: func.coalesce(_insert.excluded[column.name], column)
        for column in EXCHANGES.columns
        if not column.primary_key
    },
)
_CHANGE: Final = (
    update(EXCHANGES)
    .where(EXCHANGES.c.exchange == bindparam("exchange"), EXCHANGES.c.log == bindparam("log"))
    .values({name: func.coalesce(bindparam(name), EXCHANGES.c[name]) for name in _END})
)


def statements_for(dialect: Dialect) -> tuple[str, str]:
    """What begins a row and what changes one, for a driver that takes values by name.

    It gets a batch of rows as they are: SQLAlchemy would copy each for longer than SQLite takes to store it.
    """
    begin, change = (str(statement.compile(dialect=dialect)) for statement in (_BEGIN, _CHANGE))
    return begin, change


class ExchangeIndex:
    """The index in one SQLite file; it may be deleted at any time and is then built anew."""

    def __init__(self, path: Path) -> None:
        self._engine: Engine = create_engine(f"sqlite:///{path}", paramstyle="named")
        event.listen(self._engine, "connect", _tune)
        _metadata.create_all(self._engine)
        self._begin, self._change = statements_for(self._engine.dialect)

    def size(self, log: str) -> int:
        """How many leaves of ``log`` the index has taken in."""
        with self._engine.connect() as connection:
            found = connection.execute(select(_CURSORS.c.size).where(_CURSORS.c.log == log)).scalar()
        return int(found or 0)

    def add(self, log: str, leaves: Iterable[StoredLeaf]) -> int:
        """Take in further leaves of ``log``, in order, as one transaction; returns how many there are now.

        Keeps their rows until then, not the leaves.
        """
        rows: dict[str, Row] = {}
        stored = None
        for stored in leaves:
            _take(rows, row_of(stored))
        if stored is None:
            return self.size(log)
        for row in rows.values():
            row["log"] = log
        begun = [row for row in rows.values() if "role" in row]
        changed = [row for row in rows.values() if "role" not in row]
        size = stored.index + 1
        with self._engine.begin() as connection:
            if begun:
                connection.exec_driver_sql(self._begin, begun)
            if changed:
                connection.exec_driver_sql(self._change, changed)
            connection.execute(
                insert(_CURSORS)
                .values(log=log, size=size)
                .on_conflict_do_update(index_elements=[_CURSORS.c.log], set_={"size": size})
            )
        return size

    def search(self, wanted: Filter) -> list[dict[str, Any]]:
        """Rows that match, newest first; at most ``wanted.limit``."""
        columns = EXCHANGES.c
        conditions = [
            columns[name] == value
            for name in ("exchange", "issue", "client", "service", "method", "purpose", "outcome")
            if (value := getattr(wanted, name)) is not None
        ]
        if wanted.since_ms is not None:
            conditions.append(columns.begun_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            conditions.append(columns.begun_ms < wanted.until_ms)
        query = select(EXCHANGES).where(*conditions).order_by(columns.begun_ms.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(query.limit(min(wanted.limit, MAX_ROWS))).mappings()
            return [dict(row) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def _tune(connection: Any, _record: object) -> None:
    """The index can be rebuilt: it need not survive a power loss, only stay whole."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
