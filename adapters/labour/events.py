"""``bj.labour.v1.VisaEventService``: visas as they are filed, decided, forgotten; permits as they run out.

A subsystem hears of the contracts that it handed in (P02), an inspectorate of those of its district (P04): which
subsystem speaks for which inspectorate stands in the table ``inspectorate_link``. Nobody hears of anything else, whatever
he filters for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import current_caller
from adapters.kit.desk import Desk
from adapters.kit.events import Event, Wanted
from adapters.kit.purposes import INSPECTION, REGISTRATION_DUTY, require_purpose
from adapters.labour.tables import INSPECTORATES
from adapters.labour.telling import of_client, of_employer, of_inspectorate
from adapters.reasons import InvalidFieldsError
from bj.labour.v1 import events_pb2 as pb
from bj.labour.v1 import events_pb2_grpc

SERVICE_NAME: Final = "bj.labour.v1.VisaEventService"

_MAY_HEAR: Final = frozenset({REGISTRATION_DUTY, INSPECTION})


class VisaEventService(events_pb2_grpc.VisaEventServiceServicer):
    """The same events twice: as they come, and page by page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def WatchVisaEvents(
        self, request: pb.WatchVisaEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchVisaEventsResponse]:
        """What is told, and then what comes."""
        wanted = self._wanted(request.filter)
        yield from self._desk.events.watch(
            context,
            request.since_cursor,
            wanted,
            lambda event: pb.WatchVisaEventsResponse(event=_event(event)),
            lambda heartbeat: pb.WatchVisaEventsResponse(heartbeat=heartbeat),
        )

    def ListVisaChanges(
        self, request: pb.ListVisaChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListVisaChangesResponse:
        """One page of them."""
        wanted = self._wanted(request.filter)
        with self._desk.store.reading() as tx:
            page = self._desk.events.page(tx, request.page.since_cursor, request.page.size, wanted)
        return pb.ListVisaChangesResponse(
            events=[_event(event) for event in page.events],
            next_cursor=page.next_cursor,
            has_more=page.has_more,
        )

    def _wanted(self, chosen: pb.VisaEventFilter) -> Wanted:
        """What the caller may hear of, and of that what he asks for."""
        purpose = require_purpose(_MAY_HEAR)
        if pb.VISA_EVENT_TYPE_UNSPECIFIED in chosen.types:
            raise InvalidFieldsError({"filter.types": "must be types of events"})
        client = str(current_caller().client)
        links = [self._district(client) if purpose == INSPECTION else frozenset({of_client(client)})]
        if chosen.inspectorate_code:
            links.append(frozenset({of_inspectorate(chosen.inspectorate_code)}))
        if chosen.employer_ifu:
            links.append(frozenset({of_employer(chosen.employer_ifu)}))
        return Wanted(kinds=frozenset(chosen.types), links=tuple(links))

    def _district(self, client: str) -> frozenset[str]:
        """The inspectorates that a subsystem speaks for; none if nobody entered it."""
        query = sa.select(INSPECTORATES.c.inspectorate_code).where(INSPECTORATES.c.client == client)
        with self._desk.store.reading() as tx:
            return frozenset(of_inspectorate(code) for code in tx.execute(query).scalars())


def _event(event: Event) -> pb.VisaEvent:
    told = pb.VisaEvent.FromString(event.payload)
    told.header.CopyFrom(event.header)
    return told
