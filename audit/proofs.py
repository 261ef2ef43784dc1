"""Files of RFC 9162 proofs, as DESIGN section 3 writes them and as ``proofs/`` of a container holds them.

A proof file has exactly the members of its kind, each once: two readers could take two meanings from more.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from core import merkle
from core.documents import decode_strict
from core.language import Text
from core.merkle import HASH_BYTES, ProofError
from core.reasons import MalformedError, Reason

MAX_FILE_BYTES: Final = 1024 * 1024

_T = TypeVar("_T", bound=msgspec.Struct)
_HEX = re.compile(r"[0-9a-fA-F]{64}")


class InclusionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"leaf_hash" | "leaf_base64", "index", "size", "proof": [], "root"}``."""

    index: int
    size: int
    proof: list[str]
    root: str
    leaf_hash: str | None = None
    leaf_base64: str | None = None


class ConsistencyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"size1", "root1", "size2", "root2", "proof": []}``."""

    size1: int
    root1: str
    size2: int
    root2: str
    proof: list[str]


_OTHER_COMMAND: Final = {
    InclusionFile: Text("passerelle audit verify-inclusion", "passerelle audit verify-inclusion"),
    ConsistencyFile: Text("passerelle audit verify-consistency", "passerelle audit verify-consistency"),
}


def read_proof(path: Path, other: type[InclusionFile] | type[ConsistencyFile]) -> bytes:
    """The bytes of a proof file, if it is not one of the ``other`` kind.

    Raises:
        MalformedError: ``DOCUMENT_INVALID``: it is well formed, and proves something else.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    try:
        _decode(data, other)
    except ProofError:
        return data
    raise MalformedError(
        Reason.DOCUMENT_INVALID, f"{path.name!a} is a proof of the other kind", remedy=_OTHER_COMMAND[other]
    )


def verify_inclusion_file(data: bytes) -> dict[str, Any]:
    """Verify an inclusion proof; returns index, size and root. Raises ``ProofError``."""
    found = _decode(data, InclusionFile)
    if (found.leaf_hash is None) == (found.leaf_base64 is None):
        raise ProofError("a proof has either leaf_hash or leaf_base64")
    hashed = (
        _hash(found.leaf_hash)
        if found.leaf_hash is not None
        else merkle.leaf_hash(_base64(found.leaf_base64 or ""))
    )
    root, path = _hash(found.root), list(map(_hash, found.proof))
    merkle.verify_inclusion(hashed, index=found.index, size=found.size, path=path, root=root)
    return {"index": found.index, "size": found.size, "root": root.hex()}


def verify_consistency_file(data: bytes) -> dict[str, Any]:
    """Verify a consistency proof; returns sizes and the newer root. Raises ``ProofError``."""
    found = _decode(data, ConsistencyFile)
    root2 = _hash(found.root2)
    merkle.verify_consistency(
        size1=found.size1,
        root1=_hash(found.root1),
        size2=found.size2,
        root2=root2,
        proof=list(map(_hash, found.proof)),
    )
    return {"size1": found.size1, "size2": found.size2, "root2": root2.hex()}


def _decode(data: bytes, kind: type[_T]) -> _T:
    try:
        return decode_strict(data, kind, max_bytes=MAX_FILE_BYTES)
    except MalformedError as error:
        raise ProofError(str(error)) from None


def _hash(text: str) -> bytes:
    """64 hex digits, or padded base64 of 32 bytes."""
    found = bytes.fromhex(text) if _HEX.fullmatch(text) else _base64(text)
    if len(found) != HASH_BYTES:
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
    return found


def _base64(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        raise ProofError("not padded base64") from None
    if base64.b64encode(found).decode("ascii") != text:
        raise ProofError("not padded base64 in its one written form")
    return found
