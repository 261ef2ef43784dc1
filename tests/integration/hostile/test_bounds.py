"""Bounds of a worker, each hit through the real gateways (docs/operations/limits.md)."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from core.identifiers import SubsystemId
from gateway.settings import Limits, LogSettings
from gateway.worker import context
from gateway.worker.main import Worker
from tests.support.calls import worker_of
from tests.support.federation import CLIENT, Federation, calling, metadata
from tests.support.hostile import reason_of
from tests.support.waiting import until


@pytest.mark.parametrize("bound", ["member_calls", "worker_calls"])
def test_calls_in_flight_are_bounded(tmp_path: Path, bound: str) -> None:
    """The call above is refused by name; it goes once others have ended."""
    answer = threading.Event()
    with Federation(tmp_path, limits=Limits(**{bound: 2})) as federation:
        federation.adapter.answer = lambda request, _: request if answer.wait(20) else b""
        with federation.channel() as channel:
            held = [calling(channel).future(b"", metadata=metadata(), timeout=20) for _ in range(2)]
            until(lambda: len(federation.adapter.calls) == 2)

            assert reason_of(channel) == "LIMIT_EXCEEDED"

            answer.set()
            assert [one.result() for one in held] == [b"", b""]
            assert calling(channel)(b"again", metadata=metadata(), timeout=10) == b"again"


def test_a_stopping_worker_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    """An adapter that never answers does not keep a gateway from stopping."""
    answer = threading.Event()
    with Federation(tmp_path, limits=Limits(drain_ms=200)) as federation:
        federation.adapter.answer = lambda request, _: request if answer.wait(20) else b""
        with federation.channel() as channel:
            call = calling(channel).future(b"", metadata=metadata(), timeout=20)
            until(lambda: len(federation.adapter.calls) == 1)
            worker = worker_of(federation.pns)

            federation.do(_stop(worker))

            until(worker._stopped.is_set)
            answer.set()
            call.cancel()


async def _stop(worker: Worker) -> None:
    worker.stop()


def test_a_head_is_signed_at_most_a_second_after_a_commit(tmp_path: Path) -> None:
    """Though no frame leaves: a refusal at one's own gateway is covered too (PROTOCOL M6)."""
    with Federation(tmp_path, log=LogSettings(reserve_bytes=0, head_ms=50)) as federation:
        station = worker_of(federation.pns).station
        with federation.channel() as channel:
            assert reason_of(channel, x_road_purpose="P09") == "PURPOSE_NOT_ALLOWED"
        assert station.durable_size > 1

        until(lambda: station.heads.size == station.durable_size)


def test_caches_of_what_peers_name_are_bounded() -> None:
    """Ten thousand names that nobody has leave no more behind than the cache holds."""
    for number in range(10_000):
        context._subsystem(f"BJ/GOV/M{number}/S")

    found = context._subsystem.cache_info()
    assert found.maxsize is not None
    assert found.currsize <= found.maxsize <= 4096
    assert context._subsystem(CLIENT) == SubsystemId.parse(CLIENT)


def test_strangers_are_counted_on_both_ports(tmp_path: Path) -> None:
    """They make us log nothing; whoever watches the metrics sees them come (PROTOCOL M17)."""
    with Federation(tmp_path) as federation:
        worker = worker_of(federation.anip)
        size = worker.station.durable_size
        for port in (federation.anip.programs_port, federation.anip.road_port):
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", port), 10) as stranger:
                    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    while stranger.recv(4096):
                        pass

        def failed(name: str) -> int:
            return worker.report().counters.get(f"{name}_handshakes_failed", 0)

        until(lambda: failed("programs") == failed("road_port") == 3)
        assert worker.station.durable_size == size
