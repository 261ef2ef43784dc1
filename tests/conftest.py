"""What all tests share: marks by folder, a seeded hypothesis profile, no environment that changes the outcome."""

import gc
import re
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


# Counting lines doubles the time of what runs them: not where the same ones run again, nor for other packages.
_COUNTED = re.compile(r"unit/(core|pki|ledger|gateway_\w+)/|integration/(gateway|gateway_control|ledger)/")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder that it lives in: unit, integration, e2e or long; and those that count no lines."""
    for item in items:
        path = item.path.relative_to(_HERE)
        item.add_marker(path.parts[0])
        if not _COUNTED.match(path.as_posix()) or item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector need not look at it ten times a minute."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _neutral_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are those of the default language, whatever the machine speaks."""
    for name in ("PASSERELLE_LANG", "LC_ALL", "LANG", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
