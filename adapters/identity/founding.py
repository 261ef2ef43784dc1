"""The fictitious country in the register: its persons, what happened to them in the last year, and who hears of it.

In the sandbox the portal and the three agencies that keep numbers by law follow everybody of whom there is an event.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa

from adapters.identity.store import KIT, METADATA, PERSONS, WORDS, PersonStore
from adapters.identity.tables import LINKS, PHOTOS
from adapters.identity.telling import of_client
from adapters.kit.calendar import ZONE
from adapters.kit.desk import Desk
from adapters.world.events import in_order_of_persons
from adapters.world.personas.people import PERSONAS
from adapters.world.records.person import Person, PersonEvent
from adapters.world.sizes import Sizes
from adapters.world.world import World
from bj.identity.v1 import events_pb2

FOLLOWERS: Final = ("BJ/GOV/PNS/PORTAIL", "BJ/GOV/ANDF/CADASTRE", "BJ/GOV/APIEX/RCCM", "BJ/GOV/MTFP/TRAVAIL")
PORTRAIT: Final = Path(__file__).parent / "portrait.jpg"
"""The photograph of every test person: a grey square."""
_TAKEN_ON: Final = "2018-03-15"
_BATCH: Final = 10_000
_T = TypeVar("_T")


def seed(desk: Desk, persons: int, number: int, written: Callable[[int], None]) -> int:
    """Put the country ``number`` in the place of whatever fictitious one is there; returns how many persons it has.

    Raises:
        ExchangeError: The register holds somebody real (STATE_CONFLICT).
    """
    world = World(number, Sizes.of(persons))
    happened: list[PersonEvent] = []

    def people() -> Iterator[Person]:
        # What happened to them is noted as they go by: to draw them costs more than to write them.
        for person in world.persons_by_number():
            happened.extend(world.events_of(person))
            yield person

    def more(tx: sa.Connection) -> None:
        _clear(tx)
        _insert_events(tx, in_order_of_persons(happened))
        _insert_photos(tx)

    return PersonStore(desk.store).replace_rows(people(), written, more)


def _clear(tx: sa.Connection) -> None:
    """Forget dossiers, links and events of the country before; its cursors lead nowhere."""
    for table in reversed(METADATA.sorted_tables):
        if table not in (PERSONS, WORDS, KIT.event_log):
            tx.execute(table.delete())
    tx.execute(KIT.event_log.update().values(epoch=secrets.token_hex(4), newest=0, dropped=0))


def _insert_events(tx: sa.Connection, events: list[PersonEvent]) -> None:
    npis = sorted({one.npi for one in events})
    _insert(tx, LINKS, ({"npi": npi, "client": client} for npi in npis for client in FOLLOWERS))
    _insert(tx, KIT.event, (_row(place, one) for place, one in enumerate(events, 1)))
    links = [of_client(client) for client in FOLLOWERS]
    places = range(1, len(events) + 1)
    _insert(tx, KIT.event_link, ({"place": place, "link": link} for place in places for link in links))
    tx.execute(KIT.event_log.update().values(newest=len(events)))


def _insert_photos(tx: sa.Connection) -> None:
    """Of the test persons who stand in the register by a number of their own."""
    jpeg = PORTRAIT.read_bytes()
    numbers = [one.npi for one in PERSONAS if one.record and not one.record.merged_into]
    _insert(tx, PHOTOS, ({"npi": npi, "jpeg": jpeg, "capture_date": _TAKEN_ON} for npi in numbers))


def _row(place: int, one: PersonEvent) -> dict[str, object]:
    kind = events_pb2.PersonEventType.Value(f"PERSON_EVENT_TYPE_{one.kind}")
    told = events_pb2.PersonEvent(type=kind, npi=one.npi, surviving_npi=one.surviving_npi)
    day = date.fromisoformat(one.occurred_on)
    return {
        "place": place,
        "kind": kind,
        "subject": one.npi,
        "changed_fields": " ".join(one.changed_fields),
        "occurred_at": int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1000),
        "payload": told.SerializeToString(),
    }


def _insert(tx: sa.Connection, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
    for batch in _batches(rows):
        tx.execute(table.insert(), batch)


def _batches(rows: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch
