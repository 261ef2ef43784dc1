"""The log of a register's events: appended with the change they tell of, read by cursor.

A row's lock makes the order of cursors that of commits, on PostgreSQL, too: whoever has seen a cursor has seen all
before it. So ``append`` comes last in a transaction, after all other locks. An event names the fields that changed,
never their values, and is found by links: keys such as ``commune:LI-COT`` or ``client:BJ/GOV/PNS/PORTAIL``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from adapters.kit.tables import Tables
from adapters.kit.times import timestamp
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import event_pb2
from core.clock import Clock

DEFAULT_PAGE: Final = 100

_CURSOR: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")


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
        return event_pb2.EventHeader(
            cursor=self.cursor, occurred_at=timestamp(self.occurred_at), changed_fields=self.changed_fields
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order.

    Attributes:
        events: The oldest first.
        next_cursor: Where the next page starts: after the last event, or where this page did if there is none.
        has_more: Whether there are more now.
        told_cursor: Up to where nothing is left to tell: of a page without more, the newest event of all.
    """

    events: Sequence[Event]
    next_cursor: str
    has_more: bool
    told_cursor: str


class EventLog:
    """The events of one register, in the order of their commits."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._log = tables.event_log
        self._event = tables.event
        self._link = tables.event_link
        self._clock = clock

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
        """Append an event, to be told when ``tx`` commits. Last in its transaction: others wait until that ends.

        Args:
            tx: The transaction of the change.
            kind: The ministry's enum of events, not 0.
            subject: What it is about: a NUP, an NPI, a dossier.
            changed_fields: Names of the fields that changed, never their values.
            links: Keys under which it is found, ``Wanted.links``.
            payload: What else the ministry needs to tell it.
        """
        # The row stays locked until the transaction ends: whoever comes next gets the next place, and commits later.
        next_place = self._log.update().values(newest=self._log.c.newest + 1).returning(self._log.c.newest)
        place = tx.execute(next_place).scalar_one()
        tx.execute(
            self._event.insert().values(
                place=place,
                kind=kind,
                subject=subject,
                changed_fields=" ".join(changed_fields),
                occurred_at=self._clock.now_ms(),
                payload=payload,
            )
        )
        if rows := [{"link": link, "place": place} for link in sorted(set(links))]:
            tx.execute(self._link.insert(), rows)

    def page(self, tx: sa.Connection, since_cursor: str, limit: int, wanted: Wanted) -> EventPage:
        """Events after ``since_cursor``, empty for the oldest that is kept; ``limit`` 0 for 100.

        Raises:
            InvalidFieldsError: This register never gave that cursor.
            ProviderError: The events after it are kept no more (CURSOR_EXPIRED).
        """
        # Read before the events are: all up to ``newest`` are committed, whatever else commits meanwhile.
        log = tx.execute(sa.select(self._log)).one()
        since = log.dropped
        if since_cursor:
            since = self._place(since_cursor, log.epoch, log.newest)
        if since < log.dropped:
            raise ProviderError(ProviderReason.CURSOR_EXPIRED)
        size = limit or DEFAULT_PAGE
        query = self._matching(wanted).where(self._event.c.place > since, self._event.c.place <= log.newest)
        rows = tx.execute(query.order_by(self._event.c.place).limit(size + 1)).all()
        events = [
            Event(
                cursor=f"{log.epoch}-{row.place}",
                kind=row.kind,
                subject=row.subject,
                changed_fields=tuple(row.changed_fields.split()),
                occurred_at=row.occurred_at,
                payload=row.payload,
            )
            for row in rows[:size]
        ]
        next_cursor = events[-1].cursor if events else since_cursor
        has_more = len(rows) > size
        return EventPage(
            events, next_cursor, has_more, next_cursor if has_more else f"{log.epoch}-{log.newest}"
        )

    def drop(self, tx: sa.Connection, before_ms: int, limit: int) -> int:
        """Forget events of before ``before_ms``, UTC milliseconds, the oldest first; returns how many, at most ``limit``.

        Cursors before them expire. No event is forgotten before an older one, nor one that is not that old.
        """
        oldest = sa.select(self._event.c.place, self._event.c.occurred_at).order_by(self._event.c.place)
        places = [
            row.place
            for row in itertools.takewhile(
                lambda row: row.occurred_at < before_ms, tx.execute(oldest.limit(limit))
            )
        ]
        if not places:
            return 0
        tx.execute(self._log.update().where(self._log.c.dropped < places[-1]).values(dropped=places[-1]))
        tx.execute(self._link.delete().where(self._link.c.place <= places[-1]))
        return tx.execute(self._event.delete().where(self._event.c.place <= places[-1])).rowcount

    def _matching(self, wanted: Wanted) -> sa.Select[tuple[object, ...]]:
        query = sa.select(self._event)
        if wanted.kinds:
            query = query.where(self._event.c.kind.in_(sorted(wanted.kinds)))
        if wanted.subjects:
            query = query.where(self._event.c.subject.in_(sorted(wanted.subjects)))
        for links in wanted.links:
            linked = sa.select(self._link.c.place).where(self._link.c.link.in_(sorted(links)))
            query = query.where(self._event.c.place.in_(linked))
        return query

    @staticmethod
    def _place(cursor: str, epoch: str, newest: int) -> int:
        given = _CURSOR.fullmatch(cursor)
        # The log's own name is in it, so that one of before a backup was put back, or of another register, is told.
        if given is None or given[1] != epoch or int(given[2]) > newest:
            raise InvalidFieldsError({"since_cursor": "must be a cursor that this register gave"})
        return int(given[2])
