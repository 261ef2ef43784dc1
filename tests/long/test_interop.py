"""gRPC's official cases through two gateways, 20 times each: none fails, and every call is on record at both."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support.interop import CASES, InteropCountry, ends

ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "20"))


@pytest.mark.timeout(3600)
def test_every_official_case_passes_each_time(tmp_path: Path) -> None:
    """One country for all rounds: what a case leaves behind must not trouble those after it."""
    failed: list[str] = []
    ended: Counter[str] = Counter()
    faults: list[str] = []

    with InteropCountry(tmp_path) as country:
        for number in range(ROUNDS):
            for case in CASES:
                done = country.run_case(case)
                trails = country.new_trails()
                ended.update(ends(trails))
                if done.returncode or ends(trails) not in CASES[case]:
                    failed.append(
                        f"round {number} {case}: {done.returncode} {ends(trails)} {done.stderr[-400:]}"
                    )

        faults = country.verify_logs()

    calls = ", ".join(f"{count} x {end}" for end, count in sorted(ended.items()))
    print(f"\n{ROUNDS} rounds of {len(CASES)} cases; calls on record, by end: {calls}")
    assert failed == []
    assert faults == []
