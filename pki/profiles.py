"""Certificate profiles: what each kind of certificate says, and who may issue it (docs/protocol/pki.md).

The profile decides every extension. From a signing request only the public key is taken, after its proof of
possession; whatever extensions it asks for are ignored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.identifiers import UrnKind, parse_urn
from core.reasons import ExchangeError, MalformedError, Reason
from pki.keys import require_p256
from rpc.names import IDENTITY_DOMAIN, UNREADABLE, identity_host, urn_of

# id-kp-documentSigning (RFC 9336): a certificate with it is no TLS certificate for any TLS library.
DOCUMENT_SIGNING: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")

# A certificate is valid a little before it was made, so that a peer whose clock is behind takes it (M19).
BACKDATED: Final = timedelta(minutes=1)

# Of a host, as certificates here write it: lower case, no wildcard, no final dot.
DNS_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
MAX_HOSTS: Final = 16
MAX_CSR_BYTES: Final = 16 * 1024


class Profile(StrEnum):
    """The kinds of end certificates.

    ``registry`` is the registry's TLS certificate, ``registry-seal`` the one its heads are signed with: the
    same name in both, told apart like ``auth`` and ``seal`` by issuing CA and extended key usage.
    ``document`` signs what an agency gives out; it bears the name of the adapter that signs with it, and unlike the
    adapter's TLS certificate stands under the anchor, so that anybody can verify.
    ``programs-door`` is the server side of a gateway's programs port, issued by the member's own CA.
    """

    AUTH = "auth"
    SEAL = "seal"
    MEMBER = "member"
    PROGRAM = "program"
    PROGRAMS_DOOR = "programs-door"
    ADAPTER = "adapter"
    DOCUMENT = "document"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    REGISTRY = "registry"
    REGISTRY_SEAL = "registry-seal"

    @property
    def rules(self) -> ProfileRules:
        """What a certificate of this profile says."""
        return _RULES[self]


class AuthorityKind(StrEnum):
    """The authorities: the offline root, its two issuing CAs, and each member's own CA for its programs."""

    ROOT = "root"
    AUTH = "auth"
    SEAL = "seal"
    PROGRAMS = "programs"


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """What a certificate of one profile says.

    Attributes:
        issuer: The authority that issues it.
        kind: Kind of its SAN URI.
        usages: Extended key usages, exactly these.
        hosts: Whether it names hosts (a TLS server's does, no other may).
        lifetime: How long it is valid unless asked for less.
    """

    issuer: AuthorityKind
    kind: UrnKind
    usages: frozenset[x509.ObjectIdentifier]
    hosts: bool
    lifetime: timedelta

    @property
    def signs(self) -> bool:
        """Whether the key signs heads or documents, not TLS handshakes."""
        return DOCUMENT_SIGNING in self.usages


_SERVER: Final = frozenset({ExtendedKeyUsageOID.SERVER_AUTH})
_CLIENT: Final = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})
_SIGNS: Final = frozenset({DOCUMENT_SIGNING})
_YEAR: Final = timedelta(days=366)

_RULES: Final = {
    Profile.AUTH: ProfileRules(AuthorityKind.AUTH, "gateway", _SERVER | _CLIENT, True, 2 * _YEAR),
    Profile.SEAL: ProfileRules(AuthorityKind.SEAL, "gateway", _SIGNS, False, 2 * _YEAR),
    Profile.MEMBER: ProfileRules(AuthorityKind.SEAL, "member", _SIGNS, False, 5 * _YEAR),
    Profile.PROGRAM: ProfileRules(AuthorityKind.PROGRAMS, "program", _CLIENT, False, 2 * _YEAR),
    Profile.PROGRAMS_DOOR: ProfileRules(AuthorityKind.PROGRAMS, "gateway", _SERVER, True, 2 * _YEAR),
    Profile.ADAPTER: ProfileRules(AuthorityKind.PROGRAMS, "adapter", _SERVER, True, 2 * _YEAR),
    # A document is verified for as long as it holds, mostly years.
    Profile.DOCUMENT: ProfileRules(AuthorityKind.SEAL, "adapter", _SIGNS, False, 5 * _YEAR),
    Profile.OPERATOR: ProfileRules(AuthorityKind.AUTH, "operator", _CLIENT, False, _YEAR),
    Profile.AUDITOR: ProfileRules(AuthorityKind.AUTH, "auditor", _CLIENT, False, _YEAR),
    Profile.REGISTRY: ProfileRules(AuthorityKind.AUTH, "registry", _SERVER | _CLIENT, True, 2 * _YEAR),
    Profile.REGISTRY_SEAL: ProfileRules(AuthorityKind.SEAL, "registry", _SIGNS, False, 5 * _YEAR),
}

# What an authority's certificate says of the certificates below it. Standard TLS libraries honour it too: a
# certificate of the seal CA is no TLS certificate even if it claims to be one.
AUTHORITY_USAGES: Final = {
    AuthorityKind.ROOT: frozenset[x509.ObjectIdentifier](),
    AuthorityKind.AUTH: _SERVER | _CLIENT,
    AuthorityKind.SEAL: _SIGNS,
    AuthorityKind.PROGRAMS: _SERVER | _CLIENT,
}

AUTHORITY_LIFETIMES: Final = {
    AuthorityKind.ROOT: 25 * _YEAR,
    AuthorityKind.AUTH: 12 * _YEAR,
    AuthorityKind.SEAL: 12 * _YEAR,
    AuthorityKind.PROGRAMS: 10 * _YEAR,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority's key and certificate: all that issuing needs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return f"Issuer({self.certificate.subject.rfc4514_string()})"


def utc(now_ms: int) -> datetime:
    """A clock's milliseconds as the date that X.509 wants."""
    return datetime.fromtimestamp(now_ms / 1000, UTC)


def build_csr(key: ec.EllipticCurvePrivateKey, common_name: str = "passerelle") -> bytes:
    """A signing request, PEM: a public key and the proof that its owner holds the private one."""
    request = x509.CertificateSigningRequestBuilder(_name(common_name)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def read_csr(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signing request whose proof of possession holds.

    Subject, extensions and attributes are not even looked at.

    Raises:
        MalformedError: Not one request, not for P-256, or the proof fails.
    """
    if len(pem) > MAX_CSR_BYTES:
        raise MalformedError(Reason.DOCUMENT_INVALID, f"signing request longer than {MAX_CSR_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        proven = request.is_signature_valid
        key = request.public_key()
    except Exception:
        # The library has many ways to refuse (ValueError, UnsupportedAlgorithm, …); all mean the same here.
        raise MalformedError(Reason.DOCUMENT_INVALID, "not a PEM signing request") from None
    if not proven:
        raise MalformedError(Reason.SIGNATURE_INVALID, "signing request without proof of possession")
    return require_p256(key)


def issue(
    profile: Profile,
    issuer: Issuer,
    key: ec.EllipticCurvePublicKey,
    urn: str,
    *,
    now_ms: int,
    hosts: Sequence[str] = (),
    lifetime: timedelta | None = None,
) -> x509.Certificate:
    """Issue a certificate of ``profile``.

    Args:
        profile: Decides every extension.
        issuer: The authority; its kind must be the one that the profile names.
        key: From ``read_csr``.
        urn: The holder's name, ``urn:passerelle:gateway:BJ/GOV/ANIP/gw1``.
        now_ms: UTC milliseconds.
        hosts: DNS names and IP addresses at which a TLS server answers.
        lifetime: Less than the profile's, or None for all of it.

    Raises:
        ExchangeError: The name, hosts, lifetime or authority do not fit the profile.
    """
    rules = profile.rules
    _require_fit(profile, issuer, urn, hosts)
    if lifetime is not None and not timedelta(0) < lifetime <= rules.lifetime:
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID,
            f"a {profile} certificate is valid for at most {rules.lifetime.days} days",
        )
    now = utc(now_ms)
    # Never longer than the authority itself: such a certificate would be dead before its own end.
    end = min(now + (lifetime or rules.lifetime), issuer.certificate.not_valid_after_utc)
    if end <= now:
        raise ExchangeError(Reason.CERTIFICATE_EXPIRED, f"the authority has expired: {issuer!r}")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(urn)]
    if rules.hosts:
        names += [x509.DNSName(identity_host(urn)), *map(_host, hosts)]
    builder = (
        _builder(_name(_common_name(urn)), issuer.certificate.subject, key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, content_commitment=rules.signs), critical=True)
        .add_extension(x509.ExtendedKeyUsage(sorted(rules.usages, key=str)), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_key_identifier(issuer.certificate), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256())


def issue_authority(
    kind: AuthorityKind,
    issuer: Issuer | None,
    key: ec.EllipticCurvePrivateKey,
    common_name: str,
    *,
    now_ms: int,
    urn: str | None = None,
) -> x509.Certificate:
    """Issue a CA certificate; ``issuer`` is None for those that sign themselves (root, programs).

    Args:
        kind: Which authority.
        issuer: The root, for the two issuing CAs.
        key: The new authority's key.
        common_name: What people read.
        now_ms: UTC milliseconds.
        urn: The member of a programs CA; it can only name programs and adapters of that member.
    """
    now = utc(now_ms)
    subject = _name(common_name)
    end = now + AUTHORITY_LIFETIMES[kind]
    signer, parent = (issuer.key, issuer.certificate.subject) if issuer else (key, subject)
    builder = (
        _builder(subject, parent, key.public_key(), now, end)
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=1 if kind is AuthorityKind.ROOT else 0), critical=True
        )
        .add_extension(_key_usage(certificates=True, crls=True), critical=True)
    )
    if usages := AUTHORITY_USAGES[kind]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(sorted(usages, key=str)), critical=False)
    if issuer:
        builder = builder.add_extension(_authority_key_identifier(issuer.certificate), critical=False)
    if urn:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def profile_of(certificate: x509.Certificate) -> Profile | None:
    """Which profile a certificate claims by its name and usages; says nothing about who issued it."""
    try:
        kind, _ = parse_urn(urn_of(certificate))
        usages = frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    for profile, rules in _RULES.items():
        if (rules.kind, rules.usages) == (kind, usages):
            return profile
    return None


def authority_kind(certificate: x509.Certificate) -> AuthorityKind:
    """Which authority a CA certificate claims to be; says nothing about who issued it.

    Raises:
        MalformedError: It is not in the form of any.
    """
    try:
        extensions = {extension.oid: extension.value for extension in certificate.extensions}
        self_issued = certificate.issuer == certificate.subject
    except UNREADABLE:
        raise MalformedError(Reason.CERTIFICATE_INVALID, "unreadable names or extensions") from None
    constraints = extensions.get(x509.BasicConstraints.oid)
    usages = frozenset[x509.ObjectIdentifier]()
    if isinstance(stated := extensions.get(x509.ExtendedKeyUsage.oid), x509.ExtendedKeyUsage):
        usages = frozenset(stated)
    for kind, expected in AUTHORITY_USAGES.items():
        depth = 1 if kind is AuthorityKind.ROOT else 0
        top = kind in (AuthorityKind.ROOT, AuthorityKind.PROGRAMS)
        if (usages, self_issued, constraints) == (expected, top, x509.BasicConstraints(True, depth)):
            return kind
    raise MalformedError(Reason.CERTIFICATE_INVALID, "not the certificate of an authority")


def member_of(urn: str) -> str:
    """The member that a name belongs to, ``BJ/GOV/ANIP``; raises ``MalformedIdentifierError``."""
    parse_urn(urn)
    return "/".join(urn.split(":", 3)[3].split("/")[:3])


def _require_fit(profile: Profile, issuer: Issuer, urn: str, hosts: Sequence[str]) -> None:
    rules = profile.rules
    kind, _ = parse_urn(urn)
    if kind != rules.kind:
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"a {profile} certificate names a {rules.kind}: {urn}"
        )
    if bool(hosts) != rules.hosts or len(hosts) > MAX_HOSTS:
        count = f"1 to {MAX_HOSTS} hosts" if rules.hosts else "no host"
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"a {profile} certificate names {count}")
    authority = authority_kind(issuer.certificate)
    if authority is not rules.issuer:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{issuer!r} does not issue {profile} certificates")
    if authority is AuthorityKind.PROGRAMS and member_of(urn_of(issuer.certificate)) != member_of(urn):
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"{issuer!r} is another member's authority than {urn}"
        )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    # No wildcard, and nothing that could pass for an identity.
    if not DNS_NAME.fullmatch(text) or text.endswith(IDENTITY_DOMAIN):
        raise MalformedError(Reason.CERTIFICATE_INVALID, f"not a host name: {text[:80]!a}")
    return x509.DNSName(text)


def _common_name(urn: str) -> str:
    # X.520 allows 64 characters; nobody decides by the common name, it is for people's eyes.
    return urn.split(":", 2)[2][-64:]


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    certificates: bool = False,
    crls: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=crls,
        encipher_only=False,
        decipher_only=False,
    )
