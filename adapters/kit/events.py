"""Events of a register: appended with the change they tell of, followed by cursor.

A row's lock makes the order of cursors that of commits, on PostgreSQL, too: whoever has seen a cursor has seen all
before it. So ``append`` comes last in a transaction, after all other locks. An event names the fields that changed,
never their values, and is found by links: keys such as ``commune:LI-COT`` or ``client:BJ/GOV/PNS/PORTAIL``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import grpc
import sqlalchemy as sa

from bj.common.v1 import event_pb2

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are meant; all conditions must hold.

    Attributes:
        kinds: These only; all if empty.
        subjects: Of these only; all if empty.
        links: Of each of these sets, the event has at least one link.
    """

    kinds: frozenset[int] = frozenset()
    subjects: frozenset[str] = frozenset()
    links: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it was appended.

    Attributes:
        cursor: Its place, as a consumer gives it back.
        kind: The ministry's enum of events.
        subject: What it is about: a NUP, an NPI, a dossier.
        changed_fields: Names of the fields that changed.
        occurred_at: When it was recorded, UTC milliseconds.
        payload: What else the ministry needs to tell it, in its own form.
    """

    cursor: str
    kind: int
    subject: str = field(repr=False)
    changed_fields: tuple[str, ...]
    occurred_at: int
    payload: bytes = field(repr=False)

    @property
    def header(self) -> event_pb2.EventHeader:
        """What all events have, as they are sent."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order.

    Attributes:
        events: The oldest first.
        next_cursor: Where the next page starts.
        has_more: Whether there are more now.
    """

    events: Sequence[Event]
    next_cursor: str
    has_more: bool


class Events:
    """The events of one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def append(
        self,
        tx: sa.Connection,
        kind: int,
        subject: str,
        changed_fields: Iterable[str] = (),
        *,
        links: Iterable[str] = (),
        payload: bytes = b"",
    ) -> None:
        """Append an event, to be told when ``tx`` commits. Last in its transaction: others wait until that ends."""
        raise NotImplementedError

    def page(self, tx: sa.Connection, since_cursor: str, limit: int, wanted: Wanted) -> EventPage:
        """Events after ``since_cursor``, empty for the oldest that is kept; ``limit`` 0 for 100.

        Raises:
            InvalidFieldsError: This register never gave that cursor.
            ProviderError: The events after it are kept no more (CURSOR_EXPIRED).
        """
        raise NotImplementedError

    def watch(
        self,
        context: grpc.ServicerContext,
        since_cursor: str,
        wanted: Wanted,
        make_response: Callable[[Event], _Response],
        make_heartbeat: Callable[[event_pb2.Heartbeat], _Response],
    ) -> Iterator[_Response]:
        """What ``page`` lists, and then each event as it is committed, until the caller goes or the server stops.

        For a servicer's streaming method: ``yield from desk.events.watch(…)``. Each event at least once, in order; a
        heartbeat after each ``events.heartbeat_s`` without one.

        Raises:
            InvalidFieldsError: As ``page``.
            ProviderError: As ``page``; or this client follows too many streams already (RATE_LIMITED).
            ExchangeError: The server stops (SHUTTING_DOWN).
        """
        raise NotImplementedError

    def drop(self, tx: sa.Connection, before_ms: int) -> int:
        """Forget the events of before ``before_ms``; returns how many. Cursors that lead there are expired."""
        raise NotImplementedError
