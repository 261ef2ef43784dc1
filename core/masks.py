"""Field masks (PROTOCOL M11): how a statement names the mask it was cut to, and what it was cut from. Pure.

What was cut stays with the provider, and so does the salt of its digest: who held it could guess at the rest.
Whoever is shown both, the salt in the provider's log and the message as the ministry's own records have it, recomputes
the digest, and the cut with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from core.payloads import SALT_BYTES, payload_digest
from core.statements import Cut, Statement
from core.streams import messages_of


def mask_digest(paths: Sequence[str]) -> str:
    """How statements name a mask: SHA-256 of its paths as the agreement has them, as JSON without blanks."""
    return hashlib.sha256(msgspec.json.encode(list(paths))).hexdigest()


def original_digest(digests: Sequence[str]) -> str:
    """The digest of all that was cut: of one message its own; of several SHA-256 of theirs, in order."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def is_cut_of(cut: Cut, salts: bytes, originals: Sequence[tuple[int, bytes]]) -> bool:
    """Whether ``cut`` speaks of these messages, flag and bytes as the adapter sent them, under these salts."""
    if len(salts) != SALT_BYTES * len(originals):
        return False
    begins = range(0, len(salts), SALT_BYTES)
    digests = [
        payload_digest(salts[at : at + SALT_BYTES], flag, data)
        for at, (flag, data) in zip(begins, originals, strict=True)
    ]
    return original_digest(digests) == cut.original


def objection_to_cut(statement: Statement, field_mask: Mapping[str, Sequence[str]] | None) -> str:
    """What is wrong with what a response says of its cut, by the ``field_mask`` of its agreement; empty if nothing is."""
    method = (statement.method or "").partition("/")[2]
    paths = (field_mask or {}).get(method)
    if statement.kind != "response" or not messages_of(statement):
        return ""  # that nothing is said to be cut is its form
    if paths is None:
        return "fields are said to be cut, and all are granted" if statement.cut else ""
    if statement.cut is None:
        return "no fields are said to be cut, and not all are granted"
    return (
        "" if statement.cut.mask == mask_digest(paths) else "it was cut to another mask than the agreement's"
    )
