"""A founded gateway, its control process in this one, and a registry that serves a TUF repository over mTLS."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from adapters.descriptors import descriptor_set
from bj.identity.v1 import identity_pb2
from core.clock import SystemClock
from core.identifiers import GatewayId, ProgramId, RegistryId, urn
from gateway.control.main import Control
from gateway.control.repository import FileMissingError
from gateway.founding import (
    InitResult,
    Plan,
    add_program,
    init_gateway,
    install_certificates,
)
from gateway.settings import HostPort, Listen
from passerelle.registry.v1 import configuration_pb2, configuration_pb2_grpc, heads_pb2, heads_pb2_grpc
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.keys import certificate_pem, chain_pem, generate_key, key_pem
from pki.profiles import Profile, issue, read_csr
from rpc.credentials import server_credentials
from rpc.identity import Identity
from rpc.server import RpcServer
from rpc.waiting import WaitingStream, Watchers, waiting
from tests.support.published_country import REGISTRY, PublishedCountry, PublishedMember, conclude
from tests.support.tuf_repository import TufRepository

IDENTITY = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name
PORTAL = ProgramId.parse("BJ/GOV/PNS/PORTAIL/web")

# Reports as a worker does and lives until its channel closes or it is told to stop.
_WORKER = """
import json, os, signal, socket, sys
channel = socket.socket(fileno=int(sys.argv[3]))
def say(state, version=0):
    report = {"type": "status", "state": state, "configuration_version": version, "sequence": 1}
    channel.sendall(json.dumps(report).encode() + b"\\n")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
say("starting")
for line in channel.makefile("rb"):
    message = json.loads(line)
    if message["type"] == "configuration":
        say("ready", json.load(open(message["path"]))["version"])
"""


def fake_worker(number: int, channel: int) -> list[str]:
    """A worker without data plane."""
    return [sys.executable, "-c", _WORKER, "gateway.worker", str(number), str(channel)]


class ConfigurationService(configuration_pb2_grpc.ConfigurationServiceServicer):
    """What a registry serves, from memory."""

    def __init__(self, repository: TufRepository) -> None:
        self.repository = repository
        self.ahead_ms = 0
        self.watchers: Watchers[configuration_pb2.WatchResponse] = Watchers()

    def Fetch(
        self, request: configuration_pb2.FetchRequest, context: grpc.ServicerContext
    ) -> Iterator[configuration_pb2.FetchResponse]:
        try:
            for piece in self.repository.source(request.path):
                yield configuration_pb2.FetchResponse(data=piece)
        except FileMissingError:
            context.abort(grpc.StatusCode.NOT_FOUND, "FILE_UNKNOWN")

    @waiting
    def Watch(
        self,
        request: configuration_pb2.WatchRequest,
        stream: WaitingStream[configuration_pb2.WatchResponse],
        context: grpc.ServicerContext,
    ) -> None:
        self.watchers.add(stream)
        now_ms = SystemClock().now_ms() + self.ahead_ms
        stream.send(configuration_pb2.WatchResponse(version=self.repository.version, now_ms=now_ms))

    def GetStatus(
        self, request: configuration_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> configuration_pb2.GetStatusResponse:
        raise NotImplementedError


class HeadsService(heads_pb2_grpc.HeadsServiceServicer):
    """A registry's witness, from memory: holds what a test says, and what is reported."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.reported: list[bytes] = []

    def ReportNewest(
        self, request: heads_pb2.ReportNewestRequest, context: grpc.ServicerContext
    ) -> heads_pb2.ReportNewestResponse:
        self.reported += request.heads
        return heads_pb2.ReportNewestResponse(
            heads=[heads_pb2.ReportedHead(held=one) for one in request.heads]
        )

    def GetNewest(
        self, request: heads_pb2.GetNewestRequest, context: grpc.ServicerContext
    ) -> heads_pb2.GetNewestResponse:
        return heads_pb2.GetNewestResponse(heads=self.held)

    def ListAlarms(
        self, request: heads_pb2.ListAlarmsRequest, context: grpc.ServicerContext
    ) -> heads_pb2.ListAlarmsResponse:
        raise NotImplementedError


@dataclass
class Country:
    """Two members, a registry that can be stopped and started, and gateways that a test founds."""

    root: Path
    published: PublishedCountry
    repository: TufRepository
    anchor: Path
    registry_port: int = 0
    service: ConfigurationService = field(init=False)
    heads: HeadsService = field(init=False)
    _server: RpcServer | None = None

    def __post_init__(self) -> None:
        self.service = ConfigurationService(self.repository)
        self.heads = HeadsService()
        self.pns = self.published.member("BJ/GOV/PNS")
        self.anip = self.published.member("BJ/GOV/ANIP")
        self.published.register(self.anip, self.published.registration("BJ/GOV/ANIP/gw1"))
        self.published.provide(
            self.anip, "RNPP", IDENTITY, descriptor_set(IDENTITY), "GetPerson", "VerifyPerson", "SearchPerson"
        )
        self.anip.change(
            agreements=[conclude(self.published.agreement(self.pns, self.anip), self.pns.key, self.anip.key)]
        )

    def publish(self) -> int:
        """Publish the documents as they are, and tell the watchers."""
        version = self.repository.publish(self.published.documents())
        self.service.watchers.publish(configuration_pb2.WatchResponse(version=version))
        return version

    def start_registry(self, name: str = REGISTRY) -> None:
        """Serve, on the port of the last time, under a certificate of ``name``."""
        key = generate_key()
        certificate = issue(
            Profile.REGISTRY,
            self.published.auth,
            key.public_key(),
            urn("registry", name),
            now_ms=self.published.now_ms,
            hosts=("127.0.0.1",),
        )
        credentials = server_credentials(
            key_pem(key),
            chain_pem([certificate, self.published.auth.certificate]),
            certificate_pem(self.published.root.certificate),
        )
        self._server = RpcServer(credentials)
        configuration_pb2_grpc.add_ConfigurationServiceServicer_to_server(self.service, self._server.grpc)
        heads_pb2_grpc.add_HeadsServiceServicer_to_server(self.heads, self._server.grpc)
        self.registry_port = self._server.listen(f"127.0.0.1:{self.registry_port}")
        self._server.start([])

    def stop_registry(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.stop(0)
            self._server = None

    def found(self, member: PublishedMember, name: str = "gw1", *, workers: int = 1) -> InitResult:
        """A gateway with certificates and programs, registered under its member's key."""
        plan = Plan(
            gateway=GatewayId.parse(f"{member.id}/{name}"),
            member_key=member.thumbprint,
            registry=RegistryId.parse(REGISTRY),
            registry_address=HostPort("127.0.0.1", self.registry_port),
            listen=Listen(
                programs="127.0.0.1:0",
                road=("127.0.0.1:0",) * workers,
                admin="127.0.0.1:0",
                http="127.0.0.1:0",
            ),
            allowed_networks=("127.0.0.0/8",),
            reserve_bytes=0,
        )
        made = init_gateway(self.root / name, plan, self.anchor, clock=SystemClock())
        install_certificates(
            made.directory, made.settings, self._chain(made, Profile.AUTH), self._chain(made, Profile.SEAL)
        )
        if member is self.pns:
            add_program(made.directory, made.settings, PORTAL, self.root / "portal", SystemClock())
        return made

    def person(self, profile: Profile, name: str) -> Identity:
        """An auditor or operator."""
        key = generate_key()
        certificate = issue(
            profile,
            self.published.auth,
            key.public_key(),
            urn(profile.rules.kind, name),
            now_ms=self.published.now_ms,
        )
        chain = chain_pem([certificate, self.published.auth.certificate])
        return Identity(key_pem(key), chain, certificate_pem(self.published.root.certificate))

    def _chain(self, made: InitResult, profile: Profile) -> bytes:
        issuer = self.published.auth if profile is Profile.AUTH else self.published.seal
        certificate = issue(
            profile,
            issuer,
            read_csr(made.requests[profile]),
            urn("gateway", made.settings.gateway),
            now_ms=self.published.now_ms,
            hosts=made.settings.hosts if profile.rules.hosts else (),
        )
        return chain_pem([certificate, issuer.certificate])


@pytest.fixture
def country(tmp_path: Path) -> Iterator[Country]:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    published = PublishedCountry(now_ms)
    repository = TufRepository(root_fields={SPKI_MEMBER: spki_digest(published.root.certificate)})
    anchor = tmp_path / "anchor.pem"
    Anchor(published.root.certificate, repository.root).write(anchor)
    country = Country(tmp_path, published, repository, anchor)
    country.start_registry()
    yield country
    country.stop_registry()


Start = Callable[..., Control]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts control processes and stops them afterwards, in reverse order."""
    running: list[Control] = []

    def begin(made: InitResult, **options: object) -> Control:
        control = Control(
            made.directory.settings,
            **({"command": fake_worker} | options),  # type: ignore[arg-type]  # by name
        )
        control.start()
        running.append(control)
        return control

    yield begin
    for control in reversed(running):
        control.stop()
