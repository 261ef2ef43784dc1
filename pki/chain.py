"""Is this certificate what it claims to be, at that moment? The policy of docs/protocol/pki.md, rule by rule.

``cryptography.x509.verification`` finds the path and checks signatures, validity and name constraints. Its own
extension policy is the Web's (SAN and EKU demanded, RSA welcome, no revocation at all), so it is switched off
and replaced by the rules below, which every certificate of the path that was found must keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from core.identifiers import AnyId, parse_urn
from core.reasons import ExchangeError, MalformedError, Reason
from pki.keys import certificate_key
from pki.profiles import DNS_NAME, AuthorityKind, Profile, authority_kind, member_of
from rpc.names import IDENTITY_DOMAIN, UNREADABLE, identity_host, subject_of, urn_of

MAX_INTERMEDIATES: Final = 8

# The critical extensions that the rules below or the library account for; any other is refused (RFC 5280, 4.2).
_KNOWN_CRITICAL: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
    }
)

# What makes a list a delta or a part of one; both have to be critical, and count if they are not.
_NOT_COMPLETE: Final = frozenset({ExtensionOID.DELTA_CRL_INDICATOR, ExtensionOID.ISSUING_DISTRIBUTION_POINT})
# Without ``encipher_only`` and ``decipher_only``, which only say more of ``key_agreement``.
_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_SERIALS_END: Final = 2**159

_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A certificate that was what it claims to be, at the moment it was verified for.

    Attributes:
        certificates: Leaf first, trusted root last.
        profile: The profile it was verified as.
        urn: Its name, ``urn:passerelle:gateway:BJ/GOV/ANIP/gw1``.
        identifier: The same, parsed.
    """

    certificates: tuple[x509.Certificate, ...]
    profile: Profile
    urn: str
    identifier: AnyId

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.certificates[0]


def verify_chain(
    leaf: x509.Certificate,
    *,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    crls: Sequence[x509.CertificateRevocationList],
    at: datetime,
    profile: Profile,
) -> VerifiedChain:
    """Verify ``leaf`` as a certificate of ``profile`` at the moment ``at``.

    Args:
        leaf: The certificate.
        intermediates: Candidates for issuing CAs, untrusted.
        roots: Trusted: the anchor's root, or for programs and adapters the member's own CA.
        crls: Revocation lists; each issuer in the chain needs a fresh one. Not for a member's own CA, whose
            programs are admitted and removed by pinned thumbprint.
        at: The moment to judge, with time zone.
        profile: What the certificate must be; a certificate is never accepted as whatever it happens to be.

    Raises:
        ExchangeError: ``CERTIFICATE_EXPIRED`` (or not yet valid), ``CERTIFICATE_REVOKED``, or
            ``CERTIFICATE_INVALID`` for everything else.
    """
    # 1 to 5 It is what it claims to be.
    verified = verify_path(leaf, intermediates=intermediates, roots=roots, at=at, profile=profile)
    # 6 Nothing on the path is revoked.
    if profile.rules.issuer is not AuthorityKind.PROGRAMS:
        for certificate, issuer in pairwise(verified.certificates):
            require_not_revoked(certificate, issuer, crls, at)
    return verified


def verify_path(
    leaf: x509.Certificate,
    *,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    profile: Profile,
) -> VerifiedChain:
    """Steps 1 to 5 of ``verify_chain``: whether it has been revoked is not asked.

    For whoever has no lists, somebody who reads a document without a network say, and tells that he has none.

    Raises:
        ExchangeError: As ``verify_chain``, but for ``CERTIFICATE_REVOKED``.
    """
    # 1 The leaf says what its profile says, and nothing else that matters.
    urn = _require_leaf(leaf, profile)
    # 2 It is in force.
    _require_in_force(leaf, at, urn)
    # 3 A path of at most one intermediate leads to a root: signatures, validity, name constraints.
    certificates = _find_path(leaf, intermediates, roots, at, urn)
    # 4 Keys and algorithms are ours, nothing critical is unknown, serial numbers and key identifiers are right.
    for certificate in certificates:
        _require_strong(certificate)
        _require_known_critical(certificate)
        _require_serial(certificate)
    for certificate, issuer in pairwise(certificates):
        _require_issuer_named(certificate, issuer)
    # 5 The authorities are those that may issue this profile.
    _require_authorities(certificates, profile, urn)
    return VerifiedChain(tuple(certificates), profile, urn, parse_urn(urn)[1])


def require_not_revoked(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Sequence[x509.CertificateRevocationList],
    at: datetime,
) -> None:
    """Check ``certificate`` against the revocation lists of ``issuer``.

    A list counts only if the issuer signed it and it speaks for all the issuer's certificates. It is fresh if
    its ``nextUpdate`` is not before ``at``. A list made after ``at`` knows more and is welcome; one entry in
    any list, fresh or not, is enough, because nothing is ever taken back off a list.

    Raises:
        ExchangeError: ``CERTIFICATE_REVOKED``, or ``CERTIFICATE_INVALID`` without a fresh list.
    """
    fresh = False
    for crl in crls:
        if not _is_complete_list(crl, issuer):
            continue
        fresh = fresh or (crl.next_update_utc is not None and at <= crl.next_update_utc)
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and _revoked_since(entry) <= at:
            raise ExchangeError(
                Reason.CERTIFICATE_REVOKED,
                f"{subject_of(certificate)} was revoked on {_revoked_since(entry):%Y-%m-%d %H:%M:%S} UTC",
            )
    if not fresh:
        raise _invalid(f"no fresh revocation list of {subject_of(issuer)}")


def _require_leaf(leaf: x509.Certificate, profile: Profile) -> str:
    rules = profile.rules
    urn = urn_of(leaf)
    kind, _ = parse_urn(urn)
    if kind != rules.kind:
        raise _invalid(f"a certificate of {urn} is no {profile} certificate")
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is None or frozenset(usages) != rules.usages:
        raise _invalid(f"the extended key usages of {urn} are not those of a {profile} certificate")
    expected = {"digital_signature", "content_commitment"} if rules.signs else {"digital_signature"}
    if _key_usages(leaf) != expected:
        raise _invalid(f"the key usage of {urn} is not that of a {profile} certificate")
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _invalid(f"the certificate of {urn} claims to be an authority")
    _require_names(leaf, profile, urn)
    return urn


def _require_names(leaf: x509.Certificate, profile: Profile, urn: str) -> None:
    """One URI; hosts on servers only; no wildcard, and no identity host but its own."""
    names = _extension(leaf, x509.SubjectAlternativeName) or ()
    hosts = [name for name in names if not isinstance(name, x509.UniformResourceIdentifier)]
    if bool(hosts) != profile.rules.hosts:
        raise _invalid(f"{urn}: a {profile} certificate names {'' if profile.rules.hosts else 'no '}hosts")
    own = identity_host(urn)
    for name in hosts:
        match name:
            case x509.IPAddress():
                continue
            case x509.DNSName(value=value) if DNS_NAME.fullmatch(value):
                if value.endswith(IDENTITY_DOMAIN) and value != own:
                    raise _invalid(f"{urn} claims the identity host of another")
            case _:
                raise _invalid(f"{urn}: a name that certificates here never have")


def _require_in_force(leaf: x509.Certificate, at: datetime, urn: str) -> None:
    if at < leaf.not_valid_before_utc:
        raise ExchangeError(
            Reason.CERTIFICATE_EXPIRED,
            f"the certificate of {urn} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC",
        )
    if at > leaf.not_valid_after_utc:
        raise ExchangeError(
            Reason.CERTIFICATE_EXPIRED,
            f"the certificate of {urn} expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
        )


def _find_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
    urn: str,
) -> list[x509.Certificate]:
    if len(intermediates) > MAX_INTERMEDIATES:
        raise _invalid(f"{urn}: more than {MAX_INTERMEDIATES} intermediate certificates")
    if not roots:
        raise _invalid(f"{urn}: no root to trust")
    anything = ExtensionPolicy.permit_all()
    authorities = anything.require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(at)
        .max_chain_depth(1)
        .extension_policies(ca_policy=authorities, ee_policy=anything)
        .build_client_verifier()
    )
    try:
        return verifier.verify(leaf, list(intermediates)).chain
    except (VerificationError, UnsupportedAlgorithm, *UNREADABLE) as error:
        raise _invalid(f"no valid path from {urn} to the anchor ({str(error)[:200]})") from None


def _require_strong(certificate: x509.Certificate) -> None:
    """P-256 keys, ECDSA with SHA-256: one algorithm, so that none can be negotiated down."""
    certificate_key(certificate)
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise _invalid(f"{subject_of(certificate)} is not signed with ECDSA and SHA-256")
    if not _has_whole_octets(certificate):
        raise _invalid(f"{subject_of(certificate)} has a signature that is not in its one written form")


def _has_whole_octets(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    """Whether the signature's BIT STRING, which ends the DER, says that all its bits count.

    The library does not look: with another number there, the same signature verifies in a certificate of other bytes.
    """
    return signed.public_bytes(serialization.Encoding.DER).endswith(b"\0" + signed.signature)


def _require_known_critical(certificate: x509.Certificate) -> None:
    for extension in _extensions(certificate):
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise _invalid(
                f"{subject_of(certificate)} has unknown critical extension {extension.oid.dotted_string}"
            )


def _require_serial(certificate: x509.Certificate) -> None:
    """Positive, and at most 20 octets (RFC 5280, 4.1.2.2): a list of revocations names it, and so do people."""
    if not 0 < certificate.serial_number < _SERIALS_END:
        raise _invalid(f"{subject_of(certificate)} has a serial number that is none")


def _require_issuer_named(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """What a certificate says of its issuer's key, beyond the name, is true of this issuer."""
    named = _extension(certificate, x509.AuthorityKeyIdentifier)
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    if named is None:
        return
    if named.key_identifier is not None and own is not None and named.key_identifier != own.digest:
        raise _invalid(
            f"{subject_of(certificate)} names another issuing key than that of {subject_of(issuer)}"
        )
    if named.authority_cert_serial_number not in (None, issuer.serial_number):
        raise _invalid(
            f"{subject_of(certificate)} names another issuing certificate than {subject_of(issuer)}"
        )


def _require_authorities(certificates: Sequence[x509.Certificate], profile: Profile, urn: str) -> None:
    issuer = profile.rules.issuer
    expected = [issuer] if issuer is AuthorityKind.PROGRAMS else [issuer, AuthorityKind.ROOT]
    found = [_require_authority(certificate) for certificate in certificates[1:]]
    if found != expected:
        raise _invalid(f"{urn}: {profile} certificates are issued by {' under '.join(expected)} only")
    if issuer is AuthorityKind.PROGRAMS and member_of(urn_of(certificates[1])) != member_of(urn):
        raise _invalid(f"{urn} is not of the member that {subject_of(certificates[1])} belongs to")


def _require_authority(certificate: x509.Certificate) -> AuthorityKind:
    if _key_usages(certificate) != {"key_cert_sign", "crl_sign"}:
        raise _invalid(f"the key usage of {subject_of(certificate)} is not that of an authority")
    constraints = next(
        (found for found in _extensions(certificate) if found.oid == ExtensionOID.BASIC_CONSTRAINTS), None
    )
    if constraints is None or not constraints.critical:
        raise _invalid(f"{subject_of(certificate)} has no critical basic constraints")
    return authority_kind(certificate)


def _is_complete_list(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed this list and it is no delta, no partition and nothing we do not understand."""
    try:
        return (
            crl.issuer == issuer.subject
            and crl.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
            and crl.is_signature_valid(certificate_key(issuer))
            and _has_whole_octets(crl)
            and not any(one.critical or one.oid in _NOT_COMPLETE for one in crl.extensions)
        )
    except UNREADABLE:
        return False


def _revoked_since(entry: x509.RevokedCertificate) -> datetime:
    """The invalidity date if it is earlier: the key was in other hands since then."""
    try:
        known = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except (x509.ExtensionNotFound, *UNREADABLE):
        return entry.revocation_date_utc
    return min(known, entry.revocation_date_utc)


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except UNREADABLE:
        raise _invalid(f"{subject_of(certificate)} has unreadable extensions") from None


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return _extensions(certificate).get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_usages(certificate: x509.Certificate) -> set[str]:
    """The names of the bits that are set; empty without the extension."""
    usage = _extension(certificate, x509.KeyUsage)
    return set() if usage is None else {name for name in _KEY_USAGES if getattr(usage, name)}


def _invalid(text: str) -> MalformedError:
    return MalformedError(Reason.CERTIFICATE_INVALID, text)
