"""Times as doctor writes them: with the article that French puts before a date, and not before a time."""

from __future__ import annotations

from gateway.doctor.words import at_moment, since

NOW = 1_795_000_000_000
DAY_MS = 86_400_000


def test_a_moment_of_today_is_a_time() -> None:
    """Whatever the time zone."""
    assert since(NOW, NOW).fr.startswith("depuis ")
    assert since(NOW, NOW).fr.count(" ") == 1
    assert at_moment(NOW, NOW).fr.startswith("à ")
    assert at_moment(NOW, NOW).en.startswith("at ")


def test_a_moment_of_another_day_is_a_date_and_a_time() -> None:
    """« depuis le », « le »."""
    long_ago = NOW - 40 * DAY_MS

    assert since(long_ago, NOW).fr.startswith("depuis le ")
    assert "/20" in since(long_ago, NOW).fr
    assert at_moment(long_ago, NOW).fr.startswith("le ")
    assert at_moment(long_ago, NOW).en.startswith("on ")
