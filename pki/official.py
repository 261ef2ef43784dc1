"""What an agency gives out, verified by whoever holds it: without a network, by certificate and anchor alone.

``docs/protocol/official.md`` has the form. The key is an agency's document key; its certificate, of profile ``document``,
is public and stands under the anchor. Nothing is taken from the JWT's header but what is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from core.documents import MalformedDocumentError, encode
from core.identifiers import urn
from core.jws import DocumentKind
from core.official import MAX_CLAIMS_BYTES, OfficialClaims, parse_official
from core.reasons import ExchangeError, Reason
from core.times import format_time_ms
from pki.chain import VerifiedChain, require_not_revoked, verify_path
from pki.documents import sign_document, verify_document
from pki.keys import certificate_key
from pki.profiles import Profile, utc

# A document of an issuer whose clock is ahead of the reader's is taken.
_MAX_SKEW_MS: Final = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class VerifiedOfficial:
    """Claims that an agency's document key signed, and the chain that makes it the agency's."""

    claims: OfficialClaims
    chain: VerifiedChain


def sign_official(claims: OfficialClaims, key: ec.EllipticCurvePrivateKey) -> str:
    """The JWT of a document; the same bytes each time.

    Raises:
        MalformedDocumentError: The claims are longer than a QR code should hold.
    """
    payload = encode(claims)
    if len(payload) > MAX_CLAIMS_BYTES:
        raise MalformedDocumentError(f"claims of a document: longer than {MAX_CLAIMS_BYTES} bytes")
    return sign_document(DocumentKind.OFFICIAL, payload, key)


def verify_official(
    jws: str,
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    now_ms: int,
    crls: Sequence[x509.CertificateRevocationList] = (),
) -> VerifiedOfficial:
    """Verify the JWT of a document.

    Args:
        jws: The JWT, from the QR code or out of the document.
        chain: The issuer's certificate, then its authority's.
        root: The anchor's root.
        now_ms: When it is shown, UTC milliseconds.
        crls: Revocation lists. Without any it is not asked whether the key has been revoked. A document of a key that
            was, ever, is refused: who stole it could write any date.

    Raises:
        ExchangeError: It is refused, and why.
    """
    if not chain:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, "no certificate of the issuer")
    leaf, *below = chain
    # 1 The certificate's key signed exactly a document's claims.
    claims = parse_official(verify_document(DocumentKind.OFFICIAL, jws, certificate_key(leaf)))
    # 2 The certificate was an agency's document certificate under the anchor when it was signed.
    verified = verify_path(
        leaf,
        intermediates=below,
        roots=[root],
        at=utc(claims.iat * 1000),
        profile=Profile.DOCUMENT,
    )
    # 3 It is that of the agency that the document names.
    if verified.urn != urn("adapter", claims.iss):
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{verified.urn} does not sign for {claims.iss}")
    # 4 The key has not been revoked, as far as anybody brought a list.
    if crls:
        for certificate, issuer in pairwise(verified.certificates):
            require_not_revoked(certificate, issuer, crls, utc(now_ms))
    # 5 It holds now.
    if claims.iat * 1000 > now_ms + _MAX_SKEW_MS:
        raise MalformedDocumentError(f"{claims.doc_id} was signed in the future")
    if isinstance(claims.exp, int) and claims.exp * 1000 < now_ms:
        raise MalformedDocumentError(
            f"{claims.doc_id} is genuine, but held until {format_time_ms(claims.exp * 1000)} only"
        )
    return VerifiedOfficial(claims, verified)
