"""Events as consumers follow them: the log of ``eventlog``, page by page or as a stream.

A stream holds a thread, so there is a bound on them, all together and for each client, and the server keeps threads of
their own for them (``adapters.interceptor``): whoever follows takes nothing away from calls.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import grpc

from adapters.context import current_caller
from adapters.kit.eventlog import DEFAULT_PAGE, Event, EventLog, EventPage, Wanted
from adapters.kit.store import Store
from adapters.kit.tables import Tables
from adapters.kit.times import timestamp
from adapters.reasons import ProviderError, ProviderReason
from adapters.settings import EventSettings
from bj.common.v1 import event_pb2
from core.clock import Clock
from core.reasons import ExchangeError, Reason

__all__ = ["Event", "EventPage", "Events", "Wanted"]

# What another process appends (an officer's command) is told after so long; what this one appends, at once.
_POLL_S: Final = 1.0
_Response = TypeVar("_Response")


class Events(EventLog):
    """The events of one register, and those who follow them."""

    def __init__(self, tables: Tables, clock: Clock, store: Store, settings: EventSettings) -> None:
        super().__init__(tables, clock)
        self._now_us = clock.monotonic_us
        self._now_ms = clock.now_ms
        self._store = store
        self._settings = settings
        self._news = threading.Condition()
        self._commits = 0
        self._stopping = False
        self._followers: Counter[str] = Counter()
        store.on_commit(self._wake)

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
        with self._following(str(current_caller().client)):
            if not context.add_callback(self._wake):
                return
            cursor, told_us = since_cursor, self._now_us()
            while context.is_active():
                if self._stopping:
                    raise ExchangeError(Reason.SHUTTING_DOWN)
                commits = self._commits
                # No transaction is open while a slow reader takes what was found.
                with self._store.reading() as tx:
                    page = self.page(tx, cursor, DEFAULT_PAGE, wanted)
                cursor = page.told_cursor
                for event in page.events:
                    yield make_response(event)
                    told_us = self._now_us()
                left_s = self._settings.heartbeat_s - (self._now_us() - told_us) / 1_000_000
                if left_s <= 0:
                    yield make_heartbeat(
                        event_pb2.Heartbeat(cursor=cursor, sent_at=timestamp(self._now_ms()))
                    )
                    told_us = self._now_us()
                elif not page.has_more:
                    self._wait(min(left_s, _POLL_S), commits)

    def stop(self) -> None:
        """End all streams: the server goes away."""
        self._stopping = True
        self._wake()

    @contextmanager
    def _following(self, client: str) -> Iterator[None]:
        with self._news:
            is_full = self._followers.total() >= self._settings.streams
            if is_full or self._followers[client] >= self._settings.streams_per_client:
                raise ProviderError(ProviderReason.RATE_LIMITED)
            self._followers[client] += 1
        try:
            yield
        finally:
            with self._news:
                self._followers[client] -= 1
                if not self._followers[client]:
                    del self._followers[client]

    def _wait(self, seconds: float, commits: int) -> None:
        """Wait for a commit that is not among those that were there before the log was read."""
        with self._news:
            if self._commits == commits:
                self._news.wait(seconds)

    def _wake(self) -> None:
        with self._news:
            self._commits += 1
            self._news.notify_all()
