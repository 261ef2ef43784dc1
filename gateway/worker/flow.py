"""How much of a stream may be under way: segments against credit, one direction at a time (docs/protocol/stream.md).

``Outbox`` is the sender's end of a direction, ``Intake`` the receiver's. Both count the same: the bytes of a message and
64 more, so that empty ones count. What the sender believes to be outstanding is never less than what the receiver
counts, so that credit on its way can only make the sender wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from gateway.worker.wire import Message

CREDIT: Final = 256 * 1024
"""What a direction of a call may have outstanding."""
LOW: Final = CREDIT // 4
"""Below this one message of any size may follow; and so much may a receiver gather before it gives back."""
MESSAGE_COST: Final = 64
SEGMENT_MESSAGES: Final = 64
SEGMENTS_A_TURN: Final = 8
"""Of one stream, before the others have theirs."""

Subject = TypeVar("Subject")


def cost_of(messages: Iterable[Message]) -> int:
    """What messages count against the credit of their direction."""
    return sum([len(data) + MESSAGE_COST for _, data in messages])


class Outbox:
    """Messages of our program or adapter that are not committed yet, oldest first.

    Attributes:
        waiting: Their bytes.
        is_ended: Our side sends no more.
    """

    __slots__ = ("_messages", "_outstanding", "is_ended", "waiting")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._outstanding = 0
        self.waiting = 0
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
        self.waiting += len(data)

    def take(self) -> list[Message]:
        """The messages of the next segment: as many as it may hold and credit allows, perhaps none."""
        taken: list[Message] = []
        size = 0
        while self._messages and len(taken) < SEGMENT_MESSAGES:
            length = len(self._messages[0][1])
            if (taken and size + length > CREDIT) or not self._fits(length + MESSAGE_COST):
                break
            taken.append(self._messages.popleft())
            self._outstanding += length + MESSAGE_COST
            size += length
        self.waiting -= size
        return taken

    def drop(self) -> None:
        """The stream has ended: nothing of what waits goes out."""
        self._messages.clear()
        self.waiting = 0

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

    def admits(self, messages: Iterable[Message]) -> bool:
        """Count a segment in; false if the peer went past its credit."""
        for _, data in messages:
            cost = len(data) + MESSAGE_COST
            if self._outstanding + cost > CREDIT and self._outstanding >= LOW:
                return False
            self._outstanding += cost
            self.held += cost
        return True

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


class Flow:
    """Both directions of an open stream at one gateway.

    Attributes:
        outbox: From our program or adapter to the peer.
        intake: From the peer to our program or adapter.
        said: Sequence of the next segment that we say.
        heard: Sequence of the next segment that we hear.
        handed_on: Sequence of the last segment of the peer that was handed to our program or adapter; ``None`` before.
        is_final_said: Our direction has its final segment.
        is_final_heard: The peer's direction has its final segment.
        is_queued: It waits for its turn to say a segment.
    """

    __slots__ = (
        "handed_on",
        "heard",
        "intake",
        "is_final_heard",
        "is_final_said",
        "is_queued",
        "outbox",
        "said",
    )

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.intake = Intake()
        self.said = 0
        self.heard = 0
        self.handed_on: int | None = None
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
        messages, sequence = self.outbox.take(), self.said
        self.said += 1
        self.is_final_said = self.outbox.is_ended and not self.outbox
        return messages, sequence, self.is_final_said


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
            self.put_back(subject, flow)
            self._wake()

    def put_back(self, subject: Subject, flow: Flow) -> None:
        """It has more to say, behind the others with the next turn."""
        flow.is_queued = True
        self._waiting.append((subject, flow))

    def take(self) -> list[tuple[Subject, Flow]]:
        """All that wait."""
        waiting, self._waiting = self._waiting, []
        for _, flow in waiting:
            flow.is_queued = False
        return waiting
