"""What all tests share: marks by folder, a seeded hypothesis profile, no environment that changes the outcome."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.databases import database, postgresql_cluster

__all__ = ["database", "postgresql_cluster"]

_HERE = Path(__file__).parent

# Seeded and without deadline: a test fails because of what it tests, never because the machine is busy.
settings.register_profile(
    "repository",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repository")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder that it lives in: unit, integration, e2e or long."""
    for item in items:
        kind = item.path.relative_to(_HERE).parts[0]
        item.add_marker(kind)


@pytest.fixture(autouse=True)
def _neutral_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are those of the default language, whatever the machine speaks."""
    for name in ("PASSERELLE_LANG", "LC_ALL", "LANG", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
