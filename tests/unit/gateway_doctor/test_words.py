"""Times, durations and numbers as an administrator reads them."""

from __future__ import annotations

import threading
import time

import pytest

from gateway.doctor.probes import in_parallel
from gateway.doctor.words import duration, moment, number, size

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("ms", "fr", "en"),
    [
        (0, "0 s", "0 s"),
        (-40_400, "40 s", "40 s"),
        (432_000, "7 min 12 s", "7 min 12 s"),
        (5 * MINUTE, "5 min", "5 min"),
        (2 * HOUR + 5 * MINUTE, "2 h 5 min", "2 h 5 min"),
        (67 * HOUR + 5 * MINUTE, "67 h", "67 h"),
        (23 * DAY + HOUR, "23 jours", "23 days"),
    ],
)
def test_a_duration_has_the_units_that_matter(ms: int, fr: str, en: str) -> None:
    """Whichever way it goes."""
    assert duration(ms) == (fr, en)


def test_a_moment_of_today_is_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another day has the day, too; in local time."""
    monkeypatch.setenv("TZ", "Africa/Porto-Novo")
    time.tzset()
    now = 1_795_748_820_000  # 2026-11-27 04:07 there

    assert moment(now - 2 * HOUR, now) == ("02:07", "02:07")
    assert moment(now - 2 * DAY, now) == ("25/11/2026 04:07", "25 Nov 2026 04:07")
    monkeypatch.undo()
    time.tzset()


def test_numbers_and_sizes() -> None:
    """French groups by blanks, and has a comma for a point."""
    assert number(90_210) == ("90\N{NO-BREAK SPACE}210", "90,210")
    assert size(900_000_000) == ("0,9 Go", "0.9 GB")
    assert size(1_500_000) == ("1,5 Mo", "1.5 MB")


def test_what_hangs_is_not_waited_for() -> None:
    """Its place keeps what was said for it beforehand; the others have their results, in order."""
    never = threading.Event()

    def hang() -> str:
        never.wait()
        return "late"

    found = in_parallel([(lambda: "first", ""), (hang, "hangs"), (lambda: "last", "")], 0.2)

    assert found == ["first", "hangs", "last"]
    never.set()
