"""What waits to be transcoded is bounded, and goes with its call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.worker.jsonqueue import MAX_QUEUED_BYTES, MAX_QUEUED_BYTES_PER_PROGRAM, JsonQueue

pytestmark = pytest.mark.unit


class Busy:
    """Work that goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.end = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.end.wait()
        return "long"


@pytest.fixture
def busy() -> Iterator[Busy]:
    found = Busy()
    yield found
    found.end.set()


@pytest.fixture
def queue() -> Iterator[JsonQueue]:
    found = JsonQueue()
    yield found
    found.close()


def test_bytes_count_until_their_work_is_done(queue: JsonQueue, busy: Busy) -> None:
    """What the thread is at is held in memory as what waits is."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[str] = asyncio.Queue()

        queue.submit("p", 10, busy, told.put_nowait, loop)
        queue.submit("p", 5, lambda: "short", told.put_nowait, loop)
        await asyncio.to_thread(busy.begun.wait)
        before = queue.queued_bytes
        busy.end.set()

        assert [await told.get(), await told.get()] == ["long", "short"]
        assert (before, queue.queued_bytes) == (15, 0)

    asyncio.run(run())


def test_work_for_a_call_that_ended_is_not_done(queue: JsonQueue, busy: Busy) -> None:
    """Its bytes go at once; the work behind it is done as ever."""
    worked: list[str] = []
    told_of_ended: list[str] = []

    def work() -> str:
        worked.append("waiting")
        return "waiting"

    async def run() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[str] = asyncio.Queue()

        running = queue.submit("p", 10, busy, told_of_ended.append, loop)
        waiting = queue.submit("p", 5, work, told_of_ended.append, loop)
        queue.submit("q", 1, lambda: "next", told.put_nowait, loop)
        await asyncio.to_thread(busy.begun.wait)
        running.cancel()
        waiting.cancel()
        held = queue.queued_bytes
        busy.end.set()

        assert await told.get() == "next"
        assert held == 11  # what the thread is at, and what comes next
        assert queue.queued_bytes == 0

    asyncio.run(run())

    assert worked == told_of_ended == []


def test_what_waits_is_bounded_in_sum_and_for_each_program(queue: JsonQueue, busy: Busy) -> None:
    """One program cannot take the thread from the others; answers have room where requests have none."""
    share = MAX_QUEUED_BYTES_PER_PROGRAM

    async def run() -> None:
        loop = asyncio.get_running_loop()

        queue.submit("p0", share, busy, lambda _: None, loop)

        assert not queue.has_room("p0", 1)
        assert queue.has_room("p1", share)
        for number in range(1, MAX_QUEUED_BYTES // share):
            queue.submit(f"p{number}", share, lambda: "", lambda _: None, loop)
        assert not queue.has_room("other", 1)
        assert queue.has_room_for_answer(MAX_QUEUED_BYTES)
        assert not queue.has_room_for_answer(MAX_QUEUED_BYTES + 1)

    asyncio.run(run())
