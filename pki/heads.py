"""Signed tree heads (PROTOCOL M6). On the hot path: one signature per commit, one verification per frame.

Form (exact header, canonical base64url, payload): ``core.heads``. Here: the signature, without any JWT library:
the header is one constant, so there is nothing to negotiate and nothing to confuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from core.heads import MalformedHeadError, TreeHead, b64url, encode_head, head_digest, head_header, parse_head
from pki.keys import BadSignatureError, certificate_key, certificate_thumbprint, sign_es256, verify_es256


@dataclass(frozen=True, slots=True)
class VerifiedHead:
    """A head that a registered seal key signed.

    Attributes:
        head: What it says.
        jws: The bytes that travelled.
        digest: SHA-256 of ``jws``, hex, as ``heard`` leaves name it.
        certificate: Whose key signed it.
    """

    head: TreeHead
    jws: bytes
    digest: str
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class HeadSigner:
    """The seal key at work. It signs heads of logs, and nothing that a peer has chosen.

    Attributes:
        key: The seal key.
        certificate: Its certificate, named in each header.
    """

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate
    _prefix: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if certificate_key(self.certificate) != self.key.public_key():
            raise ValueError("the seal certificate is not that of the seal key")
        header = head_header(certificate_thumbprint(self.certificate))
        object.__setattr__(self, "_prefix", b64url(header) + b".")

    def sign(self, head: TreeHead) -> bytes:
        """The compact JWS of ``head``. The tree is durable already: commit, sign, send."""
        signing_input = self._prefix + b64url(encode_head(head))
        return signing_input + b"." + b64url(sign_es256(self.key, signing_input))


def verify_head(jws: bytes, certificates: Mapping[str, x509.Certificate]) -> VerifiedHead:
    """Check a head against the seal certificates that are registered for its log.

    Args:
        jws: The bytes that travelled.
        certificates: Those certificates, by ``x5t#S256``. The caller has verified their chains, looked them
            up by log and gateway, and compares the head's ``log`` and ``gateway`` with what it expects.

    Raises:
        MalformedHeadError: Form, certificate or signature is not what it must be.
    """
    unverified = parse_head(jws)
    certificate = certificates.get(unverified.thumbprint)
    if certificate is None:
        raise MalformedHeadError("signed with a certificate that is not registered for this log")
    try:
        verify_es256(certificate_key(certificate), unverified.signing_input, unverified.signature)
    except BadSignatureError as error:
        raise MalformedHeadError(str(error)) from None
    return VerifiedHead(unverified.unverified, jws, head_digest(jws), certificate)
