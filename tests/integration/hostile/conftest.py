"""A founded registry, open in this process: founded once, copied for each test."""

from collections.abc import Iterator

import pytest

from core.clock import ManualClock, SystemClock
from tests.support.registry_country import RegistryCountry, Templates


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Two countries to copy."""
    made = Templates(tmp_path_factory.mktemp("countries"))
    made.found(SystemClock())
    return made


@pytest.fixture(scope="module")
def registry(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryCountry]:
    """A registry with PNS and ANIP, their gateways, and ANIP's service."""
    clock = ManualClock(SystemClock().now_ms())
    yield from templates.opened("populated", tmp_path_factory.mktemp("registry") / "country", clock)
