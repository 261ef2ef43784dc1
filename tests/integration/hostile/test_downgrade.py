"""Downgrades: older TLS, weak certificates, an older protocol, no TLS at all."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import grpc
import ngh2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from core.configuration import ProgramEntry
from gateway.settings import Adapter, GatewaySettings
from pki.keys import certificate_pem, certificate_thumbprint
from rpc.settings import SettingsError, load_settings
from tests.support.federation import CLIENT, PROVIDER, Federation, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.intruder import Intruder
from tests.support.rawprogram import RawProgram


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("downgrade")) as found:
        yield found


PORTS: dict[str, Callable[[Federation], int]] = {
    "programs": lambda federation: federation.pns.programs_port,
    "road": lambda federation: federation.anip.road_port,
    "adapter": lambda federation: federation.adapter.port,
}


def weakened(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that offers no more than ``version`` and takes any cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
@pytest.mark.parametrize("port", ["programs", "road"])
def test_downgrade_to_an_older_tls_is_refused(
    federation: Federation, port: str, version: ssl.TLSVersion
) -> None:
    """TLS 1.3 and nothing else, whatever ciphers are offered with it."""
    with (
        socket.create_connection(("127.0.0.1", PORTS[port](federation)), 10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        weakened(version).wrap_socket(plain)


@pytest.mark.parametrize("port", PORTS)
def test_downgrade_to_no_tls_is_refused(federation: Federation, port: str) -> None:
    """There is no plaintext listener: an HTTP/2 preface without TLS is answered by nothing that is HTTP/2."""
    engine = ngh2.Connection(ngh2.Role.CLIENT)
    engine.initiate_connection()
    received = b""
    with socket.create_connection(("127.0.0.1", PORTS[port](federation)), 10) as plain:
        plain.sendall(engine.data_to_send())
        try:
            while data := plain.recv(4096):
                received += data
        except ConnectionError:
            pass

    assert len(received) <= 7  # at most a TLS alert
    assert not received or received[0] == 0x15


def weak_program(federation: Federation, kind: str) -> tuple[bytes, bytes, str]:
    """Key, certificate and thumbprint of a pinned program of the member's own CA, too weak to be let in."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
        rsa.generate_private_key(65537, 1024)
        if kind == "RSA-1024"
        else ec.generate_private_key(ec.SECP192R1())
    )
    issuer, now = federation.pns.programs, datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(issuer.key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, certificate_pem(certificate), certificate_thumbprint(certificate)


@pytest.mark.parametrize("kind", ["RSA-1024", "P-192"])
def test_downgrade_to_a_weak_key_is_refused(federation: Federation, tmp_path: Path, kind: str) -> None:
    """Even a pinned program of the member's own CA is nobody with a key of 80 or 96 bits."""
    key, certificate, thumbprint = weak_program(federation, kind)
    federation.pns.admitted.append(ProgramEntry(f"{CLIENT}/weak", thumbprint, "active"))
    federation.publish()
    file = tmp_path / "weak.pem"
    file.write_bytes(key + certificate)
    context = weakened(ssl.TLSVersion.TLSv1_3)
    context.load_cert_chain(file)
    federation.adapter.calls.clear()

    found: dict[bytes, bytes] = {}
    with suppress(OSError), RawProgram(federation, tls=context) as program:
        found = program.call(*((name.encode(), str(value).encode()) for name, value in metadata()))

    assert found.get(b"grpc-status") in (None, b"16")
    assert federation.adapter.calls == []


@pytest.mark.parametrize("versions", [(), (0,), (2,), (0, 2, 255)])
def test_downgrade_to_another_protocol_is_refused(
    federation: Federation, tmp_path: Path, versions: tuple[int, ...]
) -> None:
    """The stream ends by name before a frame is read."""
    intruder = Intruder(federation, federation.pns)
    intruder.dial(federation.anip, tmp_path)
    intruder.hello(versions=versions)

    assert intruder.ended() == "VERSION_NOT_SUPPORTED"
    intruder.leave()


@pytest.mark.parametrize(
    "lines",
    [
        'address = "127.0.0.1:9101"\nplaintext = true',
        'address = "127.0.0.1:9101"\ntls = false',
        'address = "http://127.0.0.1:9101"',
        'address = "unix:/run/adapter.sock"',
    ],
)
def test_adapter_plaintext_in_the_configuration_refuses_to_start(tmp_path: Path, lines: str) -> None:
    """There is no key to ask for it."""
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'gateway = "BJ/GOV/ANIP/gw1"\nmember_key = "{"k" * 43}"\n'
        '[registry]\nid = "BJ/GOV/ASIN/registre"\naddress = "127.0.0.1:7443"\n'
        f'[[adapter]]\nsubsystem = "{PROVIDER}"\n{lines}\n'
    )

    with pytest.raises(SettingsError):
        load_settings(file, GatewaySettings)


def test_adapter_plaintext_hop_is_refused(tmp_path: Path) -> None:
    """A ministry's program that serves without TLS is told nothing; the caller learns that it is down."""
    asked: list[str] = []

    class Plain(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            asked.append(details.method)
            return None

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Plain()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    federation = Federation(tmp_path)
    federation.anip.settings = federation._settings(
        federation.anip, (Adapter(subsystem=PROVIDER, address=f"127.0.0.1:{port}"),)
    )
    with federation, federation.channel() as channel:
        outcome = outcome_of(partial(calling(channel), b"secret", metadata=metadata(), timeout=10))
    server.stop(None).wait()

    assert outcome == "ADAPTER_DOWN"
    assert asked == []
