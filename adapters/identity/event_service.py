"""``bj.identity.v1.PersonEventService``: what becomes of records, for those who are linked to their persons.

A subsystem is linked to whom it opened a dossier about, here, from then on; of others it hears nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc

from adapters.context import current_caller
from adapters.identity.telling import of_client
from adapters.kit.desk import Desk
from adapters.kit.events import Event, Wanted
from adapters.kit.purposes import REGISTRATION_DUTY, require_purpose
from adapters.reasons import InvalidFieldsError
from bj.identity.v1 import events_pb2 as pb
from bj.identity.v1 import events_pb2_grpc

SERVICE_NAME: Final = "bj.identity.v1.PersonEventService"

_MAY_HEAR: Final = frozenset({REGISTRATION_DUTY})


class PersonEventService(events_pb2_grpc.PersonEventServiceServicer):
    """The same events twice: as they come, and page by page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def WatchPersonChanges(
        self, request: pb.WatchPersonChangesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPersonChangesResponse]:
        """What is told, and then what comes."""
        yield from self._desk.events.watch(
            context,
            request.since_cursor,
            _wanted(request.filter),
            lambda event: pb.WatchPersonChangesResponse(event=_event(event)),
            lambda heartbeat: pb.WatchPersonChangesResponse(heartbeat=heartbeat),
        )

    def ListPersonChanges(
        self, request: pb.ListPersonChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListPersonChangesResponse:
        """One page of them."""
        wanted = _wanted(request.filter)
        with self._desk.store.reading() as tx:
            page = self._desk.events.page(tx, request.page.since_cursor, request.page.size, wanted)
        return pb.ListPersonChangesResponse(
            events=[_event(event) for event in page.events],
            next_cursor=page.next_cursor,
            has_more=page.has_more,
        )


def _wanted(chosen: pb.PersonEventFilter) -> Wanted:
    """What the caller may hear of, and of that what he asks for."""
    require_purpose(_MAY_HEAR)
    if pb.PERSON_EVENT_TYPE_UNSPECIFIED in chosen.types:
        raise InvalidFieldsError({"filter.types": "must be types of events"})
    link = of_client(str(current_caller().client))
    return Wanted(kinds=frozenset(chosen.types), links=(frozenset({link}),))


def _event(event: Event) -> pb.PersonEvent:
    told = pb.PersonEvent.FromString(event.payload)
    told.header.CopyFrom(event.header)
    return told
