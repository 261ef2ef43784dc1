"""How much of a stream may be under way: segments against credit, one direction at a time (docs/protocol/stream.md).

``Outbox`` is the sender's end of a direction, ``Intake`` the receiver's. Both count the same: the bytes of a message and
64 more, so that empty ones count. What the sender believes to be outstanding is never less than what the receiver
counts, so that credit on its way can only make the sender wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from core.reasons import ExchangeError, Reason
from core.streams import MAX_BYTES, MAX_MESSAGES, is_well_cut
from gateway.worker.wire import Message

CREDIT: Final = 256 * 1024
"""What a direction of a call may have outstanding."""
LOW: Final = CREDIT // 4
"""Below this one message of any size may follow; and so much may a receiver gather before it gives back."""
MESSAGE_COST: Final = 64
SEGMENTS_A_TURN: Final = 8
"""Of one stream, before the others have theirs."""

Subject = TypeVar("Subject")


def cost_of(messages: Iterable[Message]) -> int:
    """What messages count against the credit of their direction."""
    return sum([len(data) + MESSAGE_COST for _, data in messages])


class Outbox:
    """Messages of our program or adapter that are not committed yet, oldest first.

    Attributes:
        is_ended: Our side sends no more.
    """

    __slots__ = ("_messages", "_outstanding", "is_ended")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._outstanding = 0
        self.is_ended = False

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def is_open_for_next(self) -> bool:
        """Whether credit lets the next message go; true if there is none."""
        return not self._messages or self._fits(len(self._messages[0][1]) + MESSAGE_COST)

    def put(self, flag: int, data: bytes) -> None:
        """Add a message behind the others."""
        self._messages.append((flag, data))

    def take(self) -> list[Message]:
        """The messages of the next segment: as many as it may hold and credit allows, perhaps none."""
        taken: list[Message] = []
        size = 0
        while self._messages and len(taken) < MAX_MESSAGES:
            length = len(self._messages[0][1])
            if (taken and size + length > MAX_BYTES) or not self._fits(length + MESSAGE_COST):
                break
            taken.append(self._messages.popleft())
            self._outstanding += length + MESSAGE_COST
            size += length
        return taken

    def drop(self) -> None:
        """The stream has ended: nothing of what waits goes out."""
        self._messages.clear()

    def give_back(self, credit: int) -> None:
        """The peer's side has room again; more than is outstanding is void."""
        self._outstanding = max(0, self._outstanding - credit)

    def _fits(self, cost: int) -> bool:
        return self._outstanding + cost <= CREDIT or self._outstanding < LOW


class Intake:
    """What the peer sent and our program or adapter has not taken yet.

    Attributes:
        held: What it counts against the credit of its direction.
    """

    __slots__ = ("_gathered", "_outstanding", "held")

    def __init__(self) -> None:
        self._outstanding = 0
        self._gathered = 0
        self.held = 0

    def take(self, messages: Iterable[Message]) -> int:
        """Count a segment in, or nothing of it; returns its cost.

        Raises:
            ExchangeError: ``LIMIT_EXCEEDED``: the peer went past its credit.
        """
        outstanding = self._outstanding
        for _, data in messages:
            cost = len(data) + MESSAGE_COST
            if outstanding + cost > CREDIT and outstanding >= LOW:
                raise ExchangeError(Reason.LIMIT_EXCEEDED, "past the credit of this direction")
            outstanding += cost
        cost = outstanding - self._outstanding
        self._outstanding = outstanding
        self.held += cost
        return cost

    def taken(self, queued: int) -> int:
        """All but ``queued`` bytes have been taken by our side; returns how much that is since the last time."""
        gone = max(0, self.held - queued)
        self.held -= gone
        self._gathered += gone
        return gone

    def due(self) -> int:
        """The credit to give back now, perhaps none yet."""
        if self._gathered < LOW:
            return 0
        credit, self._gathered = self._gathered, 0
        self._outstanding -= credit
        return credit


class Taker(Protocol):
    """Our program or adapter, as it takes what is handed to it."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that it has not taken yet."""

    def when_below(self, size: int, callback: Callable[[], None]) -> None:
        """Call back once it has all but ``size`` bytes; never once it has gone."""


def watch(taker: Taker, intake: Intake, told: Callable[[int, int], bool]) -> None:
    """Tell what was taken since the last time, and the credit to give back, until nothing is held any more.

    Args:
        taker: Who takes.
        intake: What it was handed.
        told: Gets both; false ends the watch.
    """

    def look() -> None:
        gone = intake.taken(taker.queued_bytes)
        if told(gone, intake.due()) and intake.held:
            taker.when_below(LOW if taker.queued_bytes >= LOW else 1, look)

    if intake.held:
        taker.when_below(LOW, look)


class Flow:
    """Both directions of an open stream at one gateway.

    Attributes:
        outbox: From our program or adapter to the peer.
        intake: From the peer to our program or adapter.
        next_to_say: Sequence of the next segment that we say.
        next_to_hear: Sequence of the next segment that we hear.
        handed_on: Sequence of the last segment of the peer that was handed to our program or adapter; ``None`` before.
        peer_has: What the peer said last that it handed on of ours; ``None`` before.
        encoding: grpc-encoding of the peer's direction, which stays; ``None`` before its segment 0.
        is_final_said: Our direction has its final segment.
        is_final_heard: The peer's direction has its final segment.
        is_queued: It waits for its turn to say a segment.
    """

    __slots__ = (
        "encoding",
        "handed_on",
        "intake",
        "is_final_heard",
        "is_final_said",
        "is_queued",
        "next_to_hear",
        "next_to_say",
        "outbox",
        "peer_has",
    )

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.intake = Intake()
        self.next_to_say = 0
        self.next_to_hear = 0
        self.handed_on: int | None = None
        self.peer_has: int | None = None
        self.encoding: str | None = None
        self.is_final_said = False
        self.is_final_heard = False
        self.is_queued = False

    @property
    def has_segment(self) -> bool:
        """Whether something may be said now: messages that credit allows, or the end behind the last of them."""
        if self.is_final_said:
            return False
        return self.outbox.is_open_for_next if self.outbox else self.outbox.is_ended

    def next_segment(self) -> tuple[list[Message], int, bool]:
        """The next segment to say: its messages, its sequence, and whether it is final."""
        messages, sequence = self.outbox.take(), self.next_to_say
        self.next_to_say += 1
        self.is_final_said = self.outbox.is_ended and not self.outbox
        return messages, sequence, self.is_final_said

    def follows(self, sequence: int, encoding: str | None, messages: Sequence[Message]) -> bool:
        """Whether a segment of the peer is the next of its direction, cut as segments are, encoded as those before."""
        if sequence != self.next_to_hear or self.is_final_heard:
            return False
        return (sequence == 0 or encoding == self.encoding) and is_well_cut(
            [len(data) for _, data in messages]
        )

    def heard(self, encoding: str | None, *, final: bool) -> None:
        """It is taken."""
        self.next_to_hear += 1
        self.encoding, self.is_final_heard = encoding, final

    def is_possible(self, heard: int | None) -> bool:
        """Whether the peer can have handed on our segment ``heard`` last: it was said, and what is handed on stays so.

        Takes note of it. A peer that claims more would be believed by whoever reads the log later.
        """
        if heard is None:
            return True
        if heard >= self.next_to_say or heard < (self.peer_has or 0):
            return False
        self.peer_has = heard
        return True


class Rota(Generic[Subject]):
    """Streams that have a segment to say, each once, those that wait longest first.

    Args:
        wake: Called when one comes that did not wait before.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._waiting: list[tuple[Subject, Flow]] = []
        self._wake = wake

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, subject: Subject, flow: Flow) -> None:
        """Let a stream have its turn."""
        if not flow.is_queued:
            flow.is_queued = True
            self._waiting.append((subject, flow))
            self._wake()

    def plan(self, say: Callable[[Subject, Flow], bool], has_more: Callable[[Subject, Flow], bool]) -> None:
        """Let each stream say something; ``say`` tells whether it had its turn.

        Those that have more come again with the next turn: who was passed over first, who had his turn behind them.
        """
        waiting, self._waiting = self._waiting, []
        passed_over: list[tuple[Subject, Flow]] = []
        served: list[tuple[Subject, Flow]] = []
        for subject, flow in waiting:
            had_turn = say(subject, flow)
            flow.is_queued = has_more(subject, flow)
            if flow.is_queued:
                (served if had_turn else passed_over).append((subject, flow))
        self._waiting = [*passed_over, *served, *self._waiting]
