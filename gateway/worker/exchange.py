"""One call through two gateways, step by step (DESIGN section 4; ``docs/protocol/exchange.md``).

Consumer's gateway:
  1 authenticate the program           2 resolve the service            3 find the agreement
  4 write the request statement        5 append, commit, sign           6 send
 12 verify the response               13 append, commit                14 release it to the program
Provider's gateway:
  7 verify peer and request            8 authorise by agreement         9 append, commit
 10 call the adapter                  11 write the response; append, commit, sign, answer

No flag skips a step. A step never raises for one exchange and never waits: it returns a reason, and the refused
exchange stays in the turn, is logged and answered. What is to happen after a commit is handed to the turn.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import Final, Protocol

import msgspec

from core.clock import Clock
from core.identifiers import new_exchange_id
from core.payloads import Metadata, decode_metadata, encode_metadata, salted_payloads
from core.reasons import Delivery as Delivered
from core.reasons import MalformedError, Reason, Retry
from core.statements import Kind, Statement
from gateway.worker.budget import Budget, EntryBudget
from gateway.worker.call import AdapterAnswer
from gateway.worker.context import Claims, caller_context, has_personal_number, passed_on, read_claims
from gateway.worker.frames import UnverifiedFrame
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.recovery import Unfinished
from gateway.worker.refusal import Ending, Refusals
from gateway.worker.road import Road
from gateway.worker.trust import Grant, TrustView, method_name, refusal_of_terms
from gateway.worker.turn import Turn
from gateway.worker.wire import MAX_METADATA_BYTES, MAX_METADATA_COUNT
from rpc.richerrors import Side

MAX_IN_DOUBT: Final = 10_000
MAX_CLOSED_DEADLINES: Final = 4_096
# What a gateway may have read at its edge: values, names of 128 bytes, and the lengths before both.
MAX_METADATA_BLOB_BYTES: Final = MAX_METADATA_BYTES + MAX_METADATA_COUNT * (128 + 8)
MAX_DEADLINE_US: Final = 24 * 3600 * 1_000_000

Messages = list[tuple[int, bytes]]  # gRPC compressed flag, bytes


class ProgramCall(Protocol):
    """A program's call at the edge, complete: unary, all messages are there. ``deadline_us`` is on our clock."""

    path: bytes
    metadata: Metadata
    deadline_us: int | None
    encoding: str
    peer_thumbprint: str

    def release(self, initial: Metadata, messages: Messages, ending: Ending) -> None:
        """Give the program its answer; without effect once it is gone."""


class AdapterCall(Protocol):
    """A call under way at the adapter."""

    def cancel(self) -> None:
        """Tell the adapter at once that nobody waits any more."""


class Adapters(Protocol):
    """The ministry's own programs that serve, by subsystem."""

    def serves(self, subsystem: str) -> bool:
        """Whether this gateway is the way in to ``subsystem``."""

    def call(
        self,
        subsystem: str,
        path: bytes,
        metadata: Metadata,
        encoding: str,
        timeout_us: int | None,
        messages: Messages,
        on_answer: Callable[[AdapterAnswer], None],
    ) -> AdapterCall:
        """Deliver a request; ``on_answer`` is called once, later."""


class Roads(Protocol):
    """The roads to all peers."""

    def to(self, grant: Grant) -> Road | None:
        """An open road to the grant's provider; if there is none, one is dialled and ``None`` returned."""

    def known(self, log: str) -> Road | None:
        """The road to a peer log that the configuration knows, open or not."""


class Phase(IntEnum):
    """How far an exchange has come; it only rises."""

    WAITING = 0  # for a road whose Hello is verified
    COMMITTING = 1
    COMMITTED = 2
    SENT = 3
    ANSWERED = 4
    CLOSED = 5


@dataclass(slots=True, eq=False)
class Exchange:
    """A call of one of our programs."""

    call: ProgramCall
    messages: Messages
    size: int
    claims: Claims
    id: str
    method: str | None
    arrived_us: int
    deadline_us: int | None
    caller: str
    holder: str = ""
    phase: Phase = Phase.WAITING
    grant: Grant | None = None
    road: Road | None = None
    leaf_hash: bytes = b""
    statement: Statement | None = None
    waiting_until_us: int = 0


@dataclass(slots=True, eq=False)
class Service:
    """A peer's call of one of our adapters."""

    road: Road
    request: VerifiedEntry
    statement: Statement
    size: int
    deadline_us: int | None
    phase: Phase = Phase.COMMITTING
    handle: AdapterCall | None = None
    answer: AdapterAnswer | None = None
    ending: Reason | None = None


@dataclass(slots=True)
class Lanes:
    """What waits for the next turn."""

    frames: deque[tuple[Road, UnverifiedFrame]] = field(default_factory=deque)
    requests: deque[Exchange] = field(default_factory=deque)
    answers: deque[Service] = field(default_factory=deque)
    refusals: deque[tuple[Exchange, Reason]] = field(default_factory=deque)
    endings: deque[tuple[Exchange, Kind, Reason, bool]] = field(default_factory=deque)
    startup: deque[Callable[[Turn], None]] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(
            self.frames or self.requests or self.answers or self.refusals or self.endings or self.startup
        )


@dataclass(slots=True)
class Terms:
    """What the pipeline is built with: who we are, and our bounds."""

    log: str
    gateway: str
    member: str
    max_message: int
    peer_wait_us: int


class Pipeline:
    """All exchanges of one worker. ``trust`` is swapped whole; every other part is given at birth."""

    def __init__(
        self,
        terms: Terms,
        *,
        clock: Clock,
        random: Callable[[int], bytes],
        budget: Budget,
        entries: EntryBudget,
        roads: Roads,
        adapters: Adapters,
        refusals: Refusals,
        may_start: Callable[[], Reason | None],
        wake: Callable[[], None],
        accept: Callable[[Turn, Road, UnverifiedFrame], list[VerifiedEntry]],
        fetch_configuration: Callable[[int], None],
        counters: Counter[str],
    ) -> None:
        self._terms = terms
        self._clock = clock
        self._random = random
        self._budget = budget
        self._entries = entries
        self._roads = roads
        self._adapters = adapters
        self._refusals = refusals
        self._may_start = may_start
        self._wake = wake
        self._accept = accept
        self._fetch_configuration = fetch_configuration
        self._counters = counters
        self._trust: TrustView | None = None
        self._halted: Reason | None = None
        self._personal_number = re.compile(r"(?!)")
        self.lanes = Lanes()
        self.exchanges: dict[bytes, Exchange] = {}
        self.services: dict[bytes, Service] = {}
        self.in_doubt: dict[str, str] = {}
        self._waiting: dict[Exchange, None] = {}  # in order of arrival
        self._calls: dict[ProgramCall, Exchange] = {}
        self._deadlines: list[tuple[int, int, Exchange]] = []
        self._serial = 0

    @property
    def trust(self) -> TrustView | None:
        """The configuration in use."""
        return self._trust

    @trust.setter
    def trust(self, view: TrustView) -> None:
        self._trust = view
        self._personal_number = re.compile(view.personal_number_pattern)
        self.retry_waiting()

    @property
    def in_flight(self) -> int:
        """Calls of our programs and of peers that have no end yet."""
        return len(self._calls) + len(self.services)

    # ------------------------------------------------------------------ consumer: 1 to 6

    def on_request(self, call: ProgramCall, messages: Messages) -> None:
        """A program's call is complete at the edge."""
        now_us = self._clock.monotonic_us()
        view = self._trust
        if self._halted is not None:
            self._end(call, self._halted, None, "not_sent")
            return
        # 1 Authenticate: TLS proved the key; the certificate must be pinned as one of our member's programs.
        program = view.programs.get(call.peer_thumbprint) if view else None
        if view is None or program is None:
            # Strangers are counted, not logged: nobody we do not know may make us write (PROTOCOL M17).
            reason = Reason.PROGRAM_UNKNOWN if view else Reason.CONFIG_MISSING
            self._end(call, reason, None, "not_sent")
            return
        claims = read_claims(call.metadata, self._personal_number)
        objection = claims.objection
        if claims.client is not None and claims.client != program.rpartition("/")[0]:
            # Another's subsystem is not even logged as client: ``caller`` names the program.
            claims = Claims(None, None, None, None, None, None, None)
            objection = Reason.CLIENT_NOT_YOURS
        latest = now_us + MAX_DEADLINE_US
        exchange = Exchange(
            call=call,
            messages=messages,
            size=sum(len(data) for _, data in messages),
            claims=claims,
            id=new_exchange_id(self._clock.now_ms(), self._random(10)),
            method=method_name(call.path),
            arrived_us=now_us,
            deadline_us=None if call.deadline_us is None else min(call.deadline_us, latest),
            waiting_until_us=now_us + self._terms.peer_wait_us,
            caller=program,
        )
        self._calls[call] = exchange
        if not self._budget.take_call(program, exchange.size):
            objection = Reason.LIMIT_EXCEEDED
        else:
            exchange.holder = program
        if objection is not None:
            self.lanes.refusals.append((exchange, objection))
        else:
            if exchange.deadline_us is not None:
                self._watch(exchange, exchange.deadline_us)
            self.lanes.requests.append(exchange)
        self._wake()

    def _request(self, turn: Turn, exchange: Exchange) -> None:
        """Steps 2 to 6 of one exchange, up to its leaf in the turn."""
        if exchange.phase is not Phase.WAITING:
            return
        reason = self._resolve(exchange)
        if reason is None and exchange.road is None and exchange.grant is not None:
            exchange.road = self._roads.to(exchange.grant)
            if exchange.road is None:
                self._wait_for_road(exchange)
                return
        if reason is not None:
            self._refuse_here(turn, exchange, reason)
        else:
            self._write_request(turn, exchange)

    def _resolve(self, exchange: Exchange) -> Reason | None:
        """2 Service to provider. 3 The agreement, and its terms: fail early."""
        view, claims = self._trust, exchange.claims
        if view is None:
            return Reason.CONFIG_MISSING
        now_ms = self._clock.now_ms()
        if view.freshness(now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        stopped = self._may_start()
        if stopped is not None:
            return stopped
        if claims.client is None or exchange.method is None:
            return Reason.NO_AGREEMENT
        found = view.find_grant(claims.client, claims.service, exchange.method, now_ms)
        if isinstance(found, Reason):
            return found
        exchange.grant = found
        if found.provision.method.client_streaming or found.provision.method.server_streaming:
            return Reason.CALL_KIND_NOT_SUPPORTED
        if len(exchange.messages) != 1:
            return Reason.METADATA_INVALID
        return refusal_of_terms(
            found.agreement,
            purpose=claims.purpose,
            issue=claims.issue,
            represented=claims.represented,
            caller="mtls",
            age_ms=now_ms - view.fresh_at,
        )

    def _wait_for_road(self, exchange: Exchange) -> None:
        """Without a verified Hello there is no ``to`` to write: wait, 3 s at most."""
        self._waiting[exchange] = None
        self._watch(exchange, exchange.waiting_until_us)

    def retry_waiting(self) -> None:
        """A road opened, or the configuration changed: calls that waited try again."""
        waiting, self._waiting = self._waiting, {}
        self.lanes.requests.extend(waiting)
        if waiting:
            self._wake()

    def _write_request(self, turn: Turn, exchange: Exchange) -> None:
        """4 The request statement. 5 and 6 follow from the turn: commit, sign, send."""
        road, grant, view = exchange.road, exchange.grant, self._trust
        if road is None or grant is None or view is None:
            return
        payloads, digests = self._payloads(passed_on(exchange.call.metadata), exchange.messages)
        statement = self._own_statement(exchange, "request", road.peer.log, digests)
        exchange.statement = statement
        exchange.phase = Phase.COMMITTING
        exchange.leaf_hash = turn.say(
            statement,
            road,
            payloads,
            then=lambda _: self._request_committed(exchange),
            on_sent=lambda: self._request_sent(exchange),
        )
        self.exchanges[exchange.leaf_hash] = exchange

    def _own_statement(
        self, exchange: Exchange, kind: Kind, to: str | None, payloads: list[str]
    ) -> Statement:
        claims, grant, view = exchange.claims, exchange.grant, self._trust
        left = (
            None
            if exchange.deadline_us is None
            else max(0, exchange.deadline_us - self._clock.monotonic_us())
        )
        return Statement(
            v=1,
            kind=kind,
            from_=self._terms.log,
            to=to,
            exchange=exchange.id,
            reference=claims.reference,
            attempt=1,
            previous=None,
            sequence=0,
            final=True,
            client=claims.client,
            service=grant.provider if grant else None,
            method=exchange.method if grant else None,
            represented=claims.represented,
            purpose=claims.purpose,
            issue=claims.issue,
            user=claims.user,
            caller=f"mtls:{exchange.call.peer_thumbprint}",
            door="grpc",
            agreement=grant.agreement.mark if grant else None,
            configuration=view.mark if view else None,
            descriptors=grant.provision.descriptors if grant else None,
            issued_at=self._clock.now_ms(),
            deadline_us=left,
            encoding=exchange.call.encoding if payloads else None,
            payloads=payloads,
            nonce=self._random(16).hex(),
        )

    def _payloads(
        self, metadata: Metadata, messages: Messages, trailing: Metadata | None = None
    ) -> tuple[bytes, list[str]]:
        """Initial metadata, messages, trailing metadata, each with a salt of its own, and their digests (M11)."""
        parts = [(0, encode_metadata(metadata)), *messages]
        if trailing is not None:
            parts.append((0, encode_metadata(trailing)))
        return salted_payloads(parts, self._random)

    def _request_committed(self, exchange: Exchange) -> None:
        if exchange.phase is Phase.CLOSED and exchange.road is not None:
            # Cancelled or late while its commit ran: logged, and never sent.
            exchange.road.withdraw(exchange.leaf_hash)
        elif exchange.phase is Phase.COMMITTING:
            exchange.phase = Phase.COMMITTED

    def _request_sent(self, exchange: Exchange) -> None:
        if exchange.phase is Phase.COMMITTED:
            exchange.phase = Phase.SENT

    def _refuse_here(self, turn: Turn, exchange: Exchange, reason: Reason) -> None:
        """A refusal at our own gateway: one said refusal, ``to`` nobody, then the program is told."""
        call = self._close(exchange)
        if call is None:
            return
        if not self._entries.take(exchange.caller, self._clock.monotonic_us()):
            # Past its budget a member's refusals are told, counted and summed in one note (PROTOCOL M17).
            self._end(call, reason, exchange, "not_sent")
            return
        refused = self._own_statement(exchange, "refusal", None, [])
        statement = _replace(refused, status=int(reason.entry.code), reason=str(reason), delivery="not_sent")
        ending = self._refusals.ending(reason, side="consumer", exchange=exchange.id, delivery="not_sent")
        turn.say(statement, None, then=lambda _: call.release((), [], ending))

    def on_malformed(self, call: ProgramCall, reason: Reason) -> None:
        """A call that broke gRPC's rules or a bound before it was complete: counted, told, not logged."""
        self._end(call, reason, None, "not_sent")

    # ------------------------------------------------------------------ ends that the program or time brings

    def on_cancel(self, call: ProgramCall) -> None:
        """The program went away or cancelled."""
        exchange = self._calls.get(call)
        if exchange is not None:
            self._abort(exchange, "cancel", Reason.CANCELLED)

    def _abort(self, exchange: Exchange, kind: Kind, reason: Reason, retry: Retry | None = None) -> None:
        """End one of our calls before its answer: nothing committed, dropped; sent, the ending travels."""
        phase, road = exchange.phase, exchange.road
        call = self._close(exchange)
        if call is None:
            return
        if phase is Phase.WAITING:
            self._counters["dropped"] += 1
            if reason is not Reason.CANCELLED:
                self._end(call, reason, exchange, "not_sent")
            return
        if phase is Phase.ANSWERED:
            # Gone before step 14: nothing more is logged, ``taken`` stands (PROTOCOL, "The road").
            if reason is not Reason.CANCELLED:
                self._end(call, reason, exchange, "unknown", retry)
            return
        sent = phase >= Phase.SENT
        if road is not None:
            # Its word no longer counts: a later stream must not carry it again.
            road.withdraw(exchange.leaf_hash)
        if sent and road is not None:
            self._doubt(exchange.leaf_hash.hex(), road.peer.log)
        self.lanes.endings.append((exchange, kind, reason, sent))
        if reason is not Reason.CANCELLED:
            self._end(call, reason, exchange, "unknown" if sent else "not_sent", retry)
        self._wake()

    def _say_ending(self, turn: Turn, exchange: Exchange, kind: Kind, reason: Reason, sent: bool) -> None:
        request = exchange.statement
        if request is None:
            return
        statement = _replace(
            request,
            kind=kind,
            payloads=[],
            encoding=None,
            issued_at=self._clock.now_ms(),
            nonce=self._random(16).hex(),
            request=exchange.leaf_hash.hex(),
            reason=str(reason),
            delivery="unknown" if sent else "not_sent",
        )
        turn.say(statement, exchange.road if sent else None)

    def _doubt(self, request: str, peer: str) -> None:
        """Nobody here knows what became of a request; the peer's late answer may tell. The oldest are forgotten."""
        self.in_doubt[request] = peer
        if len(self.in_doubt) > MAX_IN_DOUBT:
            del self.in_doubt[next(iter(self.in_doubt))]

    def halt(self, reason: Reason) -> None:
        """The log takes no more entries: end every call of our programs now, and each that comes."""
        self._halted = reason
        for exchange in list(self._calls.values()):
            delivery: Delivered = "unknown" if exchange.phase >= Phase.SENT else "not_sent"
            call = self._close(exchange)
            if call is not None:
                self._end(call, reason, exchange, delivery)

    def on_tick(self) -> None:
        """Deadlines: end what is overdue. Called every few milliseconds; bounded by what is due."""
        now_us = self._clock.monotonic_us()
        if len(self._deadlines) > MAX_CLOSED_DEADLINES + 4 * len(self._calls):
            # Else a call that ended in a millisecond would be held for as long as it had been given.
            self._deadlines = [one for one in self._deadlines if one[2].phase is not Phase.CLOSED]
            heapq.heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][0] <= now_us:
            _, _, exchange = heapq.heappop(self._deadlines)
            if exchange.phase is Phase.CLOSED:
                continue
            if exchange.deadline_us is not None and exchange.deadline_us <= now_us:
                self._abort(exchange, "deadline", Reason.DEADLINE_EXCEEDED)
            elif exchange.phase is Phase.WAITING and exchange in self._waiting:
                del self._waiting[exchange]
                self.lanes.refusals.append((exchange, Reason.PEER_UNREACHABLE))
                self._wake()
            elif exchange.phase is Phase.COMMITTED and exchange.waiting_until_us <= now_us:
                self._abort(exchange, "abandon", Reason.PEER_UNREACHABLE)
        for service in [one for one in self.services.values() if _is_due(one, now_us)]:
            self._end_service(service, Reason.DEADLINE_EXCEEDED)

    def _watch(self, exchange: Exchange, due_us: int) -> None:
        self._serial += 1
        heapq.heappush(self._deadlines, (due_us, self._serial, exchange))

    def on_road_lost(self, road: Road) -> None:
        """The stream broke: what was sent ends at once for its program; an answer that comes later is late."""
        for exchange in [one for one in self.exchanges.values() if one.road is road]:
            if exchange.phase is Phase.SENT:
                grant = exchange.grant
                idempotent = grant is not None and grant.provision.method.idempotent
                self._abort(exchange, "abandon", Reason.PEER_LOST, "safe" if idempotent else "ask")
            elif exchange.phase is Phase.COMMITTED:
                exchange.waiting_until_us = self._clock.monotonic_us() + self._terms.peer_wait_us
                self._watch(exchange, exchange.waiting_until_us)

    def _close(self, exchange: Exchange) -> ProgramCall | None:
        """Take an exchange out of every table, once; returns its call, or ``None`` if it was closed before."""
        if exchange.phase is Phase.CLOSED:
            return None
        exchange.phase = Phase.CLOSED
        if exchange.holder:
            self._budget.give_call(exchange.holder, exchange.size)
        self._calls.pop(exchange.call, None)
        self._waiting.pop(exchange, None)
        self.exchanges.pop(exchange.leaf_hash, None)
        exchange.messages = []
        return exchange.call

    def _end(
        self,
        call: ProgramCall,
        reason: Reason,
        exchange: Exchange | None,
        delivery: Delivered,
        retry: Retry | None = None,
    ) -> None:
        ending = self._refusals.ending(
            reason,
            side="consumer",
            exchange=exchange.id if exchange else None,
            delivery=delivery,
            request_hash=exchange.leaf_hash.hex() if exchange and exchange.leaf_hash else None,
            retry=retry,
        )
        call.release((), [], ending)

    # ------------------------------------------------------------------ after a restart

    def take_up(self, left: Unfinished, turn: Turn) -> None:
        """Say what became of an exchange that a restart cut: ours is given up, a peer's is answered."""
        statement = left.statement
        peer = statement.to if left.role == "request" else statement.from_
        road = self._roads.known(peer or "")
        if left.role == "taken":
            # Said also when the peer is registered no more, and cannot be told: else each start would find it again.
            self._say_refusal(turn, road, left.leaf, statement, Reason.INTERRUPTED, "unknown")
        else:
            self._doubt(left.leaf.hex(), peer or "")
            abandoned = _replace(
                statement,
                kind="abandon",
                payloads=[],
                encoding=None,
                issued_at=self._clock.now_ms(),
                nonce=self._random(16).hex(),
                request=left.leaf.hex(),
                reason=str(Reason.INTERRUPTED),
                delivery="unknown",
            )
            turn.say(abandoned, road)

    # ------------------------------------------------------------------ the turn

    def gather(self, turn: Turn) -> None:
        """Take what waits in the lanes, oldest first, until the turn is full."""
        lanes = self.lanes
        while lanes.startup and not turn.is_full:
            lanes.startup.popleft()(turn)
        while lanes.frames and not turn.is_full:
            road, frame = lanes.frames.popleft()
            for entry in self._accept(turn, road, frame):
                self._hear(turn, road, entry)
        while lanes.answers and not turn.is_full:
            self._answer(turn, lanes.answers.popleft())
        while lanes.endings and not turn.is_full:
            self._say_ending(turn, *lanes.endings.popleft())
        while lanes.refusals and not turn.is_full:
            self._refuse_here(turn, *lanes.refusals.popleft())
        while lanes.requests and not turn.is_full:
            self._request(turn, lanes.requests.popleft())

    def _hear(self, turn: Turn, road: Road, entry: VerifiedEntry) -> None:
        statement = entry.statement
        if statement is None:
            return  # a receipt: kept by ``accept`` beside the leaf it is about
        if statement.kind == "request":
            self._hear_request(turn, road, entry, statement)
        elif statement.kind in ("response", "refusal"):
            self._hear_response(turn, road, entry, statement)
        else:
            self._hear_ending(turn, road, entry, statement)

    def _objection_to(self, road: Road, entry: VerifiedEntry, statement: Statement) -> Reason | None:
        """What holds for every statement of a peer."""
        view = self._trust
        if view is None:
            return Reason.CONFIG_MISSING
        if entry.objection is not None:
            return entry.objection
        if statement.to != self._terms.log or statement.from_ != road.peer.log:
            return Reason.STATEMENT_INVALID
        theirs = statement.configuration
        if theirs is not None and theirs.version == view.mark.version and theirs.digest != view.mark.digest:
            return Reason.CONFIG_SPLIT
        if theirs is not None and theirs.version > view.mark.version:
            self._fetch_configuration(theirs.version)
        if has_personal_number(statement, self._personal_number):
            return Reason.PERSONAL_NUMBER_IN_METADATA
        return None

    # ------------------------------------------------------------------ provider: 7 to 11

    def _hear_request(self, turn: Turn, road: Road, entry: VerifiedEntry, statement: Statement) -> None:
        """7 Verify peer and request. 8 Authorise. 9 Plan the record; the commit comes before the adapter."""
        reason = self._verify_request(road, entry, statement)
        grant = None
        if reason is None:
            found = self._authorise(road, statement)
            grant, reason = (found, None) if isinstance(found, Grant) else (None, found)
        size = len(entry.payloads)
        if reason is None and not self._budget.take_call(road.member, size):
            reason = Reason.LIMIT_EXCEEDED
        if reason is not None or grant is None:
            refused = reason or Reason.NO_AGREEMENT
            turn.hear(road, entry, "request", f"refused:{refused}")
            self._say_refusal(turn, road, entry.leaf_hash, statement, refused, "not_sent")
            return
        left = statement.deadline_us
        service = Service(
            road=road,
            request=entry,
            statement=statement,
            size=size,
            deadline_us=None if left is None else self._clock.monotonic_us() + left,
        )
        self.services[entry.leaf_hash] = service
        turn.hear(road, entry, "request", "taken", then=lambda _: self._call_adapter(service))

    def _verify_request(self, road: Road, entry: VerifiedEntry, statement: Statement) -> Reason | None:
        reason = self._objection_to(road, entry, statement)
        if reason is not None:
            return reason
        if entry.leaf_hash in self.services:
            # The same bytes logged twice by the peer are one statement: it is delivered once.
            return Reason.REPLAYED
        if statement.sequence != 0 or not statement.final or len(entry.parts) != 2:
            return Reason.CALL_KIND_NOT_SUPPORTED
        if len(entry.parts[1][1]) > self._terms.max_message:
            return Reason.MESSAGE_TOO_LARGE
        if len(entry.parts[0][1]) > MAX_METADATA_BLOB_BYTES:
            # It would break the connection to the adapter, and with it the calls of all others.
            return Reason.LIMIT_EXCEEDED
        if statement.deadline_us == 0:
            return Reason.STATEMENT_EXPIRED
        return self._may_start()

    def _authorise(self, road: Road, statement: Statement) -> Grant | Reason:
        """8 By our own configuration: party, method, purpose, dossier, validity."""
        view = self._trust
        client, provider, method, mark = (
            statement.client,
            statement.service,
            statement.method,
            statement.agreement,
        )
        if view is None or client is None or provider is None or method is None or mark is None:
            return Reason.CONFIG_MISSING if view is None else Reason.STATEMENT_INVALID
        now_ms = self._clock.now_ms()
        if view.freshness(now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        gateway = view.by_log.get(road.peer.log)
        if gateway is None or gateway.member != client.rpartition("/")[0]:
            return Reason.PEER_NOT_REGISTERED
        if provider.rpartition("/")[0] != self._terms.member or not self._adapters.serves(provider):
            return Reason.NO_AGREEMENT
        found = view.find_named(client, provider, method, mark, now_ms)
        if isinstance(found, Reason):
            return found
        if not view.is_party(gateway, client, found.agreement.terms.consumer.member_key):
            return Reason.PEER_NOT_REGISTERED
        objection = refusal_of_terms(
            found.agreement,
            purpose=statement.purpose,
            issue=statement.issue,
            represented=statement.represented,
            caller=statement.caller or "loopback",
            age_ms=now_ms - view.fresh_at,
        )
        return objection or found

    def _call_adapter(self, service: Service) -> None:
        """10 The request is durable here: deliver it, once. Whatever ended meanwhile is not delivered."""
        if service.phase is not Phase.COMMITTING:
            return
        now_us = self._clock.monotonic_us()
        if not service.road.is_open:
            self._end_service(service, Reason.PEER_LOST)
            return
        left = None if service.deadline_us is None else service.deadline_us - now_us
        if left is not None and left <= 0:
            self._end_service(service, Reason.STATEMENT_EXPIRED)
            return
        statement = service.statement
        (_, blob), message = service.request.parts
        try:
            metadata = passed_on(decode_metadata(blob))
        except MalformedError as error:
            self._end_service(service, error.reason)
            return
        service.phase = Phase.SENT
        context = tuple(caller_context(statement, service.request.leaf_hash.hex()))
        service.handle = self._adapters.call(
            statement.service or "",
            f"/{statement.method}".encode("ascii"),
            metadata + context,
            statement.encoding or "identity",
            left,
            [message],
            lambda answer: self._adapter_answered(service, answer),
        )

    def _adapter_answered(self, service: Service, answer: AdapterAnswer) -> None:
        if service.phase in (Phase.SENT, Phase.COMMITTING):
            service.phase = Phase.ANSWERED
            service.answer = answer
            self.lanes.answers.append(service)
            self._wake()

    def _end_service(self, service: Service, reason: Reason) -> None:
        """End a peer's call before the adapter did: it learns at once, the statement follows."""
        if service.phase in (Phase.ANSWERED, Phase.CLOSED):
            return
        if service.handle is not None:
            service.handle.cancel()
        service.ending = reason
        service.answer = AdapterAnswer((), [], (), None, failure=reason)
        delivered = service.phase is Phase.SENT
        service.phase = Phase.ANSWERED
        service.deadline_us = None
        service.handle = service.handle if delivered else None
        self.lanes.answers.append(service)
        self._wake()

    def _answer(self, turn: Turn, service: Service) -> None:
        """11 The response statement, or the refusal; the turn commits, signs and sends it."""
        answer = service.answer
        if answer is None or service.phase is Phase.CLOSED:
            return
        service.phase = Phase.CLOSED
        self.services.pop(service.request.leaf_hash, None)
        self._budget.give_call(service.road.member, service.size)
        reason = answer.failure
        if reason is None and not _is_unary(answer):
            reason = Reason.ADAPTER_PROTOCOL
        if reason is None and any(len(data) > self._terms.max_message for _, data in answer.messages):
            reason = Reason.MESSAGE_TOO_LARGE
        if reason is not None:
            delivery: Delivered = "delivered" if service.handle is not None else "not_sent"
            if reason in (Reason.ADAPTER_DOWN, Reason.LIMIT_EXCEEDED):
                # The latter is the adapter's edge, whose queue was full.
                delivery = "not_sent"
            self._say_refusal(
                turn, service.road, service.request.leaf_hash, service.statement, reason, delivery
            )
            return
        payloads, digests = self._payloads(
            passed_on(answer.initial), answer.messages, passed_on(answer.trailing)
        )
        self._counters["exchanges_served"] += 1
        statement = self._response(service.statement, service.request.leaf_hash, "response")
        turn.say(
            _replace(
                statement,
                status=answer.status,
                encoding=answer.encoding,
                heard=0,
                payloads=digests,
            ),
            service.road,
            payloads,
        )

    def _say_refusal(
        self,
        turn: Turn,
        road: Road | None,
        request: bytes,
        asked: Statement,
        reason: Reason,
        delivery: Delivered,
    ) -> None:
        """A refusal is a signed, logged response too."""
        self._counters[f"refused_{reason}"] += 1
        statement = self._response(asked, request, "refusal")
        turn.say(
            _replace(
                statement, status=int(reason.entry.code), reason=str(reason), delivery=delivery, heard=0
            ),
            road,
        )

    def _response(self, asked: Statement, request: bytes, kind: Kind) -> Statement:
        view = self._trust
        return _replace(
            asked,
            kind=kind,
            from_=self._terms.log,
            to=asked.from_,
            previous=None,
            attempt=1,
            configuration=view.mark if view else None,
            issued_at=self._clock.now_ms(),
            deadline_us=None,
            encoding=None,
            payloads=[],
            nonce=self._random(16).hex(),
            request=request.hex(),
        )

    def _hear_ending(self, turn: Turn, road: Road, entry: VerifiedEntry, statement: Statement) -> None:
        """The consumer cancelled, ran out of time or gave up: it reaches the adapter at once."""
        reason = self._objection_to(road, entry, statement)
        turn.hear(road, entry, "request", "taken" if reason is None else f"refused:{reason}")
        service = self.services.get(bytes.fromhex(statement.request or ""))
        ends = _ENDS.get(statement.kind)
        if reason is None and ends is not None and service is not None and service.road is road:
            self._end_service(service, ends)

    # ------------------------------------------------------------------ consumer: 12 to 14

    def _hear_response(self, turn: Turn, road: Road, entry: VerifiedEntry, statement: Statement) -> None:
        """12 Verify the response. 13 Plan its record. 14 After the commit, release it."""
        exchange = self.exchanges.get(bytes.fromhex(statement.request or ""))
        if exchange is None or exchange.road is not road:
            # Ours to answer for no more: it ended, or this peer was never asked.
            request = statement.request or ""
            if self.in_doubt.get(request) == road.peer.log:
                del self.in_doubt[request]
            turn.hear(road, entry, "response", "late")
            return
        reason = self._verify_response(road, entry, statement, exchange)
        verdict = "taken" if reason is None else f"refused:{reason}"
        exchange.phase = Phase.ANSWERED
        self.exchanges.pop(exchange.leaf_hash, None)

        def release(_: int) -> None:
            call = self._close(exchange)
            if call is None:
                return  # the program went while the commit ran: nothing more is logged, ``taken`` stands
            if reason is not None:
                self._end(call, Reason.RESPONSE_INVALID, exchange, "delivered")
            else:
                self._release(call, exchange, entry, statement)

        turn.hear(road, entry, "response", verdict, then=release)

    def _verify_response(
        self, road: Road, entry: VerifiedEntry, statement: Statement, exchange: Exchange
    ) -> Reason | None:
        """Head, chain and inclusion were verified with the frame; here the binding to our request."""
        reason = self._objection_to(road, entry, statement)
        if reason is not None:
            return reason
        asked, view, grant = exchange.statement, self._trust, exchange.grant
        if asked is None or view is None or grant is None:
            return Reason.STATEMENT_INVALID
        if _bound(statement) != _bound(asked):
            return Reason.STATEMENT_INVALID
        gateway = view.by_log.get(road.peer.log)
        named = grant.agreement.terms.provider.member_key
        if gateway is None or not view.is_party(gateway, grant.provider, named):
            return Reason.PEER_NOT_REGISTERED
        if statement.sequence != 0 or not statement.final:
            return Reason.CALL_KIND_NOT_SUPPORTED
        if statement.kind == "response" and not 2 <= len(entry.parts) <= 3:
            return Reason.STATEMENT_INVALID
        parts = entry.parts
        if parts and max(len(parts[0][1]), len(parts[-1][1])) > MAX_METADATA_BLOB_BYTES:
            return Reason.LIMIT_EXCEEDED
        if statement.kind == "refusal" and (parts or statement.status == 0):
            return Reason.STATEMENT_INVALID
        return None

    def _release(
        self, call: ProgramCall, exchange: Exchange, entry: VerifiedEntry, statement: Statement
    ) -> None:
        """14 Everything is durable: the program gets its answer."""
        request_hash = exchange.leaf_hash.hex()
        if statement.kind == "refusal":
            side: Side = "adapter" if statement.reason in _ADAPTER_REASONS else "provider"
            ending = self._refusals.ending(
                Reason(statement.reason or Reason.INTERNAL),
                side=side,
                exchange=exchange.id,
                delivery=statement.delivery or "unknown",
                request_hash=request_hash,
                status=statement.status,
            )
            call.release((), [], ending)
            return
        try:
            initial = passed_on(decode_metadata(entry.parts[0][1]))
            trailing = passed_on(decode_metadata(entry.parts[-1][1]))
        except MalformedError:
            self._end(call, Reason.RESPONSE_INVALID, exchange, "delivered")
            return
        if statement.encoding and statement.encoding != "identity":
            initial += ((b"grpc-encoding", statement.encoding.encode("ascii")),)
        trailing += (
            (b"x-road-exchange-id", exchange.id.encode("ascii")),
            (b"x-road-request-hash", request_hash.encode("ascii")),
        )
        self._counters["exchanges_answered"] += 1
        messages = list(entry.parts[1:-1])
        call.release(initial, messages, Ending(statement.status or 0, "", trailing))


# What a response must repeat of its request: whose it is, what was asked, for what (PROTOCOL M2).
_bound: Final = attrgetter(
    "exchange",
    "reference",
    "client",
    "service",
    "method",
    "represented",
    "purpose",
    "issue",
    "user",
    "caller",
    "door",
    "agreement",
    "descriptors",
)
_ENDS: Final = {
    "cancel": Reason.CANCELLED,
    "deadline": Reason.DEADLINE_EXCEEDED,
    "abandon": Reason.PEER_LOST,
}
_ADAPTER_REASONS: Final = frozenset({"ADAPTER_DOWN", "ADAPTER_LOST", "ADAPTER_PROTOCOL"})


def _is_unary(answer: AdapterAnswer) -> bool:
    """Whether a unary method may answer so: one message with OK, at most one with another status."""
    return (
        answer.status is not None
        and len(answer.messages) <= 1
        and (answer.status != 0 or bool(answer.messages))
    )


def _is_due(service: Service, now_us: int) -> bool:
    return service.deadline_us is not None and service.deadline_us <= now_us and service.phase is Phase.SENT


_replace = msgspec.structs.replace
