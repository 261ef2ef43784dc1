"""The register filled from the fictitious country: the same each time, and never over real people."""

from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from adapters.labour.adapter import MINISTRY
from adapters.labour.employers import find_by_ifu, has_open_dispute
from adapters.labour.seed import seed
from adapters.labour.tables import CONTRACTS, EMPLOYERS, INSPECTORATES, KIT, METADATA, SEEKERS
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED, World
from bj.common.v1 import dossier_pb2, event_pb2
from bj.labour.v1 import events_pb2, labour_pb2
from core.reasons import ExchangeError, Reason
from tests.support.labour.office import LabourOffice, Refusal

PAGE = Path(__file__).parents[4] / "docs" / "registres" / "labour.md"
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


def rows(first_cell: str) -> list[list[str]]:
    """The rows of the page's table that begins with that heading, cell by cell."""
    table = PAGE.read_text(encoding="utf-8").split(f"| {first_cell} |")[1].split("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def seeker_cell(office: LabourOffice, npi: str) -> str:
    """What the page says for GetJobSeeker, from what the service says."""
    request = labour_pb2.GetJobSeekerRequest(npi=npi)
    try:
        return str(office.call(office.labour.GetJobSeeker, request, "P01").seeker.seeker_no)
    except grpc.RpcError as error:
        return Refusal.of(error).reason


def test_the_personas_answer_as_the_page_says(office: LabourOffice) -> None:
    """Those who work, seek work, did, or wait; none of the others works."""
    fill(office, 19)
    said = {row[0]: row[2:] for row in rows("NPI")}

    for number in range(1, 21):
        npi = f"{number:010d}"
        request = labour_pb2.GetEmploymentStatusRequest(npi=npi)
        status = office.call(office.labour.GetEmploymentStatus, request, "P07")
        names = ", ".join(status.employer_names) or "-"
        told = [str(status.open_contracts), names, seeker_cell(office, npi)]
        assert told == said.get(npi, ["0", "-", "NOT_FOUND"])


def test_the_employers_of_the_page_are_in_the_register(office: LabourOffice) -> None:
    """All of them, and the last one alone has a dispute."""
    fill(office, 19)
    told = []
    for ifu, *_ in rows("IFU"):
        found = office.call(office.labour.GetEmployer, labour_pb2.GetEmployerRequest(ifu=ifu))
        headcount = labour_pb2.HeadcountBand.Name(found.headcount).removeprefix("HEADCOUNT_BAND_")
        paid = labour_pb2.Contributions.Name(found.contributions).removeprefix("CONTRIBUTIONS_")
        told.append([found.ifu, found.name, found.cnss_employer_no, headcount, paid, found.inspectorate_code])

    assert told == rows("IFU")
    with office.desk.store.reading() as tx:
        employers = [find_by_ifu(tx, ifu) for ifu, *_ in rows("IFU")]
        assert [one and has_open_dispute(tx, one.id) for one in employers] == [False, False, False, True]


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
