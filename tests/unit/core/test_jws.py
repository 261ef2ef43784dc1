"""Signed documents: one header per kind, compared as bytes (M8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import MalformedDocumentError
from core.heads import b64url
from core.jws import DocumentKind, document_header, parse_document

KID = "K" * 43
PAYLOAD = b'{"v":1}'


def compact(header: bytes, payload: bytes = PAYLOAD, signature: bytes = bytes(64)) -> str:
    return b".".join(map(b64url, (header, payload, signature))).decode("ascii")


HEADER = document_header(DocumentKind.AGREEMENT, KID)
JWS = compact(HEADER)


@pytest.mark.parametrize("kind", list(DocumentKind))
def test_a_document_of_each_kind_is_taken_apart(kind: DocumentKind) -> None:
    """Nobody has checked its signature yet, and the names say so."""
    found = parse_document(kind, compact(document_header(kind, KID)))

    assert (found.kid, found.unverified_payload, found.signature) == (KID, PAYLOAD, bytes(64))


def test_a_document_is_of_one_kind_only() -> None:
    """An agreement can never be read as a registration."""
    for kind in set(DocumentKind) - {DocumentKind.AGREEMENT}:
        with pytest.raises(MalformedDocumentError):
            parse_document(kind, JWS)


FORMS: dict[str, str] = {
    "empty": "",
    "two-parts": "a.b",
    "four-parts": JWS + ".",
    "padded": JWS + "=",
    "not-ascii": JWS[:-1] + "é",
    "blank": " " + JWS,
    "line-feed": JWS + "\n",
    "stray-bits": JWS[:-1] + "B",
    "none-algorithm": compact(HEADER.replace(b"ES256", b"none")),
    "hmac": compact(HEADER.replace(b"ES256", b"HS256")),
    "extra-key": compact(HEADER[:-1] + b',"jku":"http://x"}'),
    "blank-in-header": compact(HEADER.replace(b",", b", ", 1)),
    "other-order": compact(b'{"typ":"agreement+jwt","alg":"ES256","kid":"%s"}' % KID.encode()),
    "short-kid": compact(document_header(DocumentKind.AGREEMENT, "K" * 42)),
    "head-type": compact(HEADER.replace(b"agreement+jwt", b"tree-head+jwt")),
    "upper-case-type": compact(HEADER.replace(b"agreement+jwt", b"Agreement+JWT")),
    "short-signature": compact(HEADER, signature=bytes(63)),
    "der-signature": compact(HEADER, signature=bytes(71)),
    "unsigned": compact(HEADER, signature=b""),
}


@pytest.mark.parametrize("name", FORMS)
def test_other_forms_are_refused(name: str) -> None:
    """Nothing to negotiate, nothing to confuse."""
    with pytest.raises(MalformedDocumentError):
        parse_document(DocumentKind.AGREEMENT, FORMS[name])


@given(st.text(max_size=120))
def test_any_text_is_refused_cleanly(text: str) -> None:
    """Nothing but the one error."""
    with pytest.raises(MalformedDocumentError):
        parse_document(DocumentKind.AGREEMENT, text)
