"""Opening and recovery."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from core.heads import TreeHead, b64url, encode_head, head_header
from core.leaves import said_leaf
from ledger.commit import GroupCommit
from ledger.log import Log, LogDamagedError, create_log, segments
from ledger.reader import LogReader
from ledger.records import HEADER_BYTES
from tests.unit.ledger.conftest import GENESIS, entry, fail_loudly, filled, run_now


def unsigned_head(log: Log, size: int) -> bytes:
    """A head of the right form; the ledger does not check signatures, it knows no keys."""
    claims = TreeHead(1, log.log_id, "BJ/GOV/ANIP/gw1", size, log.root(size).hex(), 1, None)
    return b".".join((b64url(head_header("A" * 43)), b64url(encode_head(claims)), b64url(bytes(64))))


def test_new_log_holds_its_genesis_leaf_and_is_named_by_it(tmp_path: Path) -> None:
    log_id = create_log(tmp_path / "log", GENESIS)

    log = Log.open(tmp_path / "log")

    assert (log.log_id, log.size) == (log_id, 1)
    assert log.node(0, 0).hex() == log_id


def test_second_log_in_the_same_place_is_refused(directory: Path) -> None:
    with pytest.raises(FileExistsError):
        create_log(directory, GENESIS)


def test_log_begins_with_a_genesis_leaf_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="genesis"):
        create_log(tmp_path / "log", said_leaf("0" * 64, b"x"))


def test_reopened_log_has_the_same_leaves_and_root(directory: Path) -> None:
    root = filled(directory, 20)

    log = Log.open(directory)

    assert (log.size, log.root()) == (61, root)


def test_log_goes_on_over_many_segments(directory: Path) -> None:
    root = filled(directory, 50, segment_bytes=2000)

    log = Log.open(directory)

    assert len(segments(directory)) > 5
    assert log.root() == root


def test_only_one_process_holds_a_log(directory: Path) -> None:
    first = Log.open(directory)

    with pytest.raises(LogDamagedError, match="another process"):
        Log.open(directory)
    first.close()
    Log.open(directory).close()


def test_missing_or_foreign_log_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(LogDamagedError, match="no log"):
        Log.open(tmp_path)
    with pytest.raises(LogDamagedError, match="another log"):
        Log.open(directory, expected="f" * 64)


def test_torn_tail_is_cut_at_every_offset(directory: Path, tmp_path: Path) -> None:
    """Whatever a power loss leaves of the last commits, what is read is a beginning of what was written."""
    filled(directory, 4)
    reader = LogReader(directory)
    reader.read_all()
    name, whole = segments(directory)[-1].name, segments(directory)[-1].read_bytes()
    for end in range(HEADER_BYTES + 1, len(whole), 53):
        torn = tmp_path / f"torn-{end}"
        shutil.copytree(directory, torn)
        (torn / name).write_bytes(whole[:end])

        log = Log.open(torn)

        assert log.root() == reader.tree.root(log.size)
        size = log.size
        log.close()
        again = Log.open(torn)
        assert (again.size, again.recovery.cut_bytes) == (size, 0)
        again.close()


def test_appending_goes_on_after_a_torn_tail(directory: Path) -> None:
    filled(directory, 3)
    last = segments(directory)[-1]
    last.write_bytes(last.read_bytes()[:-5])

    log = Log.open(directory)
    size = log.size
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 99)])
    root = log.root()
    commit.close()
    log.close()

    assert Log.open(directory).root() == root
    assert size == 7  # a commit is there as a whole or not at all


def test_damage_before_whole_records_is_refused_and_not_repaired(directory: Path) -> None:
    filled(directory, 5)
    path = segments(directory)[-1]
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 300] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(LogDamagedError, match="later commits follow"):
        Log.open(directory)
    assert path.read_bytes() == bytes(data)


def test_missing_segment_is_refused(directory: Path) -> None:
    filled(directory, 50, segment_bytes=2000)
    segments(directory)[3].unlink()

    with pytest.raises(LogDamagedError):
        Log.open(directory)


def test_two_hundred_flipped_bits_are_cut_or_refused_never_believed(directory: Path, tmp_path: Path) -> None:
    filled(directory, 8)
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    whole = path.read_bytes()
    chance = random.Random(20261123)
    for number in range(200):
        copy = tmp_path / f"flip-{number}"
        shutil.copytree(directory, copy)
        data = bytearray(whole)
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        (copy / path.name).write_bytes(bytes(data))
        try:
            log = Log.open(copy)
        except LogDamagedError:
            continue
        assert log.root() == reader.tree.root(log.size)
        log.close()


def test_leaves_that_no_head_covers_are_written_again(directory: Path) -> None:
    """After a missing sync the page cache may show what the disk does not hold (PROTOCOL M5)."""
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 1)])
    commit.commit_now([entry(log.log_id, 2)], head=unsigned_head(log, 2))
    root = log.root()
    commit.close()
    log.close()

    again = Log.open(directory)

    assert again.root() == root
    assert (again.recovery.clean, again.recovery.rewritten) == (False, 1)
    again.close()
    reader = LogReader(directory)
    reader.read_all()
    assert reader.tree.root() == root
    assert reader.at(2).attachments == entry(log.log_id, 2).attachments


def test_log_whose_head_covers_all_is_clean(directory: Path) -> None:
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 1)])
    commit.commit_now([], head=unsigned_head(log, 2))
    commit.close()
    log.close()

    again = Log.open(directory)

    assert again.recovery.clean
    assert again.last_head is not None
