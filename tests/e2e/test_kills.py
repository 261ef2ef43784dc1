"""``kill -9`` at random moments: nothing acknowledged is lost, nothing is delivered unlogged or twice."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import grpc
import pytest

from core.merkle import root_of
from ledger.reader import LogReader
from tests.support.checker import check
from tests.support.federation import calling, metadata
from tests.support.processes import ProcessFederation

KILLS = 30
CALLERS = 4


class Program(threading.Thread):
    """A stock program that calls without end and keeps its own journal of what it was told."""

    def __init__(self, country: ProcessFederation, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.failed = 0
        self._country = country
        self._stop_event = stop

    def run(self) -> None:
        with self._country.channel() as channel:
            call = calling(channel)
            while not self._stop_event.is_set():
                try:
                    _, answered = call.with_call(
                        b"x" * 500, metadata=metadata(), timeout=5, wait_for_ready=True
                    )
                except grpc.RpcError:
                    self.failed += 1
                    continue
                self.acknowledged.append(str(dict(answered.trailing_metadata())["x-road-request-hash"]))


@pytest.mark.timeout(180)
def test_thirty_kills_lose_nothing_and_leave_nothing_unlogged(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    with ProcessFederation(tmp_path) as country:
        stop = threading.Event()
        programs = [Program(country, stop) for _ in range(CALLERS)]
        for program in programs:
            program.start()
        for number in range(KILLS):
            member = chance.choice((country.pns, country.anip))
            before = sum(len(program.acknowledged) for program in programs)
            _until_progress(programs, before + 5)
            time.sleep(chance.uniform(0, 0.15))
            country.kill(member)
            country.spawn(member)
            if number % 10 == 9:
                country.publish()
        _until_progress(programs, sum(len(program.acknowledged) for program in programs) + 5)
        stop.set()
        for program in programs:
            program.join(20)
        time.sleep(1.2)  # receipts travel with the next frame, one second later at most
    acknowledged = [one for program in programs for one in program.acknowledged]
    delivered = [str(told["x-road-request-hash"]) for _, _, told in country.adapter.calls]

    verdict = check(country.pns.directory.log(0), country.anip.directory.log(0), acknowledged, delivered)

    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {len(delivered)} delivered")
    assert verdict.is_clean, verdict
    assert len(acknowledged) >= 5 * KILLS
    for member in (country.pns, country.anip):
        reader = LogReader(member.directory.log(0))
        reader.read_all()
        assert root_of(reader.node, reader.size) == reader.tree.root()


def _until_progress(programs: list[Program], wanted: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while sum(len(program.acknowledged) for program in programs) < wanted:
        assert time.monotonic() < end, "exchanges did not go on after a restart"
        time.sleep(0.01)
