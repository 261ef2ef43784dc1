"""The first example that a ministry's developer runs, against a door like a gateway's."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from bj.identity.v1 import identity_pb2 as pb
from bj.identity.v1 import identity_pb2_grpc
from pki.keys import certificate_pem, chain_pem, generate_key, key_pem, write_key
from pki.profiles import Profile, issue
from rpc.credentials import server_credentials
from tests.support.adapter_country import AdapterCountry, now_ms

EXAMPLE = Path(__file__).parents[3] / "examples" / "python" / "get_person.py"


class Door(identity_pb2_grpc.IdentityServiceServicer):
    """Answers as a program's own gateway does, from the outside."""

    def __init__(self) -> None:
        self.metadata: dict[str, str | bytes] = {}

    def GetPerson(self, request: pb.GetPersonRequest, context: grpc.ServicerContext) -> pb.GetPersonResponse:
        """One person is known."""
        self.metadata = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-road-exchange-id", "01920000"),))
        if request.npi != "0000000001":
            context.abort(grpc.StatusCode.NOT_FOUND, "NOT_FOUND: aucune fiche (échange 01920000)")
        return pb.GetPersonResponse(last_name="ADJOVI", first_names="KOFFI", birth_date="1987-04-12")

    def VerifyPerson(
        self, request: pb.VerifyPersonRequest, context: grpc.ServicerContext
    ) -> pb.VerifyPersonResponse:
        """Not part of the example."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    def SearchPerson(
        self, request: pb.SearchPersonRequest, context: grpc.ServicerContext
    ) -> pb.SearchPersonResponse:
        """Not part of the example."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")


@pytest.fixture
def identity(tmp_path: Path) -> AdapterCountry:
    """A member's programs CA, and the identity directory of one of its programs."""
    country = AdapterCountry(tmp_path)
    key = generate_key()
    urn = "urn:passerelle:program:BJ/GOV/ANIP/RNPP/web"
    certificate = issue(Profile.PROGRAM, country.programs, key.public_key(), urn, now_ms=now_ms())
    directory = tmp_path / "program"
    directory.mkdir()
    write_key(directory / "identity.key", key)
    (directory / "identity.crt").write_bytes(certificate_pem(certificate))
    (directory / "ca.pem").write_bytes(certificate_pem(country.programs.certificate))
    return country


@pytest.fixture
def door(identity: AdapterCountry) -> Iterator[tuple[Door, int]]:
    """The programs' port of a gateway."""
    key = generate_key()
    urn = "urn:passerelle:gateway:BJ/GOV/ANIP/gw1"
    certificate = issue(
        Profile.PROGRAMS_DOOR,
        identity.programs,
        key.public_key(),
        urn,
        now_ms=now_ms(),
        hosts=["127.0.0.1", "localhost"],
    )
    roots = certificate_pem(identity.programs.certificate)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = Door()
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(servicer, server)
    port = server.add_secure_port(
        "127.0.0.1:0", server_credentials(key_pem(key), chain_pem([certificate]), roots)
    )
    server.start()
    yield servicer, port
    server.stop(0)


def run(port: int, identity: AdapterCountry, npi: str) -> subprocess.CompletedProcess[str]:
    """Run the example as its first lines say."""
    command = [sys.executable, str(EXAMPLE), f"127.0.0.1:{port}", str(identity.directory / "program"), npi]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_example_prints_a_person_and_the_exchange(
    identity: AdapterCountry, door: tuple[Door, int]
) -> None:
    """An ordinary stub, a certificate, three entries of metadata."""
    servicer, port = door

    done = run(port, identity, "0000000001")

    assert done.stdout == "ADJOVI KOFFI, 1987-04-12, \néchange 01920000\n"
    assert done.returncode == 0
    assert {name for name in servicer.metadata if name.startswith("x-road-")} == {
        "x-road-client",
        "x-road-purpose",
        "x-road-issue",
    }


def test_the_example_prints_a_refusal(identity: AdapterCountry, door: tuple[Door, int]) -> None:
    """The status message is meant to be read."""
    done = run(door[1], identity, "0000000003")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "NOT_FOUND NOT_FOUND: aucune fiche (échange 01920000)\n"


def test_the_example_stays_short() -> None:
    """What a ministry's program adds fits on a page."""
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60
