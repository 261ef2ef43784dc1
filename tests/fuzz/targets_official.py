"""Parsers of what people hold of an agency: the code that a document shows, and its file."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

import msgspec
from cryptography import x509

from adapters.document_commands import verify_file
from adapters.kit.pdf import Sheet, make_pdf
from core.documents import MalformedDocumentError, encode
from core.language import Text
from core.official import OfficialClaims, parse_official
from pki.official import sign_official, verify_official
from tests.fuzz import seeds
from tests.fuzz.target import BrokenPromiseError, Target
from tests.support.certificates import NOW, NOW_MS, uri


def _claims(data: bytes) -> OfficialClaims:
    """Whatever is read can be written, and is read again as the same."""
    found = parse_official(data)
    if parse_official(encode(found)) != found:
        raise BrokenPromiseError("written and read again it says otherwise")
    return found


@cache
def _chain() -> tuple[x509.Certificate, ...]:
    """The certificate of the agency's document key, its authority's, the root."""
    country = seeds.country()
    leaf = country.seal.but(names=[uri(f"urn:passerelle:adapter:{seeds.official().iss}")])
    return (leaf.build(), country.seal_ca.build(), country.root.build())


def _signed(sha256: str) -> str:
    claims = msgspec.structs.replace(seeds.official(), iat=int(NOW.timestamp()), sha256=sha256)
    return sign_official(claims, seeds.country().leaf_key)


def _code_of(jws: str) -> str:
    """The digits of its QR code, out of a document in which it is drawn."""
    sheet = Sheet(Text("", ""), seeds.official().iss, ())
    drawn, _ = make_pdf(sheet, lambda _: jws)
    return drawn.partition(b" ID\n")[2].partition(b">")[0].decode()


@cache
def _file() -> bytes:
    """A document with nothing in it but what makes it one: a real one has fonts beside, more than libFuzzer changes."""
    draft = _signed("0" * 64)
    frame = "/Keywords (%s)\nBI ID\n%s>\nEI\n"
    empty = frame % ("0" * len(draft), "0" * len(_code_of(draft)))
    jws = _signed(hashlib.sha256(empty.encode()).hexdigest())
    return (frame % (jws, _code_of(jws))).encode()


def _code(data: bytes) -> str:
    """Any text as a code: none verifies but the one that was signed, as it was written."""
    *chain, root = _chain()
    jws = data.decode("latin-1")
    verify_official(jws, chain, root, now_ms=NOW_MS)
    return jws


def _document(data: bytes) -> bytes:
    """Any file: none verifies but the one that was signed, byte for byte."""
    *chain, root = _chain()
    verify_file(data, chain, root, now_ms=NOW_MS)
    return data


TARGETS: Final = {
    "official-claims": Target(_claims, lambda: seeds.encoded(seeds.official()), (MalformedDocumentError,)),
    "official-code": Target(
        _code,
        lambda: [_signed("0" * 64).encode(), *seeds.vectors("signed_documents")],
        encode=lambda _: _signed("0" * 64).encode(),
    ),
    "official-file": Target(
        _document,
        lambda: [_file(), _file() * 2, _file().replace(b")", b"A)", 1), b"/Keywords (ey.A.A)"],
        encode=lambda _: _file(),
    ),
}
