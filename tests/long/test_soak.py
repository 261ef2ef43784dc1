"""864,000 exchanges at full speed with a fault each minute (``make test-soak``; figures in docs/soak.md).

``SOAK_EXCHANGES``, ``SOAK_SEED`` and ``SOAK_FAULT_S`` change how many, which, and how often.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.soak.run import soak, verify_logs

# A leak of one object in each exchange would be seen many times over; what is aimed at is printed.
LEAK_KIB_PER_1000 = 25
LEAK_FILES_PER_1000 = 1


@pytest.mark.timeout(12 * 3_600)
def test_nothing_is_lost_and_nothing_grows(tmp_path: Path) -> None:
    """Every fault comes before any comes again. Timings are printed; only a p99 ten times over ends the test."""
    result = soak(tmp_path)

    print(f"\n{result}\n{result.row()}")
    assert result.verdict.is_clean, result.verdict
    assert result.wrong == []
    slopes = [one for one in (*result.memory, *result.files) if one.slope is not None]
    assert all(one.slope < LEAK_KIB_PER_1000 for one in result.memory if one.slope is not None), slopes
    assert all(one.slope < LEAK_FILES_PER_1000 for one in result.files if one.slope is not None), slopes
    assert result.p99_ratio < 10
    assert verify_logs(tmp_path) == []
    if not os.environ.get("SOAK_KEEP"):
        shutil.rmtree(tmp_path)  # many gigabytes, that pytest would keep
