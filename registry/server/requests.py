"""``RequestsService``: requests that wait for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grpc import ServicerContext as Context
from sqlalchemy import select

from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import requests_pb2 as pb
from passerelle.registry.v1.requests_pb2_grpc import RequestsServiceServicer
from registry import models, office
from registry.server.desk import Desk, parse_number, read_page

_KINDS: Final = {
    office.MEMBER: pb.REQUEST_KIND_MEMBER,
    office.REGISTRATION: pb.REQUEST_KIND_REGISTRATION,
    office.AGREEMENT: pb.REQUEST_KIND_AGREEMENT,
    office.MEMBER_RESUMPTION: pb.REQUEST_KIND_MEMBER_RESUMPTION,
    office.GATEWAY_RESUMPTION: pb.REQUEST_KIND_GATEWAY_RESUMPTION,
    office.AGREEMENT_RESUMPTION: pb.REQUEST_KIND_AGREEMENT_RESUMPTION,
}
_STATES: Final = {
    "pending": pb.REQUEST_STATE_PENDING,
    "approved": pb.REQUEST_STATE_APPROVED,
    "refused": pb.REQUEST_STATE_REFUSED,
}


class RequestsServer(Desk, RequestsServiceServicer):
    """Requests that wait for operators."""

    def ListRequests(self, request: pb.ListRequestsRequest, context: Context) -> pb.ListRequestsResponse:
        """See the proto."""
        actor = self._door.enter(context)
        rows = select(models.Request)
        if not _sees_all(actor):
            rows = rows.where(models.Request.submitted_by == actor.urn)
        if request.state:
            rows = rows.where(models.Request.state == _name_of(_STATES, request.state))
        if request.kind:
            rows = rows.where(models.Request.kind == _name_of(_KINDS, request.kind))
        if request.page_token:
            rows = rows.where(models.Request.number < parse_number(request.page_token))
        rows = rows.order_by(models.Request.number.desc())
        with self._office.sessions() as session:
            found, more = read_page(session, rows, request.page_size, lambda row: str(row.number))
            listed = [self._request(row) for row in found]
            return pb.ListRequestsResponse(requests=listed, next_page_token=more)

    def GetRequest(self, request: pb.GetRequestRequest, context: Context) -> pb.GetRequestResponse:
        """See the proto."""
        actor = self._door.enter(context)
        with self._office.sessions() as session:
            row = session.get(models.Request, request.number) if request.number < 2**63 else None
            if row is None or not (_sees_all(actor) or row.submitted_by == actor.urn):
                raise ExchangeError(Reason.NOT_FOUND, f"there is no request {request.number}")
            return pb.GetRequestResponse(request=self._request(row), document=row.document)

    def ApproveRequest(
        self, request: pb.ApproveRequestRequest, context: Context
    ) -> pb.ApproveRequestResponse:
        """See the proto."""
        row, version = self._office.approve(self._door.enter(context), request.number)
        return pb.ApproveRequestResponse(request=self._request(row), version=version)

    def RefuseRequest(self, request: pb.RefuseRequestRequest, context: Context) -> pb.RefuseRequestResponse:
        """See the proto."""
        row = self._office.refuse(self._door.enter(context), request.number, request.reason)
        return pb.RefuseRequestResponse(request=self._request(row))

    def _request(self, row: models.Request) -> pb.Request:
        return pb.Request(
            number=row.number,
            kind=_KINDS[row.kind],
            subject=row.subject,
            state=_STATES[row.state],
            submitted_by=row.submitted_by,
            submitted_at_ms=row.submitted_at,
            approvals=[pb.Approval(operator=one.operator, at_ms=one.at) for one in row.approvals],
            approvals_needed=self._office.settings.approvals,
            refusal_reason=row.refusal_reason,
        )


def _sees_all(actor: office.Actor) -> bool:
    """A gateway sees what it handed in itself, nothing of its neighbours."""
    return actor.kind in ("operator", "auditor")


def _name_of(names: Mapping[str, int], value: int) -> str:
    for name, known in names.items():
        if known == value:
            return name
    raise ExchangeError(Reason.DOCUMENT_INVALID, f"unknown value {value}")
