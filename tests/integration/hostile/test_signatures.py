"""One key, everything that this country signs: no signature is ever taken for one of another kind.

Roles have keys of their own; the test gives them the same, so that nothing but the form keeps the kinds apart.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from core.heads import MalformedHeadError, TreeHead, b64url
from core.jws import DocumentKind
from core.reasons import MalformedError
from pki.documents import sign_document, verify_document
from pki.heads import HeadSigner, verify_head
from pki.keys import certificate_thumbprint, generate_key, key_thumbprint, sign_es256

KEY = generate_key()
NOW = datetime(2026, 11, 27, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "everything")])


@dataclass(frozen=True)
class Signed:
    """Exact bytes, and ``r || s`` over them."""

    data: bytes
    signature: bytes

    @property
    def der(self) -> bytes:
        """The signature as X.509 and TUF write it."""
        half = len(self.signature) // 2
        return encode_dss_signature(
            int.from_bytes(self.signature[:half], "big"), int.from_bytes(self.signature[half:], "big")
        )


def from_jws(jws: str | bytes) -> Signed:
    text = jws.encode() if isinstance(jws, str) else jws
    data = text.rpartition(b".")[0]
    return Signed(data, sign_es256(KEY, data))


def from_der(data: bytes, signature: bytes) -> Signed:
    r, s = decode_dss_signature(signature)
    return Signed(data, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def self_signed() -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(KEY, hashes.SHA256())


CERTIFICATE = self_signed()


def head() -> Signed:
    claims = TreeHead(1, "a" * 64, "BJ/GOV/ANIP/gw1", 7, "b" * 64, 1_790_000_000, None)
    return from_jws(HeadSigner(KEY, CERTIFICATE).sign(claims))


def token() -> Signed:
    header = {"alg": "ES256", "typ": "caller+jwt", "kid": key_thumbprint(KEY.public_key())}
    claims = {"iss": "BJ/GOV/PNS/PORTAIL/web", "aud": "BJ/GOV/PNS/gw1", "iat": 1, "exp": 2, "jti": "1"}
    data = b".".join(b64url(json.dumps(one).encode()) for one in (header, claims))
    return Signed(data, sign_es256(KEY, data))


def tuf_targets() -> Signed:
    metadata = Metadata(Targets(version=1, expires=NOW))
    return Signed(metadata.signed_bytes, sign_es256(KEY, metadata.signed_bytes))


def certificate() -> Signed:
    return from_der(CERTIFICATE.tbs_certificate_bytes, CERTIFICATE.signature)


def request() -> Signed:
    made = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, hashes.SHA256())
    return from_der(made.tbs_certrequest_bytes, made.signature)


def revocations() -> Signed:
    builder = x509.CertificateRevocationListBuilder().issuer_name(NAME).last_update(NOW)
    made = builder.next_update(NOW + timedelta(days=1)).sign(KEY, hashes.SHA256())
    return from_der(made.tbs_certlist_bytes, made.signature)


def document(kind: DocumentKind) -> Callable[[], Signed]:
    return lambda: from_jws(sign_document(kind, b'{"v":1}', KEY))


MADE: dict[str, Callable[[], Signed]] = {
    "tree head": head,
    **{str(kind): document(kind) for kind in DocumentKind},
    "caller token": token,
    "TUF": tuf_targets,
    "certificate": certificate,
    "certificate request": request,
    "revocation list": revocations,
}


# --- Each verifier, given the bytes and the signature in the form that it reads ---


def jws_of(signed: Signed) -> bytes:
    return signed.data + b"." + b64url(signed.signature)


def der_of(signed: Signed) -> bytes:
    """SEQUENCE of what is signed, ecdsa-with-SHA256, BIT STRING."""
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return _tlv(0x30, signed.data + algorithm + _tlv(0x03, b"\0" + signed.der))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def takes_head(signed: Signed) -> bool:
    with suppress(MalformedHeadError):
        verify_head(jws_of(signed), {certificate_thumbprint(CERTIFICATE): CERTIFICATE})
        return True
    return False


def takes_document(kind: DocumentKind) -> Callable[[Signed], bool]:
    def takes(signed: Signed) -> bool:
        with suppress(MalformedError, UnicodeDecodeError):
            verify_document(kind, jws_of(signed).decode(), KEY.public_key())
            return True
        return False

    return takes


def takes_tuf(signed: Signed) -> bool:
    signer = CryptoSigner(KEY)
    root = Root(expires=NOW)
    root.add_key(signer.public_key, "targets")
    signatures = [{"keyid": signer.public_key.keyid, "sig": signed.der.hex()}]
    with suppress(RepositoryError, ValueError):
        text = b'{"signatures":%s,"signed":%s}' % (json.dumps(signatures).encode(), signed.data)
        found: Metadata[Targets] = Metadata.from_bytes(text)
        root.verify_delegate("targets", found.signed_bytes, found.signatures)
        return True
    return False


def takes_certificate(signed: Signed) -> bool:
    with suppress(ValueError, InvalidSignature):
        x509.load_der_x509_certificate(der_of(signed)).verify_directly_issued_by(CERTIFICATE)
        return True
    return False


def takes_request(signed: Signed) -> bool:
    with suppress(ValueError):
        return x509.load_der_x509_csr(der_of(signed)).is_signature_valid
    return False


def takes_revocations(signed: Signed) -> bool:
    with suppress(ValueError):
        return x509.load_der_x509_crl(der_of(signed)).is_signature_valid(KEY.public_key())
    return False


TAKES: dict[str, Callable[[Signed], bool]] = {
    "tree head": takes_head,
    **{str(kind): takes_document(kind) for kind in DocumentKind},
    "TUF": takes_tuf,
    "certificate": takes_certificate,
    "certificate request": takes_request,
    "revocation list": takes_revocations,
}


@pytest.mark.parametrize(("made", "taken"), list(itertools.product(MADE, TAKES)))
def test_signature_reuse_across_kinds_is_refused(made: str, taken: str) -> None:
    """Every signed thing of ours presented as every other: accepted as what it is, and as nothing else."""
    assert TAKES[taken](MADE[made]()) == (made == taken)


def test_the_key_is_the_same_everywhere() -> None:
    """Else the test above would show nothing."""
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    assert CERTIFICATE.public_key() == KEY.public_key()
