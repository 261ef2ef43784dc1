"""The benchmark's own arithmetic: a wrong figure would be believed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from bench.generator import Counting, Tally
from bench.measure import Row, median_ratio, median_row, ratios_of
from bench.messages import CountedMessages
from bench.peers import backend_command, commands, envoy_command, nginx_command, proxy_command
from bench.points import Point
from bench.processes import Processes, cpu_ns, descendants, free_port, wait_for_port
from bench.tls import make_identity

pytestmark = pytest.mark.unit


def row(variant: str, consumer: float, provider: float, control: float = 0.0, bad: int = 0) -> Row:
    return Row(
        variant=variant,
        point=Point(4096, 128),
        calls=100,
        bad=bad,
        per_second=1000.0,
        p50_ms=1.0,
        p99_ms=2.0,
        worker_us={"consumer": consumer, "provider": provider},
        control_us=control,
        backend_us=3.0,
        generator_us=4.0,
        first_failure="why" if bad else "",
    )


def test_medians_are_taken_per_process_and_failures_are_kept() -> None:
    """The sum of the pair is that of the medians; calls and failures add up."""
    middle = median_row([row("a", 10, 1), row("a", 30, 3, bad=2), row("a", 20, 2)])

    assert middle.worker_us == {"consumer": 20, "provider": 2}
    assert middle.pair_us == 22
    assert (middle.calls, middle.bad, middle.first_failure) == (300, 2, "why")


def test_ratios_are_those_of_one_round() -> None:
    """Each round is compared with the same of the other, then the median is taken; rounds that one lacks are left out."""
    ours = [replace(row("a", cost, cost, control=10), round=n) for n, cost in enumerate((10, 40, 30))]
    theirs = [replace(row("b", cost, cost), round=n) for n, cost in enumerate((10, 20, 10))]

    assert ratios_of(ours, theirs) == [1.0, 2.0, 3.0]
    assert median_ratio(ours, theirs) == 2.0
    assert ratios_of([ours[0], ours[2]], theirs[1:]) == [3.0]
    assert median_ratio(ours[:1], theirs[:1], lambda row: row.pair_with_control_us) == 1.5
    assert median_ratio([], []) is None


def test_cpu_of_a_process_is_read_from_outside() -> None:
    """The clock of this process by its number agrees with its own."""
    before = cpu_ns(os.getpid())
    sum(range(2_000_000))

    assert cpu_ns(os.getpid()) > before
    assert os.getpid() in descendants(os.getpid())
    assert 0 < free_port() < 65_536


def test_nginx_gets_mutual_tls_on_both_legs(tmp_path: Path) -> None:
    """One worker, client certificates demanded in front and shown behind."""
    identity = make_identity(tmp_path / "pki")

    command = nginx_command("/usr/sbin/nginx", tmp_path / "a", 1001, 1002, identity)

    text = (tmp_path / "a/nginx.conf").read_text()
    assert command[:2] == ["/usr/sbin/nginx", "-c"]
    for line in ("ssl_verify_client on;", "grpc_ssl_verify on;", "listen 127.0.0.1:1001 ssl http2;"):
        assert line in text
    assert "server 127.0.0.1:1002;" in text
    assert identity.context(server=True).minimum_version == identity.context(server=False).minimum_version


def test_envoy_gets_mutual_tls_on_both_legs(tmp_path: Path) -> None:
    """One worker, client certificates demanded in front and shown behind, no retry and no time-out."""
    identity = make_identity(tmp_path / "pki")

    command = envoy_command("/bin/envoy", tmp_path / "a", 1001, 1002, identity)

    assert command[3:5] == ["--concurrency", "1"]
    found = json.loads((tmp_path / "a/envoy.json").read_text())["static_resources"]
    (chain,) = found["listeners"][0]["filter_chains"]
    edge = chain["transport_socket"]["typed_config"]
    assert edge["require_client_certificate"] is True
    upstream = found["clusters"][0]["transport_socket"]["typed_config"]
    for context in (edge, upstream):
        tls = context["common_tls_context"]
        assert tls["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
        assert tls["validation_context"]["trusted_ca"]["filename"] == str(identity.ca)
    (route,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    assert route["route"] == {"cluster": "next", "timeout": "0s"}


def test_the_plain_pair_needs_nothing_installed() -> None:
    """Who has neither nginx nor Envoy compares with it alone."""
    found = commands()["grpc.aio"]

    assert found is not None


@pytest.mark.parametrize("ends", ["lean", "grpcio"])
@pytest.mark.parametrize("load", [["bench.generator"], ["bench.stock", "load"]])
def test_ends_understand_each_other(ends: str, load: list[str], tmp_path: Path) -> None:
    """Either program with either adapter, through a plain proxy; the lean one also counts a stream."""
    identity, processes = make_identity(tmp_path / "pki"), Processes(tmp_path / "logs")
    backend, proxy = free_port(), free_port()
    try:
        processes.start("backend", backend_command(ends, backend, identity))
        processes.start("proxy", proxy_command(tmp_path, proxy, backend, identity))
        wait_for_port(backend)
        wait_for_port(proxy)
        loads = [["--calls", "50"]] + [["--messages", "3000"]] * (load == ["bench.generator"])
        for options in loads:
            command = [sys.executable, "-m", *load, "127.0.0.1", str(proxy), *identity.arguments()]
            command += ["--size", "64", "--in-flight", "2", "--warm-up", "0.1", *options]
            done = subprocess.run(command, input="go\n", capture_output=True, text=True, check=True)
            ready, result = done.stdout.splitlines()
            assert ready == "ready"
            found = json.loads(result)
            assert (found["bad"], found["calls"]) == (0, int(options[1])), found["first_failure"]
    finally:
        processes.stop()


def test_other_bytes_than_expected_are_a_failure(tmp_path: Path) -> None:
    """A backend that counts wrongly is caught by the message."""

    async def count() -> Tally:
        connection, tally = SilentConnection(), Tally()
        counting = Counting(connection, [], 10, 64, tally)  # type: ignore[arg-type]
        body = bytearray(CountedMessages(10, 64).take(10_000))
        body[100] ^= 1
        counting.on_data(bytes(body), True)
        counting.on_trailers([(b"grpc-status", b"0")])
        counting.on_closed(0)
        return tally

    tally = asyncio.run(count())

    assert tally.bad == 1
    assert "other bytes" in tally.first_failure


class SilentConnection:
    """Takes what is sent."""

    def open_stream(self, headers: object, sink: object) -> int:
        return 1

    def send(self, stream: int, data: bytes, *, end_stream: bool) -> None:
        """Nobody reads it."""

    def acknowledge(self, stream: int, size: int) -> None:
        """Nobody counts."""


def test_the_committed_descriptors_are_those_of_the_proto() -> None:
    """``bench/echo.binpb`` describes ``bench/echo.proto``."""
    found = descriptor_pb2.FileDescriptorSet.FromString(Path("bench/echo.binpb").read_bytes())

    (file,) = found.file
    assert (file.package, file.service[0].name) == ("bench.v1", "EchoService")
    assert [one.name for one in file.service[0].method] == ["Call", "Count"]


def test_a_probe_that_reaches_itself_has_found_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port lies where the kernel takes those of connections from: the probe may be given the very same."""
    connect = socket.create_connection

    def connect_from_there(target: tuple[str, int], timeout: float) -> socket.socket:
        return connect(target, timeout, source_address=target)

    monkeypatch.setattr(socket, "create_connection", connect_from_there)

    with pytest.raises(TimeoutError):
        wait_for_port(free_port(), 0.2)
