"""P-256 keys in files, their thumbprints, and ES256 as PROTOCOL M6 wants it: raw, low s, deterministic.

P-256 everywhere: gRPC's TLS refuses Ed25519 (DESIGN section 7).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from core.reasons import ExchangeError, MalformedError, Reason
from rpc.files import read_private, write_private
from rpc.names import certificate_thumbprint, subject_of

__all__ = [
    "BadSignatureError",
    "certificate_key",
    "certificate_pem",
    "certificate_thumbprint",
    "chain_pem",
    "generate_key",
    "key_pem",
    "key_thumbprint",
    "load_chain",
    "load_crl",
    "load_public_key",
    "public_key_der",
    "public_key_pem",
    "read_key",
    "require_p256",
    "sign_es256",
    "verify_es256",
    "verify_jws_es256",
    "write_key",
]

MAX_KEY_BYTES: Final = 16 * 1024

# The order of P-256's base point (SEC 2, section 2.4.2). With s also n - s verifies: only the lower is ours.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_ORDER: Final = _ORDER // 2
_SIGN: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)  # RFC 6979
_VERIFY: Final = ec.ECDSA(hashes.SHA256())


class BadSignatureError(MalformedError):
    """A signature that is not this key's, or not in its one written form."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.SIGNATURE_INVALID, text)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def generate_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write ``key`` as PKCS #8 PEM into a new file of mode 0600.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: a key is never overwritten.
    """
    write_private(path, key_pem(key))


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a P-256 key from a file that only its owner can read.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``.
    """
    data = read_private(path, max_bytes=MAX_KEY_BYTES)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message could quote the file.
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{path} holds no unencrypted PEM key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{path} holds no P-256 key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 PEM, unencrypted: for files of mode 0600 and for TLS libraries only."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """The SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key_pem(key: ec.EllipticCurvePublicKey) -> str:
    """The SubjectPublicKeyInfo as PEM, as member documents hold it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def load_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Read a P-256 SubjectPublicKeyInfo.

    Raises:
        MalformedError: It is another key, or none.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedError(Reason.DOCUMENT_INVALID, "not a PEM public key") from None
    return require_p256(key)


def require_p256(key: object) -> ec.EllipticCurvePublicKey:
    """``key``, if it is a P-256 public key; raises ``MalformedError``."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError(Reason.DOCUMENT_INVALID, "not a P-256 key")
    return key


def certificate_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The P-256 key of a certificate; raises ``MalformedError`` for any other, even one nobody knows."""
    try:
        return require_p256(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedError(
            Reason.CERTIFICATE_INVALID, f"{subject_of(certificate)} has no P-256 key"
        ) from None


def key_thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, base64url, unpadded (PROTOCOL M8)."""
    return _b64url(hashlib.sha256(public_key_der(key)).digest())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def chain_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as PEM, in the order given: a chain has its leaf first."""
    return b"".join(map(certificate_pem, certificates))


def load_chain(pem: bytes | str) -> list[x509.Certificate]:
    """Read one or more PEM certificates.

    Raises:
        MalformedError: ``CERTIFICATE_INVALID``: there is none, or one cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(pem.encode("ascii") if isinstance(pem, str) else pem)
    except (ValueError, x509.InvalidVersion):
        raise MalformedError(Reason.CERTIFICATE_INVALID, "not PEM certificates") from None


def load_crl(pem: bytes) -> x509.CertificateRevocationList:
    """Read a PEM revocation list; raises ``MalformedError``: ``CERTIFICATE_INVALID``."""
    try:
        return x509.load_pem_x509_crl(pem)
    except (ValueError, x509.InvalidVersion):
        raise MalformedError(Reason.CERTIFICATE_INVALID, "not a PEM revocation list") from None


def sign_es256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """ES256 (RFC 7518, section 3.4): ``r || s``, 64 bytes, low s; the same bytes each time (RFC 6979)."""
    r, s = decode_dss_signature(key.sign(data, _SIGN))
    if s > _HALF_ORDER:
        s = _ORDER - s
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_es256(key: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
    """Check an ES256 signature; the high-s twin of a signature is refused, so each has one written form.

    Raises:
        BadSignatureError: It is not this key's signature over ``data``.
    """
    if int.from_bytes(signature[32:], "big") > _HALF_ORDER:
        raise BadSignatureError("the signature is not in low-s form")
    verify_jws_es256(key, data, signature)


def verify_jws_es256(key: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
    """Check an ES256 signature as RFC 7518 has it, made by anybody's JWT library: those leave s as it falls.

    Only for what is verified and forgotten. What is kept, named by its digest or signed again has one written
    form: ``verify_es256``.

    Raises:
        BadSignatureError: It is not this key's signature over ``data``.
    """
    if len(signature) != 64:
        raise BadSignatureError("the signature is not 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, _VERIFY)
    except InvalidSignature:
        raise BadSignatureError("the signature does not verify") from None


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
