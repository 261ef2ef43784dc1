"""MTFP's register on either database, and its adapter with ANIP's behind it."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from adapters.kit.store import Store, open_store
from adapters.labour.adapter import MINISTRY
from tests.support.adapter_country import AdapterCountry
from tests.support.labour.office import LabourOffice
from tests.support.registers import make_register


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty register with today's schema."""
    make_register(database, MINISTRY.migrations)
    store = open_store(database, MINISTRY.migrations)
    yield store
    store.close()


@pytest.fixture(scope="session")
def anip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """ANIP's adapter with the personas, as its own gateway reaches it."""
    country = AdapterCountry(tmp_path_factory.mktemp("anip"))
    country.seed(50)
    server, port = country.serve()
    with country.channel(port, country.identity()) as channel:
        yield channel
    server.stop(0)


@pytest.fixture
def office(database: str, tmp_path: Path, anip: grpc.Channel) -> Iterator[LabourOffice]:
    """The adapter, on a Monday morning, with one employer in its register."""
    office = LabourOffice(database, tmp_path, anip)
    yield office
    office.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, anip: grpc.Channel) -> Iterator[LabourOffice]:
    """The same for a whole module, on SQLite: for refusals, which change nothing and never reach the database."""
    directory = tmp_path_factory.mktemp("mtfp")
    office = LabourOffice(f"sqlite:///{directory}/register.sqlite", directory, anip)
    yield office
    office.close()
