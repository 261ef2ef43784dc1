"""``bj.common.v1.DossierService``: what every ministry lets a portal do with its dossiers.

Who may call: the client subsystem that opened the dossier, for a purpose of its opening. Anybody else gets the answer
that a reference gets which was never given out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import grpc
import sqlalchemy as sa
from google.protobuf.message import Message

from adapters.context import CallerContext, current_caller
from adapters.kit.beginning import begin_now
from adapters.kit.documents import MEDIA_TYPE
from bj.common.v1 import dossier_service_pb2, dossier_service_pb2_grpc

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

DOSSIER_SERVICE: Final = "bj.common.v1.DossierService"

_Write: TypeAlias = (
    dossier_service_pb2.ReportPaymentRequest
    | dossier_service_pb2.CorrectDossierRequest
    | dossier_service_pb2.CancelDossierRequest
)
_Response = TypeVar("_Response", bound=Message)


class DossierService(dossier_service_pb2_grpc.DossierServiceServicer):
    """Follows the dossiers of one ministry; added to every adapter by ``kit.adapter``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetDossier(
        self, request: dossier_service_pb2.GetDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.GetDossierResponse:
        """One dossier as it stands."""
        with self._desk.store.reading() as tx:
            dossier = self._desk.dossiers.follow(tx, request.reference, current_caller(), lock=False)
            return dossier_service_pb2.GetDossierResponse(
                dossier=self._desk.dossiers.message(tx, dossier.reference)
            )

    def GetDocument(
        self, request: dossier_service_pb2.GetDocumentRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.GetDocumentResponse:
        """The bytes of a document, once its dossier is paid."""
        with self._desk.store.reading() as tx:
            dossier = self._desk.dossiers.follow(tx, request.reference, current_caller(), lock=False)
            self._desk.payments.require_paid(tx, dossier)
            document, content = self._desk.documents.content(tx, dossier, request.doc_id)
            return dossier_service_pb2.GetDocumentResponse(
                document=document, media_type=MEDIA_TYPE, content=content
            )

    def ReportPayment(
        self, request: dossier_service_pb2.ReportPaymentRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.ReportPaymentResponse:
        """What became of a payment: taken note of, whatever becomes of the work that it pays for.

        A repeat, too, begins that work if nobody has, and is answered with the dossier as it stands by then.
        """

        def respond(tx: sa.Connection, caller: CallerContext) -> dossier_service_pb2.ReportPaymentResponse:
            dossier = self._desk.dossiers.follow(tx, request.reference, caller)
            self._desk.payments.hear(tx, dossier, request.payment)
            return dossier_service_pb2.ReportPaymentResponse()

        response = self._once(request, respond)
        begin_now(self._desk, request.reference)
        with self._desk.store.reading() as tx:
            response.dossier.CopyFrom(self._desk.dossiers.message(tx, request.reference))
        return response

    def CorrectDossier(
        self, request: dossier_service_pb2.CorrectDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.CorrectDossierResponse:
        """The applicant's answer to what was asked."""

        def respond(tx: sa.Connection, caller: CallerContext) -> dossier_service_pb2.CorrectDossierResponse:
            dossier = self._desk.dossiers.follow(tx, request.reference, caller)
            self._desk.dossiers.correct(tx, dossier.reference, request.answer, request.evidence_sha256)
            return dossier_service_pb2.CorrectDossierResponse(
                dossier=self._desk.dossiers.message(tx, dossier.reference)
            )

        return self._once(request, respond)

    def CancelDossier(
        self, request: dossier_service_pb2.CancelDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.CancelDossierResponse:
        """The applicant gives it up."""

        def respond(tx: sa.Connection, caller: CallerContext) -> dossier_service_pb2.CancelDossierResponse:
            dossier = self._desk.dossiers.follow(tx, request.reference, caller)
            self._desk.dossiers.cancel(tx, dossier.reference)
            return dossier_service_pb2.CancelDossierResponse(
                dossier=self._desk.dossiers.message(tx, dossier.reference)
            )

        return self._once(request, respond)

    def _once(
        self, request: _Write, respond: Callable[[sa.Connection, CallerContext], _Response]
    ) -> _Response:
        """``Desk.once`` for who may follow the dossier: a repeat, answered without ``respond``, is no way around that."""
        with self._desk.store.reading() as tx:
            self._desk.dossiers.follow(tx, request.reference, current_caller(), lock=False)
        return self._desk.once(request.idempotency_key, request, respond)
