"""The provider's side: steps 7 to 11, and what ends a peer's call before its answer."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from core.payloads import Metadata, decode_metadata
from core.reasons import Delivery as Delivered
from core.reasons import MalformedError, Reason
from core.statements import Kind, Statement
from gateway.worker.call import AdapterAnswer
from gateway.worker.context import caller_context, passed_on
from gateway.worker.exchange import MAX_METADATA_BLOB_BYTES, Parts, Phase, Service
from gateway.worker.frames import Outcome
from gateway.worker.peerlog import FrameRefusedError, PeerLog, VerifiedEntry
from gateway.worker.recovery import Unfinished
from gateway.worker.road import Road
from gateway.worker.trust import Grant, refusal_of_terms
from gateway.worker.turn import Turn
from ledger.failpoints import hit
from ledger.heard import Record


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

    @property
    def in_flight(self) -> int:
        """Calls of peers that have no end yet."""
        return len(self.services)

    # ------------------------------------------------------------------ 7 to 11

    def hear_requests(self, turn: Turn, road: Road, entries: list[VerifiedEntry], arrived_us: int) -> None:
        """7 Verify peer and request. 8 Authorise. 9 Plan the record; the commit comes before the adapter."""
        reasons = [self._verify_request(road, one) for one in entries]
        reasons = [
            reason or self._authorise(turn, road, one) for reason, one in zip(reasons, entries, strict=True)
        ]
        taken: list[tuple[VerifiedEntry, str]] = []
        for entry, reason in zip(entries, reasons, strict=True):
            if self._is_taken(turn, road, entry, reason, arrived_us):
                taken.append((entry, "taken"))
        turn.hear_all(road, "request", taken)

    def _is_taken(
        self, turn: Turn, road: Road, entry: VerifiedEntry, reason: Reason | None, arrived_us: int
    ) -> bool:
        statement, size = entry.statement, len(entry.payloads)
        if statement is None:
            return False
        if reason is None and entry.leaf_hash in self.services:
            # Logged twice by the peer, while the first is open: its answer could not be told from the other's.
            reason = Reason.REPLAYED
        if reason is None and not self._parts.budget.take_call(road.member, size):
            reason = Reason.LIMIT_EXCEEDED
        if reason is not None:
            self._refuse(turn, road, entry, statement, reason)
            return False
        left = statement.deadline_us
        # From its arrival on: what it waited for its turn here, the program waited too.
        service = Service(road, entry, statement, size, None if left is None else arrived_us + left)
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
        if statement.sequence != 0 or not statement.final or len(entry.parts) != 2:
            return Reason.CALL_KIND_NOT_SUPPORTED
        (_, blob), (_, message) = entry.parts
        if len(message) > self._parts.terms.max_message:
            return Reason.MESSAGE_TOO_LARGE
        if len(blob) > MAX_METADATA_BLOB_BYTES:
            # It would break the connection to the adapter, and with it the calls of all others.
            return Reason.LIMIT_EXCEEDED
        if statement.deadline_us == 0:
            return Reason.STATEMENT_EXPIRED
        return self._parts.may_start()

    def _authorise(self, turn: Turn, road: Road, entry: VerifiedEntry) -> Reason | None:
        """8 By our own configuration: party, method, purpose, dossier, validity."""
        view, statement = self._parts.trust, entry.statement
        if statement is None:
            return Reason.STATEMENT_INVALID
        client, provider, method, mark = (
            statement.client,
            statement.service,
            statement.method,
            statement.agreement,
        )
        if view is None or client is None or provider is None or method is None or mark is None:
            return Reason.CONFIG_MISSING if view is None else Reason.STATEMENT_INVALID
        if view.freshness(turn.now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        gateway = view.by_log.get(road.peer.log)
        if gateway is None or gateway.member != client.rpartition("/")[0]:
            return Reason.PEER_NOT_REGISTERED
        ours = provider.rpartition("/")[0] == self._parts.terms.member
        if not ours or not self._parts.adapters.serves(provider):
            return Reason.NO_AGREEMENT
        found = view.find_named(client, provider, method, mark, turn.now_ms)
        if not isinstance(found, Grant):
            return found
        if not view.is_party(gateway, client, found.agreement.terms.consumer.member_key):
            return Reason.PEER_NOT_REGISTERED
        return refusal_of_terms(
            found.agreement,
            purpose=statement.purpose,
            issue=statement.issue,
            represented=statement.represented,
            caller=statement.caller or "loopback",
            age_ms=turn.now_ms - view.fresh_at,
        )

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
                self._end_service(service, found)
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
        service.handle = self._parts.adapters.call(
            statement.service or "",
            f"/{statement.method}".encode("ascii"),
            metadata,
            statement.encoding or "identity",
            None if due_us is None else due_us - now_us,
            [service.request.parts[1]],
            lambda answer: self._adapter_answered(service, answer),
        )
        # It is in the log and with the adapter's edge: not to be held here as well while the adapter works.
        service.request.payloads, service.request.parts = b"", ()
        hit("adapter.called")
        if service.road.member in self._paused:
            service.handle.hold()

    def _adapter_answered(self, service: Service, answer: AdapterAnswer) -> None:
        hit("adapter.answered")
        if service.phase is Phase.SENT:
            service.delivered = answer.failure not in _NOT_DELIVERED
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
        return [one for one in self.services.values() if one.road.member == member]

    def _end_service(self, service: Service, reason: Reason) -> None:
        """End a peer's call before the adapter did: it learns at once, the statement follows."""
        if service.phase in (Phase.ANSWERED, Phase.CLOSED):
            return
        handle = service.handle
        if handle is not None:
            service.delivered = handle.has_left
            handle.cancel()
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
            service.phase = Phase.CLOSED
            self.services.pop(service.request.leaf_hash, None)
            parts.budget.give_call(service.road.member, service.size)
            parts.answers.remove(service.road.member, service.answer_bytes)
            reason = answer.failure or self._objection_to_answer(answer)
            if reason is None:
                good.append((service, answer))
                continue
            delivery: Delivered = "delivered" if service.delivered else "not_sent"
            request = service.request.leaf_hash
            self._say_refusal(turn, service.road, request, service.statement, reason, delivery)
        salted = [
            parts.salted(passed_on(one.initial), one.messages, passed_on(one.trailing)) for _, one in good
        ]
        responses = [
            self._response(turn, one.statement, one.request.leaf_hash, "response", digests, answer)
            for (one, answer), (_, digests) in zip(good, salted, strict=True)
        ]
        turn.say_all(
            [
                (response, service.road, payloads)
                for (service, _), response, (payloads, _) in zip(good, responses, salted, strict=True)
            ]
        )
        parts.counters["exchanges_served"] += len(good)

    def _objection_to_answer(self, answer: AdapterAnswer) -> Reason | None:
        if not _is_unary(answer):
            return Reason.ADAPTER_PROTOCOL
        limit = self._parts.terms.max_message
        too_large = any(len(data) > limit for _, data in answer.messages)
        return Reason.MESSAGE_TOO_LARGE if too_large else None

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
        self._parts.counters[f"refused_{reason}"] += 1
        refused = _replace(
            self._response(turn, asked, request, "refusal", [], None),
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
    ) -> Statement:
        view = self._parts.trust
        return _replace(
            asked,
            kind=kind,
            from_=self._parts.terms.log,
            to=asked.from_,
            previous=None,
            attempt=1,
            configuration=view.mark if view else None,
            issued_at=turn.now_ms,
            deadline_us=None,
            encoding=answer.encoding if answer else None,
            payloads=payloads,
            nonce=self._parts.nonce(),
            request=request.hex(),
            heard=0,
            status=answer.status if answer else None,
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
        turn.hear(road, entry, "request", "taken" if reason is None else f"refused:{reason}")
        ends = _ENDS.get(statement.kind)
        if reason is None and ends is not None and service is not None and ours:
            self._end_service(service, ends)

    def on_tick(self, now_us: int) -> None:
        """End what is overdue at the adapter; take up answers whose road has room again."""
        if self._held and not all(map(_must_wait, self._held)):
            self._answers.extend(self._held)
            self._held.clear()
            self._parts.wake()
        for service in [one for one in self.services.values() if _is_due(one, now_us)]:
            self._end_service(service, Reason.DEADLINE_EXCEEDED)

    def give_up(self) -> None:
        """This gateway stops: answer what the adapter has not; what it was given may have been done."""
        for service in list(self.services.values()):
            handle = service.handle
            has_left = handle is not None and handle.has_left
            self._end_service(service, Reason.INTERRUPTED if has_left else Reason.SHUTTING_DOWN)

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
    "abandon": Reason.PEER_LOST,
}
# Of these the adapter has nothing: it was away, or the queue before it was full.
_NOT_DELIVERED: Final = frozenset({Reason.ADAPTER_DOWN, Reason.LIMIT_EXCEEDED})
_replace = msgspec.structs.replace


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
