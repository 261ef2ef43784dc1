"""Opening and recovery."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from core.leaves import Note, log_id_of, note_leaf, said_leaf
from core.reasons import ExchangeError, Reason
from ledger.commit import GroupCommit
from ledger.log import AHEAD_BYTES, Log, LogDamagedError, SystemDisk, create_log, segments
from ledger.reader import LogReader
from ledger.records import (
    COMMIT_END,
    HEADER_BYTES,
    AttachmentKind,
    Ending,
    RecordType,
    RecordWriter,
    SegmentHeader,
)
from tests.unit.ledger.conftest import (
    GENESIS,
    FailingDisk,
    entry,
    fail_loudly,
    filled,
    run_now,
    unsigned_head,
)


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

    with pytest.raises(ExchangeError, match="another process holds this log: it is already running") as held:
        Log.open(directory)
    assert held.value.reason is Reason.STATE_CONFLICT
    assert held.value.remedy is not None
    assert "disque" not in held.value.remedy.fr
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


def commits_of(path: Path, log_id: str) -> list[tuple[int, int]]:
    """Where each commit of a segment begins and ends."""
    data, at, found = path.read_bytes(), HEADER_BYTES, []
    writer = RecordWriter(log_id)
    while (commit := writer.read_commit(data, at)) is not None:
        found.append((commit.begin, commit.end))
        at = commit.end
    return found


def test_last_commit_with_pages_lost_in_its_middle_is_torn_and_not_damaged(directory: Path) -> None:
    """Pages reach the disk in any order: whole records of the same commit may follow a hole."""
    filled(directory, 5)
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    begin, end = commits_of(path, reader.log_id)[-1]
    data = bytearray(path.read_bytes())
    data[begin : begin + 100] = bytes(100)
    path.write_bytes(bytes(data))

    log = Log.open(directory)

    assert (log.size, log.recovery.cut_bytes) == (13, end - begin)
    assert log.root() == reader.tree.root(13)


def test_hole_before_a_later_commit_is_damage_even_when_a_whole_commit_is_gone(directory: Path) -> None:
    filled(directory, 5)
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    begin, end = commits_of(path, reader.log_id)[3]
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(data))

    with pytest.raises(LogDamagedError, match=f"{path.name} is damaged at byte {begin}"):
        Log.open(directory)
    with pytest.raises(LogDamagedError, match=f"{path.name} is damaged at byte {begin}"):
        LogReader(directory).read_all()


def test_commit_that_only_the_page_cache_held_may_vanish_once_it_was_written_again(directory: Path) -> None:
    """A failed sync, a restart, then a power loss that shows what the disk never held (PROTOCOL M5)."""
    disk = FailingDisk()
    log = Log.open(directory, disk=disk)
    commit = GroupCommit(log, run_now, lambda _: None)
    commit.commit_now([entry(log.log_id, 1)])
    disk.fail_sync_in = 1
    commit.submit([entry(log.log_id, 2)], lambda _: None)
    commit.close()
    log.close()
    ghost = segments(directory)[-1]
    again = Log.open(directory)
    commit = GroupCommit(again, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 3)])
    root = again.root()
    commit.close()
    again.close()
    begin, _ = commits_of(ghost, log.log_id)[-1]
    ghost.write_bytes(ghost.read_bytes()[: begin + 30])

    after = Log.open(directory)

    assert (after.size, after.root()) == (4, root)
    reader = LogReader(directory)
    reader.read_all()
    assert reader.tree.root() == root
    assert reader.at(2).leaf == entry(log.log_id, 2).leaf


def test_log_without_heads_does_not_grow_with_each_start(directory: Path) -> None:
    filled(directory, 10)
    sizes = []
    for _ in range(4):
        log = Log.open(directory)
        sizes.append((log.recovery.rewritten, segments(directory)[-1].stat().st_size))
        log.close()

    assert set(sizes) == {(3, sizes[0][1])}


@pytest.mark.parametrize("left", [b"", b"PASS", bytes(HEADER_BYTES), bytes(5000)])
def test_segment_begun_and_never_synced_is_no_damage(directory: Path, left: bytes) -> None:
    root = filled(directory, 3)
    spoilt = directory / f"{10:020d}-{99:020d}.seg"
    spoilt.write_bytes(left)

    log = Log.open(directory)

    assert log.root() == root
    assert not spoilt.exists()


def test_segment_with_a_header_and_no_commit_is_taken_up(directory: Path) -> None:
    """The name it takes is needed again."""
    root = filled(directory, 3)
    reader = LogReader(directory)
    reader.read_all()
    begun = directory / f"{10:020d}-{reader.sequence + 1:020d}.seg"
    begun.write_bytes(SegmentHeader(reader.log_id, 10, reader.sequence + 1).encode())

    for _ in range(2):
        log = Log.open(directory)
        assert log.root() == root
        log.close()


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("fails", ["the first record", "what follows it", "its sync"])
def test_a_start_that_was_cut_short_does_not_supersede_what_it_was_to_write_again(
    directory: Path, signs: bool, fails: str
) -> None:
    """Leaves stand in the new segment once its first commit does; before, the segment that it follows has them only."""
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 1)])
    commit.commit_now([entry(log.log_id, 2)], head=unsigned_head(log, 2) if signs else None)
    commit.close()
    log.close()
    disk = FailingDisk()
    if fails == "its sync":
        disk.fail_sync_in = 1
    else:
        disk.fail_write_in = 2 if fails == "the first record" else 3
    with pytest.raises(ExchangeError) as refused:
        Log.open(directory, disk=disk)
    assert refused.value.reason is Reason.LOG_WRITE_FAILED

    again = Log.open(directory)
    assert (again.size, again.recovery.rewritten) == (3, 1)
    commit = GroupCommit(again, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 3)])
    root = again.root()
    commit.close()
    again.close()
    after = Log.open(directory)

    assert (after.size, after.root()) == (4, root)
    after.close()
    reader = LogReader(directory)
    reader.read_all()
    assert reader.tree.root() == root


def test_damaged_header_before_whole_records_is_refused(directory: Path) -> None:
    filled(directory, 3)
    path = segments(directory)[-1]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(LogDamagedError, match="header"):
        Log.open(directory)
    assert path.read_bytes() == bytes(data)


def test_space_written_ahead_is_no_torn_tail_and_is_given_back(directory: Path) -> None:
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 1)])
    path = segments(directory)[-1]
    assert path.stat().st_size > AHEAD_BYTES
    copy = directory.parent / "copy"
    shutil.copytree(directory, copy)
    commit.close()
    log.close()

    killed = Log.open(copy)

    assert path.stat().st_size < 2000
    assert (killed.size, killed.recovery.cut_bytes) == (2, 0)


def test_head_record_of_another_tree_is_refused(directory: Path, tmp_path: Path) -> None:
    filled(directory, 1)
    other = tmp_path / "other"
    create_log(other, GENESIS)
    log = Log.open(other)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 500 + one) for one in range(3)])
    head = unsigned_head(log, 4)
    commit.close()
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([], head=head)
    commit.close()
    log.close()

    with pytest.raises(LogDamagedError, match="a head of 4 leaves"):
        Log.open(directory)


def test_head_record_that_is_no_head_is_refused(directory: Path) -> None:
    log = Log.open(directory)
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([], head=b"no head")
    commit.close()
    log.close()

    with pytest.raises(LogDamagedError, match="no head"):
        Log.open(directory)


def test_full_disk_at_the_start_has_a_name(directory: Path) -> None:
    disk = FailingDisk()
    disk.fail_write_in = 1

    with pytest.raises(ExchangeError) as refused:
        Log.open(directory, disk=disk)
    assert refused.value.reason is Reason.LOG_WRITE_FAILED
    Log.open(directory).close()


def test_leaf_that_stands_twice_with_different_bytes_is_refused(directory: Path) -> None:
    filled(directory, 2)
    reader = LogReader(directory)
    reader.read_all()
    sequence = reader.sequence + 1
    parts = [SegmentHeader(reader.log_id, 3, sequence).encode()]
    RecordWriter(reader.log_id).pack_leaf(parts, sequence, RecordType.LEAF | COMMIT_END, 3, b"other")
    (directory / f"{3:020d}-{sequence:020d}.seg").write_bytes(b"".join(parts))

    with pytest.raises(LogDamagedError, match="twice"):
        Log.open(directory)
    with pytest.raises(LogDamagedError, match="twice"):
        LogReader(directory).read_all()


def test_every_cut_of_a_segment_ends_torn_or_whole(directory: Path) -> None:
    """At each offset: what is read is a beginning, and what is left is never called damage."""
    filled(directory, 3)
    reader = LogReader(directory)
    reader.read_all()
    whole = segments(directory)[-1].read_bytes()
    ends = [end for _, end in commits_of(segments(directory)[-1], reader.log_id)]
    writer = RecordWriter(reader.log_id)
    for cut in range(HEADER_BYTES, len(whole)):
        data, at, sequence = whole[:cut], HEADER_BYTES, 1
        while (commit := writer.read_commit(data, at)) is not None:
            at, sequence = commit.end, commit.sequence

        assert at == max([HEADER_BYTES, *(end for end in ends if end <= cut)])
        assert writer.ending(data, at, sequence) is (Ending.END if at == cut else Ending.TORN)


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


def test_segment_under_another_name_is_refused(directory: Path) -> None:
    """The order of segments is that of their names."""
    filled(directory, 50, segment_bytes=2000)
    path = segments(directory)[3]
    path.rename(directory / f"{0:020d}-{10**6:020d}.seg")

    with pytest.raises(LogDamagedError):
        Log.open(directory)
    with pytest.raises(LogDamagedError):
        LogReader(directory).read_all()


def test_foreign_file_among_the_segments_is_refused(directory: Path) -> None:
    (directory / "copy of 1.seg").write_bytes(b"")

    with pytest.raises(LogDamagedError, match="no segment's name"):
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


def test_what_lies_far_behind_the_end_leaves_the_page_cache(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Range after range, each once, never what was written a moment ago, and none of it is lost."""
    monkeypatch.setattr("ledger.log.KEPT_CACHED_BYTES", 1000)
    disk = ForgettingDisk()
    log = Log.open(directory, disk=disk)
    commit = GroupCommit(log, run_now, fail_loudly)
    for number in range(1, 40):
        commit.commit_now([entry(log.log_id, number)])
        assert not disk.forgotten or disk.forgotten[-1][1] <= log._offset - 1000
    root = log.root()
    commit.close()
    log.close()

    assert len(disk.forgotten) > 2
    assert [begin for begin, _ in disk.forgotten] == [0, *(end for _, end in disk.forgotten[:-1])]
    reader = LogReader(directory)
    reader.read_all()
    assert reader.tree.root() == root


class ForgettingDisk(SystemDisk):
    """Remembers what the page cache was told to let go."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[int, int]] = []

    def forget(self, fd: int, begin: int, end: int, /) -> None:  # type: ignore[override]  # remembers
        self.forgotten.append((begin, end))
        SystemDisk.forget(fd, begin, end)


def test_first_leaves_and_their_documents_come_with_the_genesis_leaf(tmp_path: Path) -> None:
    """One commit: a crash leaves a log that says all of what it must say first, or none."""
    note = note_leaf(log_id_of(GENESIS), Note(1, "0" * 32, 1, "last-head", "size=3", 1))
    create_log(tmp_path / "log", GENESIS, [(note, b"a head")])

    reader = LogReader(tmp_path / "log")
    reader.read_all()

    assert [one.leaf for one in reader] == [GENESIS, note]
    assert reader.at(1).attachments == ((AttachmentKind.DOCUMENT, b"a head"),)
    assert Log.open(tmp_path / "log").size == 2
