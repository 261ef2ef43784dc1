"""Times are written one way only, and a clock is an argument."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import ManualClock, SystemClock
from core.reasons import MalformedError, Reason
from core.times import MAX_TIME_MS, format_time_ms, parse_time_ms


def test_a_time_is_written_in_utc_to_the_second() -> None:
    """RFC 3339 with Z, one way only."""
    assert format_time_ms(1_790_000_000_999) == "2026-09-21T14:13:20Z"
    assert parse_time_ms("2026-09-21T14:13:20Z") == 1_790_000_000_000


@given(st.integers(0, MAX_TIME_MS))
def test_every_time_is_read_back(now_ms: int) -> None:
    """Cut to the second."""
    assert parse_time_ms(format_time_ms(now_ms)) == now_ms // 1000 * 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-09-21",
        "2026-09-21T14:13:20",
        "2026-09-21T14:13:20+00:00",
        "2026-09-21 14:13:20Z",
        "2026-09-21T14:13:20.5Z",
        "2026-09-21t14:13:20z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-09-21T24:00:00Z",
        "2026-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0026-11-23T09:14:07Z",
        "1969-12-31T23:59:59Z",
        "2026-09-21T14:13:20Z\n",
        "٢٠٢٦-09-21T14:13:20Z",
    ],
)
def test_other_forms_of_a_time_are_refused(text: str) -> None:
    """A day that is none, another zone, another form."""
    with pytest.raises(MalformedError) as refused:
        parse_time_ms(text)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_a_manual_clock_moves_only_when_told() -> None:
    """Both clocks together, or the wall clock alone."""
    clock = ManualClock(1_000)
    began = clock.monotonic_us()

    clock.advance(timedelta(seconds=2))
    clock.step(timedelta(seconds=-1))

    assert clock.now_ms() == 2_000
    assert clock.monotonic_us() - began == 2_000_000
    with pytest.raises(ValueError):
        clock.advance(timedelta(seconds=-1))


def test_the_system_clock_never_goes_back() -> None:
    """The monotonic one."""
    clock = SystemClock()

    first, second = clock.monotonic_us(), clock.monotonic_us()

    assert second >= first
    assert clock.now_ms() > 1_700_000_000_000
