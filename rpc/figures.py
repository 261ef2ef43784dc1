"""Times, durations and numbers as people read them: one way of writing each, for commands, pages and doctor."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Literal

from core.language import Text

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_S: Final = 86_400


def duration(ms: float) -> Text:
    """How long, in the two units that matter: ``7 min 12 s``, ``67 h``, ``23 jours``."""
    seconds = round(abs(ms) / 1000)
    if seconds < 60:
        return Text(f"{seconds} s", f"{seconds} s")
    if seconds < 3600:
        text = f"{seconds // 60} min {seconds % 60} s" if seconds % 60 else f"{seconds // 60} min"
        return Text(text, text)
    hours = seconds // 3600
    if hours < 96:
        minutes = seconds % 3600 // 60
        text = f"{hours} h {minutes} min" if hours < 10 and minutes else f"{hours} h"
        return Text(text, text)
    days = seconds // _DAY_S
    return Text(f"{days} jours", f"{days} days")


def moment(ms: int, now_ms: int) -> Text:
    """When, in local time: the time alone today, day and time of another day."""
    then, now = time.localtime(ms / 1000), time.localtime(now_ms / 1000)
    clock = time.strftime("%H:%M", then)
    if then[:3] == now[:3]:
        return Text(clock, clock)
    return Text(time.strftime("%d/%m/%Y ", then) + clock, f"{_day(then)} {clock}")


def since(ms: int, now_ms: int) -> Text:
    """``depuis 02:11``, ``depuis le 30/11/2026 02:11``."""
    at = moment(ms, now_ms)
    return Text(f"depuis {_article(at)}{at.fr}", f"since {at.en}")


def at_moment(ms: int, now_ms: int) -> Text:
    """``à 02:11``, ``le 30/11/2026 02:11``."""
    at = moment(ms, now_ms)
    article = _article(at)
    return Text(f"{article or 'à '}{at.fr}", f"{'on' if article else 'at'} {at.en}")


def _article(at: Text) -> str:
    """What French puts before a date, and not before a time."""
    return "le " if "/" in at.fr else ""


def day(ms: int) -> Text:
    """The day alone."""
    then = time.localtime(ms / 1000)
    return Text(time.strftime("%d/%m/%Y", then), _day(then))


def utc_time(ms: int, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """``2026-11-23 09:14:07Z``, where moments from several machines stand side by side."""
    return _iso(datetime.fromtimestamp(ms / 1000, UTC), precision)


def local_time(ms: int) -> str:
    """Local time with its offset, ``Z`` in UTC as everywhere: an auditor reads it beside other files of the case."""
    return _iso(datetime.fromtimestamp(ms / 1000).astimezone(), "seconds")


def _iso(at: datetime, precision: str) -> str:
    return at.isoformat(" ", precision).replace("+00:00", "Z")


def number(value: int) -> Text:
    """``90 210``, ``90,210``."""
    english = f"{value:,}"
    return Text(english.replace(",", "\N{NO-BREAK SPACE}"), english)


def counted(value: int, one: Text, more: Text) -> Text:
    """A number with its noun, and with the words that agree with it: ``1 appel refusé``, ``212 appels refusés``."""
    words, amount = inflected(value, one, more), number(value)
    return Text(f"{amount.fr} {words.fr}", f"{amount.en} {words.en}")


def inflected(value: int, one: Text, more: Text) -> Text:
    """The words that agree with a number; French begins the plural at two, English has it at zero, too."""
    return Text((more if value > 1 else one).fr, (more if value != 1 else one).en)


def plural(value: int, noun: str) -> Text:
    """``1 segment``, ``12 segments``: of nouns that both languages spell alike, and make plural by an ``s``."""
    return counted(value, Text(noun, noun), Text(f"{noun}s", f"{noun}s"))


def size(value: float) -> Text:
    """Bytes as gigabytes, small ones as megabytes."""
    if value < 1e8:
        return Text(f"{value / 1e6:.1f}".replace(".", ",") + " Mo", f"{value / 1e6:.1f} MB")
    return Text(f"{value / 1e9:.1f}".replace(".", ",") + " Go", f"{value / 1e9:.1f} GB")


def _day(then: time.struct_time) -> str:
    return f"{then.tm_mday} {_MONTHS[then.tm_mon - 1]} {then.tm_year}"
