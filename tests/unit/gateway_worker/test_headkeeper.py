"""Heads are signed over what is durable, their time never falls, and a clock set back stops the signing (M6, M19)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import ManualClock
from core.heads import ConfigurationMark, TreeHead, b64url, encode_head, head_header, parse_head
from core.reasons import ExchangeError, Reason
from gateway.worker.headkeeper import ClockWatch, HeadKeeper

LOG = "a" * 64
MARK = ConfigurationMark(3, "c" * 64)


class Tree:
    def root(self, size: int | None = None) -> bytes:
        return (size or 0).to_bytes(32, "big")


class Signer:
    def __init__(self) -> None:
        self.signed: list[TreeHead] = []

    def __call__(self, head: TreeHead) -> bytes:
        self.signed.append(head)
        return b".".join(map(b64url, (head_header("T" * 43), encode_head(head), bytes(64))))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def keeper(clock: ManualClock, signer: Signer) -> HeadKeeper:
    return HeadKeeper(LOG, "BJ/GOV/ANIP/gw1", Tree(), signer, clock)


def test_a_head_says_log_gateway_size_root_time_and_configuration(
    keeper: HeadKeeper, clock: ManualClock, signer: Signer
) -> None:
    """Over exactly the size that is asked for."""
    jws = keeper.over(5, MARK)

    expected = TreeHead(1, LOG, "BJ/GOV/ANIP/gw1", 5, Tree().root(5).hex(), clock.now_ms() // 1000, MARK)
    assert signer.signed == [expected]
    assert parse_head(jws).unverified == expected
    assert (keeper.newest, keeper.size) == (jws, 5)


def test_one_signature_serves_until_the_log_grows(keeper: HeadKeeper, signer: Signer) -> None:
    """However often it is asked for."""
    first = keeper.over(5, MARK)

    assert keeper.over(5, MARK) == first
    assert keeper.over(6, MARK) != first
    assert len(signer.signed) == 2


def test_a_clock_set_back_a_little_keeps_the_last_time(keeper: HeadKeeper, clock: ManualClock) -> None:
    """Up to 60 s: the time never falls while the size grows."""
    keeper.over(5, MARK)
    last = clock.now_ms() // 1000

    clock.step(timedelta(seconds=-60))

    assert parse_head(keeper.over(6, MARK)).unverified.iat == last


def test_a_clock_set_back_further_stops_the_signing(
    keeper: HeadKeeper, clock: ManualClock, signer: Signer
) -> None:
    """Naming both times; what was signed stays."""
    newest = keeper.over(5, MARK)
    last = clock.now_ms() // 1000

    clock.step(timedelta(seconds=-61))
    with pytest.raises(ExchangeError) as refused:
        keeper.over(6, MARK)

    assert refused.value.reason is Reason.CLOCK_SKEW
    assert str(last) in str(refused.value)
    assert str(last - 61) in str(refused.value)
    assert keeper.newest == newest
    assert len(signer.signed) == 1


def test_a_restored_head_binds_the_time(clock: ManualClock, signer: Signer) -> None:
    """A restart does not let the clock fall either."""
    before = HeadKeeper(LOG, "BJ/GOV/ANIP/gw1", Tree(), signer, clock)
    jws = before.over(5, MARK)
    keeper = HeadKeeper(LOG, "BJ/GOV/ANIP/gw1", Tree(), signer, clock)
    keeper.restore(jws)
    assert (keeper.newest, keeper.size) == (jws, 5)

    clock.step(timedelta(seconds=-61))
    with pytest.raises(ExchangeError):
        keeper.over(6, MARK)


def test_the_head_of_a_quiet_log_is_signed_anew(
    keeper: HeadKeeper, clock: ManualClock, signer: Signer
) -> None:
    """A peer would refuse one that is 60 s old (PROTOCOL M19)."""
    first = keeper.over(5, MARK)

    clock.step(timedelta(seconds=29))
    assert keeper.over(5, MARK) == first
    clock.step(timedelta(seconds=1))
    again = parse_head(keeper.over(5, MARK)).unverified

    assert (again.size, again.iat) == (5, clock.now_ms() // 1000)
    assert len(signer.signed) == 2


def test_a_clock_that_was_set_is_noticed_once_taken_note_of() -> None:
    """Forward or back by more than a minute; until it is taken note of it stays noticed."""
    clock = ManualClock()
    watch = ClockWatch(clock)

    clock.step(timedelta(days=2))
    clock.advance(timedelta(seconds=5))

    assert watch.look() == watch.look() == watch.take() == 2 * 24 * 3_600_000
    assert watch.look() == 0
    clock.step(timedelta(minutes=-10))
    assert watch.take() == -600_000


def test_time_that_passes_and_a_clock_that_is_slewed_are_no_step() -> None:
    """NTP moves a clock little by little; both clocks move together when time passes."""
    clock = ManualClock()
    watch = ClockWatch(clock)

    for _ in range(100):
        clock.advance(timedelta(hours=1))
        clock.step(timedelta(seconds=2))
        assert watch.look() == 0
