"""Fill the register with the land of a fictitious country: for sandboxes, demonstrations and tests.

Everything comes from ``adapters.world``, so that who holds a parcel here is a person at ANIP or a firm at APIEx; notaries
and consents, which no other registry knows, are added here. A register with a real parcel is never touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.land.seed_rows import PORTAL, Rows, estate_rows, event_rows
from adapters.land.tables import CONSENTS, KIT, METADATA, NOTARIES, PARCELS, TITLES
from adapters.world.sizes import Sizes
from adapters.world.world import World
from core.reasons import ExchangeError, Reason

# From here on, numbers can be no real parcel's (DOMAIN, section 6).
FIRST_RESERVED_NUP: Final = "900000001"

_BATCH: Final = 2_000
_NOTARIES: Final = (
    {"notary_ref": "NOT-COT-0001", "npi": "0000000009", "office": "Cotonou", "in_office": True},
    {"notary_ref": "NOT-COT-0002", "npi": "", "office": "Cotonou", "in_office": False},
)
# The holder of parcel 900000001 lets a bank that asks through the portal read his title; the second one he took back.
_CONSENTS: Final = tuple(
    {
        "consent_ref": reference,
        "party_kind": "npi",
        "party_number": "0000000013",
        "client": PORTAL,
        "purposes": "P01 P03",
        "until_ms": 4_102_444_800_000,
        "revoked_at_ms": revoked,
    }
    for reference, revoked in (("CONS-0001", None), ("CONS-0002", 1_790_000_000_000))
)


def seed(desk: Desk, persons: int, seed: int, written: Callable[[int], None]) -> int:
    """Put the land of a country of so many ``persons`` in the place of whatever seed is there; returns the parcels.

    All or nothing; the same ``seed`` gives the same land. ``written`` is told after each batch how many parcels went in.

    Raises:
        ExchangeError: The register holds a real parcel (STATE_CONFLICT).
    """
    world = World(seed, Sizes.of(persons))
    deceased = {person.npi for person in world.persons() if person.death_date}
    with desk.store.writing() as tx:
        _require_fictitious(tx)
        _clear(tx)
        rows, total, told = Rows(), 0, 0
        for total, estate in enumerate(world.estates(), 1):
            estate_rows(rows, estate, deceased)
            if total % _BATCH == 0:
                rows.write(tx)
                written(total - told)
                told = total
        rows.write(tx)
        written(total - told)
        tx.execute(NOTARIES.insert(), _NOTARIES)
        tx.execute(CONSENTS.insert(), _CONSENTS)
        _number_titles(tx)
        _write_events(tx, world)
    return total


def _require_fictitious(tx: sa.Connection) -> None:
    real = sa.select(PARCELS.c.nup).where(PARCELS.c.nup < FIRST_RESERVED_NUP).limit(1)
    if tx.execute(real).first():
        raise ExchangeError(Reason.STATE_CONFLICT, "this register holds real parcels; no seed may touch it")


def _clear(tx: sa.Connection) -> None:
    """Empty every table, dossiers included; cursors of before lead nowhere."""
    for table in reversed(METADATA.sorted_tables):
        if table is not KIT.event_log:
            tx.execute(table.delete())
    tx.execute(KIT.event_log.update().values(epoch=secrets.token_hex(4), newest=0, dropped=0))


def _number_titles(tx: sa.Connection) -> None:
    """New titles are numbered after the seeded ones, in each book."""
    last: dict[str, int] = {}
    for (title_no,) in tx.execute(sa.select(TITLES.c.title_no)):
        book, _, rank = title_no.rpartition("/")
        last[book] = max(last.get(book, 0), int(rank))
    if last:
        tx.execute(KIT.series.insert(), [{"name": book, "last": rank} for book, rank in last.items()])


def _write_events(tx: sa.Connection, world: World) -> None:
    """What happened; there is no more of it than a year has."""
    rows, newest = Rows(), 0
    for newest, told in enumerate(world.parcel_events(), 1):
        event_rows(rows, newest, told)
    rows.write(tx)
    tx.execute(KIT.event_log.update().values(newest=newest))
