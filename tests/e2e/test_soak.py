"""A soak in small: ``make test-soak`` is the long one, with all weathers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.soak.faults import link_dead, worker_killed
from tests.support.soak.run import soak, verify_logs

pytestmark = pytest.mark.e2e

EXCHANGES = 3_000


@pytest.mark.timeout(300)
def test_nothing_is_lost_while_a_worker_dies_and_the_link_is_dead(tmp_path: Path) -> None:
    """Calls of all kinds at full speed, through control, workers, real disks and TLS; then every process stops."""
    result = soak(
        tmp_path, exchanges=EXCHANGES, fault_s=0.5, hold_s=(0.5, 1.5), coming=(worker_killed, link_dead)
    )

    print(result)
    assert result.exchanges == EXCHANGES
    assert result.storms
    assert result.verdict.is_clean, result.verdict
    assert result.wrong == []
    assert {"unary", "collect", "watch", "converse", "pingpong"} <= result.kinds.keys()
    assert {"acknowledged", "cancelled", "out of time", "refused"} <= result.ends.keys()
    assert verify_logs(tmp_path) == []
