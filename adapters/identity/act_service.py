"""``bj.identity.v1.ActService``: dossiers for acts, certificates and corrections."""

from __future__ import annotations

from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.identity.acts import fee_of, person_of, require_form
from adapters.identity.corrections import CORRECTION, corrected_values
from adapters.identity.records import open_record, subject_of
from adapters.identity.telling import link
from adapters.kit.desk import Desk
from adapters.kit.purposes import SERVICE_DELIVERY, require_purpose
from adapters.reasons import InvalidFieldsError
from bj.identity.v1 import acts_pb2 as pb
from bj.identity.v1 import acts_pb2_grpc

SERVICE_NAME: Final = "bj.identity.v1.ActService"

_ASKED_FOR: Final = frozenset({SERVICE_DELIVERY})


class ActService(acts_pb2_grpc.ActServiceServicer):
    """Opens dossiers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def SubmitActRequest(
        self, request: pb.SubmitActRequestRequest, context: grpc.ServicerContext
    ) -> pb.SubmitActRequestResponse:
        """An act or a certificate of somebody whose record allows it."""
        require_purpose(_ASKED_FOR)
        require_form(request)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.SubmitActRequestResponse:
            person = person_of(tx, request.npi, request.type)
            link(tx, person.npi, str(caller.client))
            asked = pb.SubmitActRequestRequest()
            asked.CopyFrom(request)
            asked.ClearField("application")
            opened = self._desk.dossiers.open(
                tx,
                caller,
                request.application,
                fee_xof=fee_of(request, self._desk.catalogue),
                subject=subject_of(person.npi),
                details=asked.SerializeToString(),
            )
            return pb.SubmitActRequestResponse(dossier=self._desk.dossiers.message(tx, opened.reference))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def RequestCorrection(
        self, request: pb.RequestCorrectionRequest, context: grpc.ServicerContext
    ) -> pb.RequestCorrectionResponse:
        """A correction, for two officers to decide on; the value is judged before the register is read."""
        require_purpose(_ASKED_FOR)
        if request.application.service_code != CORRECTION:
            raise InvalidFieldsError({"application.service_code": f"must be {CORRECTION}"})
        corrected_values(request.field, request.corrected_value)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.RequestCorrectionResponse:
            person = open_record(tx, request.npi)
            link(tx, person.npi, str(caller.client))
            asked = pb.RequestCorrectionRequest()
            asked.CopyFrom(request)
            asked.ClearField("application")
            opened = self._desk.dossiers.open(
                tx,
                caller,
                request.application,
                subject=subject_of(person.npi),
                details=asked.SerializeToString(),
            )
            return pb.RequestCorrectionResponse(dossier=self._desk.dossiers.message(tx, opened.reference))

        return self._desk.once(request.application.idempotency_key, request, respond)
