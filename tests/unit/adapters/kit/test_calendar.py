"""Working time in Porto-Novo, and promises counted in it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kit.calendar import Calendar, due_at_ms, month_of
from adapters.kit.catalogue import Prestation
from core.language import Text
from rpc.settings import SettingsError

OFFICE = Calendar(opens=timedelta(hours=8), closes=timedelta(hours=17))


def ms(text: str) -> int:
    """UTC milliseconds of a time in Porto-Novo, ``2026-11-23 09:00``."""
    return int(datetime.fromisoformat(f"{text}+01:00").timestamp() * 1000)


def local(at_ms: int) -> str:
    """The other way."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=1):%Y-%m-%d %H:%M}"


def prestation(**delay: int) -> Prestation:
    """A service that promises so much."""
    return Prestation("PS90901", Text("un service", "a service"), "POST", **delay)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filed", "hours", "due"),
    [
        ("2026-11-23 09:00", 24, "2026-11-24 09:00"),
        ("2026-11-23 09:00", 72, "2026-11-26 09:00"),
        # Over a week-end, and filed on one.
        ("2026-11-27 15:30", 24, "2026-11-30 15:30"),
        ("2026-11-28 11:00", 24, "2026-12-01 00:00"),
        # Christmas of 2026 is a Friday.
        ("2026-12-24 10:00", 48, "2026-12-29 10:00"),
        # Monday after Easter, which moves.
        ("2026-04-03 10:00", 24, "2026-04-07 10:00"),
    ],
)
def test_a_promise_in_hours_runs_on_working_days(filed: str, hours: int, due: str) -> None:
    """« 72 h » are three working days; nothing runs on week-ends and holidays."""
    due_ms = due_at_ms(ms(filed), prestation(delay_working_hours=hours), Calendar.load())

    assert local(due_ms) == due


@pytest.mark.parametrize(
    ("filed", "hours", "due"),
    [
        ("2026-11-23 07:00", 9, "2026-11-23 17:00"),
        ("2026-11-23 16:00", 2, "2026-11-24 09:00"),
        ("2026-11-27 18:00", 1, "2026-11-30 09:00"),
    ],
)
def test_an_agency_with_opening_hours_counts_those_only(filed: str, hours: int, due: str) -> None:
    """Opening hours are data."""
    assert local(due_at_ms(ms(filed), prestation(delay_working_hours=hours), OFFICE)) == due


def test_days_are_counted_as_they_are_promised() -> None:
    """Days of the calendar, working days, and at once."""
    filed = ms("2026-11-23 09:00")

    assert local(due_at_ms(filed, prestation(delay_days=120), OFFICE)) == "2027-03-23 09:00"
    assert local(due_at_ms(filed, prestation(delay_working_days=8), OFFICE)) == "2026-12-03 09:00"
    assert due_at_ms(filed, prestation(), OFFICE) == filed


def test_the_month_of_a_reference_is_that_of_porto_novo() -> None:
    """An hour before UTC's."""
    assert month_of(ms("2026-12-01 00:30")) == "202612"


@given(
    st.integers(min_value=ms("2026-01-01 00:00"), max_value=ms("2027-12-31 00:00")),
    st.integers(min_value=1, max_value=2000).map(lambda minutes: timedelta(minutes=minutes)),
    st.sampled_from([OFFICE, Calendar.load(), Calendar()]),
)
def test_time_added_is_time_counted(from_ms: int, work: timedelta, calendar: Calendar) -> None:
    """What ``add_working_time`` adds, ``working_time`` finds again, wherever it begins."""
    end = calendar.add_working_time(from_ms, work)

    assert calendar.working_time(from_ms, end) == work


@pytest.mark.parametrize(
    "text",
    ['open_hour = "18:00"\nclose_hour = "08:00"', "weekdays = [0]", 'holidays = ["13-01"]', "holiday = []"],
)
def test_a_calendar_that_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    """The file is named."""
    path = tmp_path / "calendar.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match=r"calendar\.toml"):
        Calendar.load(path)
