"""One JWS of one kind, judged alone: exact header, canonical base64url, 64-byte signature (PROTOCOL M6, M8).

What is kept (heads, documents) has a low s; a caller token, which is not, may have either. For people with a file and
a key. What a gateway asks beyond that (who registered the key, is the time right, was it sent to me) is its own; here
a kind is never taken for another, and a key is never taken from a header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from core.agreements import parse_agreement
from core.documents import digest
from core.heads import encode_head, parse_head
from core.jws import DocumentKind
from core.official import parse_official
from core.reasons import MalformedError, Reason
from core.registrations import parse_registration, parse_successor
from pki.documents import verify_document
from pki.heads import verify_head
from pki.keys import (
    BadSignatureError,
    certificate_key,
    certificate_thumbprint,
    key_thumbprint,
)
from pki.tokens import TYPE, parse_token

HEAD: Final = "tree-head+jwt"
CALLER: Final = TYPE
_PARSERS: Final = {
    DocumentKind.AGREEMENT: parse_agreement,
    DocumentKind.REGISTRATION: parse_registration,
    DocumentKind.MEMBER_SUCCESSOR: parse_successor,
    DocumentKind.OFFICIAL: parse_official,
}
JWS_KINDS: Final = (HEAD, *(kind.value for kind in DocumentKind), CALLER)


@dataclass(frozen=True, slots=True)
class VerifiedJws:
    """What a key signed.

    Attributes:
        typ: The kind.
        signer: Thumbprint of the key, or for a head of the certificate.
        payload: The payload bytes.
    """

    typ: str
    signer: str
    payload: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the payload: how an agreement is named."""
        return digest(self.payload)


def verify_jws(
    jws: bytes,
    typ: str,
    *,
    key: ec.EllipticCurvePublicKey | None = None,
    certificate: x509.Certificate | None = None,
) -> VerifiedJws:
    """Verify form, kind and signature of a compact JWS, and that its payload is one of that kind.

    Args:
        jws: The compact JWS.
        typ: One of ``JWS_KINDS``.
        key: Whose signature it must be; or
        certificate: the certificate with that key. A head names a certificate, so it takes nothing else.

    Raises:
        ExchangeError: It is refused, and why.
    """
    if typ == HEAD:
        return _verify_head(jws, certificate)
    if key is None:
        if certificate is None:
            raise MalformedError(Reason.DOCUMENT_INVALID, "no key to verify with")
        key = certificate_key(certificate)
    try:
        text = jws.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError(Reason.DOCUMENT_INVALID, "not a compact JWS: not ASCII") from None
    if typ == CALLER:
        return VerifiedJws(typ, key_thumbprint(key), _verify_caller(jws, key))
    kind = DocumentKind(typ)
    payload = verify_document(kind, text, key)
    _PARSERS[kind](payload)
    return VerifiedJws(typ, key_thumbprint(key), payload)


def _verify_head(jws: bytes, certificate: x509.Certificate | None) -> VerifiedJws:
    if certificate is None:
        raise MalformedError(
            Reason.HEAD_INVALID, "a head names the certificate it is signed with: give --certificate"
        )
    thumbprint = certificate_thumbprint(certificate)
    verified = verify_head(jws, {thumbprint: certificate})
    return VerifiedJws(HEAD, thumbprint, encode_head(parse_head(verified.jws).unverified))


def _verify_caller(token: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """The door's own form and signature; who is asked, and when, is the door's."""
    unverified = parse_token(token)
    if unverified.kid != key_thumbprint(key):
        raise BadSignatureError("the token is signed by another key")
    unverified.require_signature(key)
    return unverified.payload
