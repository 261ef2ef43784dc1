"""A log that is written, crashes and is opened again, against a model that remembers what was promised."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.heads import parse_head
from core.merkle import inclusion_proof, leaf_hash, verify_inclusion
from core.reasons import ExchangeError
from ledger.commit import Entry, GroupCommit, RecordingFailedError
from ledger.log import Log, create_log, segments
from ledger.reader import LogReader
from ledger.records import HEADER_BYTES, RecordWriter
from tests.unit.ledger.conftest import GENESIS, FailingDisk, entry, fail_loudly, run_now, unsigned_head


class CrashingLog(RuleBasedStateMachine):
    """The model: leaves in order, and how many of them were acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="passerelle-crash-"))
        self.directory = self.root / "log"
        self.leaves: list[bytes] = [GENESIS]
        self.acknowledged = 1
        self.number = 0

    @initialize()
    def begin(self) -> None:
        create_log(self.directory, GENESIS)
        self._open()

    def _open(self) -> None:
        self.disk = FailingDisk()
        self.log = Log.open(self.directory, disk=self.disk, segment_bytes=2500)
        self.commit = GroupCommit(self.log, run_now, fail_loudly)

    def _leave(self) -> None:
        """Go without closing, as a killed process: its descriptors and lock are gone, and nothing else happened."""
        self.commit.close()
        self.log._is_whole = False
        self.log.close()

    def _entries(self, count: int) -> list[Entry]:
        self.number += count
        return [entry(self.log.log_id, self.number - one) for one in range(count)]

    @rule(count=st.integers(1, 4), signs=st.booleans())
    def commit_some(self, count: int, signs: bool) -> None:
        entries = self._entries(count)
        head = unsigned_head(self.log, self.log.size) if signs else None

        self.commit.commit_now(entries, head)

        self.leaves += [one.leaf for one in entries]
        self.acknowledged = len(self.leaves)

    @rule(write=st.booleans(), count=st.integers(1, 3))
    def fail_and_start_again(self, write: bool, count: int) -> None:
        """What a failed commit held may be there or not; it was promised to nobody."""
        entries = self._entries(count)
        if write:
            self.disk.fail_write_in = 1
        else:
            self.disk.fail_sync_in = 1
        try:
            self.commit.commit_now(entries)
            raise AssertionError("acknowledged after a failure")
        except RecordingFailedError:
            pass
        self._leave()
        self._open()
        if self.log.size > self.acknowledged:
            self.leaves += [one.leaf for one in entries]
        self.acknowledged = self.log.size

    @rule()
    def kill_and_start_again(self) -> None:
        self._leave()
        self._open()

    @rule(calls=st.lists(st.integers(1, 4), min_size=1, max_size=2))
    def start_dies_and_start_again(self, calls: list[int]) -> None:
        """Before the header, the first commit, what is written ahead of it, or the sync; once, or twice on end."""
        self._leave()
        for call in calls:
            disk = FailingDisk()
            if call < 4:
                disk.fail_write_in = call
            else:
                disk.fail_sync_in = 1
            with pytest.raises(ExchangeError):
                Log.open(self.directory, disk=disk, segment_bytes=2500)
        self._open()
        # Whatever no head covers is in this process's segment, too: its sync before may never have happened.
        head = self.log.last_head
        least = self.log.size - parse_head(head).unverified.size if head is not None else 1
        assert self.log.recovery.rewritten >= least

    @rule()
    def close_and_open(self) -> None:
        self.commit.close()
        self.log.close()
        self._open()

    @rule(data=st.data())
    def lose_power_in_a_commit(self, data: st.DataObject) -> None:
        """Of a commit that was written and not synced any part may be missing, in any place."""
        path, before = segments(self.directory)[-1], self._end()
        entries = self._entries(2)
        self.commit.commit_now(entries)
        self._leave()
        path = segments(self.directory)[-1] if segments(self.directory)[-1] != path else path
        written = bytearray(path.read_bytes())
        begin = before if path == self._last_path else HEADER_BYTES
        last = len(bytes(written).rstrip(b"\x00"))
        hole = data.draw(st.integers(begin, last), label="hole")
        end = data.draw(st.integers(hole, last), label="end")
        written[hole:end] = bytes(end - hole)
        path.write_bytes(bytes(written))
        self._open()
        if self.log.size > self.acknowledged:
            self.leaves += [one.leaf for one in entries]
        self.acknowledged = self.log.size

    def _end(self) -> int:
        """Where the last whole commit ends."""
        self._last_path = segments(self.directory)[-1]
        data, at = self._last_path.read_bytes(), HEADER_BYTES
        writer = RecordWriter(self.log.log_id)
        while (commit := writer.read_commit(data, at)) is not None:
            at = commit.end
        return at

    @invariant()
    @precondition(lambda self: hasattr(self, "log"))
    def log_is_what_was_promised(self) -> None:
        assert self.log.size == len(self.leaves) == self.acknowledged

    @rule()
    def read_and_prove(self) -> None:
        reader = LogReader(self.directory)
        reader.read_all()

        assert [one.leaf for one in reader] == self.leaves
        index = self.number % reader.size
        path = inclusion_proof(reader.node, index, reader.size)
        verify_inclusion(
            leaf_hash(self.leaves[index]), index=index, size=reader.size, path=path, root=self.log.root()
        )

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.commit.close()
            self.log.close()
        shutil.rmtree(self.root)


TestCrashingLog = CrashingLog.TestCase
TestCrashingLog.settings = settings(max_examples=15, stateful_step_count=14, deadline=None)
