"""Certificates that are wrong in exactly one way: built by hand, where the product would refuse to issue them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki.keys import generate_key
from pki.profiles import DOCUMENT_SIGNING
from rpc.names import identity_host

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000
GW1 = "urn:passerelle:gateway:BJ/GOV/ANIP/gw1"
TLS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SIGNS = (DOCUMENT_SIGNING,)

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension: TypeAlias = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class Plan:
    """What one certificate says; ``but`` changes one thing of a good one."""

    name: str
    issuer: str
    key: Key
    signer: Key
    constraints: x509.BasicConstraints | None
    usages: Sequence[x509.ObjectIdentifier] | None = None
    key_usage: frozenset[str] = frozenset()
    names: Sequence[x509.GeneralName] | None = None
    since: datetime = NOW - timedelta(days=1)
    until: datetime = NOW + timedelta(days=365)
    hash: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    extra: Sequence[Extension] = ()
    constraints_critical: bool = True

    def but(self, **changes: object) -> Plan:
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields above, by name

    def build(self) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(self.name))
            .issuer_name(named(self.issuer))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.since)
            .not_valid_after(self.until)
        )
        extensions: list[Extension] = list(self.extra)
        if self.constraints is not None:
            extensions.append((self.constraints, self.constraints_critical))
        if self.key_usage:
            extensions.append((_key_usage(self.key_usage), True))
        if self.usages:
            extensions.append((x509.ExtendedKeyUsage(self.usages), False))
        if self.names is not None:
            extensions.append((x509.SubjectAlternativeName(self.names), False))
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self.signer, self.hash)


@dataclass
class Country:
    """Root, auth CA, seal CA and one gateway's two certificates: all good until a test says otherwise."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)
    auth_key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)
    seal_key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)
    leaf_key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)

    @property
    def root(self) -> Plan:
        return Plan(
            "root", "root", self.root_key, self.root_key, x509.BasicConstraints(True, 1), key_usage=CA_USAGE
        )

    @property
    def auth_ca(self) -> Plan:
        return Plan(
            "auth",
            "root",
            self.auth_key,
            self.root_key,
            x509.BasicConstraints(True, 0),
            TLS,
            key_usage=CA_USAGE,
        )

    @property
    def seal_ca(self) -> Plan:
        return self.auth_ca.but(name="seal", key=self.seal_key, usages=SIGNS)

    @property
    def auth(self) -> Plan:
        return Plan(
            "gw1",
            "auth",
            self.leaf_key,
            self.auth_key,
            x509.BasicConstraints(False, None),
            TLS,
            frozenset({"digital_signature"}),
            [uri(GW1), x509.DNSName(identity_host(GW1)), x509.DNSName("gw1.anip.bj")],
        )

    @property
    def seal(self) -> Plan:
        return self.auth.but(
            issuer="seal",
            signer=self.seal_key,
            usages=SIGNS,
            key_usage=frozenset({"digital_signature", "content_commitment"}),
            names=[uri(GW1)],
        )

    def crls(self) -> list[x509.CertificateRevocationList]:
        return [
            revocation_list("root", self.root_key),
            revocation_list("auth", self.auth_key),
            revocation_list("seal", self.seal_key),
        ]


CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def revocation_list(
    issuer: str,
    key: Key,
    *,
    revoked: Sequence[x509.RevokedCertificate] = (),
    since: datetime = NOW - timedelta(hours=1),
    until: datetime = NOW + timedelta(days=1),
    extra: Sequence[Extension] = (),
    hash_: hashes.SHA256 | hashes.SHA384 | None = None,
) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder().issuer_name(named(issuer))
    builder = builder.last_update(since).next_update(until)
    for entry in revoked:
        builder = builder.add_revoked_certificate(entry)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, hash_ or hashes.SHA256())


def revoked_entry(
    certificate: x509.Certificate, at: datetime, *, invalid_since: datetime | None = None
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(at)
    if invalid_since is not None:
        builder = builder.add_extension(x509.InvalidityDate(invalid_since), critical=False)
    return builder.build()


def _key_usage(names: frozenset[str]) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in every})
