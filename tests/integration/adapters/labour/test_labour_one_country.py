"""Labour, business and identity, each with its own adapter, seeded from one country: they agree on who employs."""

from collections.abc import Iterator

import grpc
import pytest
import sqlalchemy as sa

from adapters.business.adapter import MINISTRY as BUSINESS
from adapters.business.seed import seed as seed_business
from adapters.kit.desk import Desk
from adapters.kit.store import open_store
from adapters.labour.seed import seed
from adapters.labour.tables import EMPLOYERS
from adapters.server import make_server, start
from adapters.settings import AdapterSettings
from adapters.world.records.business import BusinessStatus, Firm
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED, World
from bj.common.v1 import dossier_pb2
from core.clock import ManualClock, SystemClock
from tests.support.labour.office import APIEX, MONDAY_MS, LabourOffice
from tests.support.neighbours import Neighbourhood
from tests.support.registers import make_register

PERSONS = 1_000


@pytest.fixture(scope="module")
def apiex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """APIEx's adapter, as its own gateway reaches it."""
    directory = tmp_path_factory.mktemp("apiex")
    side = Neighbourhood(directory, APIEX)
    settings = AdapterSettings(
        adapter="business",
        subsystem=APIEX,
        gateways=(side.gateway,),
        database=f"sqlite:///{directory}/rccm.sqlite",
        listen="127.0.0.1:0",
        anchor=str(directory / "anchor.pem"),
        key=str(directory / "identity.key"),
        certificate=str(directory / "identity.crt"),
    )
    make_register(settings.database, BUSINESS.migrations)
    store = open_store(settings.database, BUSINESS.migrations)
    desk = Desk(BUSINESS, settings, store, ManualClock(MONDAY_MS))
    seed_business(desk, PERSONS, DEFAULT_SEED, lambda _: None)
    server = make_server(settings, SystemClock())
    for add, servicer in BUSINESS.build(desk):
        add(servicer, server.grpc)
    with side.channel(start(server, settings, BUSINESS.services)) as channel:
        yield channel
    desk.events.stop()
    server.stop(0)
    desk.close()


@pytest.fixture
def country(office: LabourOffice, apiex: grpc.Channel) -> LabourOffice:
    """The labour register of the same country, with that adapter behind the road."""
    office.gateway.providers[APIEX] = apiex
    seed(office.desk, PERSONS, DEFAULT_SEED, lambda _: None)
    return office


def firms(*, with_workers: bool, active: bool = True) -> list[Firm]:
    """Companies of the country that have a tax number."""
    return [
        one
        for one in World(DEFAULT_SEED, Sizes.of(PERSONS)).firms()
        if one.ifu and bool(one.cnss_employer_no) is with_workers
        if (one.status is BusinessStatus.ACTIVE) is active
    ]


def test_an_employer_of_one_registry_is_an_active_firm_of_the_other(country: LabourOffice) -> None:
    """His contract waits for its officer once both have been asked."""
    firm = firms(with_workers=True)[0]

    reference = country.file(employer_ifu=firm.ifu).dossier.reference
    country.run_due()

    assert country.steps(reference) == {"identity": "DONE", "employer": "DONE", "warnings": "DONE"}


def test_a_firm_without_workers_hires_its_first(country: LabourOffice) -> None:
    """The ministry enters it as APIEx knows it: name, numbers, activity, department."""
    firm = firms(with_workers=False)[0]

    reference = country.file(employer_ifu=firm.ifu).dossier.reference

    assert country.steps(reference)["employer"] == "DONE"
    with country.desk.store.reading() as tx:
        row = tx.execute(sa.select(EMPLOYERS).where(EMPLOYERS.c.ifu == firm.ifu)).one()
    assert (row.name, row.rccm, row.sector) == (firm.name, firm.rccm, firm.activity)
    assert (row.inspectorate_code, row.registered_on) == (firm.seat.department_code, firm.registered_on)


def test_a_firm_that_was_struck_off_gets_no_visa(country: LabourOffice) -> None:
    """Whether or not the ministry still has it among the employers."""
    firm = firms(with_workers=True, active=False)[0]

    reference = country.file(employer_ifu=firm.ifu).dossier.reference
    country.run_due()

    assert country.dossier(reference).state == dossier_pb2.DOSSIER_STATE_REJECTED
    assert country.steps(reference)["employer"] == "FAILED"
