"""Workers that die, whenever: nothing acknowledged is lost, nothing is delivered unlogged or twice, no doubt remains."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from audit.logreport import is_good
from audit.wholelog import verify_logs
from ledger.failpoints import POINTS
from tests.support.crashing import CrashingCountry
from tests.support.federation import Member
from tests.support.persons import noted

KILLS = 30
# Where only one side comes by.
CONSUMER = {"program.release", "program.released"}
PROVIDER = {"adapter.call", "adapter.called", "adapter.answered"}
# Where a process comes by at its start only.
ONCE = {"start.recovered", "slots.sync", "daykey.sync", "segment.begin", "configuration.swap"}


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashingCountry]:
    """One country for all of it: what one death leaves behind must be good enough for the next."""
    with CrashingCountry(tmp_path_factory.mktemp("country")) as found:
        yield found


def _member(country: CrashingCountry, point: str, chance: random.Random) -> Member:
    if point in CONSUMER or (point not in PROVIDER and chance.random() < 0.5):
        return country.pns
    return country.anip


@pytest.mark.timeout(300)
def test_thirty_kills_and_a_death_at_every_failpoint_lose_nothing(country: CrashingCountry) -> None:
    """The worker dies at each named place once; thirty times it is killed at a moment that nobody chose."""
    chance, kills = random.Random(20261127), 0
    for point in POINTS:
        member = _member(country, point, chance)
        country.until_progress(2)
        time.sleep(chance.uniform(0, 0.1))
        country.kill(member)
        kills += 1
        nth = 1 if point in ONCE else chance.randint(1, 4)
        country.arm(member, f"{point}:kill:{nth}")
        assert country.until_dead(member, 30), f"{member.id} never came to {point}"
        country.spawn(member)
    while kills < KILLS:
        kills += 1
        country.until_progress(2)
        # Control has a checkpoint made now and then; that process dies as well, or is still at it when the worker starts.
        keepers = [country.keep(member) for member in (country.pns, country.anip)]
        time.sleep(chance.uniform(0, 0.15) if chance.random() < 0.5 else 1)
        both = chance.random() < 0.3
        members = (country.pns, country.anip) if both else (chance.choice((country.pns, country.anip)),)
        for member in members:
            country.kill(member)
        for keeper in keepers:
            if chance.random() < 0.5:
                keeper.kill()
        for member in members:
            country.spawn(member)
        for keeper in keepers:
            keeper.wait(30)

    verdict = country.settle()

    resumed = country.starts_behind_a_checkpoint()
    print(
        f"{kills} kills, {len(POINTS)} failpoints: {country.told.counts} {country.delivered.counts}, {resumed} resumed"
    )
    assert verdict.is_clean, verdict
    assert resumed > 0
    for member in (country.pns, country.anip):
        # Each record with the very annex that it commits to, or none: never one of the two.
        reports = verify_logs(member.directory.root, anchor=None, certificates=(), crls=(), heads=())
        annexes = [one.annex for one in noted(member.directory.place(0)) if one.heard.verdict == "taken"]
        assert all(map(is_good, reports)), reports
        assert any(annexes)
