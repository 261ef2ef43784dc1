"""Two hundred power losses (``make test-power``): ten countries, twenty cuts each, every one by another seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.gateway.test_power_loss import lose_power


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10))
def test_cuts_lose_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    lose_power(tmp_path, monkeypatch, 20, seed)
