"""Signed tree heads: one written form, one key, nothing to negotiate (PROTOCOL M6)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from core.documents import MalformedDocumentError
from core.heads import ConfigurationMark, MalformedHeadError, TreeHead, b64url, encode_head, head_header
from core.jws import DocumentKind
from pki.documents import sign_document, verify_document
from pki.heads import HeadSigner, verify_head
from pki.keys import BadSignatureError, certificate_thumbprint, sign_es256, verify_es256
from tests.support.certificates import Country

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HEAD = TreeHead(1, "a" * 64, "BJ/GOV/ANIP/gw1", 7, "b" * 64, 1_790_000_000, ConfigurationMark(3, "c" * 64))
COUNTRY = Country()
CERTIFICATE = COUNTRY.seal.build()
THUMBPRINT = certificate_thumbprint(CERTIFICATE)
KEY = COUNTRY.leaf_key
REGISTERED = {THUMBPRINT: CERTIFICATE}
SIGNED = HeadSigner(KEY, CERTIFICATE).sign(HEAD)


def signed(header: bytes, payload: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    signing_input = b64url(header) + b"." + b64url(payload)
    return signing_input + b"." + b64url(sign_es256(key, signing_input))


def high_s(signature: bytes) -> bytes:
    s = ORDER - int.from_bytes(signature[32:], "big")
    return signature[:32] + s.to_bytes(32, "big")


def test_a_head_verifies_and_tells_what_it_says() -> None:
    """What was signed is what is read."""
    verified = verify_head(SIGNED, REGISTERED)

    assert verified.head == HEAD
    assert verified.certificate == CERTIFICATE
    assert verified.jws == SIGNED
    assert len(verified.digest) == 64


def test_the_header_is_exactly_the_one_that_is_specified() -> None:
    """Fixed order, no blanks, unpadded."""
    header = base64.urlsafe_b64decode(SIGNED.split(b".")[0] + b"==")

    assert header == b'{"alg":"ES256","typ":"tree-head+jwt","x5t#S256":"%s"}' % THUMBPRINT.encode()
    assert b"=" not in SIGNED


def test_signing_twice_gives_the_same_bytes() -> None:
    """Nonces come from key and message (RFC 6979): a bad random source cannot leak the key."""
    assert HeadSigner(KEY, CERTIFICATE).sign(HEAD) == SIGNED


def test_the_signers_certificate_must_be_that_of_its_key() -> None:
    """A head that nobody can verify is not signed in the first place."""
    with pytest.raises(ValueError, match="seal certificate"):
        HeadSigner(COUNTRY.auth_key, CERTIFICATE)


def test_a_signer_does_not_show_its_key() -> None:
    """Tracebacks and logs of a signer hold nothing secret."""
    assert "key=" not in repr(HeadSigner(KEY, CERTIFICATE))


def test_the_high_s_twin_of_a_good_signature_is_refused() -> None:
    """It would verify, and give the same head a second written form."""
    signing_input, _, signature = SIGNED.rpartition(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")

    with pytest.raises(MalformedHeadError, match="low-s"):
        verify_head(signing_input + b"." + b64url(high_s(raw)), REGISTERED)


HEADERS = {
    "other order": b'{"typ":"tree-head+jwt","alg":"ES256","x5t#S256":"%s"}',
    "blank": b'{"alg":"ES256", "typ":"tree-head+jwt","x5t#S256":"%s"}',
    "none": b'{"alg":"none","typ":"tree-head+jwt","x5t#S256":"%s"}',
    "HS256": b'{"alg":"HS256","typ":"tree-head+jwt","x5t#S256":"%s"}',
    "other kind": b'{"alg":"ES256","typ":"agreement+jwt","x5t#S256":"%s"}',
    "upper case": b'{"alg":"ES256","typ":"TREE-HEAD+JWT","x5t#S256":"%s"}',
    "one member more": b'{"alg":"ES256","typ":"tree-head+jwt","x5t#S256":"%s","kid":"x"}',
    "embedded key": b'{"alg":"ES256","typ":"tree-head+jwt","jwk":{},"x5t#S256":"%s"}',
    "twice": b'{"alg":"none","alg":"ES256","typ":"tree-head+jwt","x5t#S256":"%s"}',
    "escaped": b'{"alg":"\\u0045S256","typ":"tree-head+jwt","x5t#S256":"%s"}',
    "kid": b'{"alg":"ES256","typ":"tree-head+jwt","kid":"%s"}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_every_other_header_is_refused(name: str) -> None:
    """Even with a good signature over it: the header is compared as bytes."""
    header = HEADERS[name] % THUMBPRINT.encode()

    with pytest.raises(MalformedHeadError):
        verify_head(signed(header, encode_head(HEAD)), REGISTERED)


PAYLOADS = {
    "other order": lambda p: json.dumps(
        dict(reversed(json.loads(p).items())), separators=(",", ":")
    ).encode(),
    "blank": lambda p: p.replace(b",", b", ", 1),
    "unknown member": lambda p: p[:-1] + b',"x":1}',
    "member twice": lambda p: p[:-1] + b',"size":9}',
    "no root": lambda p: p.replace(b'"root":"' + b"b" * 64 + b'",', b""),
    "size zero": lambda p: p.replace(b'"size":7', b'"size":0'),
    "size as text": lambda p: p.replace(b'"size":7', b'"size":"7"'),
    "size as fraction": lambda p: p.replace(b'"size":7', b'"size":7.0'),
    "negative time": lambda p: p.replace(b"1790000000", b"-1"),
    "upper case root": lambda p: p.replace(b"b" * 64, b"B" * 64),
    "other version": lambda p: p.replace(b'"v":1', b'"v":2'),
    "not JSON": lambda p: b"7",
    "empty": lambda p: b"",
    "not UTF-8": lambda p: p.replace(b"gw1", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_other_payload_is_refused(name: str) -> None:
    """A signed payload that is not in its one form has no meaning."""
    changed: Callable[[bytes], bytes] = PAYLOADS[name]

    with pytest.raises(MalformedHeadError):
        verify_head(signed(head_header(THUMBPRINT), changed(encode_head(HEAD))), REGISTERED)


def test_padding_and_stray_bits_are_refused() -> None:
    """base64url has one spelling here: no padding, no other alphabet, no bits that decoding would drop."""
    stray = SIGNED[:-1] + bytes([SIGNED[-1] + 1])
    variants = [SIGNED + b"==", SIGNED.replace(b".", b"=.", 1), b" " + SIGNED, SIGNED + b"\n", stray]

    for variant in variants:
        with pytest.raises(MalformedHeadError):
            verify_head(variant, REGISTERED)


def test_only_registered_certificates_count() -> None:
    """The certificate is looked up among those registered for the log; a good signature of another is nothing."""
    other = Country()
    theirs = HeadSigner(other.leaf_key, other.seal.build()).sign(HEAD)

    with pytest.raises(MalformedHeadError, match="not registered"):
        verify_head(theirs, REGISTERED)


def test_a_foreign_key_under_a_registered_thumbprint_is_refused() -> None:
    """Naming a certificate is not having its key."""
    forged = signed(head_header(THUMBPRINT), encode_head(HEAD), COUNTRY.auth_key)

    with pytest.raises(MalformedHeadError, match="does not verify"):
        verify_head(forged, REGISTERED)


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (ORDER, 1), (1, 1), (2**256 - 1, 1)])
def test_degenerate_signatures_are_refused(r: int, s: int) -> None:
    """Zero and the curve's order, which broke verifiers elsewhere (CVE-2022-21449)."""
    with pytest.raises(BadSignatureError):
        verify_es256(KEY.public_key(), b"data", r.to_bytes(32, "big") + s.to_bytes(32, "big"))


@pytest.mark.parametrize("length", [0, 63, 65, 70])
def test_signatures_of_other_lengths_are_refused(length: int) -> None:
    """64 bytes, or none: no DER, no truncation."""
    with pytest.raises(BadSignatureError, match="64 bytes"):
        verify_es256(KEY.public_key(), b"data", bytes(length))


def test_a_der_signature_is_refused() -> None:
    """What OpenSSL writes is not what JWS carries."""
    der = KEY.sign(b"data", ec.ECDSA(hashes.SHA256()))

    with pytest.raises(BadSignatureError):
        verify_es256(KEY.public_key(), b"data", der)


@given(st.binary(max_size=200))
def test_whatever_is_signed_verifies_in_low_s_form(data: bytes) -> None:
    """The signer normalises: its own signatures are always of the form that the verifier takes."""
    signature = sign_es256(KEY, data)

    verify_es256(KEY.public_key(), data, signature)
    assert int.from_bytes(signature[32:], "big") <= ORDER // 2


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_with_one_error(data: bytes) -> None:
    """Nothing else than a refusal comes out of the parser."""
    with pytest.raises(MalformedHeadError):
        verify_head(data, REGISTERED)


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, mask: int) -> None:
    """No byte of a head is free."""
    changed = bytearray(SIGNED)
    changed[position] ^= mask

    with pytest.raises(MalformedHeadError):
        verify_head(bytes(changed), REGISTERED)


# --- Documents ----------------------------------------------------------------------------------------------------


def test_each_kind_of_document_is_read_as_that_kind_only() -> None:
    """Every kind presented as every other: none is accepted."""
    for kind in DocumentKind:
        jws = sign_document(kind, b'{"v":1}', KEY)

        assert verify_document(kind, jws, KEY.public_key()) == b'{"v":1}'
        for other in set(DocumentKind) - {kind}:
            with pytest.raises(MalformedDocumentError):
                verify_document(other, jws, KEY.public_key())


def test_a_head_is_no_document_and_a_document_no_head() -> None:
    """The seal key's words and the member key's words never change places, even with one key for both."""
    document = sign_document(DocumentKind.AGREEMENT, encode_head(HEAD), KEY).encode()

    with pytest.raises(MalformedHeadError):
        verify_head(document, REGISTERED)
    with pytest.raises(MalformedDocumentError):
        verify_document(DocumentKind.AGREEMENT, SIGNED.decode(), KEY.public_key())


def test_a_document_names_and_has_the_key_it_is_verified_with() -> None:
    """Neither a good signature under another name nor a good name over another signature."""
    jws = sign_document(DocumentKind.REGISTRATION, b"{}", KEY)
    signing_input, _, _ = jws.rpartition(".")
    forged = f"{signing_input}.{b64url(sign_es256(COUNTRY.auth_key, signing_input.encode())).decode()}"

    with pytest.raises(BadSignatureError, match="another key"):
        verify_document(DocumentKind.REGISTRATION, jws, COUNTRY.auth_key.public_key())
    with pytest.raises(BadSignatureError, match="does not verify"):
        verify_document(DocumentKind.REGISTRATION, forged, KEY.public_key())


def test_the_high_s_twin_of_a_document_is_refused() -> None:
    """Documents are compared by bytes too."""
    signing_input, _, signature = sign_document(DocumentKind.AGREEMENT, b"{}", KEY).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")

    with pytest.raises(BadSignatureError, match="low-s"):
        verify_document(
            DocumentKind.AGREEMENT, f"{signing_input}.{b64url(high_s(raw)).decode()}", KEY.public_key()
        )


@given(st.binary(max_size=300))
def test_a_documents_payload_comes_back_byte_for_byte(payload: bytes) -> None:
    """Bytes are signed, not structures."""
    jws = sign_document(DocumentKind.MEMBER_SUCCESSOR, payload, KEY)

    assert verify_document(DocumentKind.MEMBER_SUCCESSOR, jws, KEY.public_key()) == payload


@given(st.text(max_size=300))
def test_arbitrary_text_is_no_document(text: str) -> None:
    """One error for all that is not the written form."""
    with pytest.raises((MalformedDocumentError, BadSignatureError)):
        verify_document(DocumentKind.AGREEMENT, text, KEY.public_key())


def test_certificates_of_other_keys_cannot_verify_heads() -> None:
    """A certificate with an RSA or P-384 key in the configuration is a refusal, not a crash."""
    plan = COUNTRY.seal.but(key=ec.generate_private_key(ec.SECP384R1()))
    certificate: x509.Certificate = plan.build()
    header = head_header(certificate_thumbprint(certificate))

    with pytest.raises(ValueError, match="P-256"):
        verify_head(
            signed(header, encode_head(msgspec.structs.replace(HEAD, size=8))),
            {certificate_thumbprint(certificate): certificate},
        )
