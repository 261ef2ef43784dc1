"""What holds of the segments of one stream, for all who read logs (``docs/protocol/stream.md``). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from core.reasons import MalformedError, Reason
from core.statements import BOUND_FIELDS, Statement

MAX_MESSAGES: Final = 64
MAX_BYTES: Final = 256 * 1024

# What a later segment repeats of the first of its direction.
REPEATED_FIELDS: Final = (*BOUND_FIELDS, "from_", "to", "encoding")


class SegmentError(MalformedError):
    """A segment that contradicts its stream."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.STATEMENT_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def is_well_cut(sizes: Sequence[int]) -> bool:
    """Whether messages of these sizes may stand in one segment; a longer one stands alone."""
    return len(sizes) <= 1 or (len(sizes) <= MAX_MESSAGES and sum(sizes) <= MAX_BYTES)


def is_segment(statement: Statement) -> bool:
    """Whether it carries messages, in either direction; refusals and endings do not."""
    return statement.kind in ("request", "response")


def count_messages(kind: str, sequence: int, payloads: int, *, final: bool) -> int:
    """How many of the payloads of a statement are messages: the rest is initial and trailing metadata."""
    if kind not in ("request", "response"):
        return 0
    return max(0, payloads - (sequence == 0) - (kind == "response" and final))


def messages_of(statement: Statement) -> int:
    """How many messages a segment holds."""
    return count_messages(statement.kind, statement.sequence, len(statement.payloads), final=statement.final)


def named(statement: Statement) -> str:
    """``request segment 3``; a refusal or ending by its kind."""
    return f"{statement.kind} segment {statement.sequence}" if is_segment(statement) else statement.kind


def is_handing_unknown(kind: str, reason: str | None, heard: int | None, delivery: str | None) -> bool:
    """Whether who ends a call says that nobody knows how far it handed the other direction on.

    Its gateway was stopped in between: a refusal says so by naming no segment although something may have been sent, the
    consumer's by an ``abandon`` for ``INTERRUPTED``. Any other ending that names none handed none on.
    """
    if heard is not None:
        return False
    if kind == "refusal":
        return delivery != "not_sent"
    return kind == "abandon" and reason == Reason.INTERRUPTED


class Direction:
    """One direction of a stream, segment by segment, in the order of its log.

    Attributes:
        segments: How many were taken in.
        messages: How many messages they hold.
        is_final: Whether the last one was among them.
    """

    __slots__ = ("_repeated", "is_final", "messages", "segments")

    def __init__(self) -> None:
        self.segments = 0
        self.messages = 0
        self.is_final = False
        self._repeated: tuple[object, ...] = ()

    def take(self, segment: Statement) -> None:
        """Take in the next segment.

        Raises:
            SegmentError: It is not the next, or it is not what the one before lets follow.
        """
        what = named(segment)
        if segment.sequence != self.segments:
            why = "stands twice" if segment.sequence < self.segments else f"{self._missing()} is missing"
            raise SegmentError(f"{what}: {why}")
        if self.is_final:
            raise SegmentError(f"{what} stands behind the final one")
        messages = messages_of(segment)
        if messages > MAX_MESSAGES:
            raise SegmentError(f"{what} holds more than {MAX_MESSAGES} messages")
        if segment.kind == "response" and not segment.final and segment.status is not None:
            raise SegmentError(f"{what} has a status, and is not final")
        repeated = tuple(getattr(segment, name) for name in REPEATED_FIELDS)
        if self.segments and repeated != self._repeated:
            name = next(
                name
                for name, one, other in zip(REPEATED_FIELDS, repeated, self._repeated, strict=True)
                if one != other
            )
            raise SegmentError(f"{what} differs from segment 0 in {name.rstrip('_')!r}")
        self._repeated = repeated
        self.segments += 1
        self.messages += messages
        self.is_final = segment.final

    def _missing(self) -> str:
        return f"segment {self.segments}"


def require_bound(request: Statement, other: Statement) -> None:
    """Require that a statement repeats what the request says; raises ``SegmentError``."""
    changed: Iterable[str] = (name for name in BOUND_FIELDS if getattr(other, name) != getattr(request, name))
    if (name := next(iter(changed), None)) is not None:
        raise SegmentError(f"it differs from its request in {name!r}")
