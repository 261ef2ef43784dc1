"""``HeadsService``: the newest heads of the gateways' logs."""

from __future__ import annotations

from typing import Final

from grpc import ServicerContext as Context
from sqlalchemy import select

from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import heads_pb2 as pb
from passerelle.registry.v1.heads_pb2_grpc import HeadsServiceServicer
from registry import models
from registry.heads import HeadBook
from registry.office import Office
from registry.server.desk import Desk, Door, parse_number, read_page

_KINDS: Final = {"behind": pb.HEAD_ALARM_KIND_BEHIND, "forked": pb.HEAD_ALARM_KIND_FORKED}


class HeadsServer(Desk, HeadsServiceServicer):
    """Newest heads."""

    def __init__(self, office: Office, door: Door, book: HeadBook) -> None:
        super().__init__(office, door)
        self._book = book

    def ReportNewest(self, request: pb.ReportNewestRequest, context: Context) -> pb.ReportNewestResponse:
        """See the proto."""
        found = self._book.report(self._door.enter(context), request.heads)
        return pb.ReportNewestResponse(
            heads=[
                pb.ReportedHead(refused=str(one)) if isinstance(one, Reason) else pb.ReportedHead(held=one)
                for one in found
            ]
        )

    def GetNewest(self, request: pb.GetNewestRequest, context: Context) -> pb.GetNewestResponse:
        """See the proto."""
        return pb.GetNewestResponse(heads=self._book.newest(self._door.enter(context)))

    def ListAlarms(self, request: pb.ListAlarmsRequest, context: Context) -> pb.ListAlarmsResponse:
        """See the proto."""
        actor = self._door.enter(context)
        if actor.kind not in ("operator", "auditor"):
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{actor.urn} is neither operator nor auditor")
        rows = select(models.HeadAlarm).order_by(models.HeadAlarm.number.desc())
        if request.page_token:
            rows = rows.where(models.HeadAlarm.number < parse_number(request.page_token))
        with self._office.sessions() as session:
            found, more = read_page(session, rows, request.page_size, lambda row: str(row.number))
            return pb.ListAlarmsResponse(alarms=map(_alarm, found), next_page_token=more)


def _alarm(row: models.HeadAlarm) -> pb.HeadAlarm:
    return pb.HeadAlarm(
        number=row.number,
        gateway=row.gateway_id,
        log=row.log_id,
        kind=_KINDS[row.kind],
        held=row.held.encode("ascii"),
        shown=row.shown.encode("ascii"),
        at_ms=row.at,
    )
