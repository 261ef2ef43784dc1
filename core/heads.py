"""Signed tree heads: what a gateway says its log is (PROTOCOL M6). Form only; keys live in ``pki``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

import msgspec

from core.identifiers import GatewayId, require_log_id
from core.merkle import MAX_SIZE
from core.reasons import MalformedError, Reason
from core.times import MAX_TIME_MS

MAX_HEAD_BYTES: Final = 2048
_SIGNATURE_BYTES: Final = 64
_HEADER = re.compile(rb'\{"alg":"ES256","typ":"tree-head\+jwt","x5t#S256":"([A-Za-z0-9_-]{43})"\}')


class MalformedHeadError(MalformedError):
    """Bytes that are no signed tree head."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.HEAD_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class ConfigurationMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which global configuration was in force: version and SHA-256 of ``targets.json``."""

    version: int
    digest: str


class TreeHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a head says; two heads are compared by ``(log, size, root)``, never by signature bytes.

    Attributes:
        v: Format version, 1.
        log: Log id, 64 hex digits.
        gateway: Whose log it is, ``BJ/GOV/ANIP/gw1`` (or the registry).
        size: Number of leaves, at least 1.
        root: Merkle root over them, 64 hex digits.
        iat: UTC seconds; never falls while ``size`` grows.
        cfg: The configuration in force; null before the first.
    """

    v: int
    log: str
    gateway: str
    size: int
    root: str
    iat: int
    cfg: ConfigurationMark | None


class UnverifiedHead(msgspec.Struct, frozen=True):
    """A head whose form is right and whose signature nobody has checked yet."""

    signing_input: bytes
    thumbprint: str
    signature: bytes
    unverified: TreeHead


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TreeHead)


def b64url(data: bytes) -> bytes:
    """Unpadded base64url (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64url(text: bytes) -> bytes:
    """Strict inverse of ``b64url``: no padding, no other alphabet, no stray bits."""
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise MalformedHeadError("not base64url") from None
    if b64url(data) != text:
        raise MalformedHeadError("not canonical base64url")
    return data


def head_digest(jws: bytes) -> str:
    """SHA-256 of a head's JWS bytes, as ``heard`` leaves name it."""
    return hashlib.sha256(jws).hexdigest()


def head_header(thumbprint: str) -> bytes:
    """The one allowed JOSE header, compared as bytes by the verifier."""
    return b'{"alg":"ES256","typ":"tree-head+jwt","x5t#S256":"%s"}' % thumbprint.encode("ascii")


def encode_head(head: TreeHead) -> bytes:
    """The payload bytes of ``head``."""
    return _encoder.encode(head)


def parse_head(jws: bytes) -> UnverifiedHead:
    """Take a compact JWS apart; every deviation from the one written form is refused.

    Raises:
        MalformedHeadError: Header, payload or signature is not as ``docs/protocol/tree-head.md`` says.
    """
    if len(jws) > MAX_HEAD_BYTES:
        raise MalformedHeadError("too long")
    parts = jws.split(b".")
    if len(parts) != 3:
        raise MalformedHeadError("not a compact JWS")
    header = _HEADER.fullmatch(unb64url(parts[0]))
    if not header:
        raise MalformedHeadError("another header than the one that is allowed")
    signature = unb64url(parts[2])
    if len(signature) != _SIGNATURE_BYTES:
        raise MalformedHeadError("signature is not 64 bytes")
    return UnverifiedHead(
        signing_input=parts[0] + b"." + parts[1],
        thumbprint=header[1].decode("ascii"),
        signature=signature,
        unverified=_parse_payload(unb64url(parts[1])),
    )


def _parse_payload(payload: bytes) -> TreeHead:
    try:
        head = _decoder.decode(payload)
        require_log_id(head.log)
        require_log_id(head.root)
        if head.cfg:
            require_log_id(head.cfg.digest)
        GatewayId.parse(head.gateway)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedHeadError(f"payload: {str(error)[:120]!a}") from None
    if head.v != 1 or not 1 <= head.size <= MAX_SIZE or not 0 <= head.iat * 1000 <= MAX_TIME_MS:
        raise MalformedHeadError("payload: value out of range")
    if _encoder.encode(head) != payload:
        raise MalformedHeadError("payload is not canonical")
    return head
