"""MTFP's register on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.kit.store import Store, migrate, open_store
from adapters.labour import migrations

MIGRATIONS = Path(migrations.__file__).parent


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty register with today's schema."""
    migrate(database, MIGRATIONS)
    store = open_store(database, MIGRATIONS)
    yield store
    store.close()
