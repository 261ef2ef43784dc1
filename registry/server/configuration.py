"""``ConfigurationService``: files, news and state of the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from grpc import ServicerContext as Context
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.heads import ConfigurationMark
from passerelle.registry.v1 import configuration_pb2 as pb
from passerelle.registry.v1.configuration_pb2_grpc import ConfigurationServiceServicer
from registry import models
from registry.office import Office
from registry.server.desk import Desk, Door
from rpc.waiting import WaitingStream, Watchers, waiting


class ConfigurationServer(Desk, ConfigurationServiceServicer):
    """Files, news and state of the configuration."""

    def __init__(self, office: Office, door: Door) -> None:
        super().__init__(office, door)
        self._watchers: Watchers[pb.WatchResponse] = Watchers()

    def announce(self, mark: ConfigurationMark) -> None:
        """Tell all watchers of a new version."""
        self._watchers.publish(self._news(mark))

    def Fetch(self, request: pb.FetchRequest, context: Context) -> Iterator[pb.FetchResponse]:
        """See the proto."""
        self._door.enter(context)
        for piece in self._office.publisher.read(request.path):
            yield pb.FetchResponse(data=piece)

    @waiting
    def Watch(
        self, request: pb.WatchRequest, stream: WaitingStream[pb.WatchResponse], context: Context
    ) -> None:
        """See the proto."""
        self._door.enter(context)
        # First among the watchers, then the news: a version published in between is told twice, never missed.
        self._watchers.add(stream)
        stream.send(self._news(self._office.publisher.current.mark))

    def _news(self, mark: ConfigurationMark) -> pb.WatchResponse:
        return pb.WatchResponse(version=mark.version, digest=mark.digest, now_ms=self._office.now_ms())

    def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """See the proto."""
        self._door.enter(context)
        current = self._office.publisher.current
        with self._office.sessions() as session:
            return pb.GetStatusResponse(
                registry=self._office.settings.registry,
                version=current.mark.version,
                digest=current.mark.digest,
                expires_at_ms=current.expires_at_ms,
                log_id=self._office.journal.log_id,
                head=self._office.journal.head,
                watchers=len(self._watchers),
                pending_requests=_count(session, models.Request, models.Request.state == "pending"),
                members=_count(session, models.Member),
                active_agreements=_count(session, models.Agreement, models.Agreement.state == "active"),
            )


def _count(session: Session, model: type[models.Base], *where: object) -> int:
    rows = select(func.count()).select_from(model)
    for condition in where:
        rows = rows.where(condition)  # type: ignore[arg-type]  # column expressions, typed as bool by the ORM
    return session.scalar(rows) or 0
