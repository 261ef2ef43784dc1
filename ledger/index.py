"""The SQL index over logs: one row per request statement and log, rebuilt from the segments at will (DESIGN section 5).

A row is known by the leaf hash of its request, which every answer and ending names; a refusal at one's own gateway by
its own. The exchange id is what the consumer's gateway calls it: a peer may use one twice, and that makes two rows.

Control feeds it behind the traffic, in batches. It finds things; it proves nothing. Nothing but this module of the
ledger knows SQL: workers never import it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
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

from core.frames import RECEIPT_BODY, MalformedFrameRecordError, ReceiptRecord, receipt_under
from core.leaves import HEARD, SAID, MalformedLeafError, Role
from core.merkle import leaf_hash
from core.payloads import PAYLOAD_OVERHEAD, SALT_BYTES
from core.reasons import Code
from core.statements import Kind
from core.streams import count_messages, is_handing_unknown
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from ledger.vault import BODY_OVERHEAD

MAX_ROWS: Final = 10_000
# What a database holds; a log may be anybody's, and older statements may name more.
_MAX_SQL_INTEGER: Final = 2**63 - 1

# Counts up with every change of the tables, or of what ``row_of`` tells: a file of another one is made anew.
SCHEMA: Final = 8


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
_OTHERS: Final = b""
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

OUTCOMES: Final = (
    "open",
    "granted",
    "error",
    "refused",
    "cancelled",
    "in_doubt",
    "invalid",
    "not_taken",
    "taken",
    "lost",
)


# Values of one request by column. A row that begins one has all columns but ``log``, one that goes on with it has
# ``request``, ``exchange`` and what its end brings; if it was refused as an answer, what it says of its exchange is
# nobody's word, and is left out. A late answer has a ``peer`` beside, who must be the one that was asked. What a peer
# says became of a request in doubt has no ``exchange``: it names the request alone. A segment of a stream that neither
# begins nor ends it has no ``outcome``: it only counts.
Row = dict[str, Any]
_PLACES: Final = ("said", "heard")
COUNTS: Final = (
    "asked_segments",
    "asked_messages",
    "asked_bytes",
    "answered_segments",
    "answered_messages",
    "answered_bytes",
)
HANDED: Final = ("asked_handed", "answered_handed", "asked_uncertain", "answered_uncertain")
# By direction: its segments, messages and bytes, how many segments of it were handed on, and whether that is the least.
_COLUMNS_OF: Final = {
    "asked": (*COUNTS[:3], "asked_handed", "asked_uncertain"),
    "answered": (*COUNTS[3:], "answered_handed", "answered_uncertain"),
}
_NO_COUNTS: Final[Row] = dict.fromkeys(COUNTS, 0) | dict.fromkeys(HANDED)
_END: Final = ("ended_ms", "outcome", "reason", "status")
# What the provider's program answered stays: a peer that logs the same request twice cannot cover it (ADR 0013).
_RANK: Final = {"error": 1, "granted": 2}
# An exchange is in doubt as long as nothing is known of its end; whatever is known already stays (PROTOCOL M4, M5).
_UNKNOWN_END: Final = ("open", "in_doubt")
_SETTLED: Final = ("not_taken", "taken", "lost")


class _Agreement(msgspec.Struct, frozen=True):
    id: str
    version: int


class _Statement(msgspec.Struct, frozen=True):
    """The part of a ``Statement`` that stands in a row."""

    kind: Kind
    to: str | None
    exchange: str | None
    client: str | None
    service: str | None
    method: str | None
    purpose: str | None
    issue: str | None
    agreement: _Agreement | None
    issued_at: int
    request: str | None
    status: int | None
    reason: str | None
    heard: int | None
    delivery: str | None
    sequence: int
    final: bool
    payloads: list[msgspec.Raw]
    from_: str = msgspec.field(name="from")


class _Annex(msgspec.Struct, frozen=True):
    """The part of an ``Annex`` that is searched for."""

    complete: bool
    pseudonyms: list[str]


class _Heard(msgspec.Struct, frozen=True):
    """The part of a ``Heard`` that stands in a row."""

    role: Role
    log: str
    leaf: str
    verdict: str


_RECEIPT_KIND: Final = AttachmentKind.RECEIPT
_STATEMENT_KIND: Final = AttachmentKind.STATEMENT
_ANNEX_KIND: Final = AttachmentKind.ANNEX
_statements = msgspec.json.Decoder(_Statement)
_records = msgspec.json.Decoder(_Heard)
_annexes = msgspec.json.Decoder(_Annex)


def row_of(stored: StoredLeaf) -> Row | None:
    """What a leaf of our own log tells of a request; ``None`` for leaves that tell of none.

    Our worker checked every byte before it wrote them, the peer's too, and the reader checked that they are the same:
    they are decoded here, not judged again.

    Raises:
        MalformedLeafError: It cannot be decoded.
    """
    try:
        label, _, body = stored.leaf.split(b"\n", 2)
        if label == SAID:
            return _said(stored, _statements.decode(body))
        if label == HEARD:
            heard = _records.decode(body)
            for kind, data in stored.attachments:
                if kind is _STATEMENT_KIND:
                    return _heard(stored, heard, _statements.decode(data))
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedLeafError(f"leaf {stored.index}: {str(error)[:120]!a}") from None
    return None


def _said(stored: StoredLeaf, s: _Statement) -> Row | None:
    if s.exchange is None:
        return None
    index = stored.index
    if s.kind == "request":
        counts = _counts("asked", s, stored.body_bytes)
        if s.request is not None:
            return _progress(s, counts)
        return _begun(leaf_hash(stored.leaf), s, "consumer", "open", counts, said=index)
    if s.kind == "refusal" and s.to is None:
        return _begun(leaf_hash(stored.leaf), s, "consumer", "refused", {}, ended_ms=s.issued_at, said=index)
    if s.request is None or s.kind == "outcome":
        return None  # the latter of a request that this log never heard: there is no row of it here
    if s.kind == "response":
        return _answered(s, _counts("answered", s, stored.body_bytes), said=index)
    if s.kind == "refusal":
        return _ended(s, _outcome(s), _handed_on("asked", s), said=index)
    return _ended(s, "in_doubt" if s.kind == "abandon" else "cancelled", _handed_on("answered", s))


def _heard(stored: StoredLeaf, heard: _Heard, s: _Statement) -> Row | None:
    index, is_taken = stored.index, heard.verdict == "taken"
    if s.kind == "outcome" and s.request is not None:
        # ``taken``: the worker asked this very question of this very peer, or of the log that succeeded its.
        return _settled(bytes.fromhex(s.request), s, index) if is_taken else None
    if s.exchange is None:
        return None
    if s.kind == "request":
        counts = _counts("asked", s, stored.body_bytes) if is_taken else {}
        if s.request is not None:
            return _progress(s, counts) if is_taken else None
        begun = _begun(bytes.fromhex(heard.leaf), s, "provider", "open", counts, heard=index)
        return begun if is_taken else begun | {"outcome": "refused"}
    if s.request is None:
        return None
    if heard.role != "response":
        # The consumer's gateway ended it: how much of the answer its program has is its word alone.
        return _progress(s, _handed_on("answered", s)) if is_taken else None
    # Ours to answer: the worker judges only answers of the very peer that was asked, all others come ``late``.
    if heard.verdict == "late":
        if s.kind == "response" and not s.final:
            return None
        return _ended(s, _outcome(s), _handed_on("asked", s), heard=index) | {"peer": heard.log}
    if is_taken and s.kind == "response":
        return _answered(s, _counts("answered", s, stored.body_bytes), heard=index)
    if is_taken:
        return _ended(s, _outcome(s), _handed_on("asked", s), heard=index)
    if heard.verdict.startswith("refused:"):
        row = dict.fromkeys((*_END, *_PLACES)) | _NO_COUNTS
        reason = heard.verdict.partition(":")[2]
        return row | {
            "request": bytes.fromhex(s.request),
            "outcome": "invalid",
            "reason": reason,
            "heard": index,
        }
    return None


def subjects_of(stored: StoredLeaf) -> list[Row]:
    """Whom a record is about, by request; for a leaf with an annex.

    Raises:
        MalformedLeafError: It cannot be decoded.
    """
    beside = dict(stored.attachments)
    try:
        found = _annexes.decode(beside[_ANNEX_KIND][SALT_BYTES:])
        s = _statements.decode(beside[_STATEMENT_KIND])
        heard = _records.decode(stored.leaf.split(b"\n", 2)[2])
        about = [bytes.fromhex(one) for one in found.pseudonyms] + ([] if found.complete else [_OTHERS])
        named = {"request": bytes.fromhex(s.request or heard.leaf), "exchange": s.exchange or ""}
    except (msgspec.MsgspecError, ValueError, LookupError) as error:
        raise MalformedLeafError(f"annex of leaf {stored.index}: {str(error)[:120]!a}") from None
    return [named | {"pseudonym": one} for one in about]


def _counts(way: str, s: _Statement, body_bytes: int) -> Row:
    """What a segment that was said or taken here adds to its direction."""
    messages = count_messages(s.kind, s.sequence, len(s.payloads), final=s.final)
    kept = body_bytes - BODY_OVERHEAD - PAYLOAD_OVERHEAD * len(s.payloads)
    segments, messages_of, bytes_of, *_ = _COLUMNS_OF[way]
    return {segments: 1, messages_of: messages, bytes_of: max(0, kept)}


def _handed_on(way: str, s: _Statement) -> Row:
    """How many segments of the other direction were handed on, as an answer, a refusal or an ending says.

    Or that nobody knows: then what was said before is the least.
    """
    *_, handed, uncertain = _COLUMNS_OF[way]
    if s.delivery == "not_sent" and s.kind == "refusal":
        return {handed: 0}
    if s.heard is not None:
        return {handed: min(s.heard + 1, _MAX_SQL_INTEGER)}
    if is_handing_unknown(s.kind, s.reason, s.heard, s.delivery):
        return {uncertain: 1}
    return {handed: 0} if s.kind in ("cancel", "deadline", "abandon") else {}


def _begun(
    request: bytes,
    s: _Statement,
    role: str,
    outcome: str,
    counts: Row,
    *,
    ended_ms: int | None = None,
    said: int | None = None,
    heard: int | None = None,
) -> Row:
    return {
        "request": request,
        "exchange": s.exchange,
        "role": role,
        "client": s.client,
        "service": s.service,
        "method": s.method,
        "purpose": s.purpose,
        "issue": s.issue,
        "agreement": s.agreement.id if s.agreement else None,
        "agreement_version": s.agreement.version if s.agreement else None,
        "begun_ms": s.issued_at,
        "ended_ms": ended_ms,
        "outcome": outcome,
        "reason": s.reason,
        "status": s.status,
        "said": said,
        "heard": heard,
        "peer": s.to if role == "consumer" else s.from_,
        **_NO_COUNTS,
        **counts,
    }


def _answered(s: _Statement, counts: Row, *, said: int | None = None, heard: int | None = None) -> Row:
    """A segment of the answer: the final one ends the call, the others leave it open."""
    counts = counts | _handed_on("asked", s)
    if s.final:
        return _ended(s, _outcome(s), counts, said=said, heard=heard)
    return _progress(s, counts) | {"said": said, "heard": heard}


def _progress(s: _Statement, counts: Row) -> Row:
    return {
        "request": bytes.fromhex(s.request or ""),
        "exchange": s.exchange,
        "said": None,
        "heard": None,
        **_NO_COUNTS,
        **counts,
    }


def _ended(
    s: _Statement, outcome: str, counts: Row, *, said: int | None = None, heard: int | None = None
) -> Row:
    return {
        "request": bytes.fromhex(s.request or ""),
        "exchange": s.exchange,
        "ended_ms": s.issued_at,
        "outcome": outcome,
        "reason": s.reason,
        "status": s.status,
        "said": said,
        "heard": heard,
        **_NO_COUNTS,
        **counts,
    }


def _settled(request: bytes, s: _Statement, heard: int) -> Row:
    """What a peer says became of a request in doubt; it is final (PROTOCOL M4)."""
    # Taken: it answered, and the answer went astray. Lost: it misses the leaves that would tell.
    outcome = "not_taken" if s.delivery == "not_sent" else "lost" if s.heard is None else "taken"
    row: Row = dict.fromkeys((*_END, *_PLACES)) | _NO_COUNTS
    return row | {"request": request, "ended_ms": s.issued_at, "outcome": outcome, "heard": heard}


def reason_of(reason: str | None, status: int | None) -> str | None:
    """Why an exchange ended as it did: a reason of the layer, else the code that the provider's program answered."""
    return reason or _CODES.get(status or 0)


_CODES: Final = {int(code): code.name for code in Code if code is not Code.OK}


def _outcome(s: _Statement) -> str:
    if s.kind == "refusal":
        return "refused"
    return "granted" if s.status == 0 else "error"


def tell(row: Row, told: Row) -> None:
    """Change a row by what a further leaf tells of the same request.

    The later end wins, but what the provider's program answered stays; so does the leaf at which a request stands first.
    A doubt covers nothing that is known, and only the very peer that was asked resolves one. An answer that was refused
    ends what was open and nothing else. What was said or taken counts, whatever the end.
    """
    if is_progress(told):
        _count(row, told)
        row["said"], row["heard"] = _later(told["said"], row["said"]), _later(told["heard"], row["heard"])
        return
    resolves = _resolves(told)
    if not _is_told(row, told, resolves=resolves):
        if not resolves:
            _count(row, told)
        return
    is_begin = "role" in told
    for name in _PLACES:
        if told[name] is None or (is_begin and row[name] is not None):
            told[name] = row[name]
    if "exchange" in row:
        told["exchange"] = row["exchange"]
    _count(told, row)
    row.update(told)


def _is_told(row: Row, told: Row, *, resolves: bool) -> bool:
    """Whether ``told`` changes the end of a row."""
    if row["outcome"] == "open" and not resolves:
        return True  # whatever it is: most end so
    if _RANK.get(told["outcome"], 0) < _RANK.get(row["outcome"], 0):
        return False
    if (resolves or told["outcome"] == "in_doubt") and row["outcome"] not in _UNKNOWN_END:
        return False
    if told["outcome"] == "invalid" and row["outcome"] != "open":
        return False
    return not (resolves and "peer" in told and row.get("peer") != told["peer"])


def _later(told: int | None, before: int | None) -> int | None:
    return before if told is None else told


def is_progress(told: Row) -> bool:
    """Whether a leaf tells of a segment that neither begins nor ends its call, or how far one was handed on."""
    return "outcome" not in told


def _count(row: Row, other: Row) -> None:
    """Add what ``other`` counts. What was handed on only rises: whichever says more was said later."""
    for name in COUNTS:
        if other[name]:
            row[name] += other[name]
    for name in HANDED:
        if other[name] is not None and (row[name] is None or other[name] > row[name]):
            row[name] = other[name]


def _resolves(told: Row) -> bool:
    """Whether it came when nobody waited any more: a late answer, or what the peer says became of the request."""
    if is_progress(told):
        return False
    return "role" not in told and ("peer" in told or told["outcome"] in _SETTLED)


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
        {name: _insert.excluded[name] for name in _END}
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
    name: func.coalesce(bindparam(name), EXCHANGES.c[name]) for name in _PLACES
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
            {name: bindparam(name, type_=EXCHANGES.c[name].type) for name in _END} | _new_places,
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
    .values({name: bindparam(name) for name in (*_END, "heard")})
    .values({name: _new_counts[name] for name in ("asked_handed", "asked_uncertain")})
)
_SETTLE: Final = (
    update(EXCHANGES)
    .where(EXCHANGES.c.request == bindparam("request"), EXCHANGES.c.log == bindparam("log"), _IS_UNKNOWN)
    .values({name: bindparam(name) for name in (*_END, "heard")})
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
        """
        batch = _Batch()
        size = known = self.size(log)
        for stored in leaves:
            if stored.index >= known:
                batch.take(stored)
                size = stored.index + 1
        if size == known:
            return known
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
            kinds = (list(batch.counted.values()), *_by_kind(batch.rows.values()))
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
        return size

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
            about = about.where(SUBJECTS.c.pseudonym.in_((*wanted.subjects, _OTHERS)))
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


class _Batch:
    """What some leaves tell, request by request."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        # Segments of streams that began in an earlier batch, and that end nothing.
        self.counted: dict[bytes, Row] = {}
        # Late answers to requests whose peer stands in the file only, and what peers say became of such requests.
        self.resolving: list[Row] = []
        # Whom records are about.
        self.subjects: list[Row] = []
        # Receipts of requests of ours, as they lie in the log: hardly any outlives the answer that comes with it.
        self._receipts: dict[bytes, bytes] = {}

    def receipts(self) -> Iterator[Row]:
        """Those that did not come with an answer."""
        for data in self._receipts.values():
            # The worker checked it; what cannot be told here, ``audit list`` tells with its reason.
            with suppress(MalformedFrameRecordError, msgspec.MsgspecError, ValueError):
                record = ReceiptRecord.decode(data)
                yield {"said": record.said, "verdict": _records.decode(record.body).verdict}

    def take(self, stored: StoredLeaf) -> None:
        """Take in one more leaf; raises ``MalformedLeafError``."""
        for kind, data in stored.attachments:
            if kind is _RECEIPT_KIND and (asked := _request_of(data)) is not None:
                self._receipts[asked] = data
            elif kind is _ANNEX_KIND:
                self.subjects += subjects_of(stored)
        told = row_of(stored)
        if told is None:
            return
        request = told["request"]
        receipt = self._receipts.get(request)
        if receipt is not None and _under(receipt) in stored.leaf:
            del self._receipts[request]  # it came with the answer, which tells more
        row = self.rows.get(request)
        is_begun = row is not None and "role" in row
        if is_progress(told) and not is_begun:
            counted = self.counted.setdefault(request, told)
            if counted is not told:
                tell(counted, told)
        elif _resolves(told) and not is_begun:
            self.resolving.append(told)
        elif row is None:
            self.rows[request] = told
        else:
            tell(row, told)


def _request_of(receipt: bytes) -> bytes | None:
    """The request of ours that a receipt is about, by its leaf hash; ``None`` where it is about an answer.

    Read where it stands: a ``heard`` leaf is written in one way only (PROTOCOL M15), and the worker compared it.
    """
    if not receipt.startswith(_OF_A_REQUEST, RECEIPT_BODY):
        return None
    at = receipt.find(_LEAF_FIELD, RECEIPT_BODY) + len(_LEAF_FIELD)
    try:
        found = bytes.fromhex(receipt[at : at + 64].decode("ascii"))
    except ValueError:
        return None
    return found if len(found) == 32 else None


# As the bodies of ``heard`` leaves are written.
_OF_A_REQUEST: Final = b'{"v":1,"role":"request",'
_LEAF_FIELD: Final = b'"leaf":"'


def _under(receipt: bytes) -> bytes:
    """What a ``heard`` leaf says of the head that a receipt came with."""
    return b'"head":"%s"' % receipt_under(receipt).hex().encode("ascii")


def _by_kind(rows: Iterable[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Those that begin, those that go on, those that were refused as answers."""
    begun: list[Row] = []
    changed: list[Row] = []
    refused: list[Row] = []
    for row in rows:
        (begun if "role" in row else changed if "exchange" in row else refused).append(row)
    return begun, changed, refused


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
