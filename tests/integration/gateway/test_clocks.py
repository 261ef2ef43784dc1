"""Clocks that are wrong, are set, and come right again (PROTOCOL M19): named refusals, never a hang, no restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest

from core.heads import parse_head
from core.leaves import NOTE, SAID
from gateway.settings import Limits
from ledger.log import Log
from tests.support.calls import call, leaves
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.waiting import until

MINUTES = timedelta(minutes=10)
DAYS = timedelta(days=2)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(peer_wait_ms=800)) as found:
        yield found


def peer_state(member: Member) -> tuple[str, int]:
    """How ``member`` sees the other: state of the road, and by how much its clock is ahead."""
    assert member.worker is not None
    (peer,) = member.worker.station.peer_states()
    return peer.state, -(peer.ahead_s or 0)


@pytest.mark.parametrize(
    ("who", "by"), [("pns", MINUTES), ("pns", -DAYS), ("anip", -MINUTES), ("anip", DAYS)]
)
def test_a_clock_set_wrong_is_refused_by_name_and_heals_with_the_clock(
    federation: Federation, who: str, by: timedelta
) -> None:
    """Set while calls pass, by either side, forward or back: nothing gets through, and all goes on once it is right."""
    member = federation.pns if who == "pns" else federation.anip
    other = federation.anip if who == "pns" else federation.pns
    assert call(federation).answer == b"question"
    federation.adapter.calls.clear()

    member.clock.step(by)
    until(lambda: peer_state(member)[0] != "open")
    # The first ones may find the road just lost, before either side has said why.
    until(lambda: outcome_of(partial(call, federation)) == "CLOCK_SKEW")
    assert {outcome_of(partial(call, federation)) for _ in range(2)} == {"CLOCK_SKEW"}

    assert federation.adapter.calls == []
    until(lambda: peer_state(member)[0] == "CLOCK_SKEW")
    assert abs(peer_state(member)[1] + by.total_seconds()) < 35
    assert other.worker is not None
    assert other.worker.station.fault is None

    member.clock.correct()

    until(lambda: _passes(federation), 15)
    assert peer_state(member)[0] == peer_state(other)[0] == "open"
    for one in (federation.pns, federation.anip):
        _require_no_head_ahead_of_time(one, federation)


def _passes(federation: Federation) -> bool:
    try:
        return call(federation).answer == b"question"
    except grpc.RpcError:
        return False


def _require_no_head_ahead_of_time(member: Member, federation: Federation) -> None:
    """Nothing was signed at the wrong time: the log opens, and its newest head does not lie ahead of the clock."""
    assert member.worker is not None
    federation.stop(member)
    log = Log.open(member.directory.log(0))
    newest = parse_head(log.last_head or b"").unverified
    log.close()
    assert newest.iat * 1000 <= member.clock.now_ms() + 1000


@pytest.mark.parametrize(("who", "by"), [("pns", DAYS), ("anip", -DAYS)])
def test_a_call_in_flight_when_a_clock_is_set_ends_by_name(
    federation: Federation, who: str, by: timedelta
) -> None:
    """Without a deadline of its own it must not hang: the road ends, and the program is told to ask."""
    member = federation.pns if who == "pns" else federation.anip
    inside, gate = threading.Event(), threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        inside.set()
        gate.wait(20)
        return request

    federation.adapter.answer = slow
    with federation.channel() as channel:
        future = calling(channel).future(b"x", metadata=metadata(), timeout=None, wait_for_ready=True)
        assert inside.wait(20)

        member.clock.step(by)
        error = future.exception(timeout=20)
        gate.set()

    assert isinstance(error, grpc.RpcError)
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "PEER_LOST" in (error.details() or "")
    assert member.worker is not None
    assert not [body for label, body in leaves(federation.pns) if label == NOTE]
    until(lambda: any(b'"kind":"abandon"' in body for label, body in leaves(federation.pns) if label == SAID))


def test_a_clock_that_lies_behind_the_last_head_signs_nothing_and_ends_what_was_asked(
    federation: Federation,
) -> None:
    """A head signed ahead of time binds its log; calls are refused by name until that time has come."""
    call(federation)
    assert federation.pns.worker is not None
    station = federation.pns.worker.station
    ahead = station.heads._iat + 600
    federation.do(_set_iat(station.heads, ahead))

    first, then = (
        outcome_of(partial(call, federation, timeout=None)),
        outcome_of(partial(call, federation, timeout=None)),
    )

    # The first was durable before it was known that it could not be signed for.
    assert {first, then} <= {"CLOCK_SKEW", "PEER_UNREACHABLE"}
    assert then == "CLOCK_SKEW"
    assert station.heads._iat == ahead
    federation.do(_set_iat(station.heads, ahead - 600))
    until(lambda: _passes(federation), 15)


async def _set_iat(heads: object, iat: int) -> None:
    heads._iat = iat  # type: ignore[attr-defined]  # as a signature at a wrong time would leave it


def test_a_suspended_machine_goes_on_when_a_peer_bears_its_clock_out(federation: Federation) -> None:
    """The clock is right, only the monotonic one stood still: seen as set, believed as soon as a peer agrees."""
    call(federation)
    assert federation.pns.worker is not None
    watch = federation.pns.worker.station.witnesses.watch
    watch._lead_ms -= 3_600_000

    until(lambda: _passes(federation), 15)

    assert federation.pns.worker.station.fault is None
