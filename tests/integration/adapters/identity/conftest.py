"""ANIP's adapter with the personas, on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.identity_office import IdentityOffice


@pytest.fixture
def office(database: str, tmp_path: Path) -> Iterator[IdentityOffice]:
    """The adapter, on a Monday morning."""
    office = IdentityOffice(database, tmp_path)
    yield office
    office.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityOffice]:
    """The same for a whole module, on SQLite: for refusals, which change nothing and never reach the database."""
    directory = tmp_path_factory.mktemp("anip")
    office = IdentityOffice(f"sqlite:///{directory}/rnpp.sqlite", directory)
    yield office
    office.close()
