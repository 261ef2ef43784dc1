"""The sandbox's land: whole, the same each time, and never over a real register."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.land.parties import Party, PartyKind
from adapters.land.rights import current_rights, holdings
from adapters.land.seed import seed
from adapters.land.shares import require_whole
from adapters.land.tables import (
    CLAIMS,
    HOLDINGS,
    KIT,
    METADATA,
    OPPOSITIONS,
    PARCELS,
    SUCCESSIONS,
    TITLE_REQUESTS,
    TITLES,
)
from adapters.reasons import ProviderReason
from bj.land.v1 import parcel_pb2
from core.clock import ManualClock
from core.reasons import ExchangeError, Reason
from tests.support.land_book import LandBook
from tests.support.land_desk import LandDesk
from tests.support.refusals import refused

PERSONS = 2_000
OWNER = Party(PartyKind.PERSON, "0000000013")
PAGE = Path(__file__).parents[4] / "docs" / "registres" / "land.md"


@pytest.fixture
def land(desk: Desk) -> LandDesk:
    """A seeded register, and whoever comes to its desk."""
    seed(desk, PERSONS, 229, lambda count: None)
    return LandDesk(desk)


def dump(desk: Desk) -> list[str]:
    """All that stands in the register, but what is drawn or counted anew each time."""
    counted = {"holding_id", "mortgage_id", "restriction_id", "dispute_id"}
    with desk.store.reading() as tx:
        return [
            str(row)
            for table in METADATA.sorted_tables
            if table not in (KIT.task, KIT.event_log)
            for row in tx.execute(
                sa.select(*(column for column in table.c if column.name not in counted)).order_by(
                    *table.primary_key
                )
            )
        ]


def rows() -> list[list[str]]:
    """The table of the page, cell by cell."""
    section = PAGE.read_text(encoding="utf-8").split("## À essayer")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1:]]


def test_the_personas_own_what_their_page_says(land: LandDesk) -> None:
    """The page is a promise to developers."""
    for nup, npi, expected, _ in rows():
        answer = land.owns(nup, Party(PartyKind.PERSON, npi))

        told = parcel_pb2.OwnershipResult.Name(answer.result).removeprefix("OWNERSHIP_RESULT_")
        reasons = [parcel_pb2.BlockingReason.Name(one)[16:] for one in answer.blocking_reasons]
        if reasons:
            told += f" : {', '.join(reasons)}"
        if answer.can_sell:
            told += ", peut vendre · can sell"
        assert (nup, told) == (nup, expected)


def test_the_shares_of_every_parcel_sum_to_the_whole(land: LandDesk) -> None:
    """And every share, capacity and party is one that the rules know."""
    with land.desk.store.reading() as tx:
        ids = tx.execute(sa.select(HOLDINGS.c.parcel_id).distinct()).scalars().all()
        for parcel_id in ids:
            require_whole(holdings(current_rights(tx, parcel_id)))
    assert len(ids) > 200


def test_all_numbers_are_reserved_ones(land: LandDesk) -> None:
    """Parcels, persons, titles: nobody's."""
    nups = [row.nup for row in land.rows(sa.select(PARCELS.c.nup)) if row.nup]
    parties = land.rows(sa.select(HOLDINGS.c.party_kind, HOLDINGS.c.party_number))
    titles = [row.title_no for row in land.rows(sa.select(TITLES.c.title_no))]

    assert min(nups) > "900000000"
    assert len(set(nups)) == len(nups)
    assert all(row.party_number.startswith("000") for row in parties if row.party_kind == "npi")
    assert all(row.party_number[5] == "9" for row in parties if row.party_kind == "ifu")
    assert all(title.split("/")[2] >= "900000" for title in titles)


def test_every_row_can_be_told(land: LandDesk) -> None:
    """Each parcel by its number or by what it was called, with its polygon; successions lead somewhere."""
    parcels = land.rows(sa.select(PARCELS))
    nups = {row.nup for row in parcels if row.nup}
    for row in parcels:
        assert len(json.loads(row.polygon)) > 2
        assert row.nup or row.legacy
    for step in land.rows(sa.select(SUCCESSIONS)):
        assert {step.from_nup, step.to_nup} <= nups


def test_open_notices_are_dossiers_that_go_on(land: LandDesk, clock: ManualClock) -> None:
    """Opposed, decided, granted, as any other."""
    requests = land.rows(sa.select(TITLE_REQUESTS))
    opposed = {row.reference for row in land.rows(sa.select(OPPOSITIONS))}
    assert {row.reference for row in land.rows(sa.select(CLAIMS))} == {row.reference for row in requests}
    for row in requests:
        state = State.ARBITRATION if row.reference in opposed else State.OPPOSITION_PERIOD
        assert land.state(row.reference) is state
    assert refused(land.grant, requests[0].reference) is ProviderReason.STATE_CONFLICT

    land.oppose("900000010", OWNER)

    assert len(land.rows(sa.select(OPPOSITIONS))) == len(opposed) + 1


def test_what_happened_is_told_and_goes_on(land: LandDesk) -> None:
    """The past of the seed, then what is done today, by the same cursors."""
    past = land.told()
    assert len(past) > 10

    land.oppose("900000010", OWNER)

    assert land.told() == [*past, ("OPPOSITION", "900000010")]


def test_the_same_seed_gives_the_same_land_and_replaces_another(desk: Desk) -> None:
    """Nothing of the former one stays."""
    told: list[int] = []
    total = seed(desk, PERSONS, 229, told.append)
    first = dump(desk)

    seed(desk, PERSONS, 230, lambda count: None)
    second = dump(desk)
    seed(desk, PERSONS, 229, lambda count: None)

    assert second != first
    assert dump(desk) == first
    assert sum(told) == total


def test_a_register_with_a_real_parcel_is_never_touched(desk: Desk, book: LandBook) -> None:
    """One is enough."""
    book.parcel(nup="100000001")
    before = dump(desk)

    with pytest.raises(ExchangeError) as error:
        seed(desk, PERSONS, 229, lambda count: None)

    assert error.value.reason is Reason.STATE_CONFLICT
    assert dump(desk) == before
