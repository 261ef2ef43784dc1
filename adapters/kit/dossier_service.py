"""``bj.common.v1.DossierService``: what every ministry lets a portal do with its dossiers.

Who may call: the client subsystem that opened the dossier, for a purpose of its opening. Anybody else gets the answer
that a reference gets which was never given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from bj.common.v1 import dossier_service_pb2, dossier_service_pb2_grpc

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

DOSSIER_SERVICE: Final = "bj.common.v1.DossierService"


class DossierService(dossier_service_pb2_grpc.DossierServiceServicer):
    """Follows the dossiers of one ministry; added to every adapter by ``kit.adapter``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetDossier(
        self, request: dossier_service_pb2.GetDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.GetDossierResponse:
        """One dossier as it stands."""
        raise NotImplementedError

    def GetDocument(
        self, request: dossier_service_pb2.GetDocumentRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.GetDocumentResponse:
        """The bytes of a document, once its dossier is paid."""
        raise NotImplementedError

    def ReportPayment(
        self, request: dossier_service_pb2.ReportPaymentRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.ReportPaymentResponse:
        """What became of a payment."""
        raise NotImplementedError

    def CorrectDossier(
        self, request: dossier_service_pb2.CorrectDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.CorrectDossierResponse:
        """The applicant's answer to what was asked."""
        raise NotImplementedError

    def CancelDossier(
        self, request: dossier_service_pb2.CancelDossierRequest, context: grpc.ServicerContext
    ) -> dossier_service_pb2.CancelDossierResponse:
        """The applicant gives it up."""
        raise NotImplementedError
