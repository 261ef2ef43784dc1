"""The default country, drawn once for all of these tests."""

import pytest

from tests.support.world_country import Country


@pytest.fixture(scope="session")
def country() -> Country:
    """What ``World()`` tells; nobody changes it."""
    return Country()
