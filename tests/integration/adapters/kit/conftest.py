"""A small ministry over a fresh database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postal.ministry import PostOffice


@pytest.fixture
def office(database: str, tmp_path: Path) -> Iterator[PostOffice]:
    """Its desk, on Monday morning."""
    office = PostOffice(database, tmp_path)
    yield office
    office.desk.close()
