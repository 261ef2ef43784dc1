"""Reading a log beside its writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.merkle import inclusion_proof, leaf_hash, verify_inclusion
from ledger.commit import GroupCommit
from ledger.log import Log, LogDamagedError, segments
from ledger.reader import LogReader
from tests.unit.ledger.conftest import entry, fail_loudly, filled, run_now


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
