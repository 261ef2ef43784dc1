"""Two workers on both sides, of which one or the other dies: nothing is lost, and calls go on through those that live."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.reader import LogReader
from tests.support.checker import read, read_journal
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


def told(country: CrashingCountry, reason: str) -> int:
    """How many calls programs saw end for a reason so far."""
    return sum(one.get("reason") == reason for one in read_journal(country.told.path))


@pytest.mark.timeout(120)
def test_a_worker_whose_log_was_stopped_leaves_programs_to_the_other(tmp_path: Path) -> None:
    """Its log was put back from a copy, as its peers tell it: the programs that it has are sent away, new ones go by."""
    with CrashingCountry(tmp_path, workers=2) as country:
        place = country.pns.directory.place(1)
        country.until_progress(5)
        country.kill(country.pns, 1)
        shutil.copytree(place.segments, tmp_path / "copy")
        country.spawn(country.pns, 1)
        size = sizes(country, country.pns)[1]
        until(lambda: has_grown(country, country.pns, 1, size), 60)
        country.kill(country.pns, 1)
        shutil.rmtree(place.segments)
        shutil.copytree(tmp_path / "copy", place.segments)
        place.head_file.unlink(missing_ok=True)
        country.spawn(country.pns, 1)
        until(place.stopped_file.exists, 60)

        # A program's second answer is to a call that it began since: it has moved.
        country.until_each_progresses(2)
        before = told(country, "LOG_BEHIND_PEERS")
        country.until_progress(50)

        print("refused for the log that was stopped, in all:", before)
        assert told(country, "LOG_BEHIND_PEERS") == before
        assert before <= 8
