"""A disk that takes its time for every sync: commits go on in groups, deadlines are kept, nothing heaps up.

Durations are printed, never asserted; docs/reliability.md has the figures. ``REHEARSAL_ROUNDS`` makes it more calls.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest

from tests.support.calls import judge, request_hash
from tests.support.federation import Federation, calling, metadata
from tests.support.slow_disks import slow_down
from tests.support.waiting import until

ROUNDS = int(os.environ.get("REHEARSAL_ROUNDS", "1"))
AT_ONCE = 100


@pytest.mark.no_cover
@pytest.mark.parametrize("seconds", [0.005, 0.3])
def test_commits_go_on_in_groups_and_nothing_is_left_over(tmp_path: Path, seconds: float) -> None:
    """A hundred calls at a time share their syncs: each call needs four, all of them need not many more."""
    acknowledged: list[str] = []
    with Federation(tmp_path) as federation, federation.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=20, wait_for_ready=True)
        federation.adapter.calls.clear()
        disks = slow_down(seconds, federation.pns, federation.anip)
        begun = time.monotonic()
        for _ in range(ROUNDS):
            futures = [call.future(b"x" * 500, metadata=metadata(), timeout=30) for _ in range(AT_ONCE)]
            for future in futures:
                assert future.result(timeout=30) == b"x" * 500
                acknowledged.append(request_hash(future))
        took = time.monotonic() - begun
        until(
            lambda: (
                not any(
                    m.worker and m.worker.station.pipeline.in_flight
                    for m in (federation.pns, federation.anip)
                )
            )
        )
        held = [m.worker.station.budget.held_bytes for m in (federation.pns, federation.anip) if m.worker]

    ideal = AT_ONCE / (4 * seconds)
    rate = len(acknowledged) / took
    print(
        f"{seconds * 1000:.0f} ms a sync: {rate:.0f} calls/s, ideal line {ideal:.0f}/s, syncs {disks[0].synced}"
    )
    verdict = judge(federation, acknowledged)
    assert verdict.is_clean, verdict
    assert max(disk.synced for disk in disks) < len(acknowledged)
    assert held == [0, 0]


def test_deadlines_are_kept_while_the_disk_is_slow(tmp_path: Path) -> None:
    """A call that cannot be done in its time ends DEADLINE_EXCEEDED, not later; others, with more time, are done."""
    with Federation(tmp_path) as federation, federation.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=20, wait_for_ready=True)
        slow_down(0.3, federation.pns, federation.anip)

        hasty = [call.future(b"hasty", metadata=metadata(), timeout=0.5) for _ in range(20)]
        patient = [call.future(b"patient", metadata=metadata(), timeout=30) for _ in range(20)]
        codes = Counter(_code(future) for future in (*hasty, *patient))

        for member in (federation.pns, federation.anip):
            worker = member.worker
            assert worker is not None
            until(lambda worker=worker: not worker.station.pipeline.in_flight)  # type: ignore[misc]
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED: 20, grpc.StatusCode.OK: 20}


def _code(future: object) -> grpc.StatusCode:
    assert isinstance(future, grpc.Future)
    future.exception(timeout=30)
    assert isinstance(future, grpc.Call)
    return future.code()
