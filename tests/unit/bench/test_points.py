"""Which loads a run takes, and what they are called."""

from __future__ import annotations

import pytest

from bench.points import DEFAULT, MATRICES, MOST_IN_FLIGHT_BYTES, Point, select

pytestmark = pytest.mark.unit


def test_points_read_as_people_say_them() -> None:
    """Bytes below a kibibyte, KiB and MiB above; a stream says how long it is."""
    found = [Point(256, 1), Point(65_536, 128), Point(1 << 20, 16), Point(64, 1, 100_000)]

    assert [str(one) for one in found] == ["256 B x1", "64 KiB x128", "1 MiB x16", "stream of 100,000 x 64 B"]
    assert str(Point(4096, 128, ends="grpcio")) == "4 KiB x128 grpcio"


def test_keys_are_unique_and_select_rows() -> None:
    """One row, or a pattern of them, can be run again."""
    for points in MATRICES.values():
        assert len({point.key for point in points}) == len(points)

    assert select(DEFAULT, ["4096x128"]) == [Point(4096, 128)]
    assert [one.key for one in select(DEFAULT, ["grpcio-4096*"])] == ["grpcio-4096x1", "grpcio-4096x128"]
    assert select(DEFAULT, []) == DEFAULT
    with pytest.raises(ValueError, match="no row '5x5'"):
        select(DEFAULT, ["4096x128", "5x5"])


def test_no_row_asks_for_more_than_a_members_share_of_a_worker() -> None:
    """Calls that are refused for their bytes in flight would measure refusals."""
    for points in MATRICES.values():
        assert all(one.messages or one.size * one.in_flight <= MOST_IN_FLIGHT_BYTES for one in points)


def test_what_the_aims_are_about_is_in_every_matrix() -> None:
    """Else an aim would be told as not measured."""
    wanted = {"256x128", "4096x128", "65536x128", "4096x1", "grpcio-4096x128"}

    for points in MATRICES.values():
        assert wanted <= {point.key for point in points}
