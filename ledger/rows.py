"""What the leaves of a log tell of exchanges, one row per request: what the index holds, and ``audit list`` reads alone.

A row is known by the leaf hash of its request, which every answer and ending names; a refusal at one's own gateway by
its own. Leaves are taken in the order of the log: ``row_of`` says what one tells, ``tell`` adds it to what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from core.frames import RECEIPT_BODY, MalformedFrameRecordError, ReceiptRecord, receipt_under
from core.leaves import HEARD, SAID, MalformedLeafError, Role
from core.merkle import leaf_hash
from core.payloads import PAYLOAD_OVERHEAD
from core.pseudonyms import annex_beside
from core.reasons import Code
from core.statements import Kind
from core.streams import count_messages, is_handing_unknown
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from ledger.vault import BODY_OVERHEAD

# What a database holds; a log may be anybody's, and older statements may name more.
_MAX_SQL_INTEGER: Final = 2**63 - 1
# A pseudonym of nobody: there are, or may be, more persons than are named.
OTHERS: Final = b""

# Values of one request by column. A row that begins one has all columns but ``log``, one that goes on with it has
# ``request``, ``exchange`` and what its end brings; if it was refused as an answer, what it says of its exchange is
# nobody's word, and is left out. A late answer has a ``peer`` beside, who must be the one that was asked. What a peer
# says became of a request in doubt has no ``exchange``: it names the request alone. A segment of a stream that neither
# begins nor ends it has no ``outcome``: it only counts.
Row = dict[str, Any]
PLACES: Final = ("said", "heard")
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
END: Final = ("ended_ms", "outcome", "reason", "status")
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


class _Heard(msgspec.Struct, frozen=True):
    """The part of a ``Heard`` that stands in a row."""

    role: Role
    log: str
    leaf: str
    verdict: str
    annex: str | None


_RECEIPT_KIND: Final = AttachmentKind.RECEIPT
_STATEMENT_KIND: Final = AttachmentKind.STATEMENT
_ANNEX_KIND: Final = AttachmentKind.ANNEX
_statements = msgspec.json.Decoder(_Statement)
_records = msgspec.json.Decoder(_Heard)


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
        row = dict.fromkeys((*END, *PLACES)) | _NO_COUNTS
        reason = heard.verdict.partition(":")[2]
        return row | {
            "request": bytes.fromhex(s.request),
            "outcome": "invalid",
            "reason": reason,
            "heard": index,
        }
    return None


def subjects_of(stored: StoredLeaf) -> list[Row]:
    """Whom a record is about, by request: nobody, of a leaf that commits to no annex.

    Raises:
        MalformedLeafError: What lies beside it is not the one annex that it commits to. It may be about anybody: whoever
            is looked for must not be missed without a word.
    """
    annexes = [data for kind, data in stored.attachments if kind is _ANNEX_KIND]
    if not annexes and _names_nobody(stored.leaf):
        return []
    try:
        heard = _records.decode(stored.leaf.split(b"\n", 2)[2])
        found = annex_beside(heard.annex, annexes)
        if found is None:
            return []
        s = _statements.decode(dict(stored.attachments)[_STATEMENT_KIND])
        about = [bytes.fromhex(one) for one in found.pseudonyms] + ([] if found.complete else [OTHERS])
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
    row: Row = dict.fromkeys((*END, *PLACES)) | _NO_COUNTS
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
    for name in PLACES:
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


class Batch:
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
        """Take in one more leaf, or nothing of it.

        Raises:
            MalformedLeafError: It cannot be decoded, or lacks the annex that it commits to.
        """
        subjects, told = subjects_of(stored), row_of(stored)
        self.subjects += subjects
        for kind, data in stored.attachments:
            if kind is _RECEIPT_KIND and (asked := _request_of(data)) is not None:
                self._receipts[asked] = data
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
_NO_ANNEX: Final = b'"annex":null}'


def _names_nobody(leaf: bytes) -> bool:
    """Whether a leaf commits to no annex; read where it stands, as ``_request_of`` reads."""
    return not leaf.startswith(HEARD) or leaf.endswith(_NO_ANNEX)


def _under(receipt: bytes) -> bytes:
    """What a ``heard`` leaf says of the head that a receipt came with."""
    return b'"head":"%s"' % receipt_under(receipt).hex().encode("ascii")


def by_kind(rows: Iterable[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Those that begin, those that go on, those that were refused as answers."""
    begun: list[Row] = []
    changed: list[Row] = []
    refused: list[Row] = []
    for row in rows:
        (begun if "role" in row else changed if "exchange" in row else refused).append(row)
    return begun, changed, refused
