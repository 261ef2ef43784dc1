"""The one form of our signed documents: compact JWS, exact header (PROTOCOL M8). Form only, no keys."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from core.documents import MAX_DOCUMENT_BYTES, MalformedDocumentError
from core.heads import MalformedHeadError, unb64url

_HEADER = re.compile(rb'\{"alg":"ES256","typ":"([a-z-]+\+jwt)","kid":"([A-Za-z0-9_-]{43})"\}')
_SIGNATURE_BYTES: Final = 64


class DocumentKind(StrEnum):
    """The ``typ`` of each document that a member key signs, or for OFFICIAL an agency's document key.

    A verifier takes exactly one.
    """

    AGREEMENT = "agreement+jwt"
    REGISTRATION = "registration+jwt"
    MEMBER_SUCCESSOR = "member-successor+jwt"
    OFFICIAL = "document+jwt"


class UnverifiedDocument(msgspec.Struct, frozen=True):
    """A document whose form is right and whose signature nobody has checked here.

    Attributes:
        signing_input: What the signature covers.
        kid: Thumbprint of the member key it claims.
        signature: Raw ``r || s``, 64 bytes.
        unverified_payload: The payload bytes.
    """

    signing_input: bytes
    kid: str
    signature: bytes
    unverified_payload: bytes


def document_header(kind: DocumentKind, kid: str) -> bytes:
    """The one allowed JOSE header of ``kind``."""
    return b'{"alg":"ES256","typ":"%s","kid":"%s"}' % (kind.encode("ascii"), kid.encode("ascii"))


def parse_document(kind: DocumentKind, jws: str) -> UnverifiedDocument:
    """Take a compact JWS apart.

    Raises:
        MalformedDocumentError: Not the written form, or a document of another kind.
    """
    if len(jws) > 2 * MAX_DOCUMENT_BYTES or not jws.isascii():
        raise MalformedDocumentError("signed document: too long or not ASCII")
    parts = jws.encode("ascii").split(b".")
    if len(parts) != 3:
        raise MalformedDocumentError("signed document: not a compact JWS")
    try:
        header, payload, signature = map(unb64url, parts)
    except MalformedHeadError as error:
        raise MalformedDocumentError(f"signed document: {error}") from None
    found = _HEADER.fullmatch(header)
    if not found or found[1] != kind.encode("ascii"):
        raise MalformedDocumentError(f"signed document: the header is not that of a {kind}")
    if len(signature) != _SIGNATURE_BYTES:
        raise MalformedDocumentError("signed document: signature is not 64 bytes")
    return UnverifiedDocument(parts[0] + b"." + parts[1], found[2].decode("ascii"), signature, payload)
