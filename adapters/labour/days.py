"""Days of the calendar, as requests write them, and how old somebody is on one of them."""

from __future__ import annotations

from datetime import date, datetime

from adapters.kit.calendar import ZONE
from adapters.reasons import InvalidFieldsError


def parse_day(text: str) -> date:
    """``2026-11-28``; raises ``ValueError`` for a day that the calendar lacks, such as 30 February."""
    return date.fromisoformat(text)


def read_day(field: str, text: str) -> date:
    """The same of a request's field; raises ``InvalidFieldsError``, which names it and not the value."""
    try:
        return parse_day(text)
    except ValueError:
        raise InvalidFieldsError({field: "the calendar has no such day"}) from None


def start_of(day: date) -> int:
    """When ``day`` begins at the ministry, in milliseconds after the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1000)


def add_years(day: date, years: int) -> date:
    """The same day ``years`` later; 29 February becomes 1 March where there is none."""
    return add_months(day, 12 * years)


def add_months(day: date, months: int) -> date:
    """The same day ``months`` later; a day that the month lacks becomes the first of the next one."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    try:
        return day.replace(year=year, month=month + 1)
    except ValueError:
        return add_months(day.replace(day=1), months + 1)


def earliest(birth_date: str) -> date:
    """The earliest day that ``1987-04-12``, ``1987-04`` or ``1987`` can mean."""
    return date.fromisoformat(f"{birth_date}-01-01"[:10])
