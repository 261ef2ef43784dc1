"""The days left on the disk: from what was written, whatever was archived, restarted or set back meanwhile."""

from pathlib import Path

import pytest

from core.documents import decode_strict
from gateway.control.forecast import (
    DAY_MS,
    HOUR_MS,
    MAX_SAMPLES,
    Growth,
    GrowthKeeper,
    days_left,
    read_growth,
    stored_bytes,
)
from gateway.layout import GatewayDirectory

NOW = 1_790_000_000_000
GB = 1_000_000_000


def grown(hours: int, per_hour: int, *, begin: Growth | None = None, now_ms: int = NOW) -> tuple[Growth, int]:
    """A log that grew evenly, looked at each hour; with the moment of the last look."""
    growth, stored = begin or Growth(), begin.stored if begin else 0
    for hour in range(hours + 1):
        growth = growth.seen(now_ms + hour * HOUR_MS, stored + hour * per_hour)
    return growth, now_ms + hours * HOUR_MS


def test_an_even_growth_is_told_to_the_day() -> None:
    """1 GB an hour, 240 GB of room: ten days."""
    growth, now = grown(100, GB)

    assert days_left(growth, now, 240 * GB) == pytest.approx(10)


def test_nothing_is_foreseen_in_the_first_hour_or_without_growth() -> None:
    """A minute of load after the installation is no alarm."""
    growth, now = grown(0, GB)
    idle, later = grown(200, 0)

    assert days_left(growth.seen(now + HOUR_MS - 1, 5 * GB), now + HOUR_MS - 1, GB) is None
    assert days_left(idle, later, GB) is None
    assert days_left(Growth(), NOW, GB) is None


def test_an_archive_makes_room_and_no_growth_undone() -> None:
    """Segments that are moved away change the room, not the pace."""
    growth, now = grown(48, GB)
    emptied = growth.seen(now + 1, 0)
    after, later = grown(24, GB, begin=emptied, now_ms=now + HOUR_MS)

    assert days_left(after, later, 240 * GB) == pytest.approx(10, rel=0.05)


def test_a_load_that_began_yesterday_is_not_smoothed_away() -> None:
    """The faster of day and week counts."""
    growth, now = grown(6 * 24, GB)
    faster, later = grown(24, 10 * GB, begin=growth, now_ms=now)

    assert days_left(faster, later, 240 * GB) == pytest.approx(1)


def test_without_room_no_day_is_left() -> None:
    """Below the reserve the answer is 0, not less."""
    growth, now = grown(10, GB)

    assert days_left(growth, now, -5) == 0


def test_what_is_kept_is_bounded() -> None:
    """A year of looks leaves a week of samples."""
    growth = Growth()
    for minute in range(0, 400 * 24 * 60, 20):
        growth = growth.seen(NOW + minute * 60_000, minute)

    assert len(growth.samples) <= MAX_SAMPLES
    assert growth.samples[-1].at - growth.samples[0].at <= 7 * DAY_MS


def test_a_clock_set_back_forgets_what_lies_ahead() -> None:
    """Samples of a wrong hour tell nothing once it is right again."""
    ahead, _ = grown(3, GB, now_ms=NOW + 30 * DAY_MS)
    growth, now = grown(10, GB, begin=ahead)

    assert all(one.at <= now for one in growth.samples)
    assert days_left(growth, now, 240 * GB) == pytest.approx(10)


def test_a_running_gateway_keeps_its_growth_across_a_restart(tmp_path: Path) -> None:
    """What the directory holds is measured, written down once an hour, and read again."""
    directory = GatewayDirectory(tmp_path)
    directory.state.mkdir()
    segment = directory.log(0) / "a.seg"
    segment.parent.mkdir(parents=True)
    keeper = GrowthKeeper(directory)

    keeper.look(NOW)
    segment.write_bytes(b"x" * 1_000_000)
    keeper.look(NOW + HOUR_MS)
    GrowthKeeper(directory).look(NOW + 2 * HOUR_MS)
    growth = read_growth(directory)

    assert stored_bytes(directory) >= 1_000_000
    assert [one.at - NOW for one in growth.samples] == [0, HOUR_MS, 2 * HOUR_MS]
    assert growth.written == pytest.approx(1_000_000, rel=0.02)
    assert decode_strict(directory.growth.read_bytes(), Growth) == growth


def test_the_disk_is_looked_at_once_a_minute(tmp_path: Path) -> None:
    """A log of ten thousand segments is not walked through each second."""
    directory = GatewayDirectory(tmp_path)
    directory.state.mkdir()
    keeper = GrowthKeeper(directory)
    keeper.look(NOW)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.seg").write_bytes(b"x" * 1_000_000)

    keeper.look(NOW + HOUR_MS)
    first = keeper.days_left(NOW + HOUR_MS, [2_000_000], 1_000_000)
    (tmp_path / "log" / "b.seg").write_bytes(b"x" * 9_000_000)
    keeper.look(NOW + HOUR_MS + 59_000)

    assert first == pytest.approx(1 / 24, rel=0.02)
    assert keeper.days_left(NOW + HOUR_MS, [2_000_000, 5_000_000], 1_000_000) == first
    assert keeper.days_left(NOW + HOUR_MS, [], 1_000_000) is None


def test_a_damaged_or_unwritable_file_ends_nothing(tmp_path: Path) -> None:
    """The forecast begins anew; a full disk must not take control down."""
    directory = GatewayDirectory(tmp_path)
    directory.state.mkdir()
    directory.growth.write_bytes(b'{"v":1,"stor')
    keeper = GrowthKeeper(directory)

    directory.growth.unlink()
    directory.state.rmdir()
    keeper.look(NOW)

    assert keeper.days_left(NOW, [1], 0) is None
