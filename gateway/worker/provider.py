"""The provider's side: steps 7 to 11, and what ends a peer's call before its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from core.payloads import Metadata, decode_metadata
from core.reasons import Delivery as Delivered
from core.reasons import ExchangeError, MalformedError, Reason
from core.statements import Kind, Statement
from core.streams import messages_of
from gateway.worker.call import AdapterAnswer
from gateway.worker.context import caller_context, passed_on
from gateway.worker.exchange import MAX_METADATA_BLOB_BYTES, Parts, Phase, Service
from gateway.worker.flow import Flow
from gateway.worker.frames import Outcome
from gateway.worker.masks import Cutter
from gateway.worker.peerlog import FrameRefusedError, PeerLog, VerifiedEntry
from gateway.worker.provider_streams import ProviderStreams
from gateway.worker.recovery import Unfinished
from gateway.worker.road import Road
from gateway.worker.subjects import NOTHING_SAID, Returned, returned
from gateway.worker.trust import Grant, refusal_of_terms
from gateway.worker.turn import Turn
from gateway.worker.wire import Message
from ledger.failpoints import hit
from ledger.heard import Record


class _Answering:
    """What the adapter answers to one call, on its way to the provider's side."""

    __slots__ = ("_provider", "_service")

    def __init__(self, provider: Provider, service: Service) -> None:
        self._provider = provider
        self._service = service

    def on_start(self, metadata: Metadata, encoding: str) -> None:
        """Its initial metadata."""
        self._provider.adapter_started(self._service, metadata, encoding)

    def on_message(self, flag: int, data: bytes) -> None:
        """One whole message."""
        self._provider.adapter_said(self._service, flag, data)

    def on_end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
        """Its end."""
        self._provider.adapter_ended(self._service, status, trailing, failure)


class Provider:
    """All calls of peers to our adapters."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._committed: list[Service] = []  # requests that are durable, and not delivered yet
        self._answers: deque[Service] = deque()
        self._held: list[Service] = []  # answers whose road has too much to send
        self._paused: set[str] = set()  # members whose answers wait at the adapter
        self._is_halted = False
        self.services: dict[bytes, Service] = {}
        self.streams = ProviderStreams(parts, self.services, self)

    @property
    def in_flight(self) -> int:
        """Calls of peers that have no end yet."""
        return len(self.services)

    # ------------------------------------------------------------------ 7 to 11

    def hear_requests(self, turn: Turn, road: Road, entries: list[VerifiedEntry], arrived_us: int) -> None:
        """7 Verify peer and request. 8 Authorise. 9 Plan the record; the commit comes before the adapter."""
        first = [one for one in entries if one.statement is not None and one.statement.sequence == 0]
        reasons = [self._verify_request(road, one) for one in first]
        granted = [
            reason or self._authorise(turn, road, one) for reason, one in zip(reasons, first, strict=True)
        ]
        taken: list[tuple[VerifiedEntry, str]] = []
        for entry, found in zip(first, granted, strict=True):
            if self._take_or_refuse(turn, road, entry, found, arrived_us):
                taken.append((entry, "taken"))
        turn.hear_all(road, "request", taken)
        if len(first) < len(entries):
            for entry in entries:
                if entry.statement is not None and entry.statement.sequence:
                    self.streams.hear_segment(turn, road, entry, entry.statement)

    def _take_or_refuse(
        self, turn: Turn, road: Road, entry: VerifiedEntry, found: Grant | Reason, arrived_us: int
    ) -> bool:
        statement, size = entry.statement, len(entry.payloads)
        if statement is None:
            return False
        reason, grant = (None, found) if isinstance(found, Grant) else (found, None)
        mask = grant.mask if grant is not None else None
        if reason is None and entry.leaf_hash in self.services:
            # Logged twice by the peer, while the first is open: its answer could not be told from the other's.
            reason = Reason.REPLAYED
        flow, streams_answer = self.streams.flow_of(statement) if reason is None else (None, False)
        if flow is not None:
            try:
                size = self.streams.first_cost(flow, entry.parts[1:])
            except ExchangeError as error:
                reason = error.reason
        if reason is None and not self._parts.budget.take_call(road.member, size):
            reason = Reason.LIMIT_EXCEEDED
        if reason is not None:
            self._refuse(turn, road, entry, statement, reason)
            return False
        left = statement.deadline_us
        # From its arrival on: what it waited for its turn here, the program waited too.
        service = Service(
            road,
            entry,
            statement,
            size,
            None if left is None else arrived_us + left,
            flow=flow,
            cutter=None if mask is None else Cutter(mask, self._parts.random, self._parts.terms.max_message),
            streams_answer=streams_answer,
            marks=grant.provision.marks if grant is not None else None,
        )
        self.streams.note_subjects(turn, service, entry, entry.parts[1:])
        self.services[entry.leaf_hash] = service
        turn.once_durable(self._deliver_soon, service)
        return True

    def _verify_request(self, road: Road, entry: VerifiedEntry) -> Reason | None:
        statement = entry.statement
        if statement is None:
            return Reason.STATEMENT_INVALID
        reason = self._parts.objection_to(road, entry, statement)
        if reason is not None:
            return reason
        if not entry.parts:
            return Reason.STATEMENT_INVALID
        if self._is_too_large(entry.parts[1:]):
            return Reason.MESSAGE_TOO_LARGE
        if len(entry.parts[0][1]) > MAX_METADATA_BLOB_BYTES:
            # It would break the connection to the adapter, and with it the calls of all others.
            return Reason.LIMIT_EXCEEDED
        if statement.deadline_us == 0:
            return Reason.STATEMENT_EXPIRED
        return self._parts.objection_to_start()

    def _authorise(self, turn: Turn, road: Road, entry: VerifiedEntry) -> Grant | Reason:
        """8 By our own configuration: party, method, purpose, dossier, validity, and the kind of call."""
        statement = entry.statement
        if statement is None:
            return Reason.STATEMENT_INVALID
        found = self.find_grant(road, statement, turn.now_ms)
        if isinstance(found, Reason) or (statement.final and len(entry.parts) == 2):
            return found
        return found if found.provision.method.client_streaming else Reason.CALL_KIND_NOT_SUPPORTED

    def find_grant(self, road: Road, statement: Statement, now_ms: int) -> Grant | Reason:
        """What our own configuration grants now, of a call that begins or a stream that is open; or its objection."""
        view = self._parts.trust
        client, provider, method, mark = (
            statement.client,
            statement.service,
            statement.method,
            statement.agreement,
        )
        if view is None or client is None or provider is None or method is None or mark is None:
            return Reason.CONFIG_MISSING if view is None else Reason.STATEMENT_INVALID
        if view.freshness(now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        gateway = view.by_log.get(road.peer.log)
        if gateway is None or gateway.member != client.rpartition("/")[0]:
            return Reason.PEER_NOT_REGISTERED
        ours = provider.rpartition("/")[0] == self._parts.terms.member
        if not ours or not self._parts.adapters.serves(provider):
            return Reason.NO_AGREEMENT
        found = view.find_named(client, provider, method, mark, now_ms)
        if not isinstance(found, Grant):
            return found
        if not view.is_party(gateway, client, found.agreement.terms.consumer.member_key):
            return Reason.PEER_NOT_REGISTERED
        refusal = refusal_of_terms(
            found.agreement,
            purpose=statement.purpose,
            issue=statement.issue,
            represented=statement.represented,
            caller=statement.caller or "loopback",
            age_ms=now_ms - view.fresh_at,
        )
        return refusal or self._parts.objection_to_noting(found, now_ms) or found

    def _refuse(
        self, turn: Turn, road: Road, entry: VerifiedEntry, statement: Statement, reason: Reason
    ) -> None:
        """``heard: refused`` and a said refusal in one commit, within the member's budget of entries."""
        if not self._parts.entries.take(road.member, turn.now_us):
            # Not heard and not answered: passed, as Outcome would tell. Its stream ends, so that what is asked
            # there in vain ends at once too, and the peer slows down as it dials again (PROTOCOL M17).
            if road.is_open:
                self._parts.counters["peers_over_budget"] += 1
                why = f"too many refused requests, the last one for {reason}"
                self._parts.roads.end_with(road, FrameRefusedError(Reason.LIMIT_EXCEEDED, why))
            return
        turn.hear(road, entry, "request", f"refused:{reason}")
        self._say_refusal(turn, road, entry.leaf_hash, statement, reason, "not_sent")

    def _deliver_soon(self, services: list[Service]) -> None:
        """Durable: deliver once the frames that came during the commit were heard; one may hold its cancellation."""
        self._committed += services
        self._parts.wake()

    def _deliver_all(self, services: list[Service]) -> None:
        """10 The requests are durable here: deliver each, once. Whatever ended meanwhile is not delivered."""
        if self._is_halted:
            return  # what cannot be answered any more is not begun; the next start answers it
        now_us = self._parts.clock.monotonic_us()
        metadata = [self._metadata(one, now_us) for one in services]
        for service, found in zip(services, metadata, strict=True):
            if isinstance(found, Reason):
                self.end_service(service, found)
            elif found is not None:
                self._call_adapter(service, found, now_us)

    def _metadata(self, service: Service, now_us: int) -> Metadata | Reason | None:
        """What the adapter is told; or why it is not called; ``None`` if the call ended already."""
        if service.phase is not Phase.COMMITTING:
            return None
        if not service.road.is_open:
            return Reason.PEER_LOST
        if service.deadline_us is not None and service.deadline_us <= now_us:
            return Reason.STATEMENT_EXPIRED
        try:
            passed = passed_on(decode_metadata(service.request.parts[0][1]))
        except MalformedError as error:
            return error.reason
        return passed + caller_context(service.statement, service.request.leaf_hash.hex())

    def _call_adapter(self, service: Service, metadata: Metadata, now_us: int) -> None:
        statement, due_us = service.statement, service.deadline_us
        hit("adapter.call")
        service.phase = Phase.SENT
        service.handle = self._parts.adapters.open(
            statement.service or "",
            f"/{statement.method}".encode("ascii"),
            metadata,
            statement.encoding or "identity",
            None if due_us is None else due_us - now_us,
            _Answering(self, service),
        )
        self.streams.hand_on(service, service.request)
        hit("adapter.called")
        if service.road.member in self._paused and not service.streams_answer:
            service.handle.hold()
        following, service.following = service.following, []
        for entry in following:
            self.streams.hand_on(service, entry)

    def adapter_started(self, service: Service, metadata: Metadata, encoding: str) -> None:
        """Initial metadata: it goes ahead of the messages where the answer is a stream."""
        service.initial, service.encoding, service.is_started = metadata, encoding, True
        if service.cutter is not None:
            service.cutter.encoding, service.encoding = encoding, "identity"
        if service.streams_answer:
            self.streams.queue(service)

    def adapter_said(self, service: Service, flag: int, data: bytes) -> None:
        """A message of the answer; raises ``ExchangeError`` if the method returns no more, or it cannot be cut."""
        flow = service.flow
        if service.phase is not Phase.SENT:
            return
        if not service.streams_answer and service.messages:
            raise ExchangeError(Reason.ADAPTER_PROTOCOL, "a second message to a method that returns one")
        if service.cutter is not None:
            flag, data = 0, service.cutter.cut(flag, data)
        if not service.streams_answer:
            service.messages.append((flag, data))
        elif flow is not None and service.handle is not None:
            self.streams.put(service, flow, flag, data)

    def adapter_ended(
        self, service: Service, status: int | None, trailing: Metadata, failure: Reason | None
    ) -> None:
        """Status and trailing metadata, or why there is none."""
        hit("adapter.answered")
        if service.phase is not Phase.SENT:
            return
        answer = AdapterAnswer(service.initial, service.messages, trailing, status, service.encoding, failure)
        service.delivered = failure not in _NOT_DELIVERED
        if service.streams_answer and service.flow is not None:
            service.answer = answer
            service.flow.outbox.is_ended = True
            self.streams.queue(service)
            return
        service.answer_bytes = sum([len(data) for _, data in answer.messages])
        self._parts.answers.add(service.road.member, service.answer_bytes)
        self._answer_with(service, answer)
        self._pause_if_full(service.road.member)

    def _pause_if_full(self, member: str) -> None:
        """Answers wait for commits and for a peer that takes them slowly: past a bound the adapter waits, too.

        Calls under way finish what their windows let in, those made from now on begin with theirs shut; other
        members are not held up.
        """
        if member in self._paused or not self._parts.answers.is_full(member):
            return
        self._paused.add(member)
        for one in self._services_of(member):
            if one.handle is not None:
                one.handle.hold()

    def _resume(self) -> None:
        for member in [one for one in self._paused if not self._parts.answers.is_full(one)]:
            self._paused.discard(member)
            for one in self._services_of(member):
                if one.handle is not None:
                    one.handle.resume()

    def _services_of(self, member: str) -> list[Service]:
        """Those whose whole answer is gathered here; a stream has its own bound."""
        return [one for one in self.services.values() if one.road.member == member and not one.streams_answer]

    def end_service(self, service: Service, reason: Reason) -> None:
        """End a peer's call before the adapter did: it learns at once, the statement follows."""
        if service.phase in (Phase.ANSWERED, Phase.CLOSED):
            return
        handle = service.handle
        if handle is not None:
            service.delivered = handle.has_left
            handle.cancel()
        if service.flow is not None:
            service.flow.outbox.drop()
        self._answer_with(service, AdapterAnswer((), [], (), None, failure=reason))

    def _answer_with(self, service: Service, answer: AdapterAnswer) -> None:
        service.phase = Phase.ANSWERED
        service.answer = answer
        service.deadline_us = None
        self._answers.append(service)
        self._parts.wake()

    def plan(self, turn: Turn) -> None:
        """Deliver what the last commit made durable; take what was answered, oldest first, until the turn is full."""
        if self._committed:
            services, self._committed = self._committed, []
            self._deliver_all(services)
        while self._answers and not turn.is_full:
            batch = turn.batch(self._answers, _answer_bytes)
            self._held += [one for one in batch if _must_wait(one)]
            self._answer_all(
                turn, [(one, one.answer) for one in batch if one.answer is not None and not _must_wait(one)]
            )
        if self._paused:
            self._resume()

    def _answer_all(self, turn: Turn, answered: list[tuple[Service, AdapterAnswer]]) -> None:
        """11 The response statements, or the refusals; the turn commits, signs and sends them."""
        parts = self._parts
        good: list[tuple[Service, AdapterAnswer]] = []
        for service, answer in answered:
            self.close(service)
            parts.answers.remove(service.road.member, service.answer_bytes)
            reason = answer.failure or self._objection_to_answer(answer)
            if reason is not None:
                self.say_failure(turn, service, reason)
            elif service.cutter is None:
                good.append((service, answer))
            else:
                self._say_cut(turn, service, answer)
        salted = [
            parts.salted(passed_on(one.initial), one.messages, passed_on(one.trailing)) for _, one in good
        ]
        responses = [
            self._response(
                turn,
                one.statement,
                one.request.leaf_hash,
                "response",
                digests,
                answer,
                one.flow,
                returned(one.marks, one.messages, answer.encoding),
            )
            for (one, answer), (_, digests) in zip(good, salted, strict=True)
        ]
        turn.say_all(
            [
                (response, service.road, payloads)
                for (service, _), response, (payloads, _) in zip(good, responses, salted, strict=True)
            ]
        )
        parts.counters["exchanges_served"] += len(good)

    def _say_cut(self, turn: Turn, service: Service, answer: AdapterAnswer) -> None:
        """11 One answer of which not all is granted."""
        salted = self._parts.salted(passed_on(answer.initial), answer.messages, passed_on(answer.trailing))
        told = returned(service.marks, answer.messages, answer.encoding)
        self.say_segment(turn, service, salted, 0, answer, told)
        self._parts.counters["exchanges_served"] += 1

    def close(self, service: Service) -> None:
        """Take a peer's call out of every table."""
        service.phase = Phase.CLOSED
        self.services.pop(service.request.leaf_hash, None)
        self._parts.budget.give_call(service.road.member, service.size)

    def say_segment(
        self,
        turn: Turn,
        service: Service,
        payloads: tuple[bytes, list[str]],
        sequence: int,
        end: AdapterAnswer | None,
        told: Returned,
    ) -> None:
        """11 One segment of an answer; the last one has the adapter's status."""
        body, digests = payloads
        request = service.request.leaf_hash
        said = self._response(turn, service.statement, request, "response", digests, end, service.flow, told)
        said = _replace(said, sequence=sequence, final=end is not None, encoding=service.encoding)
        salts = b""
        if service.cutter is not None:
            cut, salts = service.cutter.state(messages_of(said))
            said = _replace(said, cut=cut)
        turn.say(said, service.road, body, salts)

    def say_failure(self, turn: Turn, service: Service, reason: Reason) -> None:
        """Say the refusal that ends a peer's call."""
        delivery: Delivered = "delivered" if service.delivered else "not_sent"
        request = service.request.leaf_hash
        self._say_refusal(turn, service.road, request, service.statement, reason, delivery, service.flow)

    def _objection_to_answer(self, answer: AdapterAnswer) -> Reason | None:
        if not _is_unary(answer):
            return Reason.ADAPTER_PROTOCOL
        return Reason.MESSAGE_TOO_LARGE if self._is_too_large(answer.messages) else None

    def _is_too_large(self, messages: Sequence[Message]) -> bool:
        limit = self._parts.terms.max_message
        return any(len(data) > limit for _, data in messages)

    def _say_refusal(
        self,
        turn: Turn,
        road: Road | None,
        request: bytes,
        asked: Statement,
        reason: Reason,
        delivery: Delivered,
        flow: Flow | None = None,
    ) -> None:
        """A refusal is a signed, logged response too."""
        self._parts.counters[f"refused_{reason}"] += 1
        refused = _replace(
            self._response(turn, asked, request, "refusal", [], None, flow),
            status=int(reason.entry.code),
            reason=str(reason),
            delivery=delivery,
        )
        turn.say(refused, road)

    def _response(
        self,
        turn: Turn,
        asked: Statement,
        request: bytes,
        kind: Kind,
        payloads: list[str],
        answer: AdapterAnswer | None,
        flow: Flow | None,
        told: Returned = NOTHING_SAID,
    ) -> Statement:
        view = self._parts.trust
        return _replace(
            asked,
            kind=kind,
            from_=self._parts.terms.log,
            to=asked.from_,
            previous=None,
            attempt=1,
            final=True,
            configuration=view.mark if view else None,
            issued_at=turn.now_ms,
            deadline_us=None,
            encoding=answer.encoding if answer else None,
            payloads=payloads,
            nonce=self._parts.nonce(),
            request=request.hex(),
            heard=_handed_on(asked, flow),
            status=answer.status if answer else None,
            records=told.records,
            sensitivity=told.sensitivity,
        )

    # ------------------------------------------------------------------ ends that the consumer or time brings

    def hear_ending(self, turn: Turn, road: Road, entry: VerifiedEntry) -> None:
        """The consumer cancelled, ran out of time or gave up: it reaches the adapter at once."""
        statement = entry.statement
        if statement is None:
            return
        service = self.services.get(bytes.fromhex(statement.request or ""))
        ours = service is not None and service.road is road and service.phase < Phase.ANSWERED
        if not ours and not self._parts.entries.take(road.member, turn.now_us):
            return  # endings of nothing must not fill our log: summed in one note (PROTOCOL M17)
        reason = self._parts.objection_to(road, entry, statement)
        if reason is None and service is not None and ours and not _is_possible(service, statement):
            reason = Reason.STATEMENT_INVALID
        turn.hear(road, entry, "request", "taken" if reason is None else f"refused:{reason}")
        ends = _why_ended(statement)
        if ends is not None and service is not None and ours:
            # Refused or not, whoever says that it ends does not wait for it any more.
            self.end_service(service, reason or ends)

    def on_tick(self, now_us: int) -> None:
        """End what is overdue at the adapter; take up answers whose road has room again."""
        if self.streams.have_segments:
            self._parts.wake()  # its road may have room again
        if self._held and not all(map(_must_wait, self._held)):
            self._answers.extend(self._held)
            self._held.clear()
            self._parts.wake()
        for service in [one for one in self.services.values() if _is_due(one, now_us)]:
            self.end_service(service, Reason.DEADLINE_EXCEEDED)

    def give_up(self) -> None:
        """This gateway stops: answer what the adapter has not; what it was given may have been done."""
        for service in list(self.services.values()):
            handle = service.handle
            has_left = handle is not None and handle.has_left
            self.end_service(service, Reason.INTERRUPTED if has_left else Reason.SHUTTING_DOWN)

    def halt(self) -> None:
        """The log takes no more entries: deliver nothing from now on."""
        self._is_halted = True

    # ------------------------------------------------------------------ questions

    def answer_question(self, turn: Turn, road: Road, question: Outcome) -> None:
        """Say what became of a statement of a peer, if no answer tells it (PROTOCOL M4).

        What lies below our edge of its log and has no record was passed: it was never taken, nor will be; unless a log
        that ours succeeds may have taken it, in leaves that are missing here. Nothing is said about a leaf that is not
        proved to stand there, nor past the member's budget: the peer asks again.
        """
        peer = road.peer
        try:
            is_provable = road.is_open and peer.require_leaf(question)
        except MalformedError as error:
            self._parts.roads.end_with(road, FrameRefusedError(error.reason, str(error)))
            return
        record = peer.heard.record_of(question.index)
        is_under_way = record == "taken" and question.leaf in self.services
        if not is_provable or is_under_way or not self._parts.entries.take(road.member, turn.now_us):
            return
        self._parts.counters["outcomes_said"] += 1
        turn.say(self._outcome(turn, peer, question, record), road)

    def _outcome(self, turn: Turn, peer: PeerLog, question: Outcome, record: Record | None) -> Statement:
        view, is_ours = self._parts.trust, peer.met_at is not None and question.index >= peer.met_at
        is_passed = record is None and (is_ours or self._parts.are_predecessors_whole)
        return Statement(
            v=1,
            kind="outcome",
            from_=self._parts.terms.log,
            to=peer.log,
            exchange=None,
            reference=None,
            attempt=1,
            previous=None,
            sequence=0,
            final=True,
            client=None,
            service=None,
            method=None,
            represented=None,
            purpose=None,
            issue=None,
            user=None,
            caller=None,
            door="grpc",
            agreement=None,
            configuration=view.mark if view else None,
            descriptors=None,
            issued_at=turn.now_ms,
            deadline_us=None,
            encoding=None,
            payloads=[],
            nonce=self._parts.nonce(),
            request=question.leaf.hex(),
            heard=None if record is None else 0,
            delivery="not_sent" if is_passed or record == "not taken" else "unknown",
        )

    # ------------------------------------------------------------------ after a restart

    def take_up(self, left: Unfinished, turn: Turn) -> None:
        """Answer a request that a restart cut: nobody knows whether the adapter was called, it is not called again."""
        # Said also when the peer is registered no more, and cannot be told: else each start would find it again.
        # The peer's log may have been succeeded since: its successor is told.
        view, asked = self._parts.trust, left.statement
        if view is not None:
            asked = _replace(asked, from_=view.speaker_of(asked.from_))
        road = self._parts.roads.known(asked.from_)
        self._say_refusal(turn, road, left.leaf, asked, Reason.INTERRUPTED, "unknown")


_ENDS: Final = {
    "cancel": Reason.CANCELLED,
    "deadline": Reason.DEADLINE_EXCEEDED,
}
# Why a consumer gives up that lost us or itself; else it withdrew the call for reasons of its own.
_LOST: Final = frozenset(
    {Reason.PEER_LOST, Reason.PEER_UNREACHABLE, Reason.INTERRUPTED, Reason.SHUTTING_DOWN}
)
# Of these the adapter has nothing: it was away, or the queue before it was full.
_NOT_DELIVERED: Final = frozenset({Reason.ADAPTER_DOWN, Reason.LIMIT_EXCEEDED})
_replace = msgspec.structs.replace


def _handed_on(asked: Statement, flow: Flow | None) -> int | None:
    """The last request segment that the adapter was handed; ``None``: a restart forgot how many of several it was."""
    if flow is not None:
        return flow.handed_on or 0
    return 0 if asked.final else None


def _why_ended(ending: Statement) -> Reason | None:
    """What the provider says of an ending: what it knows itself, never the consumer's reasons as its own."""
    if ending.kind == "abandon":
        return Reason.PEER_LOST if ending.reason in _LOST else Reason.CANCELLED
    return _ENDS.get(ending.kind)


def _is_possible(service: Service, ending: Statement) -> bool:
    """Whether the consumer can have handed on what its ending says: no more than we said to it."""
    return ending.heard is None if service.flow is None else service.flow.is_possible(ending.heard)


def _must_wait(service: Service) -> bool:
    """Whether an answer waits until its road has sent more of what it has; without a stream it goes into the log."""
    answer, road = service.answer, service.road
    return answer is not None and bool(answer.messages) and road.is_open and road.is_backed_up


def _answer_bytes(service: Service) -> int:
    return sum([len(data) for _, data in service.answer.messages]) if service.answer else 0


def _is_unary(answer: AdapterAnswer) -> bool:
    """Whether a unary method may answer so: one message with OK, at most one with another status."""
    return (
        answer.status is not None
        and len(answer.messages) <= 1
        and (answer.status != 0 or bool(answer.messages))
    )


def _is_due(service: Service, now_us: int) -> bool:
    return service.deadline_us is not None and service.deadline_us <= now_us and service.phase is Phase.SENT
