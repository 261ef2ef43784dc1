"""The names in certificates: the SAN URI that is an identity (PROTOCOL M18), and its stand-in for TLS clients."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from core.identifiers import parse_urn
from core.reasons import MalformedError, Reason

# "internal" is reserved for private use: no such name can ever be registered by a stranger.
IDENTITY_DOMAIN: Final = "id.passerelle.internal"

# How the library says that it cannot read a certificate's names or extensions; TypeError for a name made of bits.
UNREADABLE: Final = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def identity_host(urn: str) -> str:
    """The DNS name that stands for an identity in the certificate of a TLS server.

    Stock TLS clients compare host names and cannot compare a SAN URI; with this name a client demands an
    identity, whatever address it dials. It is a digest, so that case and slashes survive.
    """
    digest = base64.b32encode(hashlib.sha256(urn.encode("utf-8")).digest()).decode("ascii")
    return f"{digest.rstrip('=').lower()}.{IDENTITY_DOMAIN}"


def urn_of(certificate: x509.Certificate) -> str:
    """The one SAN URI of a certificate, well-formed; raises ``MalformedError``."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        raise MalformedError(Reason.CERTIFICATE_INVALID, "the certificate has no readable SAN URI") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise MalformedError(Reason.CERTIFICATE_INVALID, f"the certificate has {len(uris)} SAN URIs, not one")
    try:
        parse_urn(uris[0])
    except MalformedError as error:
        raise MalformedError(Reason.CERTIFICATE_INVALID, f"SAN URI: {error}") from None
    return uris[0]


def subject_of(certificate: x509.Certificate) -> str:
    """The subject for people's eyes, as printable ASCII of bounded length; nothing is decided by it."""
    try:
        return _shown(certificate.subject)
    except UNREADABLE:
        return "a certificate without a readable name"


def issuer_of(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """Who signed a certificate or a revocation list by its own word, shown as ``subject_of`` shows the subject."""
    try:
        return _shown(signed.issuer)
    except UNREADABLE:
        return "an issuer without a readable name"


def _shown(name: x509.Name) -> str:
    return ascii(name.rfc4514_string()[:80])[1:-1]


def certificate_thumbprint(certificate: x509.Certificate) -> str:
    """``x5t#S256``: SHA-256 of the certificate's DER, base64url, unpadded (RFC 7515, section 4.1.8)."""
    digest = certificate.fingerprint(hashes.SHA256())
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
