"""Requests in doubt: bounded, resolved only by the peer that was asked, and asked about a few at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.worker.budget import Budget, BudgetLimits
from gateway.worker.doubts import ASK_AGAIN_US, ASKED_AT_ONCE, LET_ANSWERS_COME_US, MAX_IN_DOUBT, Doubts
from gateway.worker.frames import Outcome, decode_message
from gateway.worker.peerlog import PeerLog
from gateway.worker.road import Road
from tests.support.worker_country import OWN_LOG

PEER = "a" * 64


@dataclass
class Clock:
    us: int = 1_000_000_000

    def now_ms(self) -> int:
        return self.us // 1000

    def monotonic_us(self) -> int:
        return self.us


@dataclass
class Listening:
    """A stream that keeps what it is given."""

    messages: list[bytes] = field(default_factory=list)
    queued_bytes: int = 0

    def hold(self) -> None:
        raise AssertionError("nothing comes here")

    def resume(self) -> None:
        raise AssertionError("nothing comes here")

    def send_message(self, message: bytes) -> None:
        self.messages.append(message)

    def close(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def doubts(clock: Clock) -> Doubts:
    return Doubts(clock, lambda index, size: [bytes([index % 256]) * 32])


def open_road(held: int) -> tuple[Road, Listening]:
    budget = Budget(BudgetLimits(1024, 1024, 1, 1))
    road = Road(PeerLog(PEER), "BJ/GOV/ANIP", OWN_LOG, max_message=1, budget=budget, on_sent=lambda _: None)
    channel = Listening()
    road.open(channel, OWN_LOG, held)
    return road, channel


def request(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_only_the_peer_that_was_asked_resolves_a_doubt(doubts: Doubts) -> None:
    doubts.add(request(1), PEER, 5)

    assert not doubts.resolve(request(1).hex(), "b" * 64)
    assert not doubts.resolve(request(2).hex(), PEER)
    assert not doubts.resolve(None, PEER)
    assert doubts.resolve(request(1).hex(), PEER)
    assert not doubts.resolve(request(1).hex(), PEER)


def test_doubts_are_bounded_and_the_oldest_are_forgotten(doubts: Doubts) -> None:
    """A storm of lost calls must not fill the memory; the log still has them at the next start."""
    for number in range(MAX_IN_DOUBT + 10):
        doubts.add(request(number), PEER, number)

    assert len(doubts) == MAX_IN_DOUBT
    assert request(9).hex() not in doubts
    assert request(10).hex() in doubts


def test_a_peer_is_asked_a_few_at_a_time_and_again_later(doubts: Doubts, clock: Clock) -> None:
    """Answers come first; what is above the head that the peer holds waits; nobody is asked without end."""
    count = 2 * ASKED_AT_ONCE
    for number in range(count):
        doubts.add(request(number), PEER, number)
    doubts.add(request(count), PEER, 500)
    road, channel = open_road(100)
    doubts.on_open(road)

    doubts.ask(road)
    assert channel.messages == []
    clock.us += LET_ANSWERS_COME_US
    doubts.ask(road)
    assert len(channel.messages) == ASKED_AT_ONCE
    for _ in range(5):
        doubts.ask(road)
    asked = [decode_message(one) for one in channel.messages]
    assert [one.index for one in asked if isinstance(one, Outcome)] == list(range(count))
    assert asked[3] == Outcome(3, request(3), 100, (bytes([3]) * 32,))

    clock.us += ASK_AGAIN_US
    for _ in range(5):
        doubts.ask(road)
    assert len(channel.messages) == 2 * count


def test_a_lost_stream_is_not_asked(doubts: Doubts, clock: Clock) -> None:
    doubts.add(request(1), PEER, 1)
    road, channel = open_road(100)
    road.lose("lost")
    clock.us += 2 * LET_ANSWERS_COME_US

    doubts.ask(road)

    assert channel.messages == []
