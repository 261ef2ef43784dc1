"""Storms of cancellations and deadlines (``make test-cancellation``)."""

from pathlib import Path

import pytest

from tests.integration.gateway.test_cancellation import storm


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["cancel", "deadline"])
def test_a_long_storm_of_endings_leaves_nothing_open_and_delivers_nothing_twice(
    tmp_path: Path, kind: str
) -> None:
    """As in ``make test``, twenty-five times over."""
    storm(tmp_path, kind, 50_000)
