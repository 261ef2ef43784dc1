"""APIEx over a fresh database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.business import Apiex


@pytest.fixture
def apiex(database: str, tmp_path: Path) -> Iterator[Apiex]:
    """Its desk, with a few firms."""
    apiex = Apiex(database, tmp_path)
    apiex.enter()
    yield apiex
    apiex.desk.close()
