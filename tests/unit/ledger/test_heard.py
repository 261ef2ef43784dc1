"""What was heard of a peer's log is told exactly, however much it is and in whatever order a frame was judged."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.heard import UNSORTED, HeardFiles
from ledger.pieces import PieceDamagedError


@pytest.fixture
def files(tmp_path: Path) -> Iterator[HeardFiles]:
    found = HeardFiles(tmp_path / "heard")
    yield found
    found.close()


def test_each_leaf_is_told_as_it_was_recorded_and_all_others_were_passed(files: HeardFiles) -> None:
    """Three spilled blocks and a tail; within blocks of a frame's size the order is any."""
    heard, chance = files.of("a" * 64), random.Random(20261127)
    model = {index: chance.random() < 0.7 for index in chance.sample(range(400_000), 3 * UNSORTED + 100)}
    rising = sorted(model)
    for begin in range(0, len(rising), 5_000):
        frame = rising[begin : begin + 5_000]
        chance.shuffle(frame)
        for index in frame:
            heard.add(index, taken=model[index])

    for index in chance.sample(range(400_000), 20_000):
        expected = None if index not in model else "taken" if model[index] else "not taken"
        assert heard.record_of(index) == expected
    assert heard.record_of(400_001) is None


def test_memory_is_bounded_by_the_tail(files: HeardFiles, tmp_path: Path) -> None:
    """A worker that has heard a million requests holds no more of them than one that heard thirty thousand."""
    heard = files.of("b" * 64)
    for index in range(0, 200_000, 2):
        heard.add(index, taken=True)

    assert len(heard._tail) < 2 * UNSORTED
    assert (tmp_path / "heard" / ("b" * 64)).stat().st_size == 8 * heard._spilled
    assert heard.record_of(2) == "taken"
    assert heard.record_of(3) is None


def test_a_file_that_lost_its_end_is_no_word_that_leaves_were_passed(
    files: HeardFiles, tmp_path: Path
) -> None:
    """A peer is told "passed, never taken" by this: nothing may be read as that by mistake."""
    heard = files.of("b" * 64)
    for index in range(2 * UNSORTED):
        heard.add(index, taken=True)
    os.truncate(tmp_path / "heard" / ("b" * 64), 8)

    with pytest.raises(PieceDamagedError):
        heard.record_of(UNSORTED // 2)


def test_a_new_start_forgets_what_the_files_held(tmp_path: Path) -> None:
    """The log is the source: what a crash left in the files counts for nothing."""
    first = HeardFiles(tmp_path / "heard")
    for index in range(2 * UNSORTED):
        first.of("c" * 64).add(index, taken=True)
    first.close()

    second = HeardFiles(tmp_path / "heard")

    assert second.of("c" * 64).record_of(1) is None
    for index in range(1, 4 * UNSORTED, 2):
        second.of("c" * 64).add(index, taken=False)
    assert second.of("c" * 64).record_of(1) == "not taken"
    assert second.of("c" * 64).record_of(2) is None
    second.close()
