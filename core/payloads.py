"""Digests of what a statement carries (PROTOCOL M11), and the metadata blob."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

from core.reasons import MalformedError, Reason

SALT_BYTES: Final = 16

_sha256 = hashlib.sha256
_length = struct.Struct(">I")

Metadata = tuple[tuple[bytes, bytes], ...]
Payload = tuple[bytes, int, bytes]  # salt, gRPC compressed flag (0 or 1), bytes


def payload_digest(salt: bytes, flag: int, data: bytes) -> str:
    """SHA-256(salt || flag || data) as 64 hex digits; the salt keeps small answers from being guessed."""
    hashed = _sha256(salt + (b"\x01" if flag else b"\x00"))
    hashed.update(data)
    return hashed.hexdigest()


def encode_metadata(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """One blob: per entry u32 BE length + name, u32 BE length + value (``-bin`` decoded), as received."""
    parts: list[bytes] = []
    for name, value in entries:
        parts += (_length.pack(len(name)), name, _length.pack(len(value)), value)
    return b"".join(parts)


def decode_metadata(blob: bytes) -> Metadata:
    """Strict inverse of ``encode_metadata``.

    Raises:
        MalformedError: A length leads past the end.
    """
    entries = []
    at = 0
    while at < len(blob):
        name, at = _take(blob, at)
        value, at = _take(blob, at)
        entries.append((name, value))
    return tuple(entries)


def _take(blob: bytes, at: int) -> tuple[bytes, int]:
    if at + 4 > len(blob):
        raise MalformedError(Reason.STATEMENT_INVALID, "metadata blob is cut short")
    (length,) = _length.unpack_from(blob, at)
    at += 4
    if at + length > len(blob):
        raise MalformedError(Reason.STATEMENT_INVALID, "metadata blob is cut short")
    return blob[at : at + length], at + length


def encode_payloads(payloads: Iterable[Payload]) -> bytes:
    """Payloads as one body to be kept: per payload u8 flag, 16-byte salt, u32 BE length, bytes."""
    parts: list[bytes] = []
    for salt, flag, data in payloads:
        parts += (b"\x01" if flag else b"\x00", salt, _length.pack(len(data)), data)
    return b"".join(parts)


def decode_payloads(body: bytes) -> tuple[Payload, ...]:
    """Strict inverse of ``encode_payloads``; raises ``MalformedError``."""
    payloads = []
    at = 0
    while at < len(body):
        if at + 1 + SALT_BYTES > len(body) or body[at] > 1:
            raise MalformedError(Reason.STATEMENT_INVALID, "kept body is malformed")
        flag, salt = body[at], body[at + 1 : at + 1 + SALT_BYTES]
        data, at = _take(body, at + 1 + SALT_BYTES)
        payloads.append((salt, flag, data))
    return tuple(payloads)
