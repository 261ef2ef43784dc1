"""``bj.land.v1.ParcelEventService``: what happens to parcels, for everybody, without names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc
import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.events import Event, Wanted
from adapters.reasons import InvalidFieldsError
from bj.land.v1 import events_pb2, events_pb2_grpc

SERVICE_NAME: Final = "bj.land.v1.ParcelEventService"


def tell(
    desk: Desk,
    tx: sa.Connection,
    kind: events_pb2.ParcelEventType.ValueType,
    parcel: sa.Row[Any],
    changed_fields: Iterable[str] = (),
    *,
    title_no: str = "",
    related_nups: Iterable[str] = (),
) -> None:
    """Append an event about a parcel that has a NUP. Last in its transaction."""
    told = events_pb2.ParcelEvent(
        type=kind,
        nup=parcel.nup,
        commune_code=parcel.commune_code,
        title_no=title_no,
        related_nups=related_nups,
    )
    desk.events.append(
        tx,
        kind,
        parcel.nup,
        changed_fields,
        links=(commune_link(parcel.commune_code),),
        payload=told.SerializeToString(),
    )


class ParcelEventService(events_pb2_grpc.ParcelEventServiceServicer):
    """Tells one register's events. No purpose is asked for: they name nobody."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def WatchParcelEvents(
        self, request: events_pb2.WatchParcelEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[events_pb2.WatchParcelEventsResponse]:
        """Events from a cursor on, then as they are committed."""
        yield from self._desk.events.watch(
            context,
            request.since_cursor,
            _wanted(request.filter),
            lambda event: events_pb2.WatchParcelEventsResponse(event=_message(event)),
            lambda heartbeat: events_pb2.WatchParcelEventsResponse(heartbeat=heartbeat),
        )

    def ListParcelChanges(
        self, request: events_pb2.ListParcelChangesRequest, context: grpc.ServicerContext
    ) -> events_pb2.ListParcelChangesResponse:
        """The same events, a page at a time."""
        with self._desk.store.reading() as tx:
            page = self._desk.events.page(
                tx, request.page.since_cursor, request.page.size, _wanted(request.filter)
            )
        return events_pb2.ListParcelChangesResponse(
            events=[_message(event) for event in page.events],
            next_cursor=page.next_cursor,
            has_more=page.has_more,
        )


def _wanted(asked: events_pb2.ParcelEventFilter) -> Wanted:
    commune = asked.commune_code
    if commune and len(commune) != len("LI-COT"):
        raise InvalidFieldsError({"filter.commune_code": "must be a commune, LI-COT"})
    return Wanted(
        kinds=frozenset(asked.types),
        subjects=frozenset(asked.nups),
        links=(frozenset({commune_link(commune)}),) if commune else (),
    )


def commune_link(code: str) -> str:
    """The key by which events of a commune are found."""
    return f"commune:{code}"


def _message(event: Event) -> events_pb2.ParcelEvent:
    told = events_pb2.ParcelEvent.FromString(event.payload)
    told.header.CopyFrom(event.header)
    return told
