"""A country's processes: who listens, who ended, and what keeps a port for the part that will want it."""

import errno
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.plan import Layout, Ports, load_plan
from cli.processes import Country, Part, PartFailedError, free_base, hold_port, listens
from core.reasons import ExchangeError, Reason
from rpc.lifeline import Lifeline
from tests.support.plans import TWO_MEMBERS


def address_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


def start_part(country: Country, log: Path, name: str, code: str) -> None:
    """One part that is a line of Python, with a log that an earlier run has written to."""
    log.write_text("an earlier run\n")
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=subprocess.STDOUT)
    country.parts.append(Part(name, process, Lifeline(), log, len("an earlier run\n")))


@pytest.fixture
def country(tmp_path: Path) -> Country:
    (tmp_path / "country.toml").write_text(TWO_MEMBERS, encoding="utf-8")
    return Country(load_plan(tmp_path / "country.toml"), Layout(tmp_path), Ports(free_base()))


def test_a_block_of_ports_is_given_once() -> None:
    """To nobody else, here or in another process, though nobody listens yet; whoever is gone has let go of it."""
    ask = "from cli.processes import free_base; print(free_base(), flush=True); input()"
    first = free_base()
    with subprocess.Popen(
        [sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        second = free_base()
        other.communicate("\n")

    assert len({first, theirs, second}) == 3
    with socket.socket() as again:
        again.bind(("127.0.0.1", theirs + 10))


def test_who_listens_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listens(address_of(server))


def test_a_connection_to_itself_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may choose the port that is probed for the probe itself: nobody listens, and the port stays free."""
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    address = address_of(probe)

    def connect(target: tuple[str, int], _timeout: float) -> socket.socket:
        probe.connect(target)
        return probe

    monkeypatch.setattr(socket, "create_connection", connect)

    assert not listens(address)
    with socket.socket() as server:
        server.bind(("127.0.0.1", int(address.rpartition(":")[2])))


def test_a_held_port_is_given_to_no_connection_and_still_can_be_listened_on() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = address_of(one)
    host, _, port = address.rpartition(":")

    with hold_port(address):
        with socket.socket() as stranger, pytest.raises(OSError, match="in use") as refused:
            stranger.bind((host, int(port)))
        assert not listens(address)
        with socket.create_server((host, int(port))):
            assert listens(address)

    assert refused.value.errno == errno.EADDRINUSE


def test_a_port_that_somebody_listens_on_is_refused_at_once() -> None:
    """The holder is named; only a passing connection is waited for."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(ExchangeError) as refused,
        hold_port(address_of(server)),
    ):
        pass

    assert refused.value.reason is Reason.PORT_IN_USE
    assert "pid" in str(refused.value)


def test_the_part_that_ended_is_named_not_the_one_that_waits_for_it(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words are told, from this run only, and where its log stands."""
    start_part(country, tmp_path / "registre.log", "registre", "print('PORT_IN_USE: 42000'); exit(1)")

    def start(name: str, _arguments: list[str]) -> None:
        start_part(country, tmp_path / f"{name}.log", name, "import time; time.sleep(60)")

    monkeypatch.setattr(country, "_start", start)
    started = time.monotonic()
    try:
        with pytest.raises(PartFailedError) as failed:
            country.start_members()
    finally:
        for part in country.parts:
            part.process.kill()
            part.process.wait()
            part.lifeline.cut()

    assert failed.value.part.name == "registre"
    assert "PORT_IN_USE: 42000" in failed.value.message
    assert "earlier run" not in failed.value.message
    assert str(tmp_path / "registre.log") in failed.value.message
    assert time.monotonic() - started < 10
