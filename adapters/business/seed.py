"""The register of the sandbox: the firms of the fictitious country, with who is behind them and what happened to them."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from typing import Final, TypeVar

import sqlalchemy as sa

from adapters.business.namebook import trace_rows
from adapters.business.names import name_rules
from adapters.business.offices import CNSS, DGI
from adapters.business.records import Firm, Relation, Seat, firm_row, relation_row
from adapters.business.tables import FIRM, KIT, METADATA, NAME_BOOK, NAME_TRACE, OFFICE_NUMBER, RELATION
from adapters.business.tidings import commune_link, form_link
from adapters.kit.calendar import ZONE
from adapters.kit.desk import Desk
from adapters.world.records import business as world_records
from adapters.world.sizes import Sizes
from adapters.world.world import World
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import events_pb2, formality_pb2
from core.reasons import ExchangeError, Reason

_BATCH: Final = 1_000
# Three zeroes begin every fictitious NPI; fictitious tax numbers have ranks from 900000.
_FICTITIOUS_NPI: Final = "000%"
_FICTITIOUS_RANK: Final = "900000"

_T = TypeVar("_T")


def seed(desk: Desk, persons: int, seed: int, written: Callable[[int], None]) -> int:
    """Put the firms of a country of so many persons in the place of whatever seed is there; return their number.

    All or nothing. ``written`` is told after each batch how many firms went in with it.

    Raises:
        ExchangeError: The register holds somebody real: no seed may touch it (STATE_CONFLICT).
        ValueError: No country has so many persons.
    """
    world = World(seed, Sizes.of(persons))
    return fill(desk, world, written)


def fill(desk: Desk, world: World, written: Callable[[int], None] = lambda _: None) -> int:
    """Put the firms of ``world`` in the place of whatever seed is there; raises as ``seed`` does."""
    total = 0
    with desk.store.writing() as tx:
        _require_sandbox(tx)
        _clear(tx)
        for batch in _batches(map(firm_of_world, world.firms())):
            _write_firms(tx, batch)
            total += len(batch)
            written(len(batch))
        for rows in _batches(_relation_rows(world.relations())):
            tx.execute(RELATION.insert(), rows)
        _write_events(tx, world.registry_events())
    return total


def firm_of_world(one: world_records.Firm) -> Firm:
    """A firm as the register holds it."""
    place = one.seat
    return Firm(
        rccm=one.rccm,
        name=one.name,
        trade_name=one.trade_name,
        sign=one.sign,
        legal_form=pb.LegalForm.Value(f"LEGAL_FORM_{one.legal_form}"),
        status=pb.BusinessStatus.Value(f"BUSINESS_STATUS_{one.status}"),
        capital_xof=one.capital_xof,
        activity=one.activity,
        seat=Seat(place.code, place.department, place.commune, place.arrondissement, place.quarter),
        seat_line=one.seat_line,
        seat_nup=one.seat_nup,
        registered_on=one.registered_on,
        struck_off_on=one.struck_off_on,
        court=one.court,
        ifu=one.ifu,
        cnss_employer_no=one.cnss_employer_no,
        regime=formality_pb2.TaxRegime.Value(f"TAX_REGIME_{one.regime}"),
        on_paper=one.on_paper,
        owner_birth_date=one.owner_birth_date,
        owner_birth_place=one.owner_birth_place,
    )


def relation_of_world(one: world_records.Relation) -> Relation:
    """A role as the register holds it."""
    return Relation(
        rccm=one.rccm,
        role=pb.RelationRole.Value(f"RELATION_ROLE_{one.role}"),
        npi=one.npi,
        last_name=one.last_name,
        first_names=one.first_names,
        marital_name=one.marital_name,
        ifu=one.ifu,
        firm_name=one.firm_name,
        share_xof=one.share_xof,
        from_date=one.from_date,
        to_date=one.to_date,
    )


def _require_sandbox(tx: sa.Connection) -> None:
    """Return if nobody in the register can be real."""
    real_person = sa.select(RELATION.c.rccm).where(
        RELATION.c.npi != "", RELATION.c.npi.not_like(_FICTITIOUS_NPI)
    )
    real_firm = sa.select(FIRM.c.rccm).where(
        FIRM.c.ifu != "", sa.func.substr(FIRM.c.ifu, 6, 6) < _FICTITIOUS_RANK
    )
    for query in (real_person, real_firm):
        if tx.execute(query.limit(1)).first():
            raise ExchangeError(
                Reason.STATE_CONFLICT, "this register holds real persons or firms; no seed may touch it"
            )


def _clear(tx: sa.Connection) -> None:
    """Empty every table, dossiers included; cursors of before lead nowhere."""
    for table in reversed(METADATA.sorted_tables):
        if table not in (KIT.event_log, NAME_BOOK):
            tx.execute(table.delete())
    tx.execute(KIT.event_log.update().values(epoch=secrets.token_hex(4), newest=0, dropped=0))


def _write_firms(tx: sa.Connection, firms: list[Firm]) -> None:
    tx.execute(FIRM.insert(), [firm_row(firm) for firm in firms])
    rules = name_rules()
    alive = [firm for firm in firms if firm.status != pb.BUSINESS_STATUS_STRUCK_OFF]
    traces = sorted((row for firm in alive for row in trace_rows(rules, firm)), key=lambda row: row["trace"])
    if traces:
        tx.execute(NAME_TRACE.insert(), traces)
    # The offices know what they gave: they never give it again.
    given = [
        {"office": office, "reference": firm.rccm, "number": number, "given_back": False}
        for firm in firms
        for office, number in ((DGI, firm.ifu), (CNSS, firm.cnss_employer_no))
        if number
    ]
    if given:
        tx.execute(OFFICE_NUMBER.insert(), given)


def _relation_rows(relations: Iterable[world_records.Relation]) -> Iterator[dict[str, object]]:
    for _, of_firm in itertools.groupby(relations, key=lambda one: one.rccm):
        for rank, one in enumerate(of_firm, 1):
            yield relation_row(relation_of_world(one), rank)


def _write_events(tx: sa.Connection, events: Iterable[world_records.RegistryEvent]) -> None:
    """What happened in the last year, in its order."""
    newest = 0
    for batch in _batches(enumerate(events, 1)):
        tx.execute(KIT.event.insert(), [_event_row(place, event) for place, event in batch])
        links = [
            {"link": link, "place": place}
            for place, event in batch
            for link in (form_link(_form(event)), commune_link(event.commune_code))
        ]
        tx.execute(KIT.event_link.insert(), links)
        newest = batch[-1][0]
    tx.execute(KIT.event_log.update().values(newest=newest))


def _event_row(place: int, event: world_records.RegistryEvent) -> dict[str, object]:
    told = events_pb2.RegistryEvent(rccm=event.rccm, legal_form=_form(event), commune_code=event.commune_code)
    return {
        "place": place,
        "kind": events_pb2.RegistryEventType.Value(f"REGISTRY_EVENT_TYPE_{event.kind}"),
        "subject": event.rccm,
        "changed_fields": " ".join(event.changed_fields),
        "occurred_at": _noon(event.occurred_on),
        "payload": told.SerializeToString(),
    }


def _form(event: world_records.RegistryEvent) -> pb.LegalForm.ValueType:
    return pb.LegalForm.Value(f"LEGAL_FORM_{event.legal_form}")


def _noon(day: str) -> int:
    """Noon in Porto-Novo, UTC milliseconds."""
    return round(datetime.combine(date.fromisoformat(day), time(12), ZONE).timestamp()) * 1000


def _batches(things: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(things)
    while batch := list(itertools.islice(rest, _BATCH)):
        yield batch
