"""Documents that a member key signs: agreements, registrations, a member key's successor (PROTOCOL M8).

``pki.official`` uses the same form for what an agency's document key signs.

A signature covers bytes; they are verified first and parsed afterwards, by ``core``. Each kind has its own
``typ``, and a verifier takes exactly one: an agreement can never be read as a registration.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from core.heads import b64url
from core.jws import DocumentKind, document_header, parse_document
from pki.keys import BadSignatureError, key_thumbprint, sign_es256, verify_es256

__all__ = ["DocumentKind", "sign_document", "unverified_kid", "verify_document"]


def sign_document(kind: DocumentKind, payload: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """The compact JWS of ``payload``; the same bytes each time."""
    header = document_header(kind, key_thumbprint(key.public_key()))
    signing_input = b64url(header) + b"." + b64url(payload)
    return (signing_input + b"." + b64url(sign_es256(key, signing_input))).decode("ascii")


def verify_document(kind: DocumentKind, jws: str, public_key: ec.EllipticCurvePublicKey) -> bytes:
    """The payload bytes of ``jws``, if ``public_key`` signed them as a document of ``kind``.

    Raises:
        MalformedDocumentError: Not the written form, or a document of another kind.
        BadSignatureError: Another key is named, or the signature is not that key's.
    """
    document = parse_document(kind, jws)
    if document.kid != key_thumbprint(public_key):
        raise BadSignatureError(f"the {kind} is signed by another key")
    verify_es256(public_key, document.signing_input, document.signature)
    return document.unverified_payload


def unverified_kid(kind: DocumentKind, jws: str) -> str:
    """Thumbprint of the key that ``jws`` claims; nothing is verified. Raises ``MalformedDocumentError``."""
    return parse_document(kind, jws).kid
