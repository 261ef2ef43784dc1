"""10,000 mutations of a log, each told with its place (``make test-mutations``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.hostile.test_mutations import Original, memory, mutate, original

__all__ = ["memory", "original"]


@pytest.mark.timeout(600)
def test_ten_thousand_mutations_of_a_log_are_each_told(original: Original, memory: Path) -> None:
    """As RELIABILITY asks; ``make test`` tries as many as there is time for."""
    mutate(original, memory, 10_000)
