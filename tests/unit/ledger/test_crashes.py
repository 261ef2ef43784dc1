"""A log that is written, crashes and is opened again, against a model that remembers what was promised.

Each start reads on from the checkpoint, if there is one to be believed. Making one may die before each of its steps, and
any of its bytes may be something else afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from itertools import count as counting
from pathlib import Path

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.heads import parse_head
from core.merkle import inclusion_proof, leaf_hash, verify_inclusion
from core.reasons import ExchangeError
from ledger import checkpoint, heard, tree
from ledger.commit import Entry, GroupCommit, RecordingFailedError
from ledger.log import Log, create_log, segments
from ledger.reader import LogReader, StoredLeaf
from ledger.records import HEADER_BYTES, RecordWriter
from ledger.tree import TreeFiles
from tests.unit.ledger.conftest import GENESIS, FailingDisk, entry, fail_loudly, run_now, unsigned_head


class Known:
    """What a start keeps of a log in this model: every leaf hash, and a heard leaf for each, in any order."""

    def __init__(
        self, directory: Path, found: checkpoint.Checkpoint | None, *, goes_on: bool = False
    ) -> None:
        self.directory = directory
        place = checkpoint.heard_of(directory)
        kept = found.heard if found is not None else {}
        self.heard = heard.HeardFiles(place if goes_on else directory / "heard", kept, place)
        self.hashes = found.state if found is not None else b""

    def take(self, one: StoredLeaf) -> None:
        self.hashes += leaf_hash(one.leaf)
        self.heard.of("a" * 64).add(one.index ^ 1, taken=bool(one.leaf[-1] & 1))

    def state(self) -> bytes:
        return self.hashes

    def read_on(self, found: checkpoint.Checkpoint) -> None:
        kept_tree = TreeFiles(None, found.tree, checkpoint.tree_of(self.directory))
        for one in LogReader(self.directory, after=found, tree=kept_tree).follow():
            self.take(one)

    def is_like(self, whole: LogReader) -> bool:
        leaves = list(whole.follow())
        heard_of = self.heard.of("a" * 64)
        told = [heard_of.record_of(one.index ^ 1) for one in leaves]
        said = ["taken" if one.leaf[-1] & 1 else "not taken" for one in leaves]
        self.heard.close()
        return self.hashes == b"".join(leaf_hash(one.leaf) for one in leaves) and told == said


class CrashingLog(RuleBasedStateMachine):
    """The model: leaves in order, and how many of them were acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="passerelle-crash-"))
        self.directory = self.root / "log"
        self.leaves: list[bytes] = [GENESIS]
        self.acknowledged = 1
        self.number = 0
        self.resumed = 0
        self.is_spoilt = False
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (tree, "TAIL_BYTES", 128),
            (tree, "SPILL_BYTES", 64),
            (heard, "UNSORTED", 2),
        ):
            self.patch.setattr(module, name, value)

    @initialize()
    def begin(self) -> None:
        create_log(self.directory, GENESIS)
        self._open()

    def _open(self) -> None:
        self.disk = FailingDisk()
        found = self._checkpoint()
        self.log = Log.open(
            self.directory,
            disk=self.disk,
            segment_bytes=2500,
            after=found,
            kept_in=checkpoint.tree_of(self.directory),
        )
        self.commit = GroupCommit(self.log, run_now, fail_loudly)
        self.resumed += self.log.resumed
        if found is not None and self.log.resumed:
            known = Known(self.directory, found)
            known.read_on(found)
            assert known.is_like(LogReader(self.directory))

    def _checkpoint(self) -> checkpoint.Checkpoint | None:
        try:
            return checkpoint.load(self.directory)
        except checkpoint.CheckpointUnusableError:
            assert self.is_spoilt, "put aside for nothing"
            return None

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
                Log.open(
                    self.directory,
                    disk=disk,
                    segment_bytes=2500,
                    after=self._checkpoint(),
                    kept_in=checkpoint.tree_of(self.directory),
                )
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

    @rule(step=st.one_of(st.just(0), st.integers(1, 7)), commits=st.integers(0, 4), dies=st.booleans())
    def make_a_checkpoint(self, step: int, commits: int, dies: bool) -> None:
        """As the process beside the worker does; it dies before a step, or not at all."""
        for _ in range(commits):
            self.commit_some(4, signs=True)
        try:
            found = checkpoint.load(self.directory)
        except checkpoint.CheckpointUnusableError:
            checkpoint.remove(self.directory)
            found = None
        self.is_spoilt = False
        known = Known(self.directory, found, goes_on=True)
        steps = counting(1)

        def die() -> None:
            if next(steps) == step:
                raise OSError(errno.EIO, "killed")

        with checkpoint.hold(self.directory) as is_held, contextlib.suppress(OSError):
            assert is_held
            checkpoint.CheckpointMaker(
                self.directory, found, known.heard, known.take, lambda place_of: known.state(), sync=die
            ).make()
        known.heard.close()
        if dies:
            self.kill_and_start_again()

    @rule(data=st.data(), flips=st.booleans())
    def spoil_the_checkpoint(self, data: st.DataObject, flips: bool) -> None:
        """A flipped bit, or a file that is cut."""
        place = self.directory / "checkpoint"
        files = sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size)
        if not files:
            return
        path = data.draw(st.sampled_from(files), label="file")
        written = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(written) - 1), label="at")
        if flips:
            written[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        path.write_bytes(bytes(written) if flips else bytes(written[:at]))
        self.is_spoilt = True

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
        self.patch.undo()
        event(f"resumed: {min(self.resumed, 3)}")
        shutil.rmtree(self.root)


TestCrashingLog = CrashingLog.TestCase
TestCrashingLog.settings = settings(max_examples=25, stateful_step_count=16, deadline=None)
