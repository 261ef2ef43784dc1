"""Documents that a ministry signs: a PDF that anybody verifies without a network.

The PDF shows a QR code with a JWT (``typ`` ``document+jwt``, ES256) of the ministry's document key, which tells number,
type, issuer, days and holder. ``issue`` says what is signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from adapters.kit.dossier import Dossier
from adapters.kit.times import timestamp
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2
from core.language import Text

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

MEDIA_TYPE: Final = "application/pdf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document: « Nom · Name », and what stands there."""

    label: Text
    value: str


class Documents:
    """The documents of one ministry."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._table = desk.ministry.tables.document
        # Whoever lists documents has no need of their bytes.
        self._particulars = [column for column in self._table.c if column.name != "content"]

    def issue(
        self,
        tx: sa.Connection,
        reference: str,
        kind: document_pb2.DocumentType.ValueType,
        *,
        title: Text,
        lines: Sequence[Line],
        holder_names: Sequence[str] = (),
        valid_until_ms: int = 0,
    ) -> document_pb2.Document:
        """Sign a document for a dossier and keep it.

        Args:
            tx: The transaction of the grant.
            reference: The dossier.
            kind: What it is.
            title: As it stands at the top.
            lines: What it says, in order.
            holder_names: Whose it is, as the document shows them; also in the QR code.
            valid_until_ms: Last instant at which it holds, UTC milliseconds; 0 for ever.

        Raises:
            ExchangeError: The document key is missing, unreadable, or its certificate expired.
        """
        raise NotImplementedError

    def of(self, tx: sa.Connection, reference: str) -> list[document_pb2.Document]:
        """The documents of a dossier, the oldest first."""
        query = sa.select(*self._particulars).where(self._table.c.reference == reference)
        rows = tx.execute(query.order_by(self._table.c.issued_at, self._table.c.doc_id))
        return [_document(row) for row in rows]

    def content(
        self, tx: sa.Connection, dossier: Dossier, doc_id: str
    ) -> tuple[document_pb2.Document, bytes]:
        """One document of a dossier and its bytes.

        Raises:
            ProviderError: The dossier has no such document (NOT_FOUND).
        """
        query = sa.select(*self._particulars, self._table.c.content).where(
            self._table.c.reference == dossier.reference, self._table.c.doc_id == doc_id
        )
        row = tx.execute(query).one_or_none()
        if row is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return _document(row), row.content


def _document(row: Any) -> document_pb2.Document:
    return document_pb2.Document(
        doc_id=row.doc_id,
        type=document_pb2.DocumentType.ValueType(row.type),
        issued_at=timestamp(row.issued_at),
        valid_until=timestamp(row.valid_until),
        sha256=row.sha256,
        signature=row.signature,
        qr_jwt=row.qr_jwt,
    )
