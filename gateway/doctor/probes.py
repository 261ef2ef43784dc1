"""Tries the registry, the peers and the adapters, side by side and never for long.

A name server that does not answer cannot be interrupted: each attempt has a daemon thread, and who waits for it goes on
when the time is over.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2

from core.clock import Clock
from core.identifiers import urn
from core.reasons import ExchangeError, MalformedError
from gateway.layout import GatewayDirectory
from gateway.settings import Adapter, GatewaySettings, HostPort
from gateway.worker.tls import adapter_client
from passerelle.registry.v1 import configuration_pb2, configuration_pb2_grpc
from pki.anchor import Anchor
from pki.keys import certificate_pem
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.names import urn_of

CONNECT_S: Final = 3.0
ANSWER_S: Final = 2.5
ALL_S: Final = 8.0

_HTTP2_PREFACE: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
)  # no setting

_T = TypeVar("_T")

Stage = Literal["", "dns", "tcp", "tls", "identity", "answer", "key"]


@dataclass(frozen=True, slots=True)
class RegistryProbe:
    """How far an attempt to ask the registry came.

    Attributes:
        stage: Where it failed; empty if the registry answered, ``key`` if this gateway has no identity to show.
        address: What its name resolved to.
        detail: What the system or TLS said.
        ahead_ms: By how much our clock is ahead of the registry's; ``None`` if it did not tell.
    """

    stage: Stage
    address: str = ""
    detail: str = ""
    ahead_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PeerProbe:
    """Whether a road port of a peer takes connections; ``problem`` is empty if it does."""

    gateway: str
    member: str
    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AdapterProbe:
    """Whether an adapter says that it serves; ``problem`` is empty if it does, or answers without a health service."""

    subsystem: str
    address: str
    problem: str = ""


def in_parallel(tasks: Sequence[tuple[Callable[[], _T], _T]], within_s: float) -> list[_T]:
    """Results of all tasks in order, or what each has beside it when the time is over."""
    results = [otherwise for _, otherwise in tasks]

    def run(number: int, task: Callable[[], _T]) -> None:
        results[number] = task()

    threads = [
        threading.Thread(target=run, args=(number, task), daemon=True)
        for number, (task, _) in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return list(results)


def probe_registry(settings: GatewaySettings, directory: GatewayDirectory, clock: Clock) -> RegistryProbe:
    """Name, port, TLS, identity, answer: the first that fails is told."""
    where = HostPort.parse(settings.registry.address)
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return RegistryProbe("dns", detail=_said(error))
    address = str(found[0][4][0])
    try:
        connection = socket.create_connection((address, where.port), timeout=CONNECT_S)
    except OSError as error:
        return RegistryProbe("tcp", address, _said(error))
    with closing(connection):
        connection.settimeout(ANSWER_S)
        problem = _shake_hands(connection, settings, directory)
    if problem is not None:
        return RegistryProbe(problem[0], address, problem[1])
    return _ask_registry(settings, directory, clock, address)


def _shake_hands(
    connection: socket.socket, settings: GatewaySettings, directory: GatewayDirectory
) -> tuple[Stage, str] | None:
    """TLS under the anchor, then whom the certificate names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(directory.anchor)
        context.load_cert_chain(directory.auth.certificate, directory.auth.key)
    except (OSError, ssl.SSLError) as error:
        return "key", _said(error)
    try:
        with context.wrap_socket(connection, server_hostname=settings.registry.id) as secure:
            der = secure.getpeercert(binary_form=True) or b""
            _await_http2(secure)
    except (OSError, ssl.SSLError) as error:
        return "tls", _said(error)
    try:
        named = urn_of(x509.load_der_x509_certificate(der))
    except (MalformedError, ValueError) as error:
        return "identity", str(error)
    expected = urn("registry", settings.registry.id)
    return None if named == expected else ("identity", named)


def _ask_registry(
    settings: GatewaySettings, directory: GatewayDirectory, clock: Clock, address: str
) -> RegistryProbe:
    """The version in force and the registry's clock, with the round trip halved."""
    try:
        own = Identity.from_files(directory.auth.key, directory.auth.certificate, directory.anchor)
        root = Anchor.read(directory.anchor).certificate
    except (ExchangeError, OSError) as error:
        return RegistryProbe("key", address, str(error))
    opened = channel(
        settings.registry.address,
        own,
        server_roots_pem=certificate_pem(root),
        expect=urn("registry", settings.registry.id),
    )
    with closing(opened):
        stub = configuration_pb2_grpc.ConfigurationServiceStub(opened)
        try:
            asked = clock.now_ms()
            stream = stub.Watch(configuration_pb2.WatchRequest(), timeout=ANSWER_S)
            told = next(iter(stream))
            answered = clock.now_ms()
            stream.cancel()
        except grpc.RpcError as error:
            return RegistryProbe("answer", address, f"{error.code().name}: {error.details()}"[:200])
        except StopIteration:
            return RegistryProbe("answer", address, "no version")
    ahead = (asked + answered) // 2 - told.now_ms if told.now_ms else None
    return RegistryProbe("", address, ahead_ms=ahead)


def probe_peer(settings: GatewaySettings, gateway: str, member: str, host: str, port: int) -> PeerProbe:
    """Connect to a road port, if the settings let a worker dial it."""
    address = str(HostPort(host, port))
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
        if not settings.is_dialable(ipaddress.ip_address(str(resolved))):
            return PeerProbe(gateway, member, address, "ADDRESS_NOT_ALLOWED")
        socket.create_connection((str(resolved), port), timeout=CONNECT_S).close()
    except (OSError, UnicodeError, ValueError) as error:
        return PeerProbe(gateway, member, address, _said(error))
    return PeerProbe(gateway, member, address)


def probe_adapter(directory: GatewayDirectory, adapter: Adapter) -> AdapterProbe:
    """Ask ``grpc.health.v1`` of an adapter, over mutual TLS as a worker would call it."""

    def told(problem: str) -> AdapterProbe:
        return AdapterProbe(adapter.subsystem, adapter.address, problem)

    where = HostPort.parse(adapter.address)
    try:
        connection = socket.create_connection((where.host, where.port), timeout=CONNECT_S)
    except (OSError, UnicodeError) as error:
        return told(_said(error))
    with closing(connection):
        connection.settimeout(ANSWER_S)
        try:
            context = adapter_client(directory)
            own = Identity.from_files(
                directory.auth.key, directory.auth.certificate, directory.programs.certificate
            )
        except ExchangeError as error:
            return told(str(error.reason))
        try:
            with context.wrap_socket(connection, server_hostname=where.host) as secure:
                _await_http2(secure)
        except TimeoutError:
            return told("NO_ANSWER")
        except OSError:
            return told("TLS")
    with closing(channel(adapter.address, own)) as opened:
        check = opened.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return told("NO_ANSWER")
            return told("" if code is grpc.StatusCode.UNIMPLEMENTED else code.name)
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return told("" if serving else "NOT_SERVING")


def _await_http2(secure: ssl.SSLSocket) -> None:
    """Begin HTTP/2 (RFC 9113, 3.4) and wait for the server's first bytes.

    With TLS 1.3 a server judges our certificate only when our own handshake is over: its refusal is what is read here.

    Raises:
        OSError: The server broke off; ``TimeoutError`` if it said nothing in time.
    """
    secure.sendall(_HTTP2_PREFACE)
    if not secure.recv(1):
        raise ConnectionResetError(errno.ECONNRESET, "closed after the handshake")


def _said(error: Exception) -> str:
    """What the system said, by its stable name where it has one."""
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "verify_message", "") or error.reason or str(error))[:200]
    if isinstance(error, TimeoutError):
        return "ETIMEDOUT"
    if isinstance(error, socket.gaierror):
        return error.strerror or "EAI"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return str(error)[:200]
