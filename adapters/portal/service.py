"""``bj.common.v1.DecisionService`` at the portal: agencies tell their decisions, as calls on the road."""

from __future__ import annotations

from typing import Final

import grpc

from adapters.context import current_caller
from adapters.portal.applications import Applications, UnknownApplicationError
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import decision_service_pb2, decision_service_pb2_grpc

SERVICE_NAME: Final = "bj.common.v1.DecisionService"


class DecisionService(decision_service_pb2_grpc.DecisionServiceServicer):
    """Hears decisions; that they are an agency's is what the gateway vouches for, and the token shows whose."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    def ReportDecision(
        self, request: decision_service_pb2.ReportDecisionRequest, context: grpc.ServicerContext
    ) -> decision_service_pb2.ReportDecisionResponse:
        """Keep it; news or not, it is answered."""
        caller = current_caller()
        try:
            accepted = self._applications.hear(str(caller.client), caller.exchange_id, request)
        except UnknownApplicationError:
            raise ProviderError(ProviderReason.NOT_FOUND) from None
        return decision_service_pb2.ReportDecisionResponse(accepted=accepted)
