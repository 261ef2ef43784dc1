"""Certificates and TLS contexts of the benchmark: P-256, TLS 1.3, mutual, like everything it is compared with."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Identity:
    """Files of one end: whom it trusts, its certificate chain, its key."""

    ca: Path
    certificate: Path
    key: Path

    def context(self, *, server: bool) -> ssl.SSLContext:
        """MTLS over TLS 1.3, h2 only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return context

    def arguments(self) -> list[str]:
        """As options of ``bench.generator`` and ``bench.backend``."""
        return ["--ca", str(self.ca), "--certificate", str(self.certificate), "--key", str(self.key)]


def make_identity(directory: Path) -> Identity:
    """A throw-away CA and one certificate for ``localhost`` that serves both ends of the proxies' legs."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)

    def issue(
        name: str, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType, path: Path
    ) -> None:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench-ca")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=7))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(ca_key, hashes.SHA256())
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    identity = Identity(directory / "ca.pem", directory / "leaf.pem", directory / "leaf.key")
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    issue("bench-ca", ca_key.public_key(), x509.BasicConstraints(True, None), identity.ca)
    issue("localhost", leaf_key.public_key(), x509.SubjectAlternativeName(names), identity.certificate)
    identity.key.write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return identity
