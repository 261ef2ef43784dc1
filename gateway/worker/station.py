"""One worker's parts, joined: log, heads, roads, pipeline and turns.

The station owns the order of effects. A turn is gathered, committed, then signed and sent; nothing in here waits, and
only the commit's own thread runs beside the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

import structlog

from core.clock import Clock
from core.frames import encode_receipt
from core.heads import TreeHead
from core.language import Language
from core.leaves import Note
from core.merkle import inclusion_proof
from core.reasons import ExchangeError, MalformedError, Reason
from gateway.channel import PeerState
from gateway.stopped import StoppedLog, StoppedState
from gateway.worker.budget import Backlog, Budget, BudgetLimits, EntryBudget
from gateway.worker.callers import Callers
from gateway.worker.doubts import Doubts
from gateway.worker.exchange import Adapters, Parts, Terms
from gateway.worker.frames import Outcome, UnverifiedFrame, encode_drain
from gateway.worker.headkeeper import HeadKeeper
from gateway.worker.leaves import Leaves
from gateway.worker.peerlog import FrameRefusedError, PeerLog, VerifiedEntry
from gateway.worker.pipeline import Pipeline
from gateway.worker.recovery import Recovered
from gateway.worker.refusal import Refusals
from gateway.worker.road import Road, RoadLimits
from gateway.worker.roads import Dialler, RoadTable, Self
from gateway.worker.subjects import Pseudonyms
from gateway.worker.trust import TrustView
from gateway.worker.turn import Commit, Turn, Turns
from gateway.worker.witnesses import Witnesses
from ledger.commit import Committed
from ledger.failpoints import hit
from ledger.heard import HeardFiles
from ledger.records import AttachmentKind

RECEIPT_US: Final = 900_000
SUM_US: Final = 1_000_000
MAX_KEPT_RECORDS: Final = 64

State = Literal["starting", "ready", "draining", "closed", "FORKED", "LOG_BEHIND_PEERS"]

_events = structlog.get_logger("gateway.worker")


class OwnLog(Protocol):
    """What the station needs of the log beside its commits."""

    @property
    def size(self) -> int:
        """Number of leaves, those of a commit under way included."""

    def root(self, size: int | None = None) -> bytes:
        """Merkle root over the first ``size`` leaves."""

    def cover(self, begin: int, end: int) -> bytes:
        """Concatenated subtree hashes that tile ``[begin, end)``."""

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree."""


@dataclass(frozen=True, slots=True)
class StationLimits:
    """Bounds of one worker, from ``gateway.toml``."""

    budget: BudgetLimits
    message_bytes: int
    peer_wait_us: int
    head_us: int
    entries_per_s: int
    entries_burst: int
    cached_tokens: int
    road: RoadLimits


class Station:
    """One worker's data plane, without sockets: those are handed in."""

    def __init__(
        self,
        *,
        log_id: str,
        gateway: str,
        language: Language,
        limits: StationLimits,
        log: OwnLog,
        commit: Commit,
        is_reserve_reached: Callable[[], bool],
        sign_head: Callable[[TreeHead], bytes],
        newest_head: bytes,
        recovered: Recovered,
        heard: HeardFiles,
        are_predecessors_whole: bool,
        clock: Clock,
        random: Callable[[int], bytes],
        call_soon: Callable[[Callable[[], None]], object],
        dialler: Dialler,
        adapters: Adapters,
        fetch_configuration: Callable[[int], None],
        read_pseudonym_key: Callable[[int], bytes],
        on_defect: Callable[[BaseException], None],
        stopped: StoppedLog | None = None,
        keep_stopped: Callable[[StoppedLog], None] = lambda stopped: None,
        asks_registry: bool = False,
    ) -> None:
        self.state: State = "starting"
        self.stopped = stopped
        self._unsigned: Reason | None = None  # why the last head that was due could not be signed
        self.log_id = log_id
        self.counters: Counter[str] = Counter()
        self.refusals = Refusals(language, self._count)
        self._log = log
        self._clock = clock
        self._random = random
        self._limits = limits
        self._peers = recovered.peers
        self._unreceipted = recovered.unreceipted
        self._heard = heard
        self._is_reserve_reached = is_reserve_reached
        self._leaves = Leaves(log_id)
        self._stored_head = self._head_before = newest_head
        self._uncovered_since_us: int | None = None
        self.durable_size = log.size
        self._keep_stopped = keep_stopped
        self.heads = HeadKeeper(log_id, gateway, log, sign_head, clock)
        if newest_head:
            self.heads.restore(newest_head)
        self.budget = Budget(limits.budget)
        self._entries = EntryBudget(limits.entries_per_s, limits.entries_burst)
        self._summed_us = clock.monotonic_us()
        self.roads = RoadTable(
            Self(log_id, gateway),
            clock=clock,
            tree=log,
            newest_head=self._head_to_show,
            new_road=self._new_road,
            dialler=dialler,
            on_open=self._road_opened,
            on_lost=self._road_lost,
            on_arrival=self._arrived,
            on_credit=lambda road, credit: self.pipeline.on_credit(road, credit),
            on_time=lambda is_ours: self.witnesses.tell_time(is_ours),
            stop_log=self._stop,
            fetch_configuration=fetch_configuration,
        )
        self.witnesses = Witnesses(
            log_id,
            clock,
            self.roads,
            recovered.peers,
            asks_registry=asks_registry,
            on_settled=self._settled,
        )
        self.pseudonyms = Pseudonyms(read_pseudonym_key, clock, random)
        parts = Parts(
            Terms(log_id, gateway, gateway.rpartition("/")[0], limits.message_bytes, limits.peer_wait_us),
            clock=clock,
            random=random,
            budget=self.budget,
            answers=Backlog(limits.budget),
            callers=Callers(gateway, clock=clock, max_tokens=limits.cached_tokens, count=self._count),
            entries=self._entries,
            roads=self.roads,
            adapters=adapters,
            refusals=self.refusals,
            are_predecessors_whole=are_predecessors_whole,
            objection_to_start=self.objection_to_start,
            wake=self._wake,
            fetch_configuration=fetch_configuration,
            counters=self.counters,
            pseudonyms=self.pseudonyms,
        )
        self._doubts = Doubts(clock, partial(inclusion_proof, log.node))
        self.pipeline = Pipeline(parts, Backlog(limits.budget), self._accept, self._doubts)
        self.turns = Turns(
            call_soon=call_soon,
            commit=commit,
            leaves=self._leaves,
            clock=clock,
            gather=self._gather,
            committed=self._committed,
            newest_head=self._head_to_store,
            on_defect=on_defect,
        )
        for doubt in recovered.doubts:
            self.pipeline.consumer.remember(doubt)
        for one in recovered.unfinished:
            self.pipeline.at_start(partial(self.pipeline.take_up, one))
        if stopped is not None:
            self._halt(stopped.state)

    # --- what drives it ---

    def start(self, view: TrustView) -> None:
        """Begin with a first configuration: ask the last peers, sign over what is durable, take up what was left."""
        self.swap(view)
        if self.stopped is None:
            self.witnesses.ask(view)
            self.witnesses.judge_registry(view)
        self._sign()
        if self.state == "starting":
            self.state = "ready"
        self._wake()

    def hear_registry(self, heads: tuple[bytes, ...], *, answered: bool = True) -> None:
        """What the registry holds of our logs, or that it could not be asked."""
        self.witnesses.hear_registry(heads, self.roads.trust, answered=answered)

    @property
    def fault(self) -> Reason | None:
        """Why nothing can be signed now."""
        return self.witnesses.objection or self._unsigned

    def _settled(self) -> None:
        """Nobody is to be asked any more: what waited for a signature leaves."""
        self._unsigned = None
        self._sign()
        self._wake()

    def _check_clock(self, view: TrustView) -> None:
        """What was in flight when the clock was set ended with its road; what is new is refused ``CLOCK_SKEW``."""
        if self.witnesses.was_clock_set(view) or self._unsigned is None or self.witnesses.is_asking:
            return
        if self._sign() is None:
            # Its last signed head lies ahead of it: no peer will hear anything from this log before that time.
            for road in list(self.roads.roads.values()):
                if road.is_open:
                    text = "our clock lies behind our last signed head"
                    self.roads.end_with(road, FrameRefusedError(self._unsigned or Reason.CLOCK_SKEW, text))

    def swap(self, view: TrustView) -> None:
        """Use another configuration from now on, whole."""
        self.roads.trust = view
        self.pipeline.use(view)
        self.roads.swap(view)

    def tick(self) -> None:
        """Called every few milliseconds: deadlines, receipts that are due, heads that are due."""
        now_us = self._clock.monotonic_us()
        if self.roads.trust is not None and not self.turns.stopped:
            self._check_clock(self.roads.trust)
        self.pipeline.on_tick(now_us)
        self.roads.on_tick()
        if self.roads.trust is not None:
            self.witnesses.on_tick(now_us)
        for road in list(self.roads.roads.values()):
            road.look()
            if road.is_open and road.is_stalled(now_us):
                text = "the peer gives no credit for what waits to be sent"
                self.roads.end_with(road, FrameRefusedError(Reason.PEER_UNREACHABLE, text))
        hurries = self.state == "draining" and not self.pipeline.in_flight
        due = [
            road
            for road in self.roads.roads.values()
            if road.is_open and (_is_due(road, now_us) or (hurries and road.outgoing))
        ]
        if due:
            self._send(due)
        for road in self.roads.roads.values():
            self._doubts.ask(road)
        if now_us - self._summed_us >= SUM_US:
            self._summed_us = now_us
            for member, count in self._entries.take_sums().items():
                self._note("refusals-summed", member, count)
        since = self._uncovered_since_us
        if since is not None and now_us - since >= self._limits.head_us:
            self._sign()

    def drain(self) -> None:
        """Take no new calls; those in flight are finished."""
        self.state = "draining"
        for road in self.roads.roads.values():
            if road.channel is not None:
                road.channel.send_message(encode_drain())

    def give_up(self) -> None:
        """The time to drain is over: end by name what is still under way; its statements leave with the next turn."""
        _events.warning("drain.given_up", in_flight=self.pipeline.in_flight)
        self.pipeline.give_up()

    @property
    def is_drained(self) -> bool:
        """Whether nothing is under way, and open roads took everything that they are to hear, receipts included.

        An exchange is in flight no more once its end is planned: what the peer is to hear of it waits for the commit.
        """
        roads = self.roads.roads.values()
        is_still = self.turns.is_idle and not self.pipeline.in_flight
        return is_still and not any(road.is_open and road.has_unsent for road in roads)

    def failed(self, error: BaseException) -> None:
        """The disk refused: no acknowledgement uses this log again (invariant 4). The process ends after this."""
        self.state = "closed"
        self.turns.stopped = True
        self.pipeline.halt(Reason.RECORDING_FAILED)
        _events.error("log.failed", why=str(error))

    @property
    def has_signed(self) -> bool:
        """Whether the newest head was signed since the start."""
        return self.heads.newest != self._head_before

    def peer_states(self) -> tuple[PeerState, ...]:
        """Roads, as control shows them."""
        view = self.roads.trust
        return tuple(
            PeerState(
                gateway=view.by_log[log].id if view and log in view.by_log else "",
                log=log,
                state=road.state,
                size=road.peer.edge.size,
                ahead_s=road.peer.ahead_s,
            )
            for log, road in self.roads.roads.items()
        )

    # --- between the parts ---

    def _wake(self) -> None:
        self.turns.wake()

    def _count(self, name: str) -> None:
        self.counters[name] += 1

    def objection_to_start(self) -> Reason | None:
        """Why no new exchange may begin, ``None`` if one may; those under way are finished in any case."""
        if self.state == "ready":
            return self.fault or (Reason.DISK_RESERVE if self._is_reserve_reached() else None)
        if self.state in ("FORKED", "LOG_BEHIND_PEERS"):
            return Reason(self.state)
        return Reason.SHUTTING_DOWN if self.state == "draining" else Reason.RECORDING_FAILED

    def _new_road(self, log: str, member: str) -> Road:
        peer = self._peers.pop(log, None) or PeerLog(log, self._heard.of(log))
        limits = self._limits
        road = Road(
            peer,
            member,
            self.log_id,
            max_message=limits.message_bytes,
            budget=self.budget,
            limits=limits.road,
            on_sent=self.pipeline.consumer.on_sent,
        )
        road.restore(self._unreceipted.pop(log, []))
        return road

    def _road_opened(self, road: Road) -> None:
        self._doubts.on_open(road)
        self.witnesses.on_road_opened(road)
        if self.state == "draining" and road.channel is not None:
            road.channel.send_message(encode_drain())
        if road.outgoing:
            self._send([road])
        self.pipeline.consumer.retry_waiting()

    def _road_lost(self, road: Road) -> None:
        self.pipeline.on_road_lost(road)

    def _arrived(self, road: Road, arrived: UnverifiedFrame | Outcome) -> None:
        if self.turns.stopped:
            # No turn will ever take it: the peer learns so at once, and nothing heaps up here.
            why = self.objection_to_start() or Reason.RECORDING_FAILED
            self.roads.end_with(road, FrameRefusedError(why))
            return
        if isinstance(arrived, UnverifiedFrame):
            try:
                arrived = road.join_chunks(arrived, road.peer.hash_of)
            except MalformedError as error:
                self.roads.end_with(road, FrameRefusedError(error.reason, str(error)))
                return
        self.pipeline.on_arrival(road, arrived)

    def _accept(self, road: Road, frame: UnverifiedFrame) -> list[VerifiedEntry]:
        """Step 7 and 12, first half: believe a frame or end its stream; receipts are kept beside what they are about."""
        view = self.roads.trust
        if view is None or not road.is_open:
            return []
        try:
            entries, record = road.peer.accept(frame, view, self._clock.now_ms(), road.expected)
        except FrameRefusedError as error:
            self.counters[f"frames_refused_{error.reason}"] += 1
            self.roads.end_with(road, error)
            return []
        hit("frame.heard")
        road.records.append((AttachmentKind.FRAME, record.encode()))
        receipts = [one for one in entries if one.statement is None]
        taken = [(road.take_receipt(one.body, one.receipt), one) for one in receipts]
        head = bytes.fromhex(entries[0].head)
        kept = [encode_receipt(said, one.index, head, one.body) for said, one in taken if said is not None]
        if kept:
            self.witnesses.on_receipt()
            road.records += [(AttachmentKind.RECEIPT, one) for one in kept]
        return entries

    def _gather(self, turn: Turn) -> None:
        """Fill a turn; what was learnt and goes beside no leaf of it, receipts or frames past a budget, gets a note.

        Such frames cause no commit; but a peer that sends nothing else must not make us hold them for ever.
        """
        self.pipeline.gather(turn)
        for road in self.roads.roads.values():
            if len(road.records) > MAX_KEPT_RECORDS and not turn.concerns(road):
                turn.note(*self._leaves.note(self._new_note("receipts-kept", "", len(road.records))), road)

    def _committed(self, committed: Committed, roads: list[Road]) -> None:
        """What was planned is durable. Statements leave at once; receipts wait for the next frame, 0.9 s at most."""
        self.durable_size = committed.size
        now_us = self._clock.monotonic_us()
        if self._uncovered_since_us is None:
            self._uncovered_since_us = now_us
        ready = []
        for road in roads:
            if any(leaf.is_said for leaf in road.outgoing):
                ready.append(road)
            elif road.outgoing and road.receipt_due_us is None:
                road.receipt_due_us = now_us + RECEIPT_US
        if ready:
            self._send(ready)

    def _send(self, roads: list[Road]) -> None:
        """One signature, then one frame per peer, over what is durable."""
        open_roads = [road for road in roads if road.is_open]
        if not open_roads:
            return
        head = self._sign()
        if head is not None:
            had_too_much = any(road.is_backed_up for road in open_roads)
            hit("frame.send")
            for road in open_roads:
                road.send_frame(self._log, self.heads.size, head)
            hit("frame.sent")
            if had_too_much:
                self.pipeline.consumer.retry_waiting()

    def _sign(self) -> bytes | None:
        if self.witnesses.is_asking or self.turns.stopped or self.witnesses.watch.look():
            return None
        try:
            head = self.heads.over(self.durable_size, self.roads.trust.mark if self.roads.trust else None)
        except ExchangeError as error:
            self.counters["heads_refused"] += 1
            if self._unsigned is not error.reason:
                # Tried again with every tick; told once.
                _events.error("head.refused", reason=str(error.reason), why=str(error))
            self._unsigned = error.reason
            return None
        self._uncovered_since_us = None
        self._unsigned = None
        return head

    def _head_to_show(self) -> bytes:
        """The head for a Hello: of now, since a peer refuses an old one.

        A log that still asks its peers shows none: the one that it kept may be older than what they believe. Nor does
        one that was stopped: it signs no more.
        """
        if self.witnesses.is_asking or self.stopped is not None:
            return b""
        return self._sign() or self.heads.newest

    def _head_to_store(self) -> bytes | None:
        """The newest head goes into the log with the next commit, once."""
        newest = self.heads.newest
        if newest == self._stored_head:
            return None
        self._stored_head = newest
        return newest

    def _new_note(self, event: str, detail: str, count: int) -> Note:
        return Note(1, self._random(16).hex(), self._clock.now_ms(), event, detail, count)

    def _note(self, event: str, detail: str, count: int) -> None:
        note = self._new_note(event, detail, count)

        def plan(turn: Turn) -> None:
            turn.note(*self._leaves.note(note))

        self.pipeline.at_start(plan)

    def _stop(self, state: StoppedState, witness: str, jws: bytes) -> None:
        """This log cannot go on: reads only, until the operator opens a successor (PROTOCOL M5)."""
        before = self.stopped
        own = self.heads.newest.decode("ascii")
        stopped = before or StoppedLog(1, self.log_id, state, self._clock.now_ms(), self._log.size, own, [])
        self.stopped = stopped.with_shown(state, witness, jws)
        if self.stopped == before:
            return
        self._halt(self.stopped.state)
        # Kept after the halt: whatever the disk says to that, this process signs nothing more.
        self._keep_stopped(self.stopped)

    def _halt(self, state: StoppedState) -> None:
        reason = Reason(state)
        self.state = state
        self.turns.stopped = True
        self.pipeline.halt(reason)
        self.roads.close(reason)
        _events.error("log.stopped", reason=state)


def _is_due(road: Road, now_us: int) -> bool:
    """Whether a receipt has waited long enough, or a statement could not be signed when its turn came."""
    if road.receipt_due_us is not None:
        return road.receipt_due_us <= now_us
    return any(leaf.is_said for leaf in road.outgoing)
