"""Two gateways in one process: real logs, real keys and chains, real TLS, real sockets on loopback.

What is left out is the registry and control: the configuration that control would have verified is written as the
file that it hands to workers. Programs and adapters at the ends are stock grpcio.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from adapters.descriptors import descriptor_set
from bj.identity.v1 import identity_pb2  # noqa: F401 - fills the pool of descriptors
from core.agreements import Agreement, Bilingual, Party
from core.clock import Clock, SystemClock
from core.configuration import (
    AgreementEntry,
    AgreementState,
    Authorities,
    CommonDocument,
    CurrentConfiguration,
    Marks,
    MemberDocument,
    MemberKey,
    ProgramEntry,
    Purpose,
    RegistrationEntry,
    RegistryParty,
    ServiceEntry,
    ServiceMethod,
    descriptors_target,
    encode_current,
)
from core.documents import digest, encode
from core.identifiers import MemberId
from core.jws import DocumentKind
from core.leaves import Genesis, genesis_leaf, log_id_of
from core.pseudonyms import year_of
from core.registrations import ClosedLog, RegisteredCertificate, RegisteredLog, Registration
from gateway.control.masks import compile_masks
from gateway.layout import GatewayDirectory, KeyFiles
from gateway.settings import Adapter, GatewaySettings, Limits, Listen, LogSettings, Registry
from gateway.succession import closed_logs, genesis_of
from gateway.worker.main import Worker
from ledger.log import create_log
from ledger.vault import create_wrapping_key
from pki.documents import sign_document
from pki.keys import (
    certificate_pem,
    certificate_thumbprint,
    generate_key,
    key_pem,
    key_thumbprint,
    public_key_pem,
)
from pki.pseudonyms import create_keys
from tests.support.clocks import SteppedClock
from tests.support.ports import HeldPorts

_T = TypeVar("_T")

CLIENT = "BJ/GOV/PNS/PORTAIL"
STRANGER = "BJ/GOV/PNS/STATS"
PROVIDER = "BJ/GOV/ANIP/RNPP"
SERVICE = "bj.identity.v1.IdentityService"
METHOD = f"/{SERVICE}/GetPerson"
PURPOSES = ("P01", "P02")
# Invented methods of each streaming kind: client streams, server streams.
STREAMS = {"CollectPersons": (True, False), "WatchPersons": (False, True), "Converse": (True, True)}

Key = ec.EllipticCurvePrivateKey


def identity_descriptors() -> bytes:
    """The descriptors of the identity service, with the invented methods: each takes and gives what GetPerson does."""
    files = FileDescriptorSet.FromString(descriptor_set(SERVICE))
    service = files.file[-1].service[0]
    known = {method.name: method for method in service.method}
    for name, (takes_stream, gives_stream) in {"Unused": (False, False), **STREAMS}.items():
        if name in known:
            service.method.remove(known[name])
        service.method.add(
            name=name,
            input_type=known["GetPerson"].input_type,
            output_type=known["GetPerson"].output_type,
            client_streaming=takes_stream,
            server_streaming=gives_stream,
        )
    return files.SerializeToString(deterministic=True)


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its certificate."""

    key: Key
    certificate: x509.Certificate

    def write(self, files: KeyFiles, *chain: x509.Certificate) -> None:
        """Write key and chain where a gateway looks for them."""
        files.key.parent.mkdir(parents=True, exist_ok=True)
        files.key.write_bytes(key_pem(self.key))
        files.key.chmod(0o600)
        files.certificate.write_bytes(b"".join(map(certificate_pem, (self.certificate, *chain))))

    @property
    def thumbprint(self) -> str:
        """``x5t#S256``."""
        return certificate_thumbprint(self.certificate)


def issue(name: str, issuer: Issued | None = None, *, ca: bool = False, uri: str = "") -> Issued:
    """Make a key and a certificate for it, valid from yesterday on for a year; self-signed without ``issuer``."""
    key = generate_key()
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if not ca:
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        if uri:
            names.append(x509.UniformResourceIdentifier(uri))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return Issued(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


@dataclass(slots=True)
class Member:
    """A member with one gateway of one worker."""

    id: str
    directory: GatewayDirectory
    key: Key
    programs: Issued
    auth: Issued
    seal: Issued
    log: str
    settings: GatewaySettings
    worker: Worker | None = None
    road_port: int = 0
    programs_port: int = 0
    link_port: int = 0  # registered in place of the road's own port
    running: futures.Future[int] | None = None
    clock: SteppedClock = field(default_factory=SteppedClock)
    admitted: list[ProgramEntry] = field(default_factory=list)
    closed: list[ClosedLog] = field(default_factory=list)
    serial: int = 1
    more_logs: list[RegisteredLog] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        """Its gateway's id."""
        return f"{self.id}/gw1"


Answer = Callable[[bytes, grpc.ServicerContext], bytes]
Converse = Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]


class StockAdapter(grpc.GenericRpcHandler):
    """A stock grpcio server that answers every method with ``answer`` and remembers what it was given."""

    def __init__(
        self, member: Member, root: x509.Certificate, options: Sequence[tuple[str, int]] = ()
    ) -> None:
        self.calls: list[tuple[str, bytes, dict[str, str | bytes]]] = []
        self.answer: Answer = lambda request, _: request
        self.converse: Converse = lambda requests, _: requests
        """Serves every method of ``STREAMS``: all requests in, all answers out."""
        self._server = grpc.server(futures.ThreadPoolExecutor(600), handlers=[self], options=list(options))
        own = issue("adapter", member.programs)
        credentials = grpc.ssl_server_credentials(
            [(key_pem(own.key), certificate_pem(own.certificate))],
            root_certificates=certificate_pem(root),
            require_client_auth=True,
        )
        self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    def start(self) -> None:
        """Serve."""
        self._server.start()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """One handler for every unary method, one for every stream."""
        metadata = dict(details.invocation_metadata or ())
        kind = STREAMS.get(details.method.rpartition("/")[2])
        if kind is not None:
            return self._stream(details.method, metadata, *kind)

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append((details.method, request, metadata))
            return self.answer(request, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    def _stream(
        self, method: str, metadata: dict[str, str | bytes], takes_stream: bool, gives_stream: bool
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        self.calls.append((method, b"", metadata))

        def converse(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from self.converse(requests, context)

        def answer_one(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            return b"".join(self.converse(requests, context))

        def watch(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from self.converse(iter([request]), context)

        if not takes_stream:
            return grpc.unary_stream_rpc_method_handler(watch)
        if not gives_stream:
            return grpc.stream_unary_rpc_method_handler(answer_one)
        return grpc.stream_stream_rpc_method_handler(converse)


class Federation:
    """PNS consumes, ANIP provides; ``with`` starts and stops both gateways and ANIP's adapter."""

    def __init__(
        self,
        root: Path,
        *,
        limits: Limits | None = None,
        log: LogSettings | None = None,
        adapter_options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._root = root
        self._loop = asyncio.new_event_loop()
        self._ports = HeldPorts()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._limits = limits or Limits()
        self._log = log or LogSettings(reserve_bytes=0)
        self._version = 0
        self.ca = issue("root", ca=True)
        self.pns = self._member("BJ/GOV/PNS")
        self.anip = self._member("BJ/GOV/ANIP")
        self.adapter = StockAdapter(self.anip, self.ca.certificate, adapter_options)
        self.anip.settings = self._settings(
            self.anip, (Adapter(subsystem=PROVIDER, address=f"127.0.0.1:{self.adapter.port}"),)
        )
        self.portal = self.admit(self.pns, f"{CLIENT}/web")
        self.stats = self.admit(self.pns, f"{STRANGER}/web")
        self.descriptors = identity_descriptors()
        self.marks = Marks([], [])
        self.agreements = [self.agreement()]
        self.states: list[AgreementState] = ["active"]

    # --- who there is ---

    def _member(self, member: str) -> Member:
        directory = GatewayDirectory(self._root / member.replace("/", "."))
        code = member.rpartition("/")[2]
        programs = issue(f"{code} programs", ca=True)
        auth = issue(f"{code} auth", self.ca, uri=f"urn:passerelle:gateway:{member}/gw1")
        seal = issue(f"{code} seal", self.ca, uri=f"urn:passerelle:gateway:{member}/gw1")
        auth.write(directory.auth, self.ca.certificate)
        seal.write(directory.seal, self.ca.certificate)
        programs.write(directory.programs)
        issue("localhost", programs).write(directory.programs_server)
        directory.anchor.write_bytes(certificate_pem(self.ca.certificate))
        create_wrapping_key(directory.root / "keys/wrapping.key")
        year = year_of(SystemClock().now_ms())
        create_keys(directory.pseudonym_keys, range(year, year + 2))
        genesis = Genesis(
            1, f"{member}/gw1", 0, SystemClock().now_ms(), code.encode().hex().ljust(32, "0"), None
        )
        log = create_log(directory.log(0), genesis_leaf(genesis))
        key = generate_key()
        found = Member(member, directory, key, programs, auth, seal, log, None)  # type: ignore[arg-type]  # set next
        found.settings = self._settings(found)
        return found

    def _settings(self, member: Member, adapters: tuple[Adapter, ...] = ()) -> GatewaySettings:
        return GatewaySettings(
            gateway=member.gateway,
            member_key=key_thumbprint(member.key.public_key()),
            registry=Registry(id="BJ/GOV/ASIN/registre", address="127.0.0.1:1"),
            allowed_networks=("127.0.0.0/8",),
            lang="en",
            listen=Listen(
                programs=f"127.0.0.1:{member.programs_port}",
                road=(f"127.0.0.1:{member.road_port}",),
                admin="127.0.0.1:0",
                http="127.0.0.1:0",
            ),
            adapter=adapters,
            limits=self._limits,
            log=self._log,
        )

    def admit(self, member: Member, program: str) -> Issued:
        """Give a program a certificate of its member's CA, pinned."""
        issued = issue(program, member.programs, uri=f"urn:passerelle:program:{program}")
        member.admitted.append(ProgramEntry(program, issued.thumbprint, "active"))
        return issued

    # --- the configuration ---

    def agreement(self, **changes: Any) -> Agreement:
        """The agreement that lets the portal ask for persons, with ``changes``."""
        terms: dict[str, Any] = {
            "v": 1,
            "id": "CV-0001",
            "version": 1,
            "supersedes": None,
            "consumer": Party(CLIENT, key_thumbprint(self.pns.key.public_key())),
            "provider": Party(PROVIDER, key_thumbprint(self.anip.key.public_key())),
            "service": SERVICE,
            "methods": ["GetPerson", "VerifyPerson", *STREAMS],
            "purposes": list(PURPOSES),
            "issue_required": True,
            "field_mask": None,
            "quota": None,
            "represented_parties": None,
            "allow_loopback": False,
            "max_configuration_age_s": None,
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2036-01-01T00:00:00Z",
            "legal_basis": Bilingual("Décret 2020-209", "Decree 2020-209"),
            "apdp_decision": None,
        }
        return Agreement(**(terms | changes))

    def publish(
        self,
        *members: Member,
        age: timedelta = timedelta(0),
        lasts: timedelta = timedelta(hours=72),
    ) -> None:
        """Write what control would have verified into the gateways, both if none is named, and tell their workers.

        ``age`` is the time since the registry was last heard, ``lasts`` that until the configuration expires.
        """
        self._version += 1
        now = SystemClock().now_ms()
        documents = [self._document(self.anip), self._document(self.pns)]
        masks, _ = compile_masks(documents, {descriptors_target(digest(self.descriptors)): self.descriptors})
        for member in members or (self.pns, self.anip):
            current = CurrentConfiguration(
                v=1,
                version=self._version,
                digest=f"{self._version:064x}",
                fresh_at=now - age // timedelta(milliseconds=1),
                expires_at=now + lasts // timedelta(milliseconds=1),
                common=self._common(),
                members=documents,
                programs=member.admitted,
                masks=masks,
                marks=self.marks,
            )
            member.directory.current.parent.mkdir(parents=True, exist_ok=True)
            member.directory.current.write_bytes(encode_current(current))
            if member.worker is not None:
                self.do(_call(member.worker._load_configuration))

    def mirror_descriptors(self) -> None:
        """Keep the service's descriptors where control would have kept them."""
        for member in (self.pns, self.anip):
            path = member.directory.published_descriptors(digest(self.descriptors))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.descriptors)

    def _common(self) -> CommonDocument:
        pem = certificate_pem(self.ca.certificate).decode("ascii")
        return CommonDocument(
            v=1,
            instance="BJ",
            registry=RegistryParty("BJ/GOV/ASIN/registre", [], []),
            purposes=[Purpose(code, Bilingual(code, code)) for code in PURPOSES],
            authorities=Authorities([pem], [pem]),
            crls=[],
            personal_number_pattern="(?<![0-9])[0-9]{10}(?![0-9])",
        )

    def _document(self, member: Member) -> MemberDocument:
        is_provider = member is self.anip
        public = member.key.public_key()
        registration = Registration(
            v=1,
            gateway=member.gateway,
            serial=member.serial,
            issued_at="2026-11-23T00:00:00Z",
            auth=[RegisteredCertificate(member.auth.thumbprint, _pem(member.auth))],
            seal=[RegisteredCertificate(member.seal.thumbprint, _pem(member.seal))],
            logs=[
                RegisteredLog(member.log, 0, f"127.0.0.1:{member.link_port or member.road_port or 1}"),
                *member.more_logs,
            ],
            closed=member.closed,
        )
        jws = sign_document(DocumentKind.REGISTRATION, encode(registration), member.key)
        methods = [
            ServiceMethod(name, False, False, True) for name in ("GetPerson", "VerifyPerson", "Unused")
        ]
        methods += [ServiceMethod(name, *kind, False) for name, kind in STREAMS.items()]
        return MemberDocument(
            v=1,
            member=str(MemberId.parse(member.id)),
            name=Bilingual(member.id, member.id),
            state="active",
            member_keys=[MemberKey(key_thumbprint(public), public_key_pem(public), "active")],
            successors=[],
            registrations=[RegistrationEntry(jws, "active")],
            subsystems=["RNPP"] if is_provider else ["PORTAIL", "STATS"],
            services=[ServiceEntry(PROVIDER, SERVICE, digest(self.descriptors), methods, "active")]
            if is_provider
            else [],
            agreements=[self._entry(*one) for one in zip(self.agreements, self.states, strict=True)]
            if is_provider
            else [],
        )

    def _entry(self, terms: Agreement, state: AgreementState) -> AgreementEntry:
        payload = encode(terms)
        return AgreementEntry(
            sign_document(DocumentKind.AGREEMENT, payload, self.pns.key),
            sign_document(DocumentKind.AGREEMENT, payload, self.anip.key),
            state,
            SystemClock().now_ms(),
        )

    # --- running ---

    def __enter__(self) -> Self:
        self._thread.start()
        self.adapter.start()
        self.publish()
        for member in (self.anip, self.pns):
            self.start(member)
        self.publish()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in (self.pns, self.anip):
            if member.worker is not None:
                self.stop(member)
        self.adapter.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._ports.close()

    def start(
        self, member: Member, channel: socket.socket | None = None, *, clock: Clock | None = None
    ) -> None:
        """Start a member's worker on its ports of before, with its end of a channel to control if there is one."""
        if not member.road_port:
            member.road_port, member.programs_port = self._ports.new(), self._ports.new()
        member.settings = _with_ports(member)
        worker = Worker(member.settings, member.directory, 0, channel)
        worker._clock = clock or member.clock
        try:
            self.do(worker.start())
        except BaseException:
            self.do(_call(lambda: _discard(worker)))
            raise
        member.worker = worker
        member.running = asyncio.run_coroutine_threadsafe(worker.run(), self._loop)

    def register_successor(self, member: Member) -> None:
        """Register what lies in a member's directory now, as its member key would sign it."""
        member.log = log_id_of(genesis_leaf(genesis_of(member.directory.log(0))))
        member.closed = closed_logs(member.directory, member.settings)
        member.serial += 1
        self.publish()

    def stop(self, member: Member) -> None:
        """Stop a member's worker at once, as a crash would: nothing is drained."""
        worker, member.worker = member.worker, None
        if worker is not None:
            self.do(_stop(worker))

    def drain(self, member: Member) -> int:
        """Stop a member's worker as SIGTERM does, and wait until it is gone; returns its exit code."""
        worker, running = member.worker, member.running
        assert worker is not None
        assert running is not None
        self.do(_call(worker.stop))
        code = running.result(30)
        member.worker = None
        self.do(worker.close())
        return code

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something on the loop of the gateways and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # --- calling ---

    def channel(self, program: Issued | None = None) -> grpc.Channel:
        """A stock channel of a program to PNS's gateway."""
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        return grpc.secure_channel(f"localhost:{self.pns.programs_port}", self.credentials(program), limits)

    def credentials(self, program: Issued | None = None) -> grpc.ChannelCredentials:
        """What a program of PNS shows, the portal by default."""
        program = program or self.portal
        return grpc.ssl_channel_credentials(
            certificate_pem(self.pns.programs.certificate),
            key_pem(program.key),
            certificate_pem(program.certificate),
        )


if TYPE_CHECKING:
    Calling: TypeAlias = grpc.UnaryUnaryMultiCallable[bytes, bytes]


def calling(channel: grpc.Channel, path: str = METHOD) -> Calling:
    """A stock unary call of raw bytes."""
    return channel.unary_unary(path, None, None)


def metadata(**changes: str | None) -> tuple[tuple[str, str | bytes], ...]:
    """What the portal sends with a call, with ``changes`` (``None`` leaves one out)."""
    found: dict[str, str | None] = {
        "x-road-client": CLIENT,
        "x-road-purpose": "P01",
        "x-road-issue": "ACT-202611-0001",
    }
    found |= {name.replace("_", "-"): value for name, value in changes.items()}
    return tuple((name, value) for name, value in found.items() if value is not None)


def _pem(issued: Issued) -> str:
    return certificate_pem(issued.certificate).decode("ascii")


def _with_ports(member: Member) -> GatewaySettings:
    listen = msgspec.structs.replace(
        member.settings.listen,
        programs=f"127.0.0.1:{member.programs_port}",
        road=(f"127.0.0.1:{member.road_port}",),
    )
    return msgspec.structs.replace(member.settings, listen=listen)


async def _call(function: Callable[[], object]) -> None:
    function()


def _discard(worker: Worker) -> None:
    """What a process that could not start leaves behind: nothing."""
    for name in ("_programs", "_listener", "_links", "_commit", "_vault", "_heard", "_log"):
        part = getattr(worker, name, None)
        if part is not None:
            part.close()


async def _stop(worker: Worker) -> None:
    worker.station.turns.stopped = True  # what its end sets off comes too late for the log
    worker._stopped.set()
    await worker.close()
