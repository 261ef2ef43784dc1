"""What shows who somebody is: documents that were given out, whether they were revoked, and photographs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from adapters.identity.records import npi_of, numbers_of, subject_of
from adapters.identity.store import KIT
from adapters.identity.tables import PHOTOS, REVOCATIONS
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2
from core.documents import MalformedDocumentError
from core.jws import DocumentKind, parse_document
from core.official import parse_official

_READ: Final = sa.text(
    "INSERT INTO photo_reading (client, issue, read_at) VALUES (:client, :issue, :read_at) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A document that the register gave out; ``valid_until`` in UTC milliseconds, 0 for ever."""

    kind: document_pb2.DocumentType.ValueType
    npi: str = field(repr=False)
    valid_until: int
    revoked: bool


def find_by_number(tx: sa.Connection, doc_id: str) -> Issued | None:
    """The document of that number."""
    return _find(tx, KIT.document.c.doc_id == doc_id)


def find_by_jwt(tx: sa.Connection, jwt: str) -> Issued | None:
    """The document that shows exactly this JWT: what was signed here is kept, so no signature need be checked."""
    doc_id = _unverified_number(jwt)
    if doc_id is None:
        return None
    return _find(tx, sa.and_(KIT.document.c.doc_id == doc_id, KIT.document.c.qr_jwt == jwt))


def revoke(tx: sa.Connection, npi: str, now_ms: int) -> list[str]:
    """Revoke all that still holds of somebody: it says what the register does not say any more. Returns the numbers.

    Dossiers that were opened under a number merged into ``npi`` are his: what they gave out since names his record.
    """
    subjects = [subject_of(one) for one in numbers_of(tx, npi)]
    holding = (
        sa.select(KIT.document.c.doc_id)
        .join(KIT.dossier, KIT.dossier.c.reference == KIT.document.c.reference)
        .outerjoin(REVOCATIONS, REVOCATIONS.c.doc_id == KIT.document.c.doc_id)
        .where(KIT.dossier.c.subject.in_(subjects), REVOCATIONS.c.doc_id.is_(None))
        .where(sa.or_(KIT.document.c.valid_until == 0, KIT.document.c.valid_until >= now_ms))
        .order_by(KIT.document.c.doc_id)
    )
    numbers = list(tx.execute(holding).scalars())
    if numbers:
        tx.execute(REVOCATIONS.insert(), [{"doc_id": one, "revoked_at": now_ms} for one in numbers])
    return numbers


def read_photo(tx: sa.Connection, npi: str, *, client: str, issue: str, now_ms: int) -> tuple[bytes, str]:
    """A photograph and the day on which it was taken; noted as the one of this dossier.

    Raises:
        ProviderError: There is none (NOT_FOUND), or this dossier has had one (RATE_LIMITED).
    """
    found = tx.execute(sa.select(PHOTOS).where(PHOTOS.c.npi == npi)).one_or_none()
    if found is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    if not tx.execute(_READ, {"client": client, "issue": issue, "read_at": now_ms}).rowcount:
        raise ProviderError(ProviderReason.RATE_LIMITED)
    return found.jpeg, found.capture_date


def _find(tx: sa.Connection, condition: sa.ColumnElement[bool]) -> Issued | None:
    query = (
        sa.select(
            KIT.document.c.type, KIT.document.c.valid_until, KIT.dossier.c.subject, REVOCATIONS.c.doc_id
        )
        .join(KIT.dossier, KIT.dossier.c.reference == KIT.document.c.reference)
        .outerjoin(REVOCATIONS, REVOCATIONS.c.doc_id == KIT.document.c.doc_id)
        .where(condition)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    kind = document_pb2.DocumentType.ValueType(row.type)
    return Issued(kind, npi_of(row.subject), row.valid_until, revoked=row.doc_id is not None)


def _unverified_number(jwt: str) -> str | None:
    """The number that a JWT claims to show; none if it has not the form of those that are signed here."""
    try:
        return parse_official(parse_document(DocumentKind.OFFICIAL, jwt).unverified_payload).doc_id
    except MalformedDocumentError:
        return None
