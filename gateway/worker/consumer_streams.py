"""The consumer's side of open streams: what follows request segment 0, and answers that come in segments.

``docs/protocol/stream.md``. The steps are those of ``exchange``: 4 to 6 again for each segment of a request, 12 to 14 for
each segment of an answer.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from core.payloads import Metadata
from core.reasons import ExchangeError, Reason
from core.statements import Kind
from gateway.worker.answers import messages_of
from gateway.worker.callers import is_admitted
from gateway.worker.exchange import Exchange, Messages, Parts, Phase, ProgramCall
from gateway.worker.flow import MESSAGE_COST, SEGMENTS_A_TURN, Flow, Rota, cost_of, watch
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.refusal import Ending
from gateway.worker.road import Road
from gateway.worker.subjects import of_request
from gateway.worker.trust import Grant, TrustView, refusal_of_terms
from gateway.worker.turn import Turn

_replace: Final = msgspec.structs.replace


class Abort(Protocol):
    """Ends one of our calls before its answer."""

    def __call__(self, exchange: Exchange, kind: Kind, reason: Reason) -> None:
        """Say ``kind`` with ``reason`` to the peer, tell the program."""


class ConsumerStreams:
    """All streams of our programs.

    Args:
        parts: What both sides are built with.
        exchanges: Exchanges that are stated and not answered, by the leaf hash of their request; ``Consumer``'s own.
        abort: Ends one of them.
    """

    def __init__(self, parts: Parts, exchanges: dict[bytes, Exchange], abort: Abort) -> None:
        self._parts = parts
        self._exchanges = exchanges
        self._abort = abort
        self._rota: Rota[Exchange] = Rota(parts.wake)

    @property
    def have_segments(self) -> bool:
        """Whether one waits for its turn, or for room on its road."""
        return bool(self._rota)

    # --- from the program ---

    def put(self, exchange: Exchange, flow: Flow, flag: int, data: bytes) -> None:
        """A message of the program waits for its segment."""
        cost = len(data) + MESSAGE_COST
        if not self._parts.budget.take_bytes(exchange.holder, cost):
            self._abort(exchange, "cancel", Reason.LIMIT_EXCEEDED)
            return
        exchange.size += cost
        flow.outbox.put(flag, data)
        # Until the next segment takes it: the window of HTTP/2 bounds what may wait here.
        exchange.call.hold()
        self.queue(exchange)

    def end(self, exchange: Exchange, flow: Flow) -> None:
        """The program half-closed."""
        flow.outbox.is_ended = True
        self.queue(exchange)

    def begin(self, exchange: Exchange) -> None:
        """Segment 0 takes what has come by now; the one message of a request ends its direction."""
        flow = exchange.flow
        if flow is not None:
            exchange.messages, _, _ = flow.next_segment()
            self._let_go(exchange, flow, cost_of(exchange.messages))
            return
        flow = exchange.flow = Flow()
        flow.next_to_say, flow.is_final_said = 1, True
        flow.outbox.is_ended = True
        self._let_go(exchange, flow, exchange.size)

    def _let_go(self, exchange: Exchange, flow: Flow, size: int) -> None:
        """Messages are on their way into the log: the program's window may open again."""
        exchange.size -= size
        self._parts.budget.give_bytes(exchange.holder, size)
        if not flow.outbox:
            exchange.call.resume()

    # --- 4 to 6 ---

    def note_subjects(self, exchange: Exchange, messages: Messages) -> None:
        """Keep whom a segment of a request is about, for the record of the next answer (PROTOCOL M13)."""
        marks = exchange.grant.provision.marks if exchange.grant else None
        told = of_request(marks, messages, exchange.call.encoding) if marks is not None else None
        if told is None:
            return
        if exchange.asked is None:
            exchange.asked = told
        else:
            exchange.asked.add(told)
            exchange.asked.forget_surplus()

    def queue(self, exchange: Exchange) -> None:
        """Let the exchange say its next segment, if it has one that may go."""
        flow = exchange.flow
        if flow is not None and exchange.phase is Phase.SENT and flow.has_segment:
            self._rota.add(exchange, flow)

    def plan(self, turn: Turn) -> None:
        """A few segments of each stream."""
        self._rota.plan(
            lambda exchange, flow: self._say(turn, exchange, flow),
            lambda exchange, flow: exchange.phase is Phase.SENT and flow.has_segment,
        )

    def _say(self, turn: Turn, exchange: Exchange, flow: Flow) -> bool:
        asked, view, due_us, road = (
            exchange.statement,
            self._parts.trust,
            exchange.deadline_us,
            exchange.road,
        )
        if asked is None or road is None or exchange.phase is not Phase.SENT or road.is_backed_up:
            return False
        count = 0
        while count < SEGMENTS_A_TURN and not turn.is_full and flow.has_segment:
            count += 1
            messages, sequence, final = flow.next_segment()
            self.note_subjects(exchange, messages)
            payloads, digests = self._parts.salted(None, messages)
            segment = _replace(
                asked,
                sequence=sequence,
                final=final,
                configuration=view.mark if view else None,
                issued_at=turn.now_ms,
                deadline_us=None if due_us is None else max(0, due_us - turn.now_us),
                payloads=digests,
                nonce=self._parts.nonce(),
                request=exchange.leaf_hash.hex(),
            )
            turn.say(segment, road, payloads)
            self._parts.counters["segments_said"] += 1
            self._let_go(exchange, flow, cost_of(messages))
        return count > 0

    def on_credit(self, road: Road, request: bytes, credit: int) -> None:
        """The provider's side has room for more of a stream."""
        exchange = self._exchanges.get(request)
        if exchange is not None and exchange.road is road and exchange.flow is not None:
            exchange.flow.outbox.give_back(credit)
            self.queue(exchange)

    # --- 12 to 14 ---

    def count_in(self, exchange: Exchange, entry: VerifiedEntry) -> Reason | None:
        """What a segment of an answer must be in its stream: the next one, within its credit and our program's share."""
        flow, statement = exchange.flow, entry.statement
        if flow is None or statement is None or statement.kind == "refusal":
            return None
        messages = messages_of(entry, statement)
        if not flow.follows(statement.sequence, statement.encoding, messages):
            return Reason.STATEMENT_INVALID
        try:
            size = flow.intake.take(messages)
        except ExchangeError as error:
            return error.reason
        if not self._parts.budget.take_bytes(exchange.holder, size):
            return Reason.LIMIT_EXCEEDED
        flow.heard(statement.encoding, final=statement.final)
        exchange.size += size
        self._parts.counters["segments_heard"] += 1
        return None

    def hand_on(
        self,
        call: ProgramCall,
        exchange: Exchange,
        initial: Metadata | None,
        messages: Messages,
        ending: Ending | None,
    ) -> None:
        """14 One segment is durable: the program gets it, behind what came before."""
        if initial is not None:
            call.start(initial)
        for flag, data in messages:
            call.deliver(flag, data)
        flow = exchange.flow
        if ending is not None:
            call.finish(ending.status, ending.message, ending.metadata)
        elif flow is not None:
            flow.handed_on = 0 if flow.handed_on is None else flow.handed_on + 1
            watch(call, flow.intake, lambda gone, credit: self._program_took(exchange, gone, credit))

    def _program_took(self, exchange: Exchange, gone: int, credit: int) -> bool:
        """The program has room again: so has the provider, for as much."""
        if exchange.road is None or exchange.phase is Phase.CLOSED:
            return False  # what it held was given back as a whole
        exchange.size -= gone
        self._parts.budget.give_bytes(exchange.holder, gone)
        if credit:
            exchange.road.give_credit(exchange.leaf_hash, credit)
        return True

    # --- M16 ---

    def recheck(self, now_ms: int) -> None:
        """End the open streams that the configuration, or the time, does not let go on (PROTOCOL M16)."""
        for exchange in list(self._exchanges.values()):
            reason = self._objection_to(exchange, now_ms) if exchange.flow is not None else None
            if reason is not None:
                self._abort(exchange, "abandon", reason)

    def _objection_to(self, exchange: Exchange, now_ms: int) -> Reason | None:
        view, grant, claims = self._parts.trust, exchange.grant, exchange.claims
        if view is None or grant is None or claims.client is None or exchange.method is None:
            return None
        if view.freshness(now_ms) == "expired":
            return Reason.CONFIG_EXPIRED
        if not is_admitted(view, exchange.caller):
            return Reason.PROGRAM_UNKNOWN
        mark = grant.agreement.mark
        found = view.find_named(claims.client, grant.provider, exchange.method, mark, now_ms)
        if isinstance(found, Reason):
            return found
        exchange.grant = found  # its service may have registered other descriptors
        return objection_of_terms(exchange, found, view, now_ms) or self._parts.objection_to_noting(
            found, now_ms
        )


def objection_of_terms(exchange: Exchange, grant: Grant, view: TrustView, now_ms: int) -> Reason | None:
    """What the terms of the agreement object to in one of our calls, as it begins and while it is open."""
    claims = exchange.claims
    return refusal_of_terms(
        grant.agreement,
        purpose=claims.purpose,
        issue=claims.issue,
        represented=claims.represented,
        caller=exchange.caller.credential,
        age_ms=now_ms - view.fresh_at,
    )
