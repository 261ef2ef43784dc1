"""Group commit: durable before promised, dead after one failure."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.reasons import Reason
from ledger import commit as module
from ledger.commit import Committed, GroupCommit, RecordingFailedError
from ledger.log import Log
from ledger.reader import LogReader
from ledger.vault import BodyUnreadableError, BodyVault
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


class BrokenVault:
    """A vault whose slots cannot be synced."""

    def seal_all(self, bodies: Sequence[tuple[int, str, bytes]]) -> list[tuple[bytes, bytes]]:
        raise OSError(errno.EIO, "slots")


def test_vault_that_cannot_write_kills_the_handle_and_gives_no_index(log: Log) -> None:
    commit = GroupCommit(log, run_now, fail_loudly, vault=BrokenVault())

    with pytest.raises(RecordingFailedError, match="slots"):
        commit.commit_now([entry(log.log_id, 1), entry(log.log_id, 2, body=b"x")])
    with pytest.raises(RecordingFailedError, match="dead"):
        commit.commit_now([entry(log.log_id, 1)])

    assert log.size == 1


def test_record_that_no_reader_would_take_is_not_written(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given for it, and the log goes on."""
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 4096)
    commit = GroupCommit(log, run_now, fail_loudly)

    with pytest.raises(ValueError, match="at most"):
        commit.commit_now([entry(log.log_id, 1, attachment=bytes(4096))])
    many = commit.commit_now([entry(log.log_id, one, attachment=bytes(3000)) for one in range(9)])

    assert many == Committed(1, 10)


def test_whatever_fails_on_the_commit_thread_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    commit = GroupCommit(log, run_now, failures.append)
    monkeypatch.setattr(log, "write", lambda *_: 1 / 0)

    commit.submit([entry(log.log_id, 1)], lambda _: pytest.fail("acknowledged"))
    commit.close()

    assert [type(one) for one in failures] == [ZeroDivisionError]


def test_loop_that_was_closed_does_not_hold_up_the_end(log: Log) -> None:
    def closed(callback: object) -> None:
        raise RuntimeError("Event loop is closed")

    commit = GroupCommit(log, closed, fail_loudly)
    commit.submit([entry(log.log_id, 1)], lambda _: None)
    commit.close()

    assert commit.durable_sequence == log.sequence


def test_commit_of_nothing_takes_no_place(log: Log) -> None:
    commit = GroupCommit(log, run_now, fail_loudly)
    before = log.sequence

    assert commit.commit_now([]) == Committed(1, 1)
    assert log.sequence == before


def test_failure_while_a_segment_begins_is_a_failure(directory: Path, disk: FailingDisk) -> None:
    log = Log.open(directory, disk=disk, segment_bytes=200)
    commit = GroupCommit(log, run_now, fail_loudly)
    disk.fail_write_in = 1

    with pytest.raises(RecordingFailedError):
        commit.commit_now([entry(log.log_id, 1)])
    commit.close()
    log.close()
    again = Log.open(directory)

    assert again.size == 1


def test_erased_body_is_on_record_and_the_log_goes_on(
    directory: Path, tmp_path: Path, clock: ManualClock
) -> None:
    log = Log.open(directory)
    vault = BodyVault(tmp_path / "bodies", log.log_id, b"k" * 32, clock)
    commit = GroupCommit(log, run_now, fail_loudly, vault=vault)
    commit.commit_now([entry(log.log_id, 1, body=b"ADJOVI"), entry(log.log_id, 2, body=b"KOFFI")])
    reader = LogReader(directory)
    reader.read_all()
    sealed = reader.at(1).body
    assert sealed is not None
    assert vault.open(sealed) == b"ADJOVI"

    commit.record_purge(vault.erase(sealed))
    commit.commit_now([entry(log.log_id, 3)])
    root = log.root()
    commit.close()
    log.close()

    assert Log.open(directory).root() == root
    with pytest.raises(BodyUnreadableError):
        vault.open(sealed)


def test_failing_any_write_or_sync_leaves_what_was_acknowledged(directory: Path) -> None:
    """Every n-th call of a run, as SQLite's tests do."""
    for number in range(1, 25):
        copy = directory.parent / f"copy-{number}"
        shutil.copytree(directory, copy)
        failing = FailingDisk()
        log = Log.open(copy, disk=failing, segment_bytes=1500)
        commit = GroupCommit(log, run_now, fail_loudly)
        setattr(failing, ("fail_write_in", "fail_sync_in")[number % 2], 1 + number // 2)
        acknowledged, root = log.size, log.root()
        try:
            for one in range(12):
                acknowledged = commit.commit_now(
                    [entry(log.log_id, 2 * one), entry(log.log_id, 2 * one + 1)]
                ).size
                root = log.root()
        except RecordingFailedError:
            pass
        commit.close()
        log.close()

        again = Log.open(copy)

        assert again.size in (acknowledged, acknowledged + 2)
        assert again.root(acknowledged) == root
        again.close()
