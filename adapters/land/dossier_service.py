"""``bj.land.v1.LandDossierService``: opens dossiers; ``bj.common.v1.DossierService`` follows them."""

from __future__ import annotations

from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.kit.purposes import REGISTRATION_DUTY, SERVICE_DELIVERY, require_purpose
from adapters.land.oppositions import lodge_opposition
from adapters.land.title_requests import file_title_request
from adapters.land.title_states import request_title_state
from adapters.land.transfers import file_transfer
from bj.common.v1 import dossier_pb2
from bj.land.v1 import transfer_pb2, transfer_pb2_grpc

SERVICE_NAME: Final = "bj.land.v1.LandDossierService"

_BY_OFFICE: Final = frozenset({REGISTRATION_DUTY})
_BY_CITIZENS: Final = frozenset({SERVICE_DELIVERY})


class LandDossierService(transfer_pb2_grpc.LandDossierServiceServicer):
    """Opens dossiers at one desk; every method bears to be called twice with one key."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def RequestTitleState(
        self, request: transfer_pb2.RequestTitleStateRequest, context: grpc.ServicerContext
    ) -> transfer_pb2.RequestTitleStateResponse:
        """The état descriptif of a title, to be paid."""
        require_purpose(_BY_CITIZENS)

        def respond(tx: sa.Connection, caller: CallerContext) -> transfer_pb2.RequestTitleStateResponse:
            opened = request_title_state(self._desk, tx, caller, request)
            return transfer_pb2.RequestTitleStateResponse(dossier=self._message(tx, opened))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def FileTransfer(
        self, request: transfer_pb2.FileTransferRequest, context: grpc.ServicerContext
    ) -> transfer_pb2.FileTransferResponse:
        """A sale, filed by a notary."""
        require_purpose(_BY_OFFICE)

        def respond(tx: sa.Connection, caller: CallerContext) -> transfer_pb2.FileTransferResponse:
            opened = file_transfer(self._desk, tx, caller, request)
            return transfer_pb2.FileTransferResponse(dossier=self._message(tx, opened))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def FileTitleRequest(
        self, request: transfer_pb2.FileTitleRequestRequest, context: grpc.ServicerContext
    ) -> transfer_pb2.FileTitleRequestResponse:
        """A title on a parcel that is held by presumption."""
        require_purpose(_BY_OFFICE)

        def respond(tx: sa.Connection, caller: CallerContext) -> transfer_pb2.FileTitleRequestResponse:
            opened = file_title_request(self._desk, tx, caller, request)
            return transfer_pb2.FileTitleRequestResponse(dossier=self._message(tx, opened))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def LodgeOpposition(
        self, request: transfer_pb2.LodgeOppositionRequest, context: grpc.ServicerContext
    ) -> transfer_pb2.LodgeOppositionResponse:
        """Somebody opposes a title that is asked for."""
        require_purpose(_BY_CITIZENS)

        def respond(tx: sa.Connection, caller: CallerContext) -> transfer_pb2.LodgeOppositionResponse:
            return lodge_opposition(self._desk, tx, request)

        return self._desk.once(request.idempotency_key, request, respond)

    def _message(self, tx: sa.Connection, dossier: Dossier) -> dossier_pb2.Dossier:
        return self._desk.dossiers.message(tx, dossier.reference)
