"""A worker's memory stays flat: the small version; ``make test-memory`` is the long one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.settings import Limits
from tests.support.memory import measure, silent_connections
from tests.support.processes import ProcessFederation

pytestmark = pytest.mark.e2e

WARM, COUNT = 1_500, 3_000


@pytest.mark.timeout(180)
def test_memory_of_a_worker_stays_flat_while_silent_connections_hang_on(tmp_path: Path) -> None:
    """Some thousand exchanges, 200 strangers on each port; a leak of 2 KiB in each exchange would be seen."""
    limits = Limits(handshake_ms=600_000)
    with ProcessFederation(tmp_path, limits=limits) as federation, ExitStack() as stack:
        measure(federation, WARM, samples=1)
        silent_connections(stack, (federation.pns, federation.anip), 200)

        curves = measure(federation, COUNT, samples=12)

    for curve in curves:
        print(curve)
        assert curve.slope_kib_per_1000 < 2_000
