"""Two workers on both sides, of which one or the other dies: nothing is lost, and calls go on through those that live."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ledger.reader import LogReader
from tests.support.checker import read
from tests.support.crashing import CrashingCountry
from tests.support.federation import Member
from tests.support.waiting import until

KILLS = 12


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashingCountry]:
    with CrashingCountry(tmp_path_factory.mktemp("country"), workers=2) as found:
        yield found


def sizes(country: CrashingCountry, member: Member) -> list[int]:
    """Leaves of each log of a member now."""
    found = []
    for directory in country.logs(member):
        reader = LogReader(directory)
        reader.read_all()
        found.append(reader.size)
    return found


def has_grown(country: CrashingCountry, member: Member, worker: int, since: int, by: int = 10) -> bool:
    return sizes(country, member)[worker] >= since + by


@pytest.mark.timeout(240)
def test_calls_go_on_while_one_worker_is_away_and_nothing_is_lost(country: CrashingCountry) -> None:
    """On either side, whichever it is; back again, it has its share of the calls, at its side and of the peer's."""
    chance = random.Random(20261128)
    for member in (country.pns, country.anip):
        for worker in range(2):
            before = sizes(country, member)
            until(lambda m=member, w=worker, b=before: has_grown(country, m, w, b[w]), 60)  # type: ignore[misc]

    for number in range(KILLS):
        member, worker = (country.pns, country.anip)[number % 2], number // 2 % 2
        country.kill(member, worker)
        # The other one carries what there is, with nobody to wait for.
        country.until_progress(10)
        country.spawn(member, worker)
        if chance.random() < 0.5:
            country.until_progress(5)
    # A worker that came back is dialled again although another one was there all the time.
    before = sizes(country, country.anip)
    until(
        lambda: (
            has_grown(country, country.anip, 1, before[1]) and has_grown(country, country.anip, 0, before[0])
        ),
        60,
    )

    verdict = country.settle()

    shares = [
        len(read(log).said) + len(read(log).taken)
        for member in (country.pns, country.anip)
        for log in country.logs(member)
    ]
    print(f"{KILLS} kills, requests by log {shares}: {country.told.counts} {country.delivered.counts}")
    assert verdict.is_clean, verdict
    assert all(shares)
