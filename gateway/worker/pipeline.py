"""All exchanges of one worker: both sides joined, and what waits for the next turn."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from core.reasons import Reason
from gateway.worker.budget import Backlog
from gateway.worker.consumer import Consumer
from gateway.worker.doubts import Doubts
from gateway.worker.exchange import Parts
from gateway.worker.frames import Credit, Outcome, UnverifiedFrame
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.provider import Provider
from gateway.worker.recovery import Unfinished
from gateway.worker.road import Road
from gateway.worker.trust import TrustView
from gateway.worker.turn import Turn

# What it takes to hold a question that waits, at most: 66 hashes and their objects.
QUESTION_BYTES: Final = 8 * 1024
RECHECK_US: Final = 1_000_000

Accept = Callable[[Road, UnverifiedFrame], list[VerifiedEntry]]


class Pipeline:
    """Gathers a turn from all lanes.

    Args:
        parts: What both sides are built with.
        arrivals: Counts the frames that wait while a commit takes its time, apart from the calls they may begin: past
            the bound of a member no more is read of its roads until a turn has taken them.
        accept: The one that believes frames.
        doubts: Requests of ours whose end nobody knows here.
    """

    def __init__(self, parts: Parts, arrivals: Backlog, accept: Accept, doubts: Doubts) -> None:
        self._parts = parts
        self._arrivals = arrivals
        self._accept = accept
        # Each with the microsecond at which it came: what it waits for its turn counts against its deadline.
        self._arrived: deque[tuple[Road, UnverifiedFrame | Outcome, int]] = deque()
        self._held: dict[Road, None] = {}
        self._startup: deque[Callable[[Turn], None]] = deque()
        self._streams_first = False
        self._rechecked_us = parts.clock.monotonic_us()
        self.consumer = Consumer(parts, doubts)
        self.provider = Provider(parts)

    @property
    def in_flight(self) -> int:
        """Calls of our programs and of peers that have no end yet."""
        return self.consumer.in_flight + self.provider.in_flight

    def use(self, view: TrustView) -> None:
        """Judge by another configuration from now on, whole."""
        self._parts.trust = view
        self._parts.personal_number = re.compile(view.personal_number_pattern)
        self.consumer.doubts.readdress(view.speaker_of)
        self._recheck()
        self.consumer.retry_waiting()

    def on_arrival(self, road: Road, arrived: UnverifiedFrame | Outcome) -> None:
        """Keep a frame, or a question behind it, for the next turn; if much waits, let the peer wait, too."""
        self._arrivals.add(road.member, _size_of(arrived))
        self._arrived.append((road, arrived, self._parts.clock.monotonic_us()))
        if self._arrivals.is_full(road.member):
            self._held[road] = None
            road.hold()
        self._parts.wake()

    def on_road_lost(self, road: Road) -> None:
        """What is not heard yet was not: the next Hello tells the peer where to begin again."""
        for _, arrived, _ in [one for one in self._arrived if one[0] is road]:
            self._arrivals.remove(road.member, _size_of(arrived))
        self._held.pop(road, None)
        self._arrived = deque([one for one in self._arrived if one[0] is not road])
        self.consumer.on_road_lost(road)
        self.provider.streams.on_road_lost(road)

    def on_credit(self, road: Road, credit: Credit) -> None:
        """The peer has room for more of an open stream; credit for what is none is void."""
        self.consumer.streams.on_credit(road, credit.leaf, credit.bytes)
        self.provider.streams.on_credit(road, credit.leaf, credit.bytes)

    def halt(self, reason: Reason) -> None:
        """The log takes no more entries: nothing begins, nothing is delivered, our programs are told."""
        self.provider.halt()
        self.consumer.halt(reason)

    def give_up(self) -> None:
        """There is no more time: say the end of everything under way, at both ends of it."""
        self.consumer.give_up()
        self.provider.give_up()

    def on_tick(self, now_us: int) -> None:
        """Deadlines, and agreements that end. Called every few milliseconds."""
        self.consumer.on_tick(now_us)
        self.provider.on_tick(now_us)
        if now_us - self._rechecked_us >= RECHECK_US:
            self._recheck()

    def _recheck(self) -> None:
        """Judge every open stream again, also one on which nothing moves (PROTOCOL M16)."""
        clock = self._parts.clock
        self._rechecked_us = clock.monotonic_us()
        self.consumer.streams.recheck(clock.now_ms())
        self.provider.streams.recheck(clock.now_ms())

    def at_start(self, plan: Callable[[Turn], None]) -> None:
        """Let ``plan`` write into the next turn, before all else."""
        self._startup.append(plan)
        self._parts.wake()

    def take_up(self, left: Unfinished, turn: Turn) -> None:
        """Say what became of an exchange that a restart cut: ours is given up, a peer's is answered."""
        if left.role == "taken":
            self.provider.take_up(left, turn)
        else:
            self.consumer.take_up(left, turn)

    def gather(self, turn: Turn) -> None:
        """Take what waits in the lanes, oldest first, until the turn is full."""
        while self._startup and self._parts.trust is not None and not turn.is_full:
            self._startup.popleft()(turn)
        self.consumer.say_endings(turn)
        while self._arrived and not turn.is_full:
            road, arrived, arrived_us = self._arrived.popleft()
            self._arrivals.remove(road.member, _size_of(arrived))
            if isinstance(arrived, Outcome):
                self.provider.answer_question(turn, road, arrived)
            else:
                self._hear(turn, road, self._accept(road, arrived), arrived_us)
        for road in [one for one in self._held if not self._arrivals.is_full(one.member)]:
            del self._held[road]
            road.resume()
        # By turns, so that neither open streams nor calls that begin and end can keep the others out of full turns.
        self._streams_first = not self._streams_first
        if self._streams_first:
            self._plan_streams(turn)
        self.provider.plan(turn)
        self.consumer.plan(turn)
        if not self._streams_first:
            self._plan_streams(turn)

    def _plan_streams(self, turn: Turn) -> None:
        self.consumer.streams.plan(turn)
        self.provider.streams.plan(turn)

    def _hear(self, turn: Turn, road: Road, entries: list[VerifiedEntry], arrived_us: int) -> None:
        """What a frame says, by kind; receipts were kept by ``accept`` beside the leaves that they are about.

        An ending stands behind the request it is about, also when both came in one frame.
        """
        requests: list[VerifiedEntry] = []
        responses: list[VerifiedEntry] = []
        endings: list[VerifiedEntry] = []
        outcomes: list[VerifiedEntry] = []
        for entry in entries:
            statement = entry.statement
            if statement is None:
                continue
            if statement.kind == "request":
                requests.append(entry)
            elif statement.kind in ("response", "refusal"):
                responses.append(entry)
            elif statement.kind == "outcome":
                outcomes.append(entry)
            else:
                endings.append(entry)
        if requests:
            self.provider.hear_requests(turn, road, requests, arrived_us)
        if responses:
            self.consumer.hear_responses(turn, road, responses)
        for entry in endings:
            self.provider.hear_ending(turn, road, entry)
        for entry in outcomes:
            self.consumer.hear_outcome(turn, road, entry)


def _size_of(arrived: UnverifiedFrame | Outcome) -> int:
    return QUESTION_BYTES if isinstance(arrived, Outcome) else arrived.size
