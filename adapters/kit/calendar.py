"""Working time in Africa/Porto-Novo, and the day by which a decision is promised.

Opening hours and public holidays are data: ``calendar.toml`` beside this module, or the file that ``calendar`` in
``adapter.toml`` names. Out of the box a working day counts 24 hours, so that « 72 h » are three working days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from adapters.kit.catalogue import Prestation
from rpc.settings import load_settings

ZONE: Final = ZoneInfo("Africa/Porto-Novo")
DEFAULT_CALENDAR: Final = Path(__file__).parent / "calendar.toml"

_DAY: Final = timedelta(days=1)
_EVERY_YEAR: Final = re.compile(r"(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
# Nobody promises more; it also ends the search in a calendar whose every day is a holiday.
_MAX_DAYS: Final = 20_000


class _CalendarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``calendar.toml``.

    Attributes:
        open_hour: When work begins, ``"08:00"``.
        close_hour: When it ends, ``"24:00"`` for midnight.
        weekdays: Working days, 1 for Monday to 7 for Sunday.
        holidays: Days on which nobody works: ``"08-01"`` each year, ``"2027-05-06"`` once.
    """

    open_hour: str = "00:00"
    close_hour: str = "24:00"
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    holidays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _minutes("open_hour", self.open_hour) < _minutes("close_hour", self.close_hour):
            raise ValueError("close_hour: must be after open_hour")
        if not self.weekdays or not set(self.weekdays) <= set(range(1, 8)):
            raise ValueError("weekdays: one or more of 1 (Monday) to 7 (Sunday)")
        for day in self.holidays:
            if not _EVERY_YEAR.fullmatch(day):
                _date(day)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When an agency works.

    Attributes:
        opens: Since midnight, local time.
        closes: The same; up to 24 hours.
        weekdays: ``isoweekday`` of working days.
        every_year: Holidays of every year, as (month, day).
        once: Holidays of one year.
    """

    opens: timedelta = timedelta(0)
    closes: timedelta = _DAY
    weekdays: frozenset[int] = frozenset({1, 2, 3, 4, 5})
    every_year: frozenset[tuple[int, int]] = frozenset()
    once: frozenset[date] = frozenset()

    @classmethod
    def load(cls, path: Path = DEFAULT_CALENDAR) -> Calendar:
        """Read ``calendar.toml``; raises ``SettingsError``."""
        read = load_settings(path, _CalendarFile)
        yearly = [day for day in read.holidays if _EVERY_YEAR.fullmatch(day)]
        return cls(
            opens=timedelta(minutes=_minutes("open_hour", read.open_hour)),
            closes=timedelta(minutes=_minutes("close_hour", read.close_hour)),
            weekdays=frozenset(read.weekdays),
            every_year=frozenset((int(day[:2]), int(day[3:])) for day in yearly),
            once=frozenset(_date(day) for day in read.holidays if day not in yearly),
        )

    def is_working_day(self, day: date) -> bool:
        """Whether anybody works on ``day``."""
        is_holiday = (day.month, day.day) in self.every_year or day in self.once
        return day.isoweekday() in self.weekdays and not is_holiday

    def add_working_time(self, from_ms: int, work: timedelta) -> int:
        """When ``work`` is done that begins at ``from_ms``, UTC milliseconds.

        What ends with a day ends at its closing hour, not at the opening of the next.
        """
        moment, left = _local(from_ms), work
        for day in self._days(moment):
            begins = max(moment, day + self.opens)
            time_left = day + self.closes - begins
            if time_left > timedelta(0):
                if left <= time_left:
                    return _utc_ms(begins + left)
                left -= time_left
        raise ValueError("the calendar has no working time left")

    def add_working_days(self, from_ms: int, days: int) -> int:
        """The same time of day after ``days`` working days; those begin with the first one after ``from_ms``."""
        moment = _local(from_ms)
        left = days
        while left:
            moment += _DAY
            left -= self.is_working_day(moment.date())
        return _utc_ms(moment)

    def working_time(self, from_ms: int, to_ms: int) -> timedelta:
        """How much of the time between two instants is working time; nothing if the second is not after the first."""
        moment, end = _local(from_ms), _local(to_ms)
        total = timedelta(0)
        for day in self._days(moment):
            if day >= end:
                break
            worked = min(end, day + self.closes) - max(moment, day + self.opens)
            total += max(worked, timedelta(0))
        return total

    def _days(self, moment: datetime) -> Iterator[datetime]:
        """Midnights of the working days from that of ``moment`` on."""
        first = datetime.combine(moment.date(), time(), ZONE)
        days = (first + number * _DAY for number in range(_MAX_DAYS))
        return (day for day in days if self.is_working_day(day.date()))


def due_at_ms(from_ms: int, prestation: Prestation, calendar: Calendar) -> int:
    """When the decision on a dossier that was filed at ``from_ms`` is promised, UTC milliseconds.

    Days are days of the calendar, working hours and days those of ``calendar``; what is given at once is due at once.
    """
    if prestation.delay_days:
        return from_ms + prestation.delay_days * _DAY // timedelta(milliseconds=1)
    if prestation.delay_working_days:
        return calendar.add_working_days(from_ms, prestation.delay_working_days)
    if prestation.delay_working_hours:
        return calendar.add_working_time(from_ms, timedelta(hours=prestation.delay_working_hours))
    return from_ms


def month_of(at_ms: int) -> str:
    """Year and month in Porto-Novo, ``202611``, as references carry them."""
    return f"{_local(at_ms):%Y%m}"


def day_of(at_ms: int) -> date:
    """The day in Porto-Novo."""
    return _local(at_ms).date()


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ZONE)


def _utc_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _minutes(key: str, text: str) -> int:
    if text == "24:00":
        return 24 * 60
    try:
        parsed = datetime.strptime(text, "%H:%M").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{key}: a time such as 08:00 or 24:00") from None
    return parsed.hour * 60 + parsed.minute


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"holidays: {text[:20]!r} is neither 08-01 nor 2027-05-06") from None
