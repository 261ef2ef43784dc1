"""The provider's side of open streams: request segments behind the first, and answers that go out in segments.

``docs/protocol/stream.md``. The steps are those of ``exchange``: 7 to 10 again for each segment of a request, 11 for each
segment of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Protocol

from core.payloads import Metadata
from core.reasons import ExchangeError, Reason
from core.statements import BOUND_FIELDS, Statement
from core.streams import is_well_cut
from gateway.worker.call import AdapterAnswer
from gateway.worker.context import passed_on
from gateway.worker.exchange import Messages, Parts, Phase, Service
from gateway.worker.flow import MESSAGE_COST, SEGMENTS_A_TURN, Flow, Rota, cost_of, watch
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.road import Road
from gateway.worker.subjects import Returned, of_request, returned
from gateway.worker.trust import Grant
from gateway.worker.turn import Turn
from gateway.worker.wire import Message

_bound: Final = attrgetter(*BOUND_FIELDS)


class Ends(Protocol):
    """How ``Provider`` ends a peer's call."""

    def end_service(self, service: Service, reason: Reason) -> None:
        """End it before the adapter did."""

    def close(self, service: Service) -> None:
        """Take it out of every table: its end is said."""

    def say_failure(self, turn: Turn, service: Service, reason: Reason) -> None:
        """Say the refusal that ends it."""

    def say_segment(
        self,
        turn: Turn,
        service: Service,
        payloads: tuple[bytes, list[str]],
        sequence: int,
        end: AdapterAnswer | None,
        told: Returned,
    ) -> None:
        """Say one segment of its answer and what is told of its messages, the last one with ``end``."""

    def find_grant(self, road: Road, statement: Statement, now_ms: int) -> Grant | Reason:
        """What our own configuration grants now, or its objection."""


class ProviderStreams:
    """All streams of peers.

    Args:
        parts: What both sides are built with.
        services: Calls of peers that have no end yet, by the leaf hash of their request; ``Provider``'s own.
        ends: Ends one of them, and says what is to be said of it.
    """

    def __init__(self, parts: Parts, services: dict[bytes, Service], ends: Ends) -> None:
        self._parts = parts
        self._services = services
        self._ends = ends
        self._rota: Rota[Service] = Rota(parts.wake)

    @property
    def have_segments(self) -> bool:
        """Whether one waits for its turn, or for room on its road."""
        return bool(self._rota)

    def flow_of(self, statement: Statement) -> tuple[Flow | None, bool]:
        """What keeps count of a stream, ``None`` for a unary call; and whether the answer is one."""
        view = self._parts.trust
        method = view.method(statement.service or "", statement.method or "") if view else None
        if method is None or not (method.client_streaming or method.server_streaming):
            return None, False
        flow = Flow()
        flow.heard(statement.encoding, final=statement.final)
        return flow, method.server_streaming

    def first_cost(self, flow: Flow, messages: Sequence[Message]) -> int:
        """Count in the messages of segment 0; returns what they cost.

        Raises:
            ExchangeError: ``STATEMENT_INVALID``: it is not cut as segments are. ``LIMIT_EXCEEDED``: past its credit.
        """
        if not is_well_cut([len(data) for _, data in messages]):
            raise ExchangeError(Reason.STATEMENT_INVALID, "more than a segment may hold")
        return flow.intake.take(messages)

    # --- 7 to 10 ---

    def hear_segment(self, turn: Turn, road: Road, entry: VerifiedEntry, statement: Statement) -> None:
        """A later segment of a request: it belongs to an open stream of this peer, or comes too late."""
        service = self._services.get(bytes.fromhex(statement.request or ""))
        if service is None or service.road is not road or service.phase >= Phase.ANSWERED:
            # The answer overtook it. Of nothing that we know of, it must not fill our log (PROTOCOL M17).
            if self._parts.entries.take(road.member, turn.now_us):
                turn.hear(road, entry, "request", "late")
            return
        reason = self._parts.objection_to(road, entry, statement) or self._count_in(service, entry, statement)
        if reason is None:
            self.note_subjects(turn, service, entry, entry.parts)
        turn.hear(road, entry, "request", "taken" if reason is None else f"refused:{reason}")
        if reason is not None:
            self._ends.end_service(service, reason)
            return
        self._parts.counters["segments_heard"] += 1
        turn.once_durable(self._heard, (service, entry))

    def note_subjects(
        self, turn: Turn, service: Service, entry: VerifiedEntry, messages: Sequence[Message]
    ) -> None:
        """Whom a segment of a request is about goes beside its record; a unary call's is one (PROTOCOL M13)."""
        if service.marks is None or entry.statement is None:
            return
        told = of_request(service.marks, messages, entry.statement.encoding)
        if told is not None:
            entry.annex = self._parts.pseudonyms.annex(turn.now_ms, told)

    def _count_in(self, service: Service, entry: VerifiedEntry, statement: Statement) -> Reason | None:
        """What a later segment must be: the next of its stream, about the same call, within its credit and share."""
        flow, limit = service.flow, self._parts.terms.max_message
        if flow is None or not flow.follows(statement.sequence, statement.encoding, entry.parts):
            return Reason.STATEMENT_INVALID
        if _bound(statement) != _bound(service.statement):
            return Reason.STATEMENT_INVALID
        if any(len(data) > limit for _, data in entry.parts):
            return Reason.MESSAGE_TOO_LARGE
        try:
            size = flow.intake.take(entry.parts)
        except ExchangeError as error:
            return error.reason
        if not self._parts.budget.take_bytes(service.road.member, size):
            return Reason.LIMIT_EXCEEDED
        flow.heard(statement.encoding, final=statement.final)
        service.size += size
        return None

    def _heard(self, heard: list[tuple[Service, VerifiedEntry]]) -> None:
        """Durable: the adapter gets them, behind what came before."""
        for service, entry in heard:
            if service.phase is Phase.COMMITTING:
                service.following.append(entry)
            elif service.phase is Phase.SENT:
                self.hand_on(service, entry)

    def hand_on(self, service: Service, entry: VerifiedEntry) -> None:
        """10 The messages of one segment, and the half-close behind the last; so for a unary call."""
        handle, statement, flow = service.handle, entry.statement, service.flow
        if handle is None or statement is None:
            return
        messages = entry.parts[1:] if statement.sequence == 0 else entry.parts
        for flag, data in messages[:-1] if statement.final else messages:
            handle.send(flag, data)
        if statement.final and messages:
            handle.send_last(*messages[-1])
        elif statement.final:
            handle.half_close()
        # It is in the log and with the adapter's edge: not to be held here as well while the adapter works.
        entry.payloads, entry.parts = b"", ()
        if flow is not None:
            flow.handed_on = statement.sequence
            watch(handle, flow.intake, lambda gone, credit: self._adapter_took(service, gone, credit))

    def _adapter_took(self, service: Service, gone: int, credit: int) -> bool:
        """The adapter has room again: so has the consumer, for as much."""
        if service.phase is not Phase.SENT:
            return False  # what it held is given back as a whole
        service.size -= gone
        self._parts.budget.give_bytes(service.road.member, gone)
        if credit:
            service.road.give_credit(service.request.leaf_hash, credit)
        return True

    # --- from the adapter ---

    def put(self, service: Service, flow: Flow, flag: int, data: bytes) -> None:
        """A message of the adapter waits for its segment."""
        cost = len(data) + MESSAGE_COST
        if not self._parts.budget.take_bytes(service.road.member, cost):
            self._ends.end_service(service, Reason.LIMIT_EXCEEDED)
            return
        service.size += cost
        flow.outbox.put(flag, data)
        if service.handle is not None:
            # Until the next segment takes it: the window of HTTP/2 bounds what may wait here.
            service.handle.hold()
        self.queue(service)

    # --- 11 ---

    def queue(self, service: Service) -> None:
        """Let the stream say its next segment, if it has one that may go."""
        flow = service.flow
        if flow is not None and service.phase is Phase.SENT and _has_segment(service, flow):
            self._rota.add(service, flow)

    def plan(self, turn: Turn) -> None:
        """A few segments of each stream."""
        self._rota.plan(
            lambda service, flow: self._say(turn, service, flow),
            lambda service, flow: service.phase is Phase.SENT and _has_segment(service, flow),
        )

    def _say(self, turn: Turn, service: Service, flow: Flow) -> bool:
        """The last one has the adapter's status, or a refusal stands behind it."""
        if service.phase is not Phase.SENT or service.road.is_backed_up:
            return False
        count = 0
        while count < SEGMENTS_A_TURN and not turn.is_full and _has_segment(service, flow):
            count += 1
            messages, sequence, is_last = flow.next_segment()
            size = cost_of(messages)
            service.size -= size
            self._parts.budget.give_bytes(service.road.member, size)
            end = service.answer if is_last else None
            if end is None or end.failure is None:
                self._say_one(turn, service, messages, sequence, end)
            elif messages:
                self._say_one(turn, service, messages, sequence, None)
            if is_last:
                self._ends.close(service)
            if end is not None and end.failure is not None:
                self._ends.say_failure(turn, service, end.failure)
            elif is_last:
                self._parts.counters["exchanges_served"] += 1
        if service.handle is not None and not flow.outbox:
            service.handle.resume()
        return count > 0

    def _say_one(
        self, turn: Turn, service: Service, messages: Messages, sequence: int, end: AdapterAnswer | None
    ) -> None:
        initial: Metadata | None = passed_on(service.initial) if sequence == 0 else None
        trailing = passed_on(end.trailing) if end is not None else None
        told = returned(service.marks, messages, service.encoding)
        payloads = self._parts.salted(initial, messages, trailing)
        self._ends.say_segment(turn, service, payloads, sequence, end, told)
        self._parts.counters["segments_said"] += 1

    def on_credit(self, road: Road, request: bytes, credit: int) -> None:
        """The consumer's side has room for more of a stream."""
        service = self._services.get(request)
        if service is not None and service.road is road and service.flow is not None:
            service.flow.outbox.give_back(credit)
            self.queue(service)

    # --- ends ---

    def on_road_lost(self, road: Road) -> None:
        """Nobody will take what follows of a stream, and nothing more of its request will come: its adapter is told."""
        for service in list(self._services.values()):
            if service.road is road and service.flow is not None:
                self._ends.end_service(service, Reason.PEER_LOST)

    def recheck(self, now_ms: int) -> None:
        """End the open streams that the configuration, or the time, does not let go on (PROTOCOL M16)."""
        for service in list(self._services.values()):
            if service.flow is not None and service.phase < Phase.ANSWERED:
                found = self._ends.find_grant(service.road, service.statement, now_ms)
                if isinstance(found, Reason):
                    self._ends.end_service(service, found)
                    continue
                # The same agreement; its service may have registered other descriptors.
                service.marks = found.provision.marks
                if service.cutter is not None and found.mask is not None:
                    service.cutter.mask = found.mask


def _has_segment(service: Service, flow: Flow) -> bool:
    """Whether something may be said now: initial metadata goes ahead of the first message."""
    return flow.has_segment or (service.is_started and flow.next_to_say == 0)
