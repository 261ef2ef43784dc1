"""The crash matrix at length (``make test-crash``): all failpoints, actions and sides, then kills at random."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.failpoints import POINTS
from tests.e2e.test_kills import CONSUMER, ONCE, PROVIDER
from tests.support.crashing import CrashingCountry
from tests.support.federation import Member

DEATHS = 1_000
ACTIONS = ("kill", "EIO", "ENOSPC", "delay=40")
ROUND = 50
# An error here ends one connection, or concerns a file for people only: the process goes on.
GOES_ON = {"headfile.rename", "socket.written", "adapter.answered"}
# What a commit asks of the disk: before its write, between write and sync, after the sync.
DISK = ("commit.write", "commit.sync", "commit.synced")
TIMES = 50


@pytest.fixture
def country(tmp_path: Path) -> Iterator[CrashingCountry]:
    with CrashingCountry(tmp_path, programs=8) as found:
        yield found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_failpoint_on_both_sides(country: CrashingCountry, action: str) -> None:
    """The worker dies, or its disk refuses, or it is slow, at each named place; then it is started again."""
    chance, found = random.Random(action), Counter[str]()
    for point in POINTS:
        for member in _sides(country, point):
            country.until_progress(3)
            country.kill(member)
            nth = 1 if point in ONCE or action.startswith("delay") else chance.randint(1, 4)
            country.arm(member, f"{point}:{action}:{nth}")
            if action.startswith("delay"):
                country.until_listening(member)
                country.until_progress(3)
                country.kill(member)
            elif not country.until_dead(member, 2 if point in GOES_ON and action != "kill" else 30):
                assert point in GOES_ON, f"{point}: {action}"
                found["went on"] += 1
                country.until_progress(3)
                country.kill(member)
            country.spawn(member)
            found["rounds"] += 1

    verdict = country.settle()

    print(f"{action}: {dict(found)} {country.told.counts} {country.delivered.counts}")
    assert verdict.is_clean, verdict


def _sides(country: CrashingCountry, point: str) -> tuple[Member, ...]:
    if point in CONSUMER:
        return (country.pns,)
    return (country.anip,) if point in PROVIDER else (country.pns, country.anip)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("point", DISK)
def test_a_death_at_each_of_fifty_writes_and_syncs(country: CrashingCountry, point: str) -> None:
    """Counted from the start of the process, so that the commits of its recovery are among them; on each side."""
    deaths = Counter[str]()
    for nth in range(1, TIMES + 1):
        for member in (country.pns, country.anip):
            country.kill(member)
            country.arm(member, f"{point}:kill:{nth}")
            assert country.until_dead(member, 60), f"{member.id} never came to {point} for time {nth}"
            deaths[member.id] += 1
            country.spawn(member)
            country.until_progress(2)

    verdict = country.settle()

    print(f"{point}: {dict(deaths)} {country.told.counts} {country.delivered.counts}")
    assert verdict.is_clean, verdict


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(DEATHS // ROUND))
def test_kills_at_random(country: CrashingCountry, number: int) -> None:
    """One gateway or both, at any moment, also while it starts; a country of its own for every fifty."""
    chance, deaths = random.Random(number), 0
    while deaths < ROUND:
        country.until_progress(2)
        time.sleep(chance.uniform(0, 0.2))
        both = chance.random() < 0.3
        members = (country.pns, country.anip) if both else (chance.choice((country.pns, country.anip)),)
        for member in members:
            country.kill(member)
            deaths += 1
        for member in members:
            if chance.random() < 0.2:
                country.launch(member)
                time.sleep(chance.uniform(0, 0.6))
                country.kill(member)
                deaths += 1
        for member in members:
            country.spawn(member)

    verdict = country.settle()

    print(f"round {number}: {deaths} deaths, {country.told.counts} {country.delivered.counts}")
    assert verdict.is_clean, verdict
