"""A look at a log that reads its newest segment only."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.leaves import Genesis, Note, genesis_leaf, note_leaf
from core.merkle import leaf_hash
from core.reasons import ExchangeError
from ledger.commit import Entry, GroupCommit
from ledger.glance import glance, older_damage
from ledger.log import Log, LogDamagedError, create_log, segments
from tests.unit.ledger.conftest import FailingDisk


def grown(directory: Path, *, sittings: int, leaves: int) -> str:
    """A log that was opened so many times, each time for so many commits; returns its id."""
    log_id = create_log(directory, genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1000, "00" * 16, None)))
    for sitting in range(sittings):
        log = Log.open(directory)
        commit = GroupCommit(log, lambda done: done(), lambda error: None)
        for number in range(leaves):
            leaf = note_leaf(log_id, Note(1, f"{sitting:016x}{number:016x}", 1000, "test", "", 1))
            commit.commit_now([Entry(leaf, leaf_hash(leaf))])
        commit.close()
        log.close()
    return log_id


def test_the_size_is_that_of_the_whole_log(tmp_path: Path) -> None:
    """From the header and the leaves of the newest segment."""
    log_id = grown(tmp_path, sittings=3, leaves=4)

    found = glance(tmp_path)

    assert (found.log, found.size, found.damage) == (log_id, 13, "")
    assert found.segments == len(segments(tmp_path)) > 1
    assert found.newest == segments(tmp_path)[-1].name
    assert found.used_bytes >= found.segments * 512


def test_a_start_that_was_cut_short_hides_no_leaves(tmp_path: Path) -> None:
    """Its segment begins at the first leaf that it was to write again; those leaves stand in the one before."""
    grown(tmp_path, sittings=2, leaves=3)
    disk = FailingDisk()
    disk.fail_write_in = 2
    with pytest.raises(ExchangeError):
        Log.open(tmp_path, disk=disk)

    found = glance(tmp_path)

    assert found.newest == segments(tmp_path)[-1].name
    assert (found.size, found.segments, found.damage) == (7, 4, "")


def test_nothing_is_changed_or_held(tmp_path: Path) -> None:
    """The worker may run beside it."""
    grown(tmp_path, sittings=1, leaves=1)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.iterdir()}
    log = Log.open(tmp_path)

    assert glance(tmp_path).size == 2

    log.close()
    assert set(before) <= set(tmp_path.iterdir())


def test_a_torn_end_is_no_damage_and_what_later_commits_follow_is(tmp_path: Path) -> None:
    """As the log itself judges when it is opened."""
    grown(tmp_path, sittings=1, leaves=4)
    newest = segments(tmp_path)[-1]
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-20])
    torn = glance(tmp_path)
    newest.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])

    damaged = glance(tmp_path)

    assert torn.damage == ""
    assert torn.size == 4
    assert newest.name in damaged.damage


def test_damage_in_an_older_segment_is_found_by_whoever_has_the_time(tmp_path: Path) -> None:
    """The log refuses to open for it, though its newest segment is whole."""
    grown(tmp_path, sittings=3, leaves=4)
    older = segments(tmp_path)[-2]
    assert older_damage(tmp_path, within_s=60) == ""
    whole = older.read_bytes()
    older.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])

    found = older_damage(tmp_path, within_s=60)

    with pytest.raises(LogDamagedError) as refused:
        Log.open(tmp_path)
    name, _, byte = found.partition(": ")
    assert name == older.name
    assert f"{name} is damaged at {byte}" in str(refused.value)
    assert glance(tmp_path).damage == ""
    assert older_damage(tmp_path, within_s=-1) == ""


def test_an_older_segment_without_its_header_is_damage(tmp_path: Path) -> None:
    """Only of the newest a power loss can be the cause."""
    grown(tmp_path, sittings=2, leaves=1)
    older = segments(tmp_path)[-2]
    older.write_bytes(b"nonsense" * 100)

    assert older.name in older_damage(tmp_path, within_s=60)


def test_a_segment_that_was_just_begun_is_looked_behind(tmp_path: Path) -> None:
    """Its name is there before its header."""
    grown(tmp_path, sittings=1, leaves=2)
    (tmp_path / f"{3:020d}-{99:020d}.seg").write_bytes(b"")

    assert glance(tmp_path).size == 3


@pytest.mark.parametrize("content", [None, b"no header at all"])
def test_what_is_no_log_is_told(tmp_path: Path, content: bytes | None) -> None:
    """Missing, or without any header."""
    if content is not None:
        (tmp_path / f"{0:020d}-{1:020d}.seg").write_bytes(content)

    with pytest.raises(LogDamagedError):
        glance(tmp_path)
