"""``bj.business.v1.RegistryEventService``: what happens in the register, for everybody: no purpose, no name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc

from adapters.business.tidings import event_message, wanted
from adapters.kit.desk import Desk
from adapters.kit.events import Event
from bj.business.v1 import events_pb2 as pb
from bj.business.v1 import events_pb2_grpc
from bj.common.v1 import event_pb2

SERVICE_NAME: Final = "bj.business.v1.RegistryEventService"


class RegistryEventService(events_pb2_grpc.RegistryEventServiceServicer):
    """Tells the events of one register; stream and list are the same events by the same cursors."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def WatchRegistryEvents(
        self, request: pb.WatchRegistryEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchRegistryEventsResponse]:
        """Each event as it is recorded, from the cursor on."""
        yield from self._desk.events.watch(
            context, request.since_cursor, wanted(request.filter), _with_event, _with_heartbeat
        )

    def ListRegistryChanges(
        self, request: pb.ListRegistryChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListRegistryChangesResponse:
        """A page of them."""
        condition = wanted(request.filter)
        with self._desk.store.reading() as tx:
            page = self._desk.events.page(tx, request.page.since_cursor, request.page.size, condition)
        return pb.ListRegistryChangesResponse(
            events=map(event_message, page.events), next_cursor=page.next_cursor, has_more=page.has_more
        )


def _with_event(event: Event) -> pb.WatchRegistryEventsResponse:
    return pb.WatchRegistryEventsResponse(event=event_message(event))


def _with_heartbeat(heartbeat: event_pb2.Heartbeat) -> pb.WatchRegistryEventsResponse:
    return pb.WatchRegistryEventsResponse(heartbeat=heartbeat)
