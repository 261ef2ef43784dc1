"""Group commit: durable before promised, dead after one failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.reasons import Reason
from ledger.commit import Committed, GroupCommit, RecordingFailedError
from ledger.log import Log
from ledger.reader import LogReader
from tests.unit.ledger.conftest import FailingDisk, entry, fail_loudly, run_now


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def log(directory: Path, disk: FailingDisk) -> Log:
    return Log.open(directory, disk=disk)


def test_done_is_told_first_index_and_size_after_the_sync(log: Log, disk: FailingDisk) -> None:
    commit = GroupCommit(log, run_now, fail_loudly)
    told: list[tuple[Committed, int]] = []

    first = commit.submit(
        [entry(log.log_id, one) for one in range(3)], lambda found: told.append((found, disk.synced))
    )
    commit.close()

    assert first == 1
    assert told == [(Committed(1, 4), disk.synced)]
    assert disk.synced >= 1


def test_one_commit_at_a_time(log: Log) -> None:
    kept: list[object] = []
    commit = GroupCommit(log, kept.append, fail_loudly)
    commit.submit([entry(log.log_id, 1)], lambda _: None)

    with pytest.raises(RecordingFailedError, match="under way"):
        commit.submit([entry(log.log_id, 2)], lambda _: None)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("what", ["fail_write_in", "fail_sync_in"])
def test_after_one_failure_nothing_is_acknowledged_ever(
    log: Log, disk: FailingDisk, what: str, error: int
) -> None:
    """Invariant 4."""
    failures: list[BaseException] = []
    done: list[Committed] = []
    commit = GroupCommit(log, run_now, failures.append)
    disk.error = error
    setattr(disk, what, 1)

    commit.submit([entry(log.log_id, 1)], done.append)
    commit.close()

    assert done == []
    assert [getattr(one, "errno", None) for one in failures] == [error]
    with pytest.raises(RecordingFailedError) as refused:
        commit.submit([entry(log.log_id, 2)], done.append)
    assert refused.value.reason is Reason.RECORDING_FAILED
    with pytest.raises(RecordingFailedError):
        commit.commit_now([entry(log.log_id, 2)])


def test_commit_now_tells_a_failure_to_its_caller(log: Log, disk: FailingDisk) -> None:
    commit = GroupCommit(log, run_now, fail_loudly)
    disk.fail_sync_in = 1

    with pytest.raises(RecordingFailedError):
        commit.commit_now([entry(log.log_id, 1)])


def test_short_writes_are_completed(log: Log, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "pwrite", lambda fd, data, at: os.pwrite(fd, data[:37], at))
    commit = GroupCommit(log, run_now, fail_loudly)

    commit.commit_now([entry(log.log_id, one) for one in range(5)])

    reader = LogReader(log.directory)
    reader.read_all()
    assert reader.size == 6


def test_reserve_is_told_before_a_write_can_fail(log: Log, disk: FailingDisk) -> None:
    disk.free = 999
    commit = GroupCommit(log, run_now, fail_loudly, reserve_bytes=1000)

    assert commit.is_reserve_reached()
    # What is under way may still be finished.
    commit.commit_now([entry(log.log_id, 1)])


def test_durable_sequence_is_what_readers_may_read(log: Log) -> None:
    commit = GroupCommit(log, run_now, fail_loudly)
    commit.commit_now([entry(log.log_id, 1)])
    durable = commit.durable_sequence
    commit.commit_now([entry(log.log_id, 2)])
    reader = LogReader(log.directory)

    assert [one.index for one in reader.follow(durable)] == [0, 1]
    assert [one.index for one in reader.follow(commit.durable_sequence)] == [2]
