"""A link that dies without a word: noticed, named, and gone over again as soon as it heals."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from core.leaves import SAID
from core.statements import parse_statement
from gateway.settings import Limits
from tests.support.calls import leaves, reason_in
from tests.support.federation import Federation, calling, metadata
from tests.support.loopback import LoopThread
from tests.support.proxy import Direction, Link
from tests.support.waiting import until


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(drain_ms=300, peer_wait_ms=600)) as found:
        yield found


@pytest.fixture
def link(federation: Federation) -> Iterator[Link]:
    """The way from PNS's gateway to ANIP's road port."""
    loop = LoopThread()
    link = Link(loop, federation.anip.road_port)
    federation.anip.link_port = link.port
    federation.publish()
    yield link
    link.heal()
    link.close()
    loop.stop()


@pytest.mark.parametrize("dead", [("up", "down"), ("up",), ("down",)], ids="-".join)
def test_a_dead_link_ends_what_is_in_flight_and_is_gone_over_again_when_it_heals(
    federation: Federation, link: Link, dead: tuple[Direction, ...]
) -> None:
    """Calls in flight, without a deadline, end PEER_LOST; calls go on after healing; nothing is done twice."""
    inside = threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        inside.set()
        time.sleep(0.3)
        return request

    federation.adapter.answer = slow
    with federation.channel() as channel:
        call = calling(channel)
        call(b"before", metadata=metadata(), wait_for_ready=True)
        federation.adapter.calls.clear()
        inside.clear()
        if "down" not in dead:
            link.kill(*dead)  # the request itself is lost, what the peer says still comes through
        future = call.future(b"in flight", metadata=metadata())
        assert "down" not in dead or inside.wait(20)
        link.kill(*dead)
        killed = time.monotonic()
        code, info = reason_in(future.exception(timeout=20))
        noticed = time.monotonic() - killed

        with pytest.raises(grpc.RpcError) as away:
            call(b"while it is dead", metadata=metadata(), timeout=20)
        until(lambda: _road_states(federation) == ["PEER_UNREACHABLE"])
        link.heal()
        healed = time.monotonic()
        answer = call(b"healed", metadata=metadata(), timeout=20)
        first = time.monotonic() - healed

    print(f"{dead}: noticed after {noticed:.2f} s, first good call {first:.2f} s after healing")
    assert (code, info.reason, info.metadata["delivery"]) == (
        grpc.StatusCode.UNAVAILABLE,
        "PEER_LOST",
        "unknown",
    )
    assert reason_in(away.value)[1].reason == "PEER_UNREACHABLE"
    assert answer == b"healed"
    assert _road_states(federation) == ["open"]
    done = [request for _, request, _ in federation.adapter.calls]
    assert done == ([b"in flight", b"healed"] if "down" in dead else [b"healed"])
    statements = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    assert [one.reason for one in statements if one.kind == "abandon"] == ["PEER_LOST"]
    assert federation.pns.worker is not None
    doubts = federation.pns.worker.station.pipeline.consumer.doubts
    until(lambda: not len(doubts))


def _road_states(federation: Federation) -> list[str]:
    """The roads of the consumer as it reports them to control."""
    assert federation.pns.worker is not None
    return [one.state for one in federation.pns.worker.station.peer_states()]


def test_a_gateway_whose_peer_is_silent_stops_in_time(federation: Federation, link: Link) -> None:
    """The peer does not answer at all while this one drains: what was asked ends by name, and it exits 0."""
    gate = threading.Event()

    def hang(request: bytes, _: grpc.ServicerContext) -> bytes:
        gate.wait(20)
        return request

    federation.adapter.answer = hang
    with federation.channel() as channel:
        future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))
        link.kill("up", "down")

        exit_code = federation.drain(federation.pns)
        code, info = reason_in(future.exception(timeout=20))
        gate.set()

    assert exit_code == 0
    assert (code, info.metadata["delivery"]) == (grpc.StatusCode.UNAVAILABLE, "unknown")
    assert info.reason in ("SHUTTING_DOWN", "PEER_LOST")
    statements = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    assert [one.kind for one in statements] == ["request", "abandon"]


def test_a_program_that_went_without_a_word_has_its_calls_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine lost power, or the way to it: the adapter stops working for nobody, and the record says so."""
    monkeypatch.setattr("gateway.worker.main.PROGRAM_SILENT_S", 0.3)
    cancelled, inside = threading.Event(), threading.Event()

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(cancelled.set)
        inside.set()
        cancelled.wait(20)
        return request

    loop = LoopThread()
    with Federation(tmp_path) as federation:
        federation.adapter.answer = hang
        link = Link(loop, federation.pns.programs_port)
        port, federation.pns.programs_port = federation.pns.programs_port, link.port
        with federation.channel() as channel:
            federation.pns.programs_port = port
            future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
            assert inside.wait(20)

            link.kill("up", "down")

            assert cancelled.wait(20)
            until(lambda: len(_endings(federation)) == 1)
            assert _endings(federation) == ["CANCELLED"]
            future.cancel()
        link.heal()
        link.close()
    loop.stop()


def _endings(federation: Federation) -> list[str | None]:
    statements = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    return [one.reason for one in statements if one.kind == "cancel"]
