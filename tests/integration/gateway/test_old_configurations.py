"""The registry is away: exchanges go on with what is held, by age, and stop by name when it expires."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest

from gateway.worker.trust import TrustView
from tests.support.calls import leaves
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.federation import Calling


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("country")) as found:
        yield found


@pytest.fixture
def call(federation: Federation) -> Iterator[Calling]:
    federation.publish()
    federation.adapter.answer = lambda request, _: request
    with federation.channel() as channel:
        yield calling(channel)


def outcome_now(call: Calling) -> str:
    """Of one more call."""
    return outcome_of(partial(call, b"x", metadata=metadata(), timeout=20, wait_for_ready=True))


def view(member: Member) -> TrustView:
    """What the member's worker goes by."""
    assert member.worker is not None
    assert member.worker._view is not None
    return member.worker._view


@pytest.mark.parametrize(
    ("age", "lasts", "freshness"),
    [
        (timedelta(minutes=9), timedelta(hours=71), "fresh"),
        (timedelta(minutes=11), timedelta(hours=71), "stale"),
        (timedelta(hours=24), timedelta(hours=48), "stale"),
        (timedelta(hours=71, minutes=59), timedelta(minutes=1), "stale"),
    ],
    ids=["9 min", "11 min", "24 h", "71 h 59"],
)
def test_exchanges_go_on_for_three_days_without_the_registry(
    federation: Federation, call: Calling, age: timedelta, lasts: timedelta, freshness: str
) -> None:
    """Fresh or stale, with gateways that restart meanwhile: nothing is refused for the age of the configuration."""
    federation.publish(age=age, lasts=lasts)

    for member in (federation.pns, federation.anip):
        assert view(member).freshness(member.clock.now_ms()) == freshness
    assert [outcome_now(call) for _ in range(20)] == ["OK"] * 20
    federation.drain(federation.anip)
    federation.start(federation.anip)
    assert outcome_now(call) == "OK"


@pytest.mark.parametrize("who", ["pns", "anip"])
def test_at_its_end_new_exchanges_are_refused_and_go_on_once_it_is_confirmed(
    federation: Federation, call: Calling, who: str
) -> None:
    """At either gateway; what is under way at that moment finishes, and refusals are on record."""
    member = federation.pns if who == "pns" else federation.anip
    inside, gate = threading.Event(), threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        inside.set()
        gate.wait(20)
        return request

    federation.adapter.answer = slow
    federation.do(_confirm(member, lasts_ms=1200))
    ends = view(member).expires_at
    under_way = call.future(b"under way", metadata=metadata(), timeout=20)
    assert inside.wait(20)
    until(lambda: member.clock.now_ms() > ends)

    assert outcome_now(call) == "CONFIG_EXPIRED"
    noticed = member.clock.now_ms() - ends
    gate.set()
    assert under_way.result(timeout=20) == b"under way"

    federation.do(_confirm(member, lasts_ms=3_600_000))
    until(lambda: outcome_now(call) == "OK")
    print(f"refused {noticed} ms after the end")
    said = [body for _, body in leaves(member) if b'"CONFIG_EXPIRED"' in body]
    assert said


async def _confirm(member: Member, lasts_ms: int) -> None:
    """What a worker does when control says that the registry confirmed the version, and until when it holds."""
    worker = member.worker
    assert worker is not None
    assert worker._view is not None
    now = int(time.time() * 1000)
    worker._use(worker._view.confirmed(now, now + lasts_ms))


def test_an_agreement_may_demand_a_fresher_configuration(federation: Federation, call: Calling) -> None:
    """By its own term, at either side: stale is refused CONFIG_STALE, and is served again when it is fresh."""
    federation.agreements = [federation.agreement(max_configuration_age_s=300)]
    federation.publish(age=timedelta(minutes=4))
    young = outcome_now(call)
    federation.publish(age=timedelta(minutes=6))
    old = outcome_now(call)
    federation.publish(federation.pns)
    federation.publish(federation.anip, age=timedelta(minutes=6))
    old_there = outcome_now(call)
    federation.publish()
    again = outcome_now(call)
    federation.agreements = [federation.agreement()]
    federation.publish()

    assert (young, old, old_there, again) == ("OK", "CONFIG_STALE", "CONFIG_STALE", "OK")
