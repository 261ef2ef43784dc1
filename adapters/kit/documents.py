"""Documents that a ministry signs: PDFs that anybody verifies without a network (docs/protocol/official.md).

Each shows a QR code with a JWT of the ministry's document key, which commits to every byte of the file (``pdf``). The
same key signs the whole bytes, for whoever has ``bj.common.v1.Document``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.kit.calendar import day_of
from adapters.kit.dossier import Dossier
from adapters.kit.numbers import next_number
from adapters.kit.pdf import Line, Sheet, make_pdf
from adapters.kit.times import timestamp
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2
from core.identifiers import urn
from core.language import Text
from core.official import MAX_NAMES, OfficialClaims
from core.reasons import ExchangeError, Reason
from pki.keys import certificate_key, key_thumbprint, load_chain, read_key
from pki.official import sign_official
from pki.profiles import Profile, profile_of, utc
from rpc.names import urn_of

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

_log = structlog.get_logger("adapter")

__all__ = ["MEDIA_TYPE", "Documents", "Line"]

MEDIA_TYPE: Final = "application/pdf"

_NOT_IN_NUMBERS: Final = re.compile(r"[^A-Z0-9]+")
# So that a QR code stays one that is read from paper; the document itself names all of it.
_MAX_NAME: Final = 80


class Documents:
    """The documents of one ministry."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._table = desk.ministry.tables.document
        # Whoever lists documents has no need of their bytes.
        self._particulars = [column for column in self._table.c if column.name != "content"]

    def require_key(self) -> None:
        """Return if documents can be signed now; a server asks before it starts.

        Raises:
            ExchangeError: The document key is missing, open to others, or its certificate is for another key or name, or
                expired.
        """
        self._signing_key()

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

        It takes a fifth of a second of CPU: issue what a dossier needs, not what might be asked for.

        Args:
            tx: The transaction of the grant.
            reference: The dossier.
            kind: What it is.
            title: As it stands at the top.
            lines: What it says, in order.
            holder_names: Whose it is, as the document shows them; the first four are in the QR code, too.
            valid_until_ms: Last instant at which it holds, UTC milliseconds; 0 for ever.

        Raises:
            ProviderError: The document key cannot be used (UPSTREAM_UNAVAILABLE); the log says why.
        """
        try:
            key = self._signing_key()
        except ExchangeError as error:
            # Where the key lies is the ministry's business, not the caller's.
            _log.error("document_key_unusable", reason=str(error.reason), why=str(error))
            raise ProviderError(ProviderReason.UPSTREAM_UNAVAILABLE) from None
        now = self._desk.clock.now_ms()
        doc_id = self._next_id(tx, now)
        claims = OfficialClaims(
            iss=self._desk.settings.subsystem,
            doc_id=doc_id,
            type=document_pb2.DocumentType.Name(kind).removeprefix("DOCUMENT_TYPE_"),
            iat=now // 1000,
            exp=valid_until_ms // 1000 if valid_until_ms else msgspec.UNSET,
            sha256="0" * 64,
            names=tuple(name[:_MAX_NAME] for name in holder_names[:MAX_NAMES]),
        )
        head = [
            Line(Text("N° du document", "Document number"), doc_id),
            Line(Text("Dossier", "Dossier"), reference),
            Line(Text("Délivré le", "Issued on"), f"{day_of(now):%d/%m/%Y}"),
        ]
        if valid_until_ms:
            head.append(Line(Text("Valable jusqu'au", "Valid until"), f"{day_of(valid_until_ms):%d/%m/%Y}"))
        content, jws = make_pdf(
            Sheet(title, self._desk.settings.subsystem, [*head, *lines]),
            lambda digest: sign_official(msgspec.structs.replace(claims, sha256=digest), key),
        )
        values = {
            "doc_id": doc_id,
            "reference": reference,
            "type": int(kind),
            "issued_at": now,
            "valid_until": valid_until_ms,
            "sha256": hashlib.sha256(content).hexdigest(),
            "signature": key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)),
            "qr_jwt": jws,
            "media_type": MEDIA_TYPE,
            "content": content,
        }
        self._desk.dossiers.touch(tx, reference)
        tx.execute(self._table.insert().values(**values))
        return _document(
            tx.execute(sa.select(*self._particulars).where(self._table.c.doc_id == doc_id)).one()
        )

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

    def _next_id(self, tx: sa.Connection, now_ms: int) -> str:
        """``ANDF-CADASTRE-2026-00000001``: member, subsystem, year, rank."""
        provider = self._desk.settings.provider
        names = f"{provider.member.member_code}-{provider.code}".upper()
        series = f"{_NOT_IN_NUMBERS.sub('-', names)[:26].strip('-')}-{day_of(now_ms).year}"
        return f"{series}-{next_number(tx, f'document {series}'):08d}"

    def _signing_key(self) -> ec.EllipticCurvePrivateKey:
        """The document key, if its certificate says now that it is this ministry's."""
        settings = self._desk.settings
        try:
            key, certificate = _read_signer(settings.document_key, settings.document_certificate)
        except OSError as error:
            raise ExchangeError(
                Reason.CERTIFICATE_INVALID, f"{settings.document_certificate}: {error.strerror}"
            ) from None
        name = urn("adapter", settings.provider)
        is_ours = profile_of(certificate) is Profile.DOCUMENT and urn_of(certificate) == name
        if not is_ours or key_thumbprint(certificate_key(certificate)) != key_thumbprint(key.public_key()):
            raise ExchangeError(
                Reason.CERTIFICATE_INVALID,
                f"{settings.document_certificate} is not the document certificate of {name} for its key",
            )
        moment = utc(self._desk.clock.now_ms())
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            raise ExchangeError(
                Reason.CERTIFICATE_EXPIRED, f"{settings.document_certificate} is not in force"
            )
        return key


def _read_signer(key: str, certificate: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    return read_key(Path(key)), load_chain(Path(certificate).read_bytes())[0]


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
