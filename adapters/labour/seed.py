"""Fill the register with the work of a fictitious country: for sandboxes, demonstrations and tests.

Everything comes from ``adapters.world``, so that employers are firms at APIEx and workers people at ANIP; disputes and
who speaks for an inspectorate, which no other registry knows, are added here. A register with a real person's contract is
never touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.labour import seed_dossiers, seed_rows, tables
from adapters.world.records.labour import Contract
from adapters.world.sizes import Sizes
from adapters.world.work import Hiring
from adapters.world.world import World
from core.reasons import ExchangeError, Reason

_BATCH: Final = 5_000
_RESERVED: Final = "000%"

_T = TypeVar("_T")


def seed(desk: Desk, persons: int, seed: int, written: Callable[[int], None]) -> int:
    """Put the work of a country of so many ``persons`` in the place of whatever seed is there; returns the contracts.

    All or nothing; the same ``seed`` gives the same work.

    Raises:
        ExchangeError: The register holds somebody outside the reserved range (STATE_CONFLICT).
    """
    world = World(seed, Sizes.of(persons))
    employers = list(world.employers())
    with desk.store.writing() as tx:
        _require_fictitious(tx)
        _clear(tx)
        _insert(tx, tables.EMPLOYERS, map(seed_rows.employer, employers))
        _insert(tx, tables.DISPUTES, seed_rows.disputes(employers, world.day))
        _insert(tx, tables.INSPECTORATES, seed_rows.inspectorates(employers))
        total, undecided = 0, list[Contract]()
        for batch in _batches(world.hirings()):
            _insert_hirings(desk, tx, world, batch)
            undecided += [one.contract for one in batch if seed_dossiers.is_undecided(one.contract)]
            total += len(batch)
            written(len(batch))
        _name_workers(tx, world, undecided)
        for table, rows in seed_dossiers.dossiers(desk, undecided):
            _insert(tx, table, rows)
        _insert(tx, tables.SEEKERS, map(seed_rows.seeker, world.job_seekers()))
        _insert_events(tx, world)
    return total


def _require_fictitious(tx: sa.Connection) -> None:
    for column in (tables.CONTRACTS.c.worker_npi, tables.HIRINGS.c.npi, tables.SEEKERS.c.npi):
        if tx.execute(sa.select(column).where(column.not_like(_RESERVED)).limit(1)).first():
            raise ExchangeError(
                Reason.STATE_CONFLICT, "this register holds real persons; no seed may touch it"
            )


def _clear(tx: sa.Connection) -> None:
    """Empty every table, dossiers included; cursors of before lead nowhere."""
    for table in reversed(tables.METADATA.sorted_tables):
        if table is not tables.KIT.event_log:
            tx.execute(table.delete())
    tx.execute(tables.KIT.event_log.update().values(epoch=secrets.token_hex(4), newest=0, dropped=0))


def _insert_hirings(desk: Desk, tx: sa.Connection, world: World, batch: list[Hiring]) -> None:
    """Contracts with all that comes with them."""
    _insert(tx, tables.CONTRACTS, (seed_rows.contract(one.contract) for one in batch))
    _insert(tx, tables.HIRINGS, seed_rows.hirings(batch, world.day))
    _insert(
        tx, tables.AFFILIATIONS, (seed_rows.affiliation(paper) for one in batch for paper in one.affiliations)
    )
    _insert(tx, tables.PERMITS, (seed_rows.permit(paper) for one in batch for paper in one.permits))
    _insert(tx, tables.KIT.task, seed_dossiers.permit_tasks(desk, batch, world.day))


def _name_workers(tx: sa.Connection, world: World, undecided: list[Contract]) -> None:
    """The names of whose contract may yet get a visa, as ANIP writes them."""
    wanted = {one.worker_npi for one in undecided}
    if wanted:
        named = (one for one in world.persons() if one.npi in wanted)
        update = tables.CONTRACTS.update().where(tables.CONTRACTS.c.worker_npi == sa.bindparam("of_npi"))
        tx.execute(
            update.values(worker_name=sa.bindparam("name")),
            [{"of_npi": one.npi, "name": f"{one.last_name} {one.first_names}"} for one in named],
        )


def _insert_events(tx: sa.Connection, world: World) -> None:
    """The last year's, in the order in which they happened."""
    events = [one for one in world.visa_events() if one.employer_ifu]
    _insert(tx, tables.KIT.event, (seed_rows.event(place, one) for place, one in enumerate(events, 1)))
    _insert(
        tx,
        tables.KIT.event_link,
        (
            {"place": place, "link": link}
            for place, one in enumerate(events, 1)
            for link in seed_rows.links(one)
        ),
    )
    tx.execute(tables.KIT.event_log.update().values(newest=len(events)))


def _insert(tx: sa.Connection, table: sa.Table, rows: Iterable[seed_rows.Row]) -> None:
    for batch in _batches(rows):
        tx.execute(table.insert(), batch)


def _batches(rows: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch
