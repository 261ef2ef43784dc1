"""The power goes: what was acknowledged is there afterwards, whatever else of the disk is not (invariants 1 to 4)."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import grpc
import pytest

from tests.support.calls import worker_of
from tests.support.checker import Event, check
from tests.support.checkpoints import make_small
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.volatile import VolatileDisk
from tests.support.waiting import until

CUTS = 10
CALLERS = 3


class Program(threading.Thread):
    """A stock program that calls without end and remembers what it was told."""

    def __init__(self, country: Federation, stop: threading.Event, told: list[Event], name: str) -> None:
        super().__init__(daemon=True)
        self.name = name
        self._country, self._stopping, self._told = country, stop, told

    def run(self) -> None:
        number = 0
        with self._country.channel() as channel:
            call = calling(channel)
            while not self._stopping.is_set():
                number += 1
                told = {"reference": f"{self.name}-{number}", "digest": ""}
                self._told.append({"event": "sent"} | told)
                asked = metadata(x_road_id=told["reference"])
                try:
                    _, answered = call.with_call(b"x" * 3000, metadata=asked, timeout=5, wait_for_ready=True)
                except grpc.RpcError:
                    continue
                request = str(dict(answered.trailing_metadata())["x-road-request-hash"])
                self._told.append({"event": "acknowledged", "request": request} | told)


def lose_power(root: Path, patch: pytest.MonkeyPatch, cuts: int, seed: int) -> None:
    """Cut the power of one gateway or of both, ``cuts`` times, while programs call; then judge both logs.

    Each start makes a checkpoint of what is finished, and reads on from it.
    """
    make_small(patch)
    chance, told, stop = random.Random(seed), list[Event](), threading.Event()
    resumed = 0
    disk = VolatileDisk(root, chance, patch)
    with Federation(root) as country:
        programs = [Program(country, stop, told, f"p{number}") for number in range(CALLERS)]
        for program in programs:
            program.start()
        for _ in range(cuts):
            _until_progress(country, told)
            time.sleep(chance.uniform(0, 0.05))
            members = chance.choice(((country.pns,), (country.anip,), (country.pns, country.anip)))
            if chance.random() < 0.8:
                disk.off_at_next_sync()
            else:
                disk.off()
            for member in members:
                country.stop(member)
            disk.on(*(member.directory.root for member in members))
            for member in members:
                country.start(member)
                resumed += worker_of(member)._log.resumed
        _until_progress(country, told)
        stop.set()
        for program in programs:
            program.join(20)
        delivered: list[Event] = [
            {"event": "delivered", "reference": one["x-road-id"], "request": one["x-road-request-hash"]}
            for _, _, one in country.adapter.calls
        ]
        logs = country.pns.directory.log(0), country.anip.directory.log(0)
        until(lambda: check(*logs, told, delivered).is_clean, 60)
        verdict = check(*logs, told, delivered)

    print(f"{disk.cuts} cuts, {disk.lost_pages} pages lost, {len(delivered)} delivered, {resumed} resumed")
    assert verdict.is_clean, verdict
    assert disk.lost_pages > 0
    assert resumed > cuts / 4


def _is_dead(member: Member) -> bool:
    return member.worker is None or member.worker._stopped.is_set()


def _until_progress(country: Federation, told: list[Event]) -> None:
    """Wait for answers; a worker whose disk refused while the power was off has stopped, and control starts it again."""
    before = len(told)

    def is_made() -> bool:
        for member in (country.pns, country.anip):
            if _is_dead(member):
                country.stop(member)
                country.start(member)
        return len([one for one in told[before:] if one["event"] == "acknowledged"]) >= 5

    until(is_made, 30)


@pytest.mark.no_cover
def test_ten_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_power(tmp_path, monkeypatch, CUTS, seed=20261127)
