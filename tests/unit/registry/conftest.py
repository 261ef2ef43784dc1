"""A founded registry, open in this process: founded once, copied for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import ManualClock
from tests.support.registry_country import RegistryCountry, Templates


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Two countries to copy."""
    made = Templates(tmp_path_factory.mktemp("countries"))
    made.found(ManualClock())
    return made


@pytest.fixture
def clock() -> ManualClock:
    """A clock that obeys."""
    return ManualClock()


@pytest.fixture
def country(templates: Templates, tmp_path: Path, clock: ManualClock) -> Iterator[RegistryCountry]:
    """A registry without members."""
    yield from templates.opened("empty", tmp_path / "country", clock)


@pytest.fixture
def populated(templates: Templates, tmp_path: Path, clock: ManualClock) -> Iterator[RegistryCountry]:
    """The same with PNS and ANIP, their gateways, and ANIP's service."""
    yield from templates.opened("populated", tmp_path / "country", clock)
