"""The consumer's side: steps 1 to 6 and 12 to 14, and every way in which a call of our programs may end."""

from __future__ import annotations

import heapq
from collections import deque
from operator import attrgetter
from typing import Final

import msgspec

from core.identifiers import new_exchange_id
from core.reasons import Delivery as Delivered
from core.reasons import ExchangeError, Reason, Retry
from core.statements import Kind, Statement
from gateway.worker.answers import answer_of, messages_of, objection_to_answer, objection_to_fields
from gateway.worker.callers import Caller
from gateway.worker.consumer_streams import ConsumerStreams, objection_of_terms
from gateway.worker.context import NO_CLAIMS, read_claims
from gateway.worker.doubts import Doubts
from gateway.worker.exchange import (
    Exchange,
    Messages,
    Parts,
    Phase,
    ProgramCall,
)
from gateway.worker.flow import Flow
from gateway.worker.leaves import OwnLeaf
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.recovery import Unfinished
from gateway.worker.refusal import Ending
from gateway.worker.road import Road
from gateway.worker.subjects import Told, of_answer
from gateway.worker.trust import MethodMarks
from gateway.worker.turn import Turn
from ledger.failpoints import hit
from rpc.richerrors import Side

MAX_CLOSED_DEADLINES: Final = 512
MAX_GATHERED: Final = 2  # messages of a unary call: one, and one that shows that it is none
MAX_DEADLINE_US: Final = 24 * 3600 * 1_000_000
# The program began to count before the gateway did, by as long as its request took to arrive.
DEADLINE_SLACK_US: Final = 20_000


class Consumer:
    """All calls of our programs."""

    def __init__(self, parts: Parts, doubts: Doubts) -> None:
        self._parts = parts
        self._random = parts.random
        self.doubts = doubts
        self._halted: Reason | None = None
        self._arrivals: list[Exchange] = []
        self._requests: deque[Exchange] = deque()
        self._refusals: deque[tuple[Exchange, Reason]] = deque()
        self._endings: deque[tuple[Exchange, Kind, Reason, bool]] = deque()
        self._waiting: dict[Exchange, None] = {}  # in order of arrival
        self._calls: dict[ProgramCall, Exchange] = {}
        self._deadlines: list[tuple[int, int, Exchange]] = []
        self._serial = 0
        self.exchanges: dict[bytes, Exchange] = {}
        self.streams = ConsumerStreams(parts, self.exchanges, self._abort)

    @property
    def in_flight(self) -> int:
        """Calls of our programs that have no end yet."""
        return len(self._calls)

    # ------------------------------------------------------------------ 1 to 6

    def on_call(self, call: ProgramCall) -> None:
        """1 Authenticate, by the headers alone: of a call that nobody stands for nothing more is read.

        A call whose method takes a stream begins here, with no message yet.
        """
        caller = self._identify(call)
        if caller is None:
            return
        call.program = caller.program
        view = self._parts.trust
        if view is not None and not call.is_unary and view.takes_stream(call.path, call.metadata):
            call.expect_stream()
            self._begin(call, caller, [], Flow())

    def on_message(self, call: ProgramCall, flag: int, data: bytes) -> None:
        """A message of a stream waits for its segment; that of a unary call for its half-close."""
        if not call.is_stated:
            self._gather(call, flag, data)
            return
        exchange = self._calls.get(call)
        if exchange is None or exchange.flow is None or not exchange.holder:
            return  # its end is said already, and on its way to the program
        self.streams.put(exchange, exchange.flow, flag, data)

    def _gather(self, call: ProgramCall, flag: int, data: bytes) -> None:
        """Keep the message of a unary call; of further ones just enough to refuse the call by its kind."""
        call.messages.append((flag, data))
        if len(call.messages) > MAX_GATHERED:
            raise ExchangeError(Reason.CALL_KIND_NOT_SUPPORTED, "more messages than the method takes")
        if sum([len(one) for _, one in call.messages]) > self._parts.terms.max_message:
            raise ExchangeError(
                Reason.MESSAGE_TOO_LARGE, "the messages of one request are over the limit in sum"
            )
        view = self._parts.trust
        if view is not None and not view.is_provided(call.path):
            # Nobody knows whether it is a stream: whoever waits for an answer before the half-close gets one.
            self.on_half_close(call)

    def on_half_close(self, call: ProgramCall) -> None:
        """The program sends no more messages."""
        if call.is_stated:
            exchange = self._calls.get(call)
            if exchange is not None and exchange.flow is not None:
                self.streams.end(exchange, exchange.flow)
            return
        messages, call.messages = call.messages, []
        # 1 Again: its credential may have been withdrawn while the message came in.
        caller = self._identify(call)
        if caller is not None:
            self._begin(call, caller, messages, None)

    def _begin(self, call: ProgramCall, caller: Caller, messages: Messages, flow: Flow | None) -> None:
        parts, now_us = self._parts, self._parts.clock.monotonic_us()
        call.is_stated = True
        if self._halted is not None:
            self._end(call, self._halted, None, "not_sent")
            return
        deadline_us = call.deadline_us
        if deadline_us is not None:
            deadline_us = min(deadline_us, now_us + MAX_DEADLINE_US)
        size = sum([len(data) for _, data in messages]) + len(call.json)
        until_us = now_us + parts.terms.peer_wait_us
        exchange = Exchange(call, messages, size, caller, deadline_us, until_us, NO_CLAIMS, flow=flow)
        self._calls[call] = exchange
        if parts.budget.take_call(caller.program, size):
            exchange.holder = caller.program
        else:
            exchange.objection, exchange.messages = Reason.LIMIT_EXCEEDED, []
        if deadline_us is not None:
            self._watch(exchange, deadline_us)
        self._arrivals.append(exchange)
        parts.wake()

    def _identify(self, call: ProgramCall) -> Caller | None:
        """The program that calls; ends the call if there is none."""
        parts = self._parts
        found = parts.callers.identify(parts.trust, call.metadata, call.peer_thumbprint, call.door.unasked)
        if isinstance(found, Caller):
            return found
        # Strangers are counted, not logged: nobody we do not know may make us write (PROTOCOL M17).
        self._end(call, found, None, "not_sent")
        return None

    def say_endings(self, turn: Turn) -> None:
        """Say what ended. Before a turn hears anything: an answer that is late stands behind the end that made it so."""
        while self._endings and not turn.is_full:
            self._say_ending(turn, *self._endings.popleft())

    def plan(self, turn: Turn) -> None:
        """Take what waits, endings first, until the turn is full."""
        self.say_endings(turn)
        arrivals, self._arrivals = self._arrivals, []
        self._read_claims(turn, arrivals)
        while self._refusals and not turn.is_full:
            self._refuse_here(turn, *self._refusals.popleft())
        while self._requests and not turn.is_full:
            batch = turn.batch(self._requests, _size_of)
            self._write_requests(turn, [one for one in batch if self._resolve_or_end(turn, one)])

    def _read_claims(self, turn: Turn, arrivals: list[Exchange]) -> None:
        """1, second half: what a program claims must be in order, and its own."""
        pattern = self._parts.personal_number
        for exchange in arrivals:
            exchange.claims = read_claims(exchange.call.metadata, pattern)
        for exchange in arrivals:
            exchange.id = new_exchange_id(turn.now_ms, self._random(10))
            exchange.method = exchange.call.door.method_of(exchange.call.path)
        for exchange in arrivals:
            claims = exchange.claims
            objection = exchange.objection or claims.objection
            if claims.client is not None and claims.client != exchange.caller.program.rpartition("/")[0]:
                # Another's subsystem is not even logged as client: ``caller`` names the program.
                exchange.claims = NO_CLAIMS
                objection = exchange.objection or Reason.CLIENT_NOT_YOURS
            if objection is None:
                self._requests.append(exchange)
            else:
                self._refusals.append((exchange, objection))

    def _resolve_or_end(self, turn: Turn, exchange: Exchange) -> bool:
        """Steps 2 and 3 of one exchange; refused or without a road yet, it is dealt with here."""
        if exchange.phase is not Phase.WAITING:
            return False
        if exchange.deadline_us is not None and exchange.deadline_us <= turn.now_us:
            self._abort(exchange, "deadline", Reason.DEADLINE_EXCEEDED)
            return False
        reason = self._resolve(turn, exchange)
        if reason is not None:
            self._refuse_here(turn, exchange, reason)
            return False
        if exchange.road is None and exchange.grant is not None:
            exchange.road = self._parts.roads.to(exchange.grant)
            if exchange.road is None:
                self._wait_for_road(exchange)
                return False
        return True

    def _resolve(self, turn: Turn, exchange: Exchange) -> Reason | None:
        """2 Service to provider. 3 The agreement, and its terms: fail early."""
        view, claims = self._parts.trust, exchange.claims
        if view is None:
            return Reason.CONFIG_MISSING
        if view.freshness(turn.now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        stopped = self._parts.objection_to_start()
        if stopped is not None:
            return stopped
        # No peer takes a statement of such a log: told here, where it can be mended, not as a peer that is away.
        unregistered = view.refusal_of_log(self._parts.terms.log)
        if unregistered is not None:
            return unregistered
        if claims.client is None or exchange.method is None:
            return Reason.NO_AGREEMENT
        found = view.find_grant(claims.client, claims.service, exchange.method, turn.now_ms)
        if isinstance(found, Reason):
            return found
        exchange.grant = found
        method = found.provision.method
        is_one = exchange.flow is None and len(exchange.messages) == 1
        if is_one is method.client_streaming or (exchange.call.is_unary and method.server_streaming):
            return Reason.CALL_KIND_NOT_SUPPORTED
        return objection_of_terms(exchange, found, view, turn.now_ms) or self._parts.objection_to_noting(
            found, turn.now_ms
        )

    def _wait_for_road(self, exchange: Exchange) -> None:
        """Without a verified Hello there is no ``to`` to write: wait, 3 s at most."""
        self._waiting[exchange] = None
        if not exchange.is_watched:
            exchange.is_watched = True
            self._watch(exchange, exchange.waiting_until_us)

    def retry_waiting(self) -> None:
        """A road opened, or the configuration changed: calls that waited try again."""
        waiting, self._waiting = self._waiting, {}
        self._requests.extend(waiting)
        if waiting or self.streams.have_segments:
            self._parts.wake()

    def _write_requests(self, turn: Turn, exchanges: list[Exchange]) -> None:
        """4 The request statements. 5 and 6 follow from the turn: commit, sign, send."""
        for exchange in exchanges:
            grant = exchange.grant
            if exchange.flow is not None or (grant is not None and grant.provision.method.server_streaming):
                self.streams.begin(exchange)
            self.streams.note_subjects(exchange, exchange.messages)
        salted = [self._parts.salted(one.claims.passed, one.messages) for one in exchanges]
        for exchange, (_, digests) in zip(exchanges, salted, strict=True):
            exchange.messages = []  # they are in the payloads now
            to = exchange.road.peer.log if exchange.road else None
            exchange.statement = self._statement(turn, exchange, "request", to, digests)
        sayings = [
            (one.statement, one.road, payloads)
            for one, (payloads, _) in zip(exchanges, salted, strict=True)
            if one.statement is not None
        ]
        for exchange, leaf_hash in zip(exchanges, turn.say_all(sayings), strict=True):
            exchange.phase = Phase.COMMITTING
            exchange.leaf_hash = leaf_hash
            self.exchanges[leaf_hash] = exchange
            turn.once_durable(self._requests_committed, exchange)
            if exchange.call.json:
                note, kept = self._parts.note_of_json(exchange.id, exchange.call.json, turn.now_ms)
                turn.note_kept(note, kept, exchange.statement.service or "" if exchange.statement else "")

    def _statement(
        self, turn: Turn, exchange: Exchange, kind: Kind, to: str | None, payloads: list[str]
    ) -> Statement:
        claims, grant, view = exchange.claims, exchange.grant, self._parts.trust
        due_us = exchange.deadline_us
        return Statement(
            v=1,
            kind=kind,
            from_=self._parts.terms.log,
            to=to,
            exchange=exchange.id,
            reference=claims.reference,
            attempt=1,
            previous=None,
            sequence=0,
            final=exchange.flow is None or exchange.flow.is_final_said or kind != "request",
            client=claims.client,
            service=grant.provider if grant else None,
            method=exchange.method if grant else None,
            represented=claims.represented,
            purpose=claims.purpose,
            issue=claims.issue,
            user=claims.user,
            caller=exchange.caller.credential,
            door=exchange.call.door.name,
            agreement=grant.agreement.mark if grant else None,
            configuration=view.mark if view else None,
            descriptors=grant.provision.descriptors if grant else None,
            issued_at=turn.now_ms,
            deadline_us=None if due_us is None else max(0, due_us - turn.now_us),
            encoding=exchange.call.encoding if payloads else None,
            payloads=payloads,
            nonce=self._parts.nonce(),
        )

    def _requests_committed(self, exchanges: list[Exchange]) -> None:
        for exchange in exchanges:
            road = exchange.road
            if road is None:
                continue
            if exchange.phase is Phase.CLOSED:
                # Cancelled or late while its commit ran: logged, and never sent.
                road.withdraw(exchange.leaf_hash)
            elif exchange.phase is Phase.COMMITTING:
                exchange.phase = Phase.COMMITTED
                said = road.unreceipted.get(exchange.leaf_hash)
                exchange.index = said.index if said else -1
                if not road.is_open:
                    self._wait_for_stream(exchange)  # the stream broke while the commit ran

    def on_sent(self, leaves: list[OwnLeaf]) -> None:
        """Bytes of these leaves may be with the peer from now on."""
        for leaf in leaves:
            exchange = self.exchanges.get(leaf.leaf_hash)
            if exchange is not None and exchange.phase is Phase.COMMITTED:
                exchange.phase = Phase.SENT
                self.streams.queue(exchange)

    # ------------------------------------------------------------------ refusals here

    def _refuse_here(self, turn: Turn, exchange: Exchange, reason: Reason) -> None:
        """A refusal at our own gateway: one said refusal, ``to`` nobody, then the program is told."""
        call = self._close(exchange)
        if call is None:
            return
        if not self._may_log_refusal(turn, exchange.caller.program, reason):
            # Past its budget a member's refusals are told, counted and summed in one note (PROTOCOL M17).
            self._end(call, reason, exchange, "not_sent")
            return
        statement = _replace(
            self._statement(turn, exchange, "refusal", None, []),
            status=int(reason.entry.code),
            reason=str(reason),
            delivery="not_sent",
        )
        ending = self._parts.refusals.ending(
            reason, side="consumer", exchange=exchange.id, delivery="not_sent"
        )
        turn.say(statement, None)
        turn.once_durable(_tell, (call, ending))

    def _may_log_refusal(self, turn: Turn, caller: str, reason: Reason) -> bool:
        entries = self._parts.entries
        if reason is Reason.DISK_RESERVE:
            # What is kept free is for the exchanges under way: programs that try again must not fill it.
            entries.sum_up(caller)
            return False
        return entries.take(caller, turn.now_us)

    # ------------------------------------------------------------------ 12 to 14

    def hear_responses(self, turn: Turn, road: Road, entries: list[VerifiedEntry]) -> None:
        """12 Verify the responses. 13 Plan their records. 14 After the commit, release them."""
        asked = [self._asked(road, one) for one in entries]
        reasons = [
            objection_to_answer(self._parts, road, entry, exchange) if exchange else None
            for entry, exchange in zip(entries, asked, strict=True)
        ]
        heard: list[tuple[VerifiedEntry, str]] = []
        for entry, exchange, reason in zip(entries, asked, reasons, strict=True):
            if exchange is None or exchange.phase >= Phase.ANSWERED:
                self._hear_late(turn, road, entry)
                continue
            too_much = self.streams.count_in(exchange, entry) if reason is None else None
            # Behind the count: what is past its credit, or longer than a segment may be, costs no look.
            objection = reason or too_much or objection_to_fields(self._parts, entry, exchange)
            heard.append((entry, "taken" if objection is None else f"refused:{objection}"))
            self._note_subjects(turn, exchange, entry)
            told = None if objection is None else Reason.RESPONSE_INVALID
            if too_much is Reason.LIMIT_EXCEEDED:
                told = too_much
            is_last = entry.statement is None or entry.statement.final
            if is_last or told is not None:
                exchange.phase = Phase.ANSWERED
                self.exchanges.pop(exchange.leaf_hash, None)
            if told is not None and not is_last:
                # The provider is to be told as well as our program: it would go on.
                self._endings.append((exchange, "abandon", told, True))
                self.doubts.add(exchange.leaf_hash, road.peer.log, exchange.index)
            turn.once_durable(self._release_all, (exchange, entry, told))
        turn.hear_all(road, "response", heard)

    def _note_subjects(self, turn: Turn, exchange: Exchange, entry: VerifiedEntry) -> None:
        """Whom an answer is about goes beside its record, and with it whom was asked for (PROTOCOL M13).

        An answer to "is this her name?" names nobody, and of the call this log hears nothing else.
        """
        marks = exchange.grant.provision.marks if exchange.grant else None
        if marks is None:
            return
        told = _told_by(marks, entry)
        if exchange.asked is not None:
            told.add(exchange.asked)
            exchange.asked = None
        entry.annex = self._parts.pseudonyms.annex(turn.now_ms, told)

    def _asked(self, road: Road, entry: VerifiedEntry) -> Exchange | None:
        """The open exchange that a response of this peer answers."""
        request = entry.statement.request if entry.statement else None
        exchange = self.exchanges.get(bytes.fromhex(request or ""))
        return exchange if exchange is not None and exchange.road is road else None

    def _hear_late(self, turn: Turn, road: Road, entry: VerifiedEntry) -> None:
        """Ours to answer for no more: it ended, or this peer was never asked."""
        is_end = entry.statement is not None and entry.statement.final
        is_kept = (
            self._resolve_doubt(turn, road, entry)
            if is_end
            else self._parts.entries.take(road.member, turn.now_us)
        )
        if is_kept:
            statement, view = entry.statement, self._parts.trust
            marks = view.marks(statement.service, statement.method) if view and statement else None
            if marks is not None:
                entry.annex = self._parts.pseudonyms.annex(turn.now_ms, _told_by(marks, entry))
            turn.hear(road, entry, "response", "late")

    def _resolve_doubt(self, turn: Turn, road: Road, entry: VerifiedEntry) -> bool:
        """Whether what a peer says of a request may be logged: it resolves a doubt, or is within the member's budget.

        Answers that nobody waits for must not fill our log: they are summed in one note (PROTOCOL M17).
        """
        if entry.statement is not None and self.doubts.resolve(entry.statement.request, road.peer.log):
            self._parts.counters["doubts_resolved"] += 1
            return True
        return self._parts.entries.take(road.member, turn.now_us)

    def hear_outcome(self, turn: Turn, road: Road, entry: VerifiedEntry) -> None:
        """What a peer says became of a request in doubt; it is final (PROTOCOL M4)."""
        statement = entry.statement
        reason = self._parts.objection_to(road, entry, statement) if statement else Reason.STATEMENT_INVALID
        if reason is not None:
            if self._parts.entries.take(road.member, turn.now_us):
                turn.hear(road, entry, "response", f"refused:{reason}")
            return
        is_asked = statement is not None and (statement.request or "") in self.doubts
        if self._resolve_doubt(turn, road, entry):
            turn.hear(road, entry, "response", "taken" if is_asked else "late")

    def _release_all(self, answered: list[tuple[Exchange, VerifiedEntry, Reason | None]]) -> None:
        """14 Everything is durable: the programs get their answers."""
        # Whose program went while the commit ran: nothing more is logged, ``taken`` stands.
        due = [one for one in answered if one[0].phase is not Phase.CLOSED]
        answers = [
            answer_of(exchange, entry, statement)
            if reason is None and (statement := entry.statement) is not None and statement.kind == "response"
            else None
            for exchange, entry, reason in due
        ]
        # In the order in which they were said: the end of a stream stands behind its segments.
        for (exchange, entry, reason), answer in zip(due, answers, strict=True):
            call, statement = exchange.call, entry.statement
            if exchange.phase is Phase.CLOSED:
                continue  # by a segment before
            if statement is None or statement.final or reason is not None:
                self._close(exchange)
            if reason is None and statement is not None and statement.kind == "refusal":
                self._tell_refusal(call, exchange, statement)
                continue
            if answer is None or statement is None:
                self._end(call, reason or Reason.RESPONSE_INVALID, exchange, "delivered")
                self._abort(exchange, "abandon", Reason.RESPONSE_INVALID)  # unless that was its last segment
                continue
            initial, ending = answer
            hit("program.release")
            if initial is not None and ending is not None:
                call.release(initial, messages_of(entry, statement), ending)
            else:
                self.streams.hand_on(call, exchange, initial, messages_of(entry, statement), ending)
            hit("program.released")
            if ending is not None:
                self._parts.counters["exchanges_answered"] += 1

    def _tell_refusal(self, call: ProgramCall, exchange: Exchange, statement: Statement) -> None:
        side: Side = "adapter" if statement.reason in _ADAPTER_REASONS else "provider"
        ending = self._parts.refusals.ending(
            Reason(statement.reason or Reason.INTERNAL),
            side=side,
            exchange=exchange.id,
            delivery=statement.delivery or "unknown",
            request_hash=exchange.leaf_hash.hex(),
            status=statement.status,
        )
        call.release((), [], ending)

    # ------------------------------------------------------------------ ends that the program or time brings

    def on_malformed(self, call: ProgramCall, error: ExchangeError) -> None:
        """A call broke gRPC's rules or a bound: before it is stated it is counted and told, not logged."""
        call.messages.clear()
        exchange = self._calls.get(call)
        if exchange is not None:
            self._abort(exchange, "cancel", error.reason)
        elif not call.is_stated:
            self._end(call, error.reason, None, "not_sent")

    def on_cancel(self, call: ProgramCall) -> None:
        """The program went away or cancelled; when its time is up, a stock client does so by itself."""
        call.messages.clear()
        exchange = self._calls.get(call)
        if exchange is None:
            return
        due_us = exchange.deadline_us
        if due_us is not None and due_us <= self._parts.clock.monotonic_us() + DEADLINE_SLACK_US:
            self._abort(exchange, "deadline", Reason.DEADLINE_EXCEEDED)
        else:
            self._abort(exchange, "cancel", Reason.CANCELLED)

    def _abort(self, exchange: Exchange, kind: Kind, reason: Reason, retry: Retry | None = None) -> None:
        """End one of our calls before its answer: nothing committed, dropped; sent, the ending travels."""
        phase, road = exchange.phase, exchange.road
        call = self._close(exchange)
        if call is None:
            return
        if phase is Phase.WAITING:
            self._parts.counters["dropped"] += 1
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
            self.doubts.add(exchange.leaf_hash, road.peer.log, exchange.index)
        self._endings.append((exchange, kind, reason, sent))
        if reason is not Reason.CANCELLED:
            self._end(call, reason, exchange, "unknown" if sent else "not_sent", retry)
        self._parts.wake()

    def _say_ending(self, turn: Turn, exchange: Exchange, kind: Kind, reason: Reason, sent: bool) -> None:
        request = exchange.statement
        if request is None:
            return
        statement = self._ending_of(turn, request, exchange.leaf_hash, kind, reason)
        if exchange.flow is not None:
            statement = _replace(statement, heard=exchange.flow.handed_on)
        if not sent:
            statement = _replace(statement, delivery="not_sent")
        turn.say(statement, exchange.road if sent else None)

    def _ending_of(
        self, turn: Turn, request: Statement, leaf_hash: bytes, kind: Kind, reason: Reason
    ) -> Statement:
        return _replace(
            request,
            kind=kind,
            final=True,
            payloads=[],
            encoding=None,
            issued_at=turn.now_ms,
            nonce=self._parts.nonce(),
            request=leaf_hash.hex(),
            reason=str(reason),
            delivery="unknown",
        )

    def give_up(self) -> None:
        """This gateway stops: give up what has no answer yet, and say so to the program and to the peer."""
        for exchange in list(self._calls.values()):
            if exchange.phase is not Phase.ANSWERED:  # its commit is under way: it is released in a moment
                self._abort(exchange, "abandon", Reason.SHUTTING_DOWN, _retry_of(exchange))

    def halt(self, reason: Reason) -> None:
        """The log takes no more entries: end every call of our programs now, and each that comes."""
        self._halted = reason
        self._arrivals = []
        for exchange in list(self._calls.values()):
            delivery: Delivered = "unknown" if exchange.phase >= Phase.SENT else "not_sent"
            call = self._close(exchange)
            if call is not None:
                self._end(call, reason, exchange, delivery)

    def on_tick(self, now_us: int) -> None:
        """End what is overdue; bounded by what is due."""
        if self.streams.have_segments:
            self._parts.wake()  # its road may have room again
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
            elif exchange.phase is Phase.WAITING and exchange.waiting_until_us <= now_us:
                # It may be among those that try again with the next turn; refused, it is passed over there.
                self._waiting.pop(exchange, None)
                self._refusals.append((exchange, self._why_not(exchange)))
                self._parts.wake()
            elif exchange.phase is Phase.COMMITTED and exchange.waiting_until_us <= now_us:
                self._abort(exchange, "abandon", self._why_not(exchange))

    def _why_not(self, exchange: Exchange) -> Reason:
        grant = exchange.grant
        return self._parts.roads.why_not(grant) if grant is not None else Reason.PEER_UNREACHABLE

    def _watch(self, exchange: Exchange, due_us: int) -> None:
        self._serial += 1
        heapq.heappush(self._deadlines, (due_us, self._serial, exchange))

    def on_road_lost(self, road: Road) -> None:
        """The stream broke: what was sent ends at once for its program; an answer that comes later is late."""
        for exchange in [one for one in self.exchanges.values() if one.road is road]:
            if exchange.phase is Phase.SENT:
                self._abort(exchange, "abandon", Reason.PEER_LOST, _retry_of(exchange))
            elif exchange.phase is Phase.COMMITTED:
                self._wait_for_stream(exchange)

    def _wait_for_stream(self, exchange: Exchange) -> None:
        """It is durable and unsent, and its road has no stream: the next one may carry it, if it comes soon."""
        exchange.waiting_until_us = self._parts.clock.monotonic_us() + self._parts.terms.peer_wait_us
        self._watch(exchange, exchange.waiting_until_us)

    def _close(self, exchange: Exchange) -> ProgramCall | None:
        """Take an exchange out of every table, once; returns its call, or ``None`` if it was closed before."""
        if exchange.phase is Phase.CLOSED:
            return None
        exchange.phase = Phase.CLOSED
        if exchange.holder:
            self._parts.budget.give_call(exchange.holder, exchange.size)
        self._calls.pop(exchange.call, None)
        self._waiting.pop(exchange, None)
        self.exchanges.pop(exchange.leaf_hash, None)
        exchange.messages = []
        if exchange.flow is not None:
            exchange.flow.outbox.drop()
            exchange.call.resume()
        return exchange.call

    def _end(
        self,
        call: ProgramCall,
        reason: Reason,
        exchange: Exchange | None,
        delivery: Delivered,
        retry: Retry | None = None,
    ) -> None:
        ending = self._parts.refusals.ending(
            reason,
            side="consumer",
            exchange=exchange.id or None if exchange else None,
            delivery=delivery,
            request_hash=exchange.leaf_hash.hex() if exchange and exchange.leaf_hash else None,
            retry=retry,
        )
        call.release((), [], ending)

    # ------------------------------------------------------------------ after a restart

    def take_up(self, left: Unfinished, turn: Turn) -> None:
        """Say that a request which a restart left in doubt is given up."""
        peer = self._speaker_of(left.statement.to)
        self.doubts.add(left.leaf, peer, self._index_in_ours(left))
        ending = self._ending_of(turn, left.statement, left.leaf, "abandon", Reason.INTERRUPTED)
        # It may have been asked in a log that ours succeeds, and the peer's may have been succeeded since.
        ending = _replace(ending, from_=self._parts.terms.log, to=peer or None)
        turn.say(ending, self._parts.roads.known(peer))

    def remember(self, doubt: Unfinished) -> None:
        """Take over a request that was in doubt before the restart."""
        self.doubts.add(doubt.leaf, self._speaker_of(doubt.statement.to), self._index_in_ours(doubt))

    def _index_in_ours(self, left: Unfinished) -> int:
        return left.index if left.statement.from_ == self._parts.terms.log else -1

    def _speaker_of(self, log: str | None) -> str:
        """The log that speaks for a peer's log now (PROTOCOL M5)."""
        view = self._parts.trust
        return view.speaker_of(log or "") if view is not None else log or ""


_size_of: Final = attrgetter("size")


def _told_by(marks: MethodMarks, entry: VerifiedEntry) -> Told:
    """Whom the messages of an answer are about; a refusal has none."""
    statement = entry.statement
    if statement is None or statement.kind != "response":
        return Told()
    return of_answer(marks, messages_of(entry, statement), statement.encoding)


def _retry_of(exchange: Exchange) -> Retry:
    """Whether a program may just send again what ended without an answer."""
    grant = exchange.grant
    is_idempotent = grant is not None and grant.provision.method.idempotent
    return "safe" if exchange.phase < Phase.SENT or is_idempotent else "ask"


def _tell(refused: list[tuple[ProgramCall, Ending]]) -> None:
    for call, ending in refused:
        call.release((), [], ending)


_ADAPTER_REASONS: Final = frozenset({"ADAPTER_DOWN", "ADAPTER_LOST", "ADAPTER_PROTOCOL"})
_replace = msgspec.structs.replace
