"""The SQL index over logs: one row per exchange and log, always rebuildable from the segments (DESIGN section 5).

Control feeds it behind the traffic, in batches. It finds things; it proves nothing. Nothing but this module of the
ledger knows SQL: workers never import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
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
from sqlalchemy.dialects.sqlite import insert

from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.statements import Statement, parse_statement
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
    Column("begun_ms", Integer, nullable=False),
    Column("ended_ms", Integer),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(64)),
    Column("status", Integer),
    Column("said", Integer),  # index of our own statement of the exchange: request or response
    Column("heard", Integer),  # index of our record of the peer's
)
_CURSORS: Final = Table(
    "cursors",
    _metadata,
    Column("log", String(64), primary_key=True),
    Column("size", Integer, nullable=False),
)
Index("exchanges_begun", EXCHANGES.c.begun_ms)
Index("exchanges_issue", EXCHANGES.c.issue)

OUTCOMES: Final = ("open", "granted", "error", "refused", "cancelled", "in_doubt", "invalid")


@dataclass(frozen=True, slots=True)
class Change:
    """What one leaf tells of one exchange; absent values leave the row as it is."""

    exchange: str
    values: dict[str, Any]


def change_of(stored: StoredLeaf) -> Change | None:
    """What a leaf of a log tells of an exchange; ``None`` for leaves that are about none."""
    leaf = parse_leaf(stored.leaf)
    if leaf.label == SAID:
        return _said(stored.index, parse_statement(leaf.body))
    if leaf.label != HEARD:
        return None
    heard = parse_heard(leaf.body)
    statement = next(
        (parse_statement(data) for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT), None
    )
    if statement is None or statement.exchange is None:
        return None
    return _heard(stored.index, heard.role, heard.verdict, statement)


def _said(index: int, s: Statement) -> Change | None:
    if s.exchange is None:
        return None
    if s.kind == "request":
        return Change(
            s.exchange, _facts(s) | {"role": "consumer", "peer": s.to, "outcome": "open", "said": index}
        )
    if s.to is None:
        ended = {"role": "consumer", "outcome": "refused", "ended_ms": s.issued_at}
        return Change(s.exchange, _facts(s) | ended | _end(s) | {"said": index})
    if s.kind in ("response", "refusal"):
        return Change(s.exchange, {"ended_ms": s.issued_at, "outcome": _outcome(s), "said": index} | _end(s))
    outcome = "in_doubt" if s.kind == "abandon" else "cancelled"
    return Change(s.exchange, {"ended_ms": s.issued_at, "outcome": outcome} | _end(s))


def _heard(index: int, role: str, verdict: str, s: Statement) -> Change | None:
    if s.exchange is None:
        return None
    if s.kind == "request":
        outcome = "open" if verdict == "taken" else "refused"
        row = {"role": "provider", "peer": s.from_, "outcome": outcome, "heard": index}
        return Change(s.exchange, _facts(s) | row)
    if role == "response" and verdict == "taken":
        return Change(s.exchange, {"ended_ms": s.issued_at, "outcome": _outcome(s), "heard": index} | _end(s))
    if role == "response" and verdict.startswith("refused:"):
        reason = verdict.partition(":")[2]
        return Change(s.exchange, {"outcome": "invalid", "reason": reason, "heard": index})
    return None


def _facts(s: Statement) -> dict[str, Any]:
    return {
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
    }


def _end(s: Statement) -> dict[str, Any]:
    return {"reason": s.reason, "status": s.status}


def _outcome(s: Statement) -> str:
    if s.kind == "refusal":
        return "refused"
    return "granted" if s.status == 0 else "error"


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


def _fold(leaves: Iterable[StoredLeaf]) -> dict[str, dict[str, Any]]:
    """What several leaves tell, by exchange: the later wins, absent values change nothing."""
    folded: dict[str, dict[str, Any]] = {}
    for change in filter(None, map(change_of, leaves)):
        row = folded.setdefault(change.exchange, {})
        row.update((name, value) for name, value in change.values.items() if value is not None)
    return folded


# One statement each for rows that begin and rows that change, so that a batch is one call of the driver: SQLAlchemy
# takes half a millisecond to make a statement of its own for each row. NULL leaves a column as it is.
_COLUMNS: Final = tuple(column.name for column in EXCHANGES.columns if not column.primary_key)
_BLANK: Final[dict[str, Any]] = dict.fromkeys(_COLUMNS)
_insert = insert(EXCHANGES).values(
    {"exchange": bindparam("key"), "log": bindparam("of")} | {name: bindparam(name) for name in _COLUMNS}
)
_BEGIN: Final = _insert.on_conflict_do_update(
    index_elements=[EXCHANGES.c.exchange, EXCHANGES.c.log],
    set_={name: func.coalesce(_insert.excluded[name], EXCHANGES.c[name]) for name in _COLUMNS},
)
_CHANGE: Final = (
    update(EXCHANGES)
    .where(EXCHANGES.c.exchange == bindparam("key"), EXCHANGES.c.log == bindparam("of"))
    .values({name: func.coalesce(bindparam(f"new_{name}"), EXCHANGES.c[name]) for name in _COLUMNS})
)


class ExchangeIndex:
    """The index in one SQLite file; it may be deleted at any time and is then built anew."""

    def __init__(self, path: Path) -> None:
        self._engine: Engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _tune)
        _metadata.create_all(self._engine)

    def size(self, log: str) -> int:
        """How many leaves of ``log`` the index has taken in."""
        with self._engine.connect() as connection:
            found = connection.execute(select(_CURSORS.c.size).where(_CURSORS.c.log == log)).scalar()
        return int(found or 0)

    def add(self, log: str, leaves: Sequence[StoredLeaf]) -> None:
        """Take in further leaves of ``log``, in order, as one transaction."""
        if not leaves:
            return
        begun: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for exchange, values in _fold(leaves).items():
            row = _BLANK | values
            if "role" in values:
                begun.append(row | {"key": exchange, "of": log})
            else:
                changed.append({f"new_{name}": row[name] for name in _COLUMNS} | {"key": exchange, "of": log})
        with self._engine.begin() as connection:
            if begun:
                connection.execute(_BEGIN, begun)
            if changed:
                connection.execute(_CHANGE, changed)
            cursor = {"log": log, "size": leaves[-1].index + 1}
            connection.execute(
                insert(_CURSORS)
                .values(cursor)
                .on_conflict_do_update(index_elements=[_CURSORS.c.log], set_={"size": cursor["size"]})
            )

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


def rows_of(leaves: Iterable[StoredLeaf]) -> dict[str, dict[str, Any]]:
    """The same rows in memory, by exchange, for a log that is read without an index."""
    rows: dict[str, dict[str, Any]] = {}
    for change in filter(None, map(change_of, leaves)):
        rows.setdefault(change.exchange, {"exchange": change.exchange}).update(change.values)
    return rows


def _tune(connection: Any, _record: object) -> None:
    """The index can be rebuilt: it need not survive a power loss, only stay whole."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
