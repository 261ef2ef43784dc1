"""Digests of what a statement carries (PROTOCOL M11), and the metadata blob."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from core.reasons import MalformedError, Reason

SALT_BYTES: Final = 16
PAYLOAD_OVERHEAD: Final = 4 + SALT_BYTES + 1  # what a body adds to the bytes of each payload
MAX_PAYLOADS: Final = 66  # 64 messages of a segment, initial and trailing metadata

_sha256 = hashlib.sha256
_length = struct.Struct(">I")
_FLAGS: Final = (b"\x00", b"\x01")
# From so many bytes on a payload is hashed where it lies: a copy of a megabyte costs more than the hash.
_HASHED_IN_PLACE: Final = 64 * 1024

Metadata = tuple[tuple[bytes, bytes], ...]
Payload = tuple[bytes, int, bytes]  # salt, gRPC compressed flag (0 or 1), bytes


def payload_digest(salt: bytes, flag: int, data: bytes) -> str:
    """SHA-256(salt || flag || data) as 64 hex digits; the salt keeps small answers from being guessed."""
    return _sha256(salt + _FLAGS[flag] + data).hexdigest()


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
    found: list[bytes] = []
    at, size = 0, len(blob)
    while at < size:
        begin = at + 4
        if begin > size:
            raise MalformedError(Reason.STATEMENT_INVALID, "metadata blob is cut short")
        at = begin + _length.unpack_from(blob, at)[0]
        found.append(blob[begin:at])
    if at != size or len(found) % 2:
        raise MalformedError(Reason.STATEMENT_INVALID, "metadata blob is cut short")
    return tuple(zip(found[::2], found[1::2], strict=True))


def salted_payloads(
    parts: Sequence[tuple[int, bytes]], random: Callable[[int], bytes]
) -> tuple[bytes, list[str]]:
    """Flags and bytes with fresh salts, as one body that travels and is kept, and the digest of each."""
    pieces: list[bytes] = []
    digests: list[str] = []
    salts = random(SALT_BYTES * len(parts))
    for at, (flag, data) in zip(range(0, len(salts), SALT_BYTES), parts, strict=True):
        begin = salts[at : at + SALT_BYTES] + _FLAGS[flag]
        if len(data) < _HASHED_IN_PLACE:
            covered = begin + data
            pieces += (_length.pack(len(data)), covered)
            digests.append(_sha256(covered).hexdigest())
        else:
            digest = _sha256(begin)
            digest.update(data)
            pieces += (_length.pack(len(data)), begin, data)
            digests.append(digest.hexdigest())
    return b"".join(pieces), digests


def read_payloads(body: bytes) -> tuple[list[str], list[tuple[int, bytes]]]:
    """The digest of each payload of a body, and its flag and bytes; raises ``MalformedError``."""
    digests: list[str] = []
    parts: list[tuple[int, bytes]] = []
    view = memoryview(body)
    for begin, end in _spans(body):
        digests.append(_sha256(view[begin:end]).hexdigest())
        data = begin + SALT_BYTES + 1
        parts.append((body[data - 1], body[data:end]))
    return digests, parts


def encode_payloads(payloads: Iterable[Payload]) -> bytes:
    """Payloads as one body: per payload u32 BE length of the bytes, 16-byte salt, u8 flag, bytes.

    What a digest covers stands in one piece, so a body is hashed as it travels, and sealed as it was hashed.
    """
    parts: list[bytes] = []
    for salt, flag, data in payloads:
        parts += (_length.pack(len(data)), salt, _FLAGS[flag], data)
    return b"".join(parts)


def decode_payloads(body: bytes) -> tuple[Payload, ...]:
    """Strict inverse of ``encode_payloads``; raises ``MalformedError``."""
    return tuple(
        [
            (body[begin : begin + SALT_BYTES], body[begin + SALT_BYTES], body[begin + SALT_BYTES + 1 : end])
            for begin, end in _spans(body)
        ]
    )


def _spans(body: bytes) -> list[tuple[int, int]]:
    """Where salt, flag and bytes of each payload stand; raises ``MalformedError``."""
    spans: list[tuple[int, int]] = []
    at, size = 0, len(body)
    while at < size:
        begin = at + 4
        if begin + SALT_BYTES >= size or body[begin + SALT_BYTES] > 1 or len(spans) == MAX_PAYLOADS:
            raise MalformedError(Reason.STATEMENT_INVALID, "a body is malformed")
        at = begin + SALT_BYTES + 1 + _length.unpack_from(body, at)[0]
        if at > size:
            raise MalformedError(Reason.STATEMENT_INVALID, "a body is cut short")
        spans.append((begin, at))
    return spans
