"""``passerelle adapter serve`` as a process: it tells where it listens, and ends when it should."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bj.identity.v1 import identity_pb2 as pb
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub
from rpc.lifeline import Lifeline
from tests.support.adapter_country import AdapterCountry, metadata


@pytest.fixture
def country(tmp_path: Path) -> AdapterCountry:
    """A small register."""
    country = AdapterCountry(tmp_path)
    country.seed(50)
    return country


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    """What ties the process to this one."""
    lifeline = Lifeline()
    yield lifeline
    lifeline.cut()


def serve(country: AdapterCountry, lifeline: Lifeline) -> tuple[subprocess.Popen[str], int]:
    """Start the process; returns it and the port that it tells."""
    command = [sys.executable, "-m", "cli.main", "adapter", "serve"]
    config = str(country.directory / "adapter.toml")
    process = subprocess.Popen(
        [*command, "--config", config, *lifeline.arguments],
        pass_fds=lifeline.pass_fds,
        stderr=subprocess.PIPE,
        text=True,
    )
    lifeline.given()
    assert process.stderr
    started = json.loads(process.stderr.readline())
    assert (started["event"], started["subsystem"]) == ("adapter_started", "BJ/GOV/ANIP/RNPP")
    return process, started["port"]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and last words of a process that was told to end."""
    _, words = process.communicate(timeout=30)
    return process.returncode, words


def test_an_adapter_serves_and_ends_with_its_parent(country: AdapterCountry, lifeline: Lifeline) -> None:
    """When whoever started it goes, however it goes, the adapter goes too, in peace."""
    process, port = serve(country, lifeline)
    with country.channel(port, country.identity()) as channel:
        request = pb.GetPersonRequest(npi="0000000001")
        assert IdentityServiceStub(channel).GetPerson(request, metadata=metadata(), timeout=20).npi

    lifeline.cut()

    assert ended(process) == (0, "")


def test_an_adapter_ends_when_it_is_told_to(country: AdapterCountry, lifeline: Lifeline) -> None:
    """SIGTERM is the ordinary end of a service."""
    process, _ = serve(country, lifeline)

    process.send_signal(signal.SIGTERM)

    assert ended(process) == (0, "")


def test_a_busy_port_is_named_with_its_holder(country: AdapterCountry, lifeline: Lifeline) -> None:
    """The second one does not share the port; it says who holds it and exits 1."""
    process, port = serve(country, lifeline)
    config = country.directory / "adapter.toml"
    config.write_text(config.read_text(encoding="utf-8").replace(":0", f":{port}"), encoding="utf-8")

    second = subprocess.run(
        [sys.executable, "-m", "cli.main", "adapter", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lifeline.cut()

    assert second.returncode == 1
    assert "PORT_IN_USE" in second.stderr
    assert f"(pid {process.pid})" in second.stderr
    assert ended(process) == (0, "")
