"""The Log of the admin API: finding exchanges, heads, proofs, and the parts of evidence.

Searches come from the index and prove nothing. Heads and proofs come from the segments, and whoever gets them
can check them against each other without believing this process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import grpc

from core.frames import ReceiptRecord, receipt_about
from core.identifiers import require_exchange_id
from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.reasons import ExchangeError, Reason
from core.statements import parse_statement
from core.streams import is_segment
from gateway.control.index import Indexer
from gateway.control.logbook import LogBook, Proof, SignedHead, WorkerLog
from gateway.control.services import RoleCheck, timestamp
from ledger.index import ExchangeIndex, Filter, Place, place_of
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from ledger.rows import Row, reason_of
from passerelle.gateway.v1 import log_pb2, log_pb2_grpc

# Gathers the evidence of an exchange, with bodies or without, under a mandate, for a purpose: parts by path.
# Raises ExchangeError.
EvidenceGatherer = Callable[[str, bool, str, str], Iterable[tuple[str, bytes]]]

_DEFAULT_PAGE: Final = 100
_MAX_PAGE: Final = 1000
_PSEUDONYM_BYTES: Final = 32
# Of one person: her numbers, under the keys of as many years as statements are kept.
_MAX_PSEUDONYMS: Final = 512
# Requests of one exchange id that are shown; honest gateways make one.
_MAX_REQUESTS: Final = 20
_TOKEN: Final = re.compile(r"([0-9]{1,15})\.([0-9a-f]{64})\.([0-9]{1,9})")
_PIECE_BYTES: Final = 64 * 1024
# Behind each known leaf of a request so many more are looked at: a receipt is committed about a second after what it
# answers at most, and what ends a call stands together.
_WINDOW: Final = 4096
# So many windows are looked at in one answer: those of one request. A peer that asks many times under one exchange id
# shares them out among its own requests.
_WINDOWS: Final = 3
# What the peer wrote ended a call by the peer's clock.
_CLOCKS_APART_MS: Final = 2_000
# Leaves that tell no time of ours in a row.
_UNTIMED: Final = 64
# Own leaves of one request that are shown from its begin, and from its end.
_MAX_LEAVES: Final = 100

_OUTCOMES: Final = {
    "granted": log_pb2.EXCHANGE_OUTCOME_GRANTED,
    "refused": log_pb2.EXCHANGE_OUTCOME_REFUSED,
    "error": log_pb2.EXCHANGE_OUTCOME_ERROR,
    "open": log_pb2.EXCHANGE_OUTCOME_OPEN,
    "in_doubt": log_pb2.EXCHANGE_OUTCOME_IN_DOUBT,
    "cancelled": log_pb2.EXCHANGE_OUTCOME_CANCELLED,
    "invalid": log_pb2.EXCHANGE_OUTCOME_INVALID,
    "not_taken": log_pb2.EXCHANGE_OUTCOME_NOT_TAKEN,
    "taken": log_pb2.EXCHANGE_OUTCOME_TAKEN,
    "lost": log_pb2.EXCHANGE_OUTCOME_LOST,
}
_OUTCOME_NAMES: Final = {number: name for name, number in _OUTCOMES.items()}
_SIDES: Final = {"consumer": log_pb2.SIDE_CONSUMER, "provider": log_pb2.SIDE_PROVIDER}


class LogServicer(log_pb2_grpc.LogServiceServicer):
    """Reads the logs of a gateway."""

    def __init__(
        self,
        book: LogBook,
        index: ExchangeIndex,
        indexer: Indexer,
        gather: EvidenceGatherer,
        check: RoleCheck,
    ) -> None:
        self._book = book
        self._index = index
        self._indexer = indexer
        self._gather = gather
        self._check = check

    def Search(self, request: log_pb2.SearchRequest, context: grpc.ServicerContext) -> log_pb2.SearchResponse:
        """Requests that match, newest first. A page begins behind the last row of the one before, whatever came since."""
        self._check(context)
        size, after = _page(request)
        rows = self._index.search(_filter(request, after, limit=size + 1))
        more = len(rows) > size
        return log_pb2.SearchResponse(
            exchanges=map(_exchange, rows[:size]),
            next_page_token=_token(place_of(rows[size - 1])) if more else "",
            indexed=[
                log_pb2.IndexedLog(log=log, size=count)
                for log, count in sorted(self._indexer.indexed.items())
            ],
        )

    def GetExchange(
        self, request: log_pb2.GetExchangeRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetExchangeResponse:
        """One exchange, request by request, entry by entry."""
        self._check(context)
        exchange_id = require_exchange_id(request.exchange_id)
        rows, count = self._index.requests_of(exchange_id, _MAX_REQUESTS)
        if not rows:
            raise ExchangeError(
                Reason.NOT_FOUND, f"exchange {exchange_id} is not in the index of this gateway"
            )
        exchanges, entries = [], []
        looks = _Looks()
        for number, row in enumerate(rows):
            log = self._book.require(row["log"])
            found = _found(log, row, looks)
            exchange = _exchange(row)
            exchange.door = found.door
            exchanges.append(exchange)
            for entry in _entries(log, found):
                entry.row = number
                entries.append(entry)
        return log_pb2.GetExchangeResponse(exchanges=exchanges, entries=entries, further=count - len(rows))

    def GetHead(
        self, request: log_pb2.GetHeadRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetHeadResponse:
        """Newest signed heads."""
        self._check(context)
        logs = [self._book.require(request.log)] if request.log else self._book.logs
        return log_pb2.GetHeadResponse(heads=[_head(log.head) for log in logs if log.head is not None])

    def GetProof(
        self, request: log_pb2.GetProofRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetProofResponse:
        """A proof of inclusion or of consistency."""
        self._check(context)
        log = self._book.require(request.log)
        match request.WhichOneof("proof"):
            case "inclusion":
                proof = log.prove_inclusion(request.inclusion.index, request.inclusion.size)
                return _proof(log, proof, leaf_hash=proof.start)
            case "consistency":
                proof = log.prove_consistency(request.consistency.size1, request.consistency.size2)
                return _proof(log, proof, root1=proof.start)
            case _:
                raise ExchangeError(Reason.DOCUMENT_INVALID, "neither inclusion nor consistency is asked for")

    def GetEvidence(
        self, request: log_pb2.GetEvidenceRequest, context: grpc.ServicerContext
    ) -> Iterator[log_pb2.GetEvidenceResponse]:
        """The parts of the evidence of one exchange, in pieces."""
        self._check(context)
        parts = self._gather(
            require_exchange_id(request.exchange_id), request.with_bodies, request.mandate, request.purpose
        )
        for path, data in parts:
            yield log_pb2.GetEvidenceResponse(path=path, data=data[:_PIECE_BYTES])
            for start in range(_PIECE_BYTES, len(data), _PIECE_BYTES):
                yield log_pb2.GetEvidenceResponse(data=data[start : start + _PIECE_BYTES])


def _page(request: log_pb2.SearchRequest) -> tuple[int, Place | None]:
    """Size of the page that is asked for, and the row that it follows."""
    if not 0 <= request.page_size <= _MAX_PAGE:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"page_size must be 0 to {_MAX_PAGE}")
    size = request.page_size or _DEFAULT_PAGE
    if not request.page_token:
        return size, None
    found = _TOKEN.fullmatch(request.page_token)
    if found is None:
        raise ExchangeError(Reason.DOCUMENT_INVALID, "page_token is not one that this service gave")
    begun, requested, log = found.groups()
    return size, (int(begun), bytes.fromhex(requested), int(log))


def _token(place: Place) -> str:
    begun, request, log = place
    return f"{begun}.{request.hex()}.{log}"


def _filter(request: log_pb2.SearchRequest, after: Place | None, *, limit: int) -> Filter:
    return Filter(
        exchange=request.exchange_id or None,
        issue=request.issue or None,
        client=request.client or None,
        service=request.service or None,
        method=request.method or None,
        purpose=request.purpose or None,
        outcome=_OUTCOME_NAMES.get(request.outcome),
        since_ms=getattr(request, "from").ToMilliseconds() if request.HasField("from") else None,
        until_ms=request.until.ToMilliseconds() if request.HasField("until") else None,
        subjects=_pseudonyms(request.subject_pseudonyms),
        after=after,
        limit=limit,
    )


def _pseudonyms(given: Sequence[bytes]) -> tuple[bytes, ...]:
    """Each has the length of one, so that no number is taken for one and looked for in vain."""
    if len(given) > _MAX_PSEUDONYMS or any(len(one) != _PSEUDONYM_BYTES for one in given):
        raise ExchangeError(
            Reason.DOCUMENT_INVALID,
            f"subject_pseudonyms: at most {_MAX_PSEUDONYMS}, {_PSEUDONYM_BYTES} bytes each",
        )
    return tuple(given)


def _exchange(row: Row) -> log_pb2.Exchange:
    found = [index for index in (row["said"], row["heard"]) if index is not None]
    ended = timestamp(row["ended_ms"]) if row["ended_ms"] is not None else None
    is_in_doubt = row["outcome"] == "in_doubt"
    return log_pb2.Exchange(
        exchange_id=row["exchange"],
        side=_SIDES[row["role"]],
        client=row["client"] or "",
        service=row["service"] or "",
        method=row["method"] or "",
        purpose=row["purpose"] or "",
        issue=row["issue"] or "",
        agreement=row["agreement"] or "",
        agreement_version=row["agreement_version"] or 0,
        outcome=_OUTCOMES[row["outcome"]],
        reason=reason_of(row["reason"], row["status"]) or "",
        status=row["status"] or 0,
        requested_at=timestamp(row["begun_ms"]),
        answered_at=None if is_in_doubt else ended,
        log=row["log"],
        first_index=min(found, default=0),
        request_hash=row["request"].hex(),
        peer=row["peer"] or "",
        receipt=row["receipt"] or "",
        in_doubt_since=ended if is_in_doubt else None,
        asked=_direction(row, "asked"),
        answered=_direction(row, "answered"),
    )


def _direction(row: Row, way: str) -> log_pb2.Direction:
    return log_pb2.Direction(
        segments=row[f"{way}_segments"],
        messages=row[f"{way}_messages"],
        bytes=row[f"{way}_bytes"],
        handed=row[f"{way}_handed"],
        handed_uncertain=bool(row[f"{way}_uncertain"]),
    )


def _entries(log: WorkerLog, found: _Found) -> Iterator[log_pb2.ExchangeEntry]:
    """Our own leaves of a request in their order, and beside each what the peer said or heard."""
    places = sorted(found.places)
    kept = places if len(places) <= 2 * _MAX_LEAVES else [*places[:_MAX_LEAVES], *places[-_MAX_LEAVES:]]
    for index in kept:
        stored = log.at(index)
        leaf = parse_leaf(stored.leaf)
        entry = log_pb2.ExchangeEntry(log=log.log_id, index=index, leaf_hash=log.leaf_hash(index).hex())
        if leaf.label == HEARD:
            heard = parse_heard(leaf.body)
            entry.label, entry.kind = "heard", heard.verdict
            yield entry
            yield from _peer_statement(stored, heard.log, heard.index, heard.leaf)
        else:
            statement = parse_statement(leaf.body)
            entry.label, entry.kind = "said", statement.kind
            entry.issued_at.CopyFrom(timestamp(statement.issued_at))
            if is_segment(statement):
                entry.sequence = statement.sequence
            if statement.cut is not None:
                entry.fields_cut = statement.cut.count
            yield entry
            if statement.to is not None and index in found.receipts:
                yield _receipt(found.receipts[index], statement.to)


class _Looks:
    """Leaves that are looked at for one answer, beyond those that the index names: all its requests share them."""

    def __init__(self) -> None:
        self.left = _WINDOWS * _WINDOW

    def through(self, log: WorkerLog, indexes: Iterable[int]) -> Iterator[StoredLeaf]:
        """One leaf after the other, as many as are left."""
        for index in islice(indexes, self.left):
            self.left -= 1
            yield log.at(index)


class _Found:
    """What was found of a request: its leaves, the peer's receipts of what we said, and whether that is all."""

    def __init__(self, row: Row) -> None:
        self._request = row["request"].hex().encode("ascii")
        self._segments = row["asked_segments"] + row["answered_segments"]
        self._is_answered = False
        self._unreceipted: set[int] = set()
        self.places: set[int] = set()
        self.receipts: dict[int, bytes] = {}
        self.door = ""

    @property
    def is_whole(self) -> bool:
        """Whether it was answered to its end, every segment is here, and the peer's receipt of each that we said."""
        return self._is_answered and self._segments <= 0 and self._unreceipted <= self.receipts.keys()

    def take(self, stored: StoredLeaf, *, is_known: bool = False) -> None:
        """Take in a leaf, if it is one of the request's: every leaf but the first names the hash of that."""
        is_named = is_known or self._request in stored.leaf
        said: bytes | None = None
        for kind, data in stored.attachments:
            if kind is AttachmentKind.STATEMENT:
                is_named, said = is_named or self._request in data, data
            elif kind is AttachmentKind.RECEIPT:
                self.receipts[receipt_about(data)] = data
        if not is_named or stored.index in self.places:
            return
        self.places.add(stored.index)
        leaf = parse_leaf(stored.leaf)
        if leaf.label == SAID:
            statement = parse_statement(leaf.body)
            if statement.to is not None:
                self._unreceipted.add(stored.index)
        elif said is None or parse_heard(leaf.body).verdict != "taken":
            return
        else:
            statement = parse_statement(said)
        self.door = statement.door or self.door  # all repeat what the request said
        self._segments -= is_segment(statement)
        if statement.kind == "refusal" or (statement.kind == "response" and statement.final):
            self._is_answered = True


def _found(log: WorkerLog, row: Row, looks: _Looks) -> _Found:
    """Our leaves of a request. Those that the index names come first: of a unary call hardly more is looked at."""
    found = _Found(row)
    known = sorted({row[name] for name in ("said", "heard") if row[name] is not None})
    for index in known:
        found.take(log.at(index), is_known=True)
    if not found.is_whole:
        for stored in looks.through(log, _behind(log, known, row["ended_ms"])):
            found.take(stored)
            if found.is_whole:
                break
    return found


def _behind(log: WorkerLog, known: list[int], ended_ms: int | None) -> Iterator[int]:
    """Where more of a request may stand: behind what is known of it, newest first, and about the time of its end."""
    seen = set(known)

    def window(begin: int) -> Iterator[int]:
        for index in range(begin, min(begin + _WINDOW, log.size)):
            if index not in seen:
                seen.add(index)
                yield index

    for begin in reversed(known):
        yield from window(begin)
    if known and ended_ms is not None:
        yield from window(_place_at(log, known[0], ended_ms - _CLOCKS_APART_MS))


def _place_at(log: WorkerLog, first: int, ms: int) -> int:
    """The first leaf from ``first`` on that was written at ``ms`` or later, as nearly as our own statements tell."""
    low, high = first, log.size
    while low < high:
        middle = (low + high) // 2
        at = next(
            (one for index in range(middle, min(middle + _UNTIMED, high)) if (one := _written(log, index))), 0
        )
        if at and at < ms:
            low = middle + 1
        else:
            high = middle
    return low


def _written(log: WorkerLog, index: int) -> int:
    """When a statement of ours was written; 0 for what is none."""
    leaf = parse_leaf(log.at(index).leaf)
    return parse_statement(leaf.body).issued_at if leaf.label == SAID else 0


def _peer_statement(stored: StoredLeaf, log: str, index: int, leaf: str) -> Iterator[log_pb2.ExchangeEntry]:
    for kind, data in stored.attachments:
        if kind is AttachmentKind.STATEMENT:
            statement = parse_statement(data)
            yield log_pb2.ExchangeEntry(
                log=log,
                index=index,
                label="said",
                kind=statement.kind,
                leaf_hash=leaf,
                from_peer=True,
                issued_at=timestamp(statement.issued_at),
                sequence=statement.sequence if is_segment(statement) else None,
                fields_cut=statement.cut.count if statement.cut is not None else None,
            )


def _receipt(data: bytes, peer: str) -> log_pb2.ExchangeEntry:
    """The peer's record of what we said."""
    record = ReceiptRecord.decode(data)
    return log_pb2.ExchangeEntry(
        log=peer,
        index=record.index,
        label="heard",
        kind=parse_heard(record.body).verdict,
        from_peer=True,
    )


def _head(signed: SignedHead) -> log_pb2.SignedHead:
    return log_pb2.SignedHead(
        log=signed.head.log,
        worker=signed.worker,
        size=signed.head.size,
        root=signed.head.root,
        jws=signed.jws,
    )


def _proof(
    log: WorkerLog, proof: Proof, *, leaf_hash: bytes = b"", root1: bytes = b""
) -> log_pb2.GetProofResponse:
    return log_pb2.GetProofResponse(
        log=log.log_id, leaf_hash=leaf_hash, root1=root1, size=proof.size, root=proof.root, path=proof.path
    )
