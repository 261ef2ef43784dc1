"""Times, durations and numbers as people read them."""

from __future__ import annotations

import time

import pytest

from core.language import Text
from rpc.figures import (
    at_moment,
    counted,
    duration,
    local_time,
    moment,
    number,
    plural,
    since,
    size,
    utc_time,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_795_000_000_000


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


def test_today_is_told_without_an_article() -> None:
    """Whatever the time zone."""
    assert since(NOW, NOW).fr.startswith("depuis ")
    assert since(NOW, NOW).fr.count(" ") == 1
    assert at_moment(NOW, NOW).fr.startswith("à ")
    assert at_moment(NOW, NOW).en.startswith("at ")


def test_another_day_has_the_article_of_a_date() -> None:
    """« depuis le », « le »."""
    long_ago = NOW - 40 * DAY

    assert since(long_ago, NOW).fr.startswith("depuis le ")
    assert "/20" in since(long_ago, NOW).fr
    assert at_moment(long_ago, NOW).fr.startswith("le ")
    assert at_moment(long_ago, NOW).en.startswith("on ")


def test_moments_of_several_machines_are_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the zone of the one who reads; what an auditor files has the offset of his own."""
    monkeypatch.setenv("TZ", "Africa/Porto-Novo")
    time.tzset()

    assert utc_time(NOW + 7) == "2026-11-18 11:06:40Z"
    assert utc_time(NOW + 7, "milliseconds") == "2026-11-18 11:06:40.007Z"
    assert utc_time(NOW, "milliseconds") == "2026-11-18 11:06:40.000Z"
    assert local_time(NOW + 7) == "2026-11-18 12:06:40+01:00"
    monkeypatch.undo()
    time.tzset()


def test_the_plural_begins_where_each_language_begins_it() -> None:
    """At two in French, at all but one in English."""
    assert plural(0, "segment") == ("0 segment", "0 segments")
    assert plural(1, "segment") == ("1 segment", "1 segment")
    call = (Text("appel refusé", "call refused"), Text("appels refusés", "calls refused"))
    assert [counted(value, *call).fr for value in (0, 1, 2)] == [
        "0 appel refusé",
        "1 appel refusé",
        "2 appels refusés",
    ]
    assert [counted(value, *call).en for value in (0, 1)] == ["0 calls refused", "1 call refused"]
    assert plural(1200, "segment") == ("1\N{NO-BREAK SPACE}200 segments", "1,200 segments")
