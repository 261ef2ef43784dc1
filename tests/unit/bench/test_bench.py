"""The benchmark's own arithmetic: a wrong figure would be believed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from bench.generator import message_of
from bench.measure import Point, Row, median_ratio, median_row
from bench.peers import nginx_command
from bench.processes import cpu_ns, descendants, free_port, wait_for_port
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


@pytest.mark.parametrize("size", [16, 129, 131, 256, 4096, 65_536, 1_048_576])
def test_a_message_has_exactly_the_size_asked_for(size: int) -> None:
    """A gRPC prefix and one length-delimited field that fills the rest."""
    message = message_of(size)

    assert message[:5] == b"\0" + size.to_bytes(4, "big")
    assert len(message) == size + 5
    assert message[5] == 0x0A
    length, shift, at = 0, 0, 6
    while True:
        length |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            break
    assert length == len(message) - at


def test_a_size_that_no_message_has_is_refused() -> None:
    """130 bytes cannot be a tag, a length and that many bytes."""
    with pytest.raises(ValueError):
        message_of(130)


def test_medians_are_taken_per_process_and_failures_are_kept() -> None:
    """The sum of the pair is that of the medians; calls and failures add up."""
    middle = median_row([row("a", 10, 1), row("a", 30, 3, bad=2), row("a", 20, 2)])

    assert middle.worker_us == {"consumer": 20, "provider": 2}
    assert middle.pair_us == 22
    assert (middle.calls, middle.bad, middle.first_failure) == (300, 2, "why")


def test_ratios_are_those_of_one_round() -> None:
    """Each round is compared with the same round of the other, then the median is taken."""
    ours = [row("a", 10, 10, control=10), row("a", 40, 40), row("a", 30, 30)]
    theirs = [row("b", 10, 10), row("b", 20, 20), row("b", 10, 10)]

    assert median_ratio(ours, theirs) == 2.0
    assert median_ratio(ours[:1], theirs[:1], with_control=True) == 1.5
    assert median_ratio([], []) is None


def test_points_read_as_people_say_them() -> None:
    """Bytes below a kibibyte, KiB above."""
    assert [str(Point(256, 1)), str(Point(65_536, 128))] == ["256 B x1", "64 KiB x128"]


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


def test_the_committed_descriptors_are_those_of_the_proto() -> None:
    """``bench/echo.binpb`` describes ``bench/echo.proto``."""
    found = descriptor_pb2.FileDescriptorSet.FromString(Path("bench/echo.binpb").read_bytes())

    (file,) = found.file
    assert (file.package, file.service[0].name) == ("bench.v1", "EchoService")
    assert [one.name for one in file.service[0].method] == ["Call"]


def test_a_probe_that_reaches_itself_has_found_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port lies where the kernel takes those of connections from: the probe may be given the very same."""
    connect = socket.create_connection

    def connect_from_there(target: tuple[str, int], timeout: float) -> socket.socket:
        return connect(target, timeout, source_address=target)

    monkeypatch.setattr(socket, "create_connection", connect_from_there)

    with pytest.raises(TimeoutError):
        wait_for_port(free_port(), 0.2)
