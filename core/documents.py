"""Signed and published documents: UTF-8 JSON, verified as bytes, then parsed strictly (PROTOCOL M15)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, TypeVar

import msgspec

from core.reasons import MalformedError, Reason

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 32

_T = TypeVar("_T", bound=msgspec.Struct)
_encoder = msgspec.json.Encoder()


class MalformedDocumentError(MalformedError):
    """Bytes that are not the document they should be."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.DOCUMENT_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def encode(document: msgspec.Struct) -> bytes:
    """The bytes of ``document``: fields in the order of its type, no blanks, UTF-8."""
    return _encoder.encode(document)


def digest(document: bytes) -> str:
    """SHA-256 of a document's bytes, 64 lower-case hex digits."""
    return hashlib.sha256(document).hexdigest()


def decode_strict(document: bytes, kind: type[_T], *, max_bytes: int = MAX_DOCUMENT_BYTES) -> _T:
    """Parse ``document`` as ``kind``.

    Unknown and duplicate keys are refused: two readers could take two meanings from them. So are
    other encodings than UTF-8, NaN and infinities, deep nesting, and more than ``max_bytes`` bytes.

    Raises:
        MalformedDocumentError: It is not exactly such a document.
    """
    if len(document) > max_bytes:
        raise MalformedDocumentError(f"longer than {max_bytes} bytes")
    if _depth(document) > MAX_DEPTH:
        raise MalformedDocumentError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        # The standard parser tells duplicates, which msgspec does not; msgspec then checks types and names.
        untyped = json.loads(
            document.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
        if b"\\u" in document:
            # An escaped lone surrogate is no character: it could not be written back as UTF-8.
            json.dumps(untyped, ensure_ascii=False).encode("utf-8")
        return msgspec.convert(untyped, kind, strict=True)
    except MalformedDocumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedDocumentError(f"not a {kind.__name__}: {str(error)[:200]!a}") from None


def _depth(document: bytes) -> int:
    """An upper bound of the nesting, without parsing: brackets inside strings count too."""
    deepest = depth = 0
    for byte in document.translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedDocumentError("duplicate key")
    return found


def _no_constant(name: str) -> None:
    raise MalformedDocumentError(f"{name} is not JSON")
