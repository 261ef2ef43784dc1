"""Events of records: who is linked to whom, and what is told them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.identity.tables import LINKS
from adapters.kit.desk import Desk
from bj.identity.v1 import events_pb2

_LINK: Final = sa.text("INSERT INTO person_link (npi, client) VALUES (:npi, :client) ON CONFLICT DO NOTHING")


def link(tx: sa.Connection, npi: str, client: str) -> None:
    """From now on ``client`` hears what becomes of that record."""
    tx.execute(_LINK, {"npi": npi, "client": client})


def of_client(client: str) -> str:
    """Under which key a subsystem finds its events."""
    return f"client:{client}"


def tell(
    desk: Desk,
    tx: sa.Connection,
    kind: events_pb2.PersonEventType.ValueType,
    npi: str,
    *changed_fields: str,
    surviving_npi: str = "",
    doc_id: str = "",
) -> None:
    """Append an event for all who are linked now; last in its transaction."""
    told = events_pb2.PersonEvent(type=kind, npi=npi, surviving_npi=surviving_npi, doc_id=doc_id)
    linked = tx.execute(sa.select(LINKS.c.client).where(LINKS.c.npi == npi)).scalars().all()
    desk.events.append(
        tx,
        kind,
        npi,
        changed_fields,
        links=[of_client(client) for client in linked],
        payload=told.SerializeToString(),
    )
