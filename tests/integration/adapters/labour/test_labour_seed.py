"""The register filled from the fictitious country: the same each time, and never over real people."""

import pytest
import sqlalchemy as sa

from adapters.kit.calendar import day_of
from adapters.labour.adapter import MINISTRY
from adapters.labour.employment import employment_of
from adapters.labour.seed import seed
from adapters.labour.tables import CONTRACTS, EMPLOYERS, INSPECTORATES, KIT, METADATA, SEEKERS
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED, World
from bj.common.v1 import dossier_pb2, event_pb2
from bj.labour.v1 import events_pb2, labour_pb2
from core.reasons import ExchangeError, Reason
from tests.support.labour.office import LabourOffice

PERSONS = 1_000
INSPECTION = "BJ/GOV/MTFP/INSPECTION"


def fill(office: LabourOffice, persons: int = PERSONS, number: int = DEFAULT_SEED) -> int:
    """Seed the register."""
    return seed(office.desk, persons, number, lambda _: None)


def content(office: LabourOffice) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the register's own tables."""
    with office.desk.store.reading() as tx:
        return {
            table.name: sorted(map(tuple, tx.execute(sa.select(table))), key=repr)
            for table in METADATA.sorted_tables
            if table not in (KIT.event_log, KIT.task)
        }


def test_a_seed_fills_the_register_from_the_world(office: LabourOffice) -> None:
    """As many contracts as the country has, told as they are written; the same seed again is the same register."""
    told: list[int] = []
    world = World(DEFAULT_SEED, Sizes.of(PERSONS))

    total = seed(office.desk, PERSONS, DEFAULT_SEED, told.append)

    assert total == sum(told) == len(list(world.contracts()))
    first = content(office)
    assert len(first["employer"]) == len(list(world.employers()))
    assert len(first["event"]) == len([one for one in world.visa_events() if one.employer_ifu])
    fill(office)
    assert content(office) == first
    fill(office, number=DEFAULT_SEED + 1)
    assert content(office) != first


def test_a_register_of_real_people_is_never_seeded(office: LabourOffice) -> None:
    """One number outside the reserved range is enough to stop it."""
    fill(office, 19)
    for column in (CONTRACTS.c.worker_npi, SEEKERS.c.npi):
        fill(office, 19)
        first = sa.select(sa.func.min(column)).scalar_subquery()
        real = sa.update(column.table).where(column == first).values({column.name: "1000000001"})
        with office.desk.store.writing() as tx:
            tx.execute(real)
        before = content(office)

        with pytest.raises(ExchangeError) as refused:
            fill(office)

        assert refused.value.reason is Reason.STATE_CONFLICT
        assert "1000000001" not in str(refused.value)
        assert content(office) == before
        office.desk.store.write(lambda tx: tx.execute(CONTRACTS.delete()))
        office.desk.store.write(lambda tx: tx.execute(SEEKERS.delete()))


def test_the_personas_answer_as_their_page_says(office: LabourOffice) -> None:
    """Koffi's kin at work: one employed, one employed under two numbers at the CNSS, one who seeks work, one who did."""
    fill(office, 19)
    today = day_of(office.clock.now_ms())

    with office.desk.store.reading() as tx:
        open_contracts = {
            npi: employment_of(tx, f"00000000{npi:02d}", today).open_contracts for npi in (6, 16, 19, 11, 8)
        }
    assert open_contracts == {6: 1, 16: 1, 19: 1, 11: 0, 8: 0}
    seeks = labour_pb2.GetJobSeekerRequest(npi="0000000007")
    assert office.call(office.labour.GetJobSeeker, seeks, "P01").seeker.valid_until >= today.isoformat()
    sought = labour_pb2.GetJobSeekerRequest(npi="0000000011")
    assert office.refused(office.labour.GetJobSeeker, sought, "P01").reason == "NOT_FOUND"


def test_undecided_contracts_are_dossiers_that_an_officer_can_decide(office: LabourOffice) -> None:
    """Their steps are done, the portal may follow them, and events go on after the seeded ones."""
    fill(office)
    with office.desk.store.reading() as tx:
        rows = tx.execute(
            sa.select(KIT.dossier.c.reference, CONTRACTS.c.worker_name)
            .join(CONTRACTS, CONTRACTS.c.reference == KIT.dossier.c.reference)
            .where(KIT.dossier.c.state == dossier_pb2.DOSSIER_STATE_UNDER_REVIEW)
        ).all()
    assert rows
    assert all(name for _, name in rows)
    reference = rows[0].reference
    assert set(office.steps(reference).values()) == {"DONE"}

    office.decide("reject", reference, "contrat non signé")

    assert office.dossier(reference).state == dossier_pb2.DOSSIER_STATE_REJECTED
    request = events_pb2.ListVisaChangesRequest(page=event_pb2.EventPage(size=1000))
    heard = office.call(office.events.ListVisaChanges, request).events
    assert heard[-1].reference == reference
    assert office.file().dossier.reference == "DGT-202611-0001"


def test_one_inspection_hears_of_all_districts(office: LabourOffice) -> None:
    """In the sandbox one subsystem speaks for all inspectorates."""
    fill(office)
    with office.desk.store.reading() as tx:
        codes = set(tx.execute(sa.select(EMPLOYERS.c.inspectorate_code)).scalars())
        linked = set(tx.execute(sa.select(INSPECTORATES.c.inspectorate_code)).scalars())
    assert linked == codes

    request = events_pb2.ListVisaChangesRequest()
    heard = office.call(office.events.ListVisaChanges, request, "P04", x_road_client=INSPECTION)

    assert len(heard.events) == 100
    assert heard.has_more


def test_the_ministry_declares_its_seed() -> None:
    """``passerelle adapter seed`` finds it."""
    assert MINISTRY.seed is seed
