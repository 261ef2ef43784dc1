"""ANDF's desk over an empty register, on both databases; who calls is said by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from adapters.kit.desk import Desk, open_desk
from adapters.land.adapter import MINISTRY
from adapters.settings import AdapterSettings
from core.clock import ManualClock
from tests.support.adapter_country import AdapterCountry
from tests.support.anip_road import AnipRoad
from tests.support.land_book import LandBook
from tests.support.land_desk import LandDesk
from tests.support.land_served import ServedLand
from tests.support.neighbours import Neighbourhood
from tests.support.registers import make_register

# A Thursday, 10:00 in Porto-Novo.
NOW_MS = 1_794_474_000_000


@pytest.fixture
def clock() -> ManualClock:
    """A working day that passes only when told to."""
    return ManualClock(NOW_MS)


@pytest.fixture
def desk(database: str, tmp_path: Path, clock: ManualClock) -> Iterator[Desk]:
    """The desk."""
    make_register(database, MINISTRY.migrations)
    settings = AdapterSettings(
        adapter="land",
        subsystem="BJ/GOV/ANDF/CADASTRE",
        gateways=("BJ/GOV/ANDF/gw1",),
        database=database,
        document_key=str(tmp_path / "document.key"),
        document_certificate=str(tmp_path / "document.crt"),
    )
    desk = open_desk(MINISTRY, settings, clock)
    yield desk
    desk.store.close()


@pytest.fixture
def book(desk: Desk) -> LandBook:
    """What is written in the register."""
    return LandBook(desk.store)


@pytest.fixture
def signing(tmp_path: Path) -> None:
    """ANDF's key for documents: what is granted is signed."""
    Neighbourhood(tmp_path, "BJ/GOV/ANDF/CADASTRE").write_document_key(NOW_MS)


@pytest.fixture(scope="session")
def anip_adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """ANIP's adapter with the personas, as its own gateway reaches it."""
    country = AdapterCountry(tmp_path_factory.mktemp("anip"))
    country.seed(50)
    server, port = country.serve()
    with country.channel(port, country.identity()) as channel:
        yield channel
    server.stop(0)


@pytest.fixture
def served(database: str, tmp_path: Path, anip_adapter: grpc.Channel) -> Iterator[ServedLand]:
    """ANDF's adapter, listening, with its own gateway and ANIP behind that."""
    served = ServedLand(database, tmp_path, anip_adapter)
    yield served
    served.close()


@pytest.fixture
def anip(desk: Desk, tmp_path: Path) -> Iterator[AnipRoad]:
    """ANIP's register of personas, at the end of the desk's road."""
    road = AnipRoad(tmp_path, "BJ/GOV/ANDF/CADASTRE")
    desk.road = road
    yield road
    road.close()


@pytest.fixture
def land(desk: Desk, anip: AnipRoad, book: LandBook) -> LandDesk:
    """Whoever comes to the desk; notaries are known."""
    book.notaries()
    return LandDesk(desk)
