"""The registry is away: exchanges go on with what is held, by age, and stop by name when it expires."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest

from gateway.worker.trust import TrustView
from tests.support.calls import leaves, reason_in
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.waiting import until


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("country")) as found:
        yield found


@pytest.fixture
def call(federation: Federation) -> Iterator[object]:
    federation.publish()
    federation.adapter.answer = lambda request, _: request
    with federation.channel() as channel:
        yield calling(channel)


def reason_of(call: object) -> str:
    """Why a call is refused now; empty if it is not."""
    try:
        call(b"x", metadata=metadata(), timeout=20, wait_for_ready=True)  # type: ignore[operator]  # a stock callable
    except grpc.RpcError as error:
        return str(reason_in(error)[1].reason)
    return ""


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
    federation: Federation, call: object, age: timedelta, lasts: timedelta, freshness: str
) -> None:
    """Fresh or stale, with gateways that restart meanwhile: nothing is refused for the age of the configuration."""
    federation.publish(age=age, lasts=lasts)

    for member in (federation.pns, federation.anip):
        assert view(member).freshness(member.clock.now_ms()) == freshness
    assert [reason_of(call) for _ in range(20)] == [""] * 20
    federation.drain(federation.anip)
    federation.start(federation.anip)
    assert reason_of(call) == ""


@pytest.mark.parametrize("who", ["pns", "anip"])
def test_at_its_end_new_exchanges_are_refused_and_go_on_once_it_is_confirmed(
    federation: Federation, call: object, who: str
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
    under_way = call.future(b"under way", metadata=metadata(), timeout=20)  # type: ignore[attr-defined]
    assert inside.wait(20)
    until(lambda: member.clock.now_ms() > ends)

    assert reason_of(call) == "CONFIG_EXPIRED"
    noticed = member.clock.now_ms() - ends
    gate.set()
    assert under_way.result(timeout=20) == b"under way"

    federation.do(_confirm(member, lasts_ms=3_600_000))
    until(lambda: reason_of(call) == "")
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


def test_an_agreement_may_demand_a_fresher_configuration(federation: Federation, call: object) -> None:
    """By its own term, at either side: stale is refused CONFIG_STALE, and is served again when it is fresh."""
    federation.agreements = [federation.agreement(max_configuration_age_s=300)]
    federation.publish(age=timedelta(minutes=4))
    young = reason_of(call)
    federation.publish(age=timedelta(minutes=6))
    old = reason_of(call)
    federation.publish(federation.pns)
    federation.publish(federation.anip, age=timedelta(minutes=6))
    old_there = reason_of(call)
    federation.publish()
    again = reason_of(call)
    federation.agreements = [federation.agreement()]
    federation.publish()

    assert (young, old, old_there, again) == ("", "CONFIG_STALE", "CONFIG_STALE", "")
