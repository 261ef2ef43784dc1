"""Reading a log beside its writer."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.merkle import inclusion_proof, leaf_hash, verify_inclusion
from ledger.commit import GroupCommit
from ledger.log import Log, LogDamagedError, segments
from ledger.reader import LogReader
from ledger.records import COMMIT_END, AttachmentKind, RecordType, RecordWriter, SegmentHeader
from ledger.vault import BodyVault
from tests.unit.ledger.conftest import entry, fail_loudly, filled, run_now, unsigned_head


def test_proofs_from_the_reader_verify(directory: Path) -> None:
    root = filled(directory, 30, segment_bytes=3000)
    reader = LogReader(directory)
    reader.read_all()

    for index in (0, 1, 45, 90):
        leaf = reader.at(index).leaf
        path = inclusion_proof(reader.node, index, reader.size)
        verify_inclusion(leaf_hash(leaf), index=index, size=reader.size, path=path, root=root)


def test_reader_follows_a_live_writer(directory: Path) -> None:
    log = Log.open(directory, segment_bytes=1500)
    commit = GroupCommit(log, run_now, fail_loudly)
    reader = LogReader(directory)
    seen = []
    for number in range(40):
        commit.commit_now([entry(log.log_id, number)])
        seen += [one.index for one in reader.follow(commit.durable_sequence)]

    assert seen == list(range(41))
    assert reader.tree.root() == log.root()


@pytest.mark.parametrize("step", [1, 100, 1000, 10_000])
def test_log_is_read_in_steps_of_any_size(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Neither a long segment nor a long log must fit into memory; a commit may be larger than a step."""
    monkeypatch.setattr("ledger.reader.READ_BYTES", step)
    root = filled(directory, 12, per_commit=5, segment_bytes=6000)
    reader = LogReader(directory)

    first = [one.index for one in reader.follow(7)]
    rest = [one.index for one in reader.follow()]

    assert (reader.sequence, reader.size) == (14, 61)
    assert first + rest == list(range(61))
    assert len(first) == 1 + 5 * 5  # the genesis leaf, then five commits
    assert reader.tree.root() == root
    assert [one.index for one in reader] == list(range(61))


@pytest.mark.parametrize("step", [1, 100, 10_000])
def test_damage_is_found_however_much_is_read_at_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr("ledger.reader.READ_BYTES", step)
    filled(directory, 12)
    path = segments(directory)[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(LogDamagedError, match="later commits follow"):
        LogReader(directory).read_all()


def test_half_written_record_is_waited_for(directory: Path) -> None:
    filled(directory, 2)
    path = segments(directory)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    reader = LogReader(directory)

    before = [one.index for one in reader.follow()]
    path.write_bytes(whole)
    after = [one.index for one in reader.follow()]

    assert before + after == list(range(7))


def test_leaf_out_of_range_is_refused(directory: Path) -> None:
    reader = LogReader(directory)
    reader.read_all()

    with pytest.raises(LogDamagedError):
        reader.at(1)


def test_damaged_segment_is_named(directory: Path) -> None:
    filled(directory, 50, segment_bytes=2000)
    path = segments(directory)[2]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    reader = LogReader(directory)

    with pytest.raises(LogDamagedError, match=path.name):
        reader.read_all()


def test_directory_without_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogDamagedError):
        LogReader(tmp_path).read_all()


@pytest.mark.parametrize("left", [b"", b"PASSLOG1", bytes(5000)])
def test_segment_that_is_about_to_begin_is_waited_for(directory: Path, left: bytes) -> None:
    filled(directory, 2)
    reader = LogReader(directory)
    reader.read_all()
    begun = directory / f"{7:020d}-{99:020d}.seg"
    begun.write_bytes(left)

    assert list(reader.follow()) == []
    begun.write_bytes(SegmentHeader(reader.log_id, 7, 99).encode())
    assert list(reader.follow()) == []
    assert reader.size == 7


def test_first_segment_without_a_header_is_refused(directory: Path) -> None:
    segments(directory)[0].write_bytes(b"PASSLOG1")

    with pytest.raises(LogDamagedError, match="header"):
        LogReader(directory).read_all()


def test_commits_that_do_not_follow_each_other_are_refused(directory: Path) -> None:
    path = segments(directory)[-1]
    reader = LogReader(directory)
    reader.read_all()
    parts = [path.read_bytes()]
    RecordWriter(reader.log_id).pack_leaf(parts, 1, RecordType.LEAF | COMMIT_END, 1, b"again")
    path.write_bytes(b"".join(parts))

    with pytest.raises(LogDamagedError, match="does not follow"):
        LogReader(directory).read_all()
    with pytest.raises(LogDamagedError, match="does not follow"):
        Log.open(directory)


def test_missing_leaf_is_refused(directory: Path) -> None:
    path = segments(directory)[-1]
    reader = LogReader(directory)
    reader.read_all()
    parts = [path.read_bytes()]
    RecordWriter(reader.log_id).pack_leaf(parts, 2, RecordType.LEAF | COMMIT_END, 5, b"fifth")
    path.write_bytes(b"".join(parts))

    with pytest.raises(LogDamagedError, match="leaf 1 is missing"):
        LogReader(directory).read_all()
    with pytest.raises(LogDamagedError, match="leaf 1 is missing"):
        Log.open(directory)


def test_leaf_that_rots_after_it_was_read_is_told(directory: Path) -> None:
    filled(directory, 3)
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(LogDamagedError, match="leaf 4 cannot be read"):
        reader.at(4)


def test_what_was_erased_is_told_to_who_asks(directory: Path, tmp_path: Path, clock: ManualClock) -> None:
    log = Log.open(directory)
    vault = BodyVault(tmp_path / "bodies", log.log_id, b"k" * 32, clock)
    commit = GroupCommit(log, run_now, fail_loudly, vault=vault)
    commit.commit_now([entry(log.log_id, 1, body=b"one"), entry(log.log_id, 2, body=b"two")])
    sealed = LogReader(directory)
    sealed.read_all()
    purges = [vault.erase(sealed.at(1).body or b""), vault.destroy_day_key(0)]
    for purge in purges:
        commit.record_purge(purge)
    commit.commit_now([entry(log.log_id, 3)])
    told: list[bytes] = []

    leaves = [one.index for one in LogReader(directory, told.append).follow()]

    assert told == purges
    assert leaves == [0, 1, 2, 3]


def test_heads_and_bodies_are_read_with_their_leaves(
    directory: Path, tmp_path: Path, clock: ManualClock
) -> None:
    log = Log.open(directory)
    vault = BodyVault(tmp_path / "bodies", log.log_id, b"k" * 32, clock)
    commit = GroupCommit(log, run_now, fail_loudly, vault=vault)
    commit.commit_now([entry(log.log_id, 1, body=b"one"), entry(log.log_id, 2)])
    head = unsigned_head(log, 3)
    commit.commit_now([entry(log.log_id, 3, body=b"three")], head)
    reader = LogReader(directory)
    reader.read_all()

    assert reader.last_head == head
    assert [one.body and vault.open(one.body) for one in reader] == [None, b"one", None, b"three"]


def test_who_follows_without_bodies_still_sees_damage_in_one(
    directory: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """The index has no use for what it cannot decrypt; a leaf that is asked for comes whole."""
    log = Log.open(directory)
    vault = BodyVault(tmp_path / "bodies", log.log_id, b"k" * 32, clock)
    commit = GroupCommit(log, run_now, fail_loudly, vault=vault)
    commit.commit_now([entry(log.log_id, 1, body=b"one"), entry(log.log_id, 2)])
    commit.commit_now([entry(log.log_id, 3)])
    whole, without = LogReader(directory), LogReader(directory, follows_bodies=False)

    followed = [(one.index, one.leaf, one.attachments) for one in whole.follow()]

    assert [(one.index, one.leaf, one.attachments) for one in without.follow()] == followed
    bare = list(LogReader(directory, follows_bodies=False).follow())
    assert [one.body for one in bare] == [None] * 4
    assert [one.body_bytes for one in bare] == [one.body_bytes for one in whole]
    assert without.at(1) == whole.at(1)
    left_out = whole.at(1, with_body=False)
    assert (left_out.body, left_out.body_bytes) == (None, whole.at(1).body_bytes)
    assert (left_out.leaf, left_out.attachments) == (whole.at(1).leaf, whole.at(1).attachments)
    assert vault.open(without.at(1).body or b"") == b"one"
    path = segments(directory)[-1]
    data = path.read_bytes()
    at = data.index((whole.at(1).body or b"")[17:])
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(LogDamagedError, match="is damaged at byte"):
        list(LogReader(directory, follows_bodies=False).follow())


def test_a_sparse_segment_does_not_fill_the_memory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros count as written ahead, whatever their number; what stands behind them is told, not gathered."""
    monkeypatch.setattr("ledger.reader.MAX_COMMIT_BYTES", 8 * 1024 * 1024)
    path = segments(directory)[-1]
    os.truncate(path, 256 * 1024**2)
    reader = LogReader(directory)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    reader.read_all()
    with path.open("r+b") as file:
        file.seek(128 * 1024**2)
        file.write(b"x")
    with pytest.raises(LogDamagedError, match="more follows than any commit holds"):
        LogReader(directory).read_all()

    assert reader.size == 1
    assert (reader.torn, reader.torn_end) == ([], "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_records_beside_another_leaf_are_refused(directory: Path) -> None:
    """An attachment is not covered by the tree: where it stands and what it names must agree."""
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    parts = [path.read_bytes()]
    writer = RecordWriter(reader.log_id)
    writer.pack_attachment(parts, 2, 0, AttachmentKind.STATEMENT, b"of leaf 0")
    writer.pack_leaf(parts, 2, RecordType.LEAF | COMMIT_END, 1, b"first")
    path.write_bytes(b"".join(parts))

    with pytest.raises(LogDamagedError, match="belongs to another leaf"):
        LogReader(directory).read_all()


def test_records_beside_no_leaf_are_refused(directory: Path) -> None:
    """Nothing may lie in a log that no leaf leads to."""
    reader = LogReader(directory)
    reader.read_all()
    path = segments(directory)[-1]
    parts = [path.read_bytes()]
    RecordWriter(reader.log_id).pack(parts, 2, RecordType.BODY | COMMIT_END, bytes(17))
    path.write_bytes(b"".join(parts))

    with pytest.raises(LogDamagedError, match="beside no leaf"):
        LogReader(directory).read_all()
