"""Official documents: what the JWT says that an agency's document shows as a QR code (docs/protocol/official.md)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from core.documents import MalformedDocumentError, decode_strict
from core.identifiers import SubsystemId
from core.reasons import MalformedError

# What a QR code holds that a telephone still reads from paper.
MAX_CLAIMS_BYTES: Final = 1200
# Of the names; the document itself shows all.
MAX_NAMES: Final = 4
_DOC_ID: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{4,38}[A-Z0-9]")
_TYPE: Final = re.compile(r"[A-Z][A-Z_]{1,39}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# The year 9999, in seconds: what is later has no date that could be shown.
_MAX_SECONDS: Final = 253_402_300_799


class OfficialClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The claims of a document, in the order in which they are written.

    Attributes:
        iss: The subsystem that issued it, ``BJ/GOV/ANDF/CADASTRE``.
        doc_id: Its number.
        type: What it is: a ``bj.common.v1.DocumentType`` without its prefix.
        iat: When it was signed, UTC seconds.
        exp: Last instant at which it holds; absent if it holds for ever.
        sha256: Of the document's bytes, this JWT and its QR code in them blanked.
        names: Whose it is, as the document shows them; four at most.
    """

    iss: str
    doc_id: str
    type: str
    iat: int
    exp: int | msgspec.UnsetType = msgspec.UNSET
    sha256: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        SubsystemId.parse(self.iss)
        for pattern, value, name in (
            (_DOC_ID, self.doc_id, "doc_id"),
            (_TYPE, self.type, "type"),
            (_SHA256, self.sha256, "sha256"),
        ):
            if not pattern.fullmatch(value):
                raise ValueError(f"{name} is malformed")
        if len(self.names) > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} names")
        ends = self.exp if isinstance(self.exp, int) else _MAX_SECONDS
        if not 0 <= self.iat <= ends <= _MAX_SECONDS:
            raise ValueError("iat and exp are in no order")


def parse_official(payload: bytes) -> OfficialClaims:
    """Read the claims of a document.

    Raises:
        MalformedDocumentError: They are not exactly those.
    """
    try:
        return decode_strict(payload, OfficialClaims, max_bytes=MAX_CLAIMS_BYTES)
    except MalformedDocumentError:
        raise
    except MalformedError as error:
        raise MalformedDocumentError(f"not OfficialClaims: {error}") from None
