"""A worker's memory over 100,000 exchanges, with 200 silent connections on each of its ports (``make test-memory``).

RELIABILITY, section 7, row "soak": less than 1 MB in 100,000 exchanges; asserted ten times wider, printed as measured.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.settings import Limits
from tests.support.memory import measure, silent_connections
from tests.support.processes import ProcessFederation

EXCHANGES = 100_000


@pytest.mark.timeout(3_600)
def test_memory_of_a_worker_stays_flat_over_100_000_exchanges(tmp_path: Path) -> None:
    """Both workers; caches and pools are full after the first half, the second half is judged."""
    limits = Limits(handshake_ms=3_600_000)
    with ProcessFederation(tmp_path, limits=limits) as federation, ExitStack() as stack:
        measure(federation, 1_000, samples=1)
        silent_connections(stack, (federation.pns, federation.anip), 200)

        curves = measure(federation, EXCHANGES, samples=50)

    for curve in curves:
        print(curve)
    assert all(curve.slope_kib_per_1000 < 100 for curve in curves)
