"""Events: appended with their change, in the order of commits, followed by cursor."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import grpc
import pytest
import sqlalchemy as sa

from adapters.context import CallerContext, serving
from adapters.kit.events import Event, EventPage, Wanted
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import event_pb2
from core.identifiers import SubsystemId
from core.reasons import ExchangeError, Reason
from tests.support.postal.ministry import CALLER, PostOffice
from tests.support.waiting import until

OPENED, CLOSED = 1, 2
ALL = Wanted()


def append(office: PostOffice, kind: int, subject: str, *links: str) -> None:
    """One event in a transaction of its own."""
    office.desk.store.write(
        lambda tx: office.desk.events.append(tx, kind, subject, ["holder"], links=links, payload=b"more")
    )


def page(office: PostOffice, since: str = "", limit: int = 0, wanted: Wanted = ALL) -> EventPage:
    """A page, read."""
    with office.desk.store.reading() as tx:
        return office.desk.events.page(tx, since, limit, wanted)


def subjects(found: EventPage) -> list[str]:
    """What the events of a page are about."""
    return [event.subject for event in found.events]


def test_events_are_listed_page_by_page(office: PostOffice) -> None:
    """Each once, the oldest first; the next page starts where the last one ended."""
    for number in range(5):
        append(office, OPENED, f"box-{number}")

    first = page(office, limit=2)
    second = page(office, first.next_cursor, limit=2)
    third = page(office, second.next_cursor, limit=2)

    assert [subjects(one) for one in (first, second, third)] == [
        ["box-0", "box-1"],
        ["box-2", "box-3"],
        ["box-4"],
    ]
    assert [one.has_more for one in (first, second, third)] == [True, True, False]
    last = page(office, third.next_cursor)
    assert (subjects(last), last.next_cursor) == ([], third.next_cursor)
    assert page(office).events[0].header == event_pb2.EventHeader(
        cursor=first.events[0].cursor,
        occurred_at=first.events[0].header.occurred_at,
        changed_fields=["holder"],
    )


def test_an_empty_log_has_an_empty_page(office: PostOffice) -> None:
    """And no place to go on from but the beginning."""
    assert page(office).next_cursor == ""


def test_an_undone_change_tells_nothing(office: PostOffice) -> None:
    """And leaves no gap."""

    def undone(tx: sa.Connection) -> None:
        office.desk.events.append(tx, OPENED, "box-0")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        office.desk.store.write(undone)
    append(office, OPENED, "box-1")

    assert subjects(page(office)) == ["box-1"]
    assert page(office).next_cursor.endswith("-1")


def test_all_conditions_of_a_filter_hold(office: PostOffice) -> None:
    """Kind, subject, and of each set of links one at least."""
    append(office, OPENED, "box-1", "commune:LI-COT", "client:A")
    append(office, CLOSED, "box-1", "commune:LI-COT", "client:B")
    append(office, OPENED, "box-2", "commune:OU-POR", "client:A")

    def found(**wanted: Any) -> list[tuple[int, str]]:
        return [(event.kind, event.subject) for event in page(office, wanted=Wanted(**wanted)).events]

    assert found(kinds=frozenset({CLOSED})) == [(CLOSED, "box-1")]
    assert found(subjects=frozenset({"box-2"})) == [(OPENED, "box-2")]
    cotonou, ours = frozenset({"commune:LI-COT", "commune:AQ-CAL"}), frozenset({"client:A"})
    assert found(links=(cotonou,)) == [(OPENED, "box-1"), (CLOSED, "box-1")]
    assert found(links=(cotonou, ours)) == [(OPENED, "box-1")]
    assert found(links=(frozenset({"client:C"}),)) == []


@pytest.mark.parametrize("cursor", ["1", "00000000-1", "{epoch}-2", "{epoch}-x", "{epoch}-1 ", "-" * 64])
def test_a_cursor_that_was_never_given_is_malformed(office: PostOffice, cursor: str) -> None:
    """Of another log, beyond the newest, or nonsense."""
    append(office, OPENED, "box-1")
    epoch = page(office).next_cursor.partition("-")[0]

    with pytest.raises(ProviderError) as refused:
        page(office, cursor.format(epoch=epoch))

    assert refused.value.reason is ProviderReason.FORMAT_INVALID


def test_a_cursor_expires_with_the_events_after_it(office: PostOffice) -> None:
    """Who has heard of all that was dropped goes on; the empty cursor starts at the oldest that is kept."""
    append(office, OPENED, "box-1", "client:A")
    old = page(office).next_cursor
    append(office, OPENED, "box-2", "client:A")
    heard = page(office).next_cursor
    office.clock.advance(timedelta(days=400))
    append(office, OPENED, "box-3", "client:A")

    dropped = office.desk.store.write(
        lambda tx: office.desk.events.drop(tx, office.clock.now_ms() - 24 * 3600 * 1000, 10)
    )

    assert dropped == 2
    with pytest.raises(ProviderError) as refused:
        page(office, old)
    assert refused.value.reason is ProviderReason.CURSOR_EXPIRED
    assert subjects(page(office, heard)) == subjects(page(office)) == ["box-3"]


def test_the_order_of_cursors_is_that_of_commits(office: PostOffice) -> None:
    """Whoever reads while many append never sees a later event and then one before it."""
    done = threading.Event()
    seen: list[str] = []

    def follow() -> None:
        since = ""
        while not (done.is_set() and not page(office, since).events):
            found = page(office, since)
            seen.extend(event.cursor for event in found.events)
            since = found.next_cursor

    with futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        office.race(*(lambda name=name: _append_some(office, name) for name in "ABCDEF"))
        done.set()
        following.result()

    places = [int(cursor.rpartition("-")[2]) for cursor in seen]
    assert places == list(range(1, 6 * 8 + 1))


def _append_some(office: PostOffice, name: str) -> None:
    for number in range(8):
        append(office, OPENED, f"{name}-{number}")


# --- streams ----------------------------------------------------------------------------------------------------------


@dataclass
class Call:
    """As much of a call as a stream looks at; it can be given up."""

    active: bool = True
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def is_active(self) -> bool:
        return self.active

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.callbacks.append(callback)
        return self.active

    def cancel(self) -> None:
        self.active = False
        for callback in self.callbacks:
            callback()


@dataclass
class Follower:
    """A consumer of the stream, in a thread of its own."""

    call: Call
    told: list[str | event_pb2.Heartbeat]
    ended: futures.Future[None]

    @property
    def events(self) -> list[str]:
        """Subjects it was told of."""
        return [one for one in self.told if isinstance(one, str)]

    @property
    def heartbeats(self) -> list[event_pb2.Heartbeat]:
        """Signs of life."""
        return [one for one in self.told if isinstance(one, event_pb2.Heartbeat)]


@contextmanager
def following(
    office: PostOffice, since: str = "", wanted: Wanted = ALL, caller: CallerContext = CALLER
) -> Iterator[Follower]:
    """Follow the stream inside the block."""
    call, told = Call(), list[str | event_pb2.Heartbeat]()

    def follow() -> None:
        with serving(caller):
            stream: Iterator[Event | event_pb2.Heartbeat] = office.desk.events.watch(
                cast(grpc.ServicerContext, call), since, wanted, lambda event: event, lambda sign: sign
            )
            for one in stream:
                told.append(one.subject if isinstance(one, Event) else one)

    with futures.ThreadPoolExecutor(1) as pool:
        follower = Follower(call, told, pool.submit(follow))
        try:
            yield follower
        finally:
            call.cancel()


def test_a_stream_tells_what_was_and_what_comes(office: PostOffice) -> None:
    """The same as the pages, without asking."""
    append(office, OPENED, "box-1")

    with following(office) as follower:
        until(lambda: follower.events == ["box-1"])
        append(office, OPENED, "box-2")
        until(lambda: follower.events == ["box-1", "box-2"])

    follower.ended.result()


def test_a_stream_goes_on_where_it_was_left(office: PostOffice) -> None:
    """Nothing is missed between two streams."""
    append(office, OPENED, "box-1")
    since = page(office).next_cursor
    append(office, OPENED, "box-2")

    with following(office, since) as follower:
        until(lambda: follower.events == ["box-2"])


def test_a_stream_tells_more_than_a_page(office: PostOffice) -> None:
    """A consumer that was away for long."""
    with office.desk.store.writing() as tx:
        for number in range(250):
            office.desk.events.append(tx, OPENED, f"box-{number}")

    with following(office) as follower:
        until(lambda: len(follower.events) == 250)


def test_a_silent_stream_shows_that_it_lives(office: PostOffice) -> None:
    """After 30 s; its cursor is as good as an event's, beyond events that were not wanted."""
    append(office, CLOSED, "box-1")
    newest = page(office).next_cursor

    with following(office, wanted=Wanted(kinds=frozenset({OPENED}))) as follower:
        until(lambda: len(follower.call.callbacks) == 1)
        office.clock.advance(timedelta(seconds=29))
        assert follower.heartbeats == []
        office.clock.advance(timedelta(seconds=1))
        until(lambda: len(follower.heartbeats) == 1)

    assert follower.heartbeats[0].cursor == newest
    assert follower.heartbeats[0].sent_at.ToMilliseconds() == office.clock.now_ms()
    assert follower.events == []


def test_a_stream_ends_with_its_server(office: PostOffice) -> None:
    """The consumer is told to come again."""
    with following(office) as follower:
        until(lambda: len(follower.call.callbacks) == 1)
        office.desk.events.stop()
        with pytest.raises(ExchangeError) as ended:
            follower.ended.result()

    assert ended.value.reason is Reason.SHUTTING_DOWN


def test_one_client_does_not_take_all_streams(office: PostOffice) -> None:
    """The ninth is refused, another client's is not; one that has ended makes room."""
    other = replace(CALLER, client=SubsystemId.parse("BJ/GOV/DGI/CFISC"))
    with following(office) as first:
        streams = [following(office) for _ in range(7)]
        held = [stream.__enter__() for stream in streams]
        until(lambda: all(follower.call.callbacks for follower in [first, *held]))

        with following(office) as ninth, pytest.raises(ProviderError) as refused:
            ninth.ended.result()
        with following(office, caller=other) as others:
            until(lambda: len(others.call.callbacks) == 1)
        first.call.cancel()
        first.ended.result()
        with following(office) as again:
            until(lambda: len(again.call.callbacks) == 1)
        for stream in streams:
            stream.__exit__(None, None, None)

    assert refused.value.reason is ProviderReason.RATE_LIMITED


def test_a_stream_from_a_cursor_that_was_never_given_is_refused(office: PostOffice) -> None:
    """As a page is."""
    with following(office, "00000000-7") as follower, pytest.raises(ProviderError) as refused:
        follower.ended.result()

    assert refused.value.reason is ProviderReason.FORMAT_INVALID
