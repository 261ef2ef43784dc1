"""A checkpoint is believed if nothing about it is other than it was, and a signed head behind it covers it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from ledger import checkpoint, tree
from ledger.checkpoint import Checkpoint, CheckpointMaker, CheckpointUnusableError
from ledger.commit import GroupCommit
from ledger.heard import HeardFiles
from ledger.log import Log, LogDamagedError, create_log, segments
from ledger.reader import LogReader, StoredLeaf
from ledger.tree import TreeFiles
from tests.unit.ledger.conftest import GENESIS, entry, fail_loudly, run_now, unsigned_head

SEGMENT_BYTES = 2_000


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "TAIL_BYTES", 512)
    monkeypatch.setattr(tree, "SPILL_BYTES", 256)


def fill(directory: Path, commits: int, *, heads: bool = True, begin: int = 0) -> None:
    """Three leaves a commit, each with the head of what was durable before it."""
    log = Log.open(directory, segment_bytes=SEGMENT_BYTES)
    commit = GroupCommit(log, run_now, fail_loudly)
    for number in range(begin, begin + commits):
        head = unsigned_head(log, log.size) if heads else None
        commit.commit_now([entry(log.log_id, 3 * number + one) for one in range(3)], head)
    commit.close()
    log.close()


def make(directory: Path, taken: list[int] | None = None) -> Checkpoint | None:
    """Make the next checkpoint, which keeps how many leaves were taken."""
    before = checkpoint.load(directory)
    count = int(before.state) if before is not None else 0
    seen: list[int] = [] if taken is None else taken

    def take(one: StoredLeaf) -> None:
        seen.append(one.index)

    kept = before.heard if before is not None else {}
    place = checkpoint.heard_of(directory)
    with checkpoint.hold(directory) as is_held:
        assert is_held
        heard = HeardFiles(place, kept, place)
        return CheckpointMaker(
            directory, before, heard, take, lambda place_of: b"%d" % (count + len(seen))
        ).make()


def open_behind(directory: Path) -> tuple[bool, bytes, int]:
    """Open the log as a start does: whether the checkpoint was believed, root and size."""
    try:
        found = checkpoint.load(directory)
    except CheckpointUnusableError:
        found = None
    log = Log.open(directory, segment_bytes=SEGMENT_BYTES, after=found, kept_in=checkpoint.tree_of(directory))
    log.close()
    return log.resumed, log.root(), log.size


@pytest.fixture
def kept(directory: Path) -> Path:
    """A log of 40 commits in many segments, with a checkpoint."""
    fill(directory, 40)
    assert make(directory) is not None
    return directory


def test_a_log_opened_behind_its_checkpoint_is_the_same_log(kept: Path, tmp_path: Path) -> None:
    """Root, nodes, leaves, sequence; and it goes on like one that was read whole."""
    shutil.copytree(kept, tmp_path / "whole")
    found = checkpoint.load(kept)
    assert found is not None
    log = Log.open(kept, after=found, kept_in=checkpoint.tree_of(kept))
    whole = Log.open(tmp_path / "whole")

    assert log.resumed
    assert 60 < found.size < log.size == 121
    assert (log.root(), log.sequence, log.last_head) == (whole.root(), whole.sequence, whole.last_head)
    assert log.recovery == whole.recovery
    assert all(log.root(size) == whole.root(size) for size in range(1, log.size))
    assert all(log.node(0, index) == whole.node(0, index) for index in range(log.size))
    for one in (log, whole):
        commit = GroupCommit(one, run_now, fail_loudly)
        commit.commit_now([entry(one.log_id, number) for number in range(500, 600)])
        commit.close()
        one.close()
    assert log.root() == whole.root()


def test_a_reader_behind_a_checkpoint_reads_the_rest(kept: Path) -> None:
    found = checkpoint.load(kept)
    assert found is not None
    rest = LogReader(kept, after=found, tree=TreeFiles(None, found.tree, checkpoint.tree_of(kept)))
    whole = LogReader(kept)

    behind, everything = list(rest.follow()), list(whole.follow())

    assert behind == everything[found.size :]
    assert rest.tree.root() == whole.tree.root()
    assert rest.at(found.size) == everything[found.size]
    assert rest.place(found.size) == whole.place(found.size)
    with pytest.raises(LogDamagedError):
        rest.at(found.size - 1)


def test_each_checkpoint_goes_on_from_the_one_before(kept: Path) -> None:
    """A finished segment is read once: what is read grows with what was written since, not with the log."""
    first = checkpoint.load(kept)
    assert first is not None
    for number in range(1, 6):
        fill(kept, 20, begin=40 + 20 * number)
        taken: list[int] = []
        made = make(kept, taken)

        assert made is not None
        assert taken[0] == first.size
        assert made.size > first.size
        first = made
    assert open_behind(kept)[0]


def test_without_a_head_that_covers_it_there_is_no_checkpoint(directory: Path) -> None:
    """What no head covers may not be durable, or was never anybody's promise."""
    fill(directory, 40, heads=False)

    assert make(directory) is None
    assert checkpoint.load(directory) is None


def test_a_checkpoint_whose_head_is_gone_is_not_believed(directory: Path) -> None:
    """The segments behind it were lost with the head that covered it: the rest is the log, read whole."""
    fill(directory, 40)
    made = make(directory)
    assert made is not None
    names = [path.name for path in segments(directory)]
    for path in segments(directory)[names.index(made.segment) + 2 :]:
        path.unlink()
    last = segments(directory)[-1]
    data = last.read_bytes()
    last.write_bytes(data[: 60 + 10])  # its header, and a torn commit

    resumed, _, size = open_behind(directory)

    assert not resumed
    assert 1 < size <= made.size


@pytest.mark.parametrize("what", ["shorter", "gone", "renamed"])
def test_covered_segments_that_changed_are_told(kept: Path, what: str) -> None:
    """They are not read, but none may be missing or cut."""
    path = segments(kept)[2]
    if what == "shorter":
        path.write_bytes(path.read_bytes()[:-1])
    elif what == "gone":
        path.unlink()
    else:
        path.rename(path.with_name(path.name.replace("seg", "old")))

    with pytest.raises(CheckpointUnusableError):
        checkpoint.load(kept)
    with pytest.raises(LogDamagedError):
        open_behind(kept)


def test_a_flipped_bit_in_a_covered_segment_is_found_by_who_reads_it(kept: Path) -> None:
    """A start does not read it; a verification, the index and a log without checkpoint do."""
    path = segments(kept)[2]
    before = open_behind(kept)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))

    resumed, root, size = open_behind(kept)

    assert resumed
    assert (root, size) == before[1:]
    with pytest.raises(LogDamagedError):
        LogReader(kept).read_all()
    checkpoint.remove(kept)
    with pytest.raises(LogDamagedError):
        Log.open(kept)


@pytest.mark.no_cover
def test_no_flipped_bit_of_a_checkpoint_is_believed(kept: Path) -> None:
    """Any bit of any of its files: it is put aside, and the log is what it was."""
    chance = random.Random(20261128)
    _, root, size = open_behind(kept)
    files = [path for path in (kept / "checkpoint").rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) >= 4
    counted = 0
    for number in range(80):
        path = files[number % len(files)]
        data = path.read_bytes()
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(changed))

        resumed, now, leaves = open_behind(kept)

        assert (now, leaves) == (root, size)
        counted += not resumed
        path.write_bytes(data)
    # Pieces behind the checkpoint's own are nobody's: a bit of those changes nothing.
    assert counted > 50


def test_a_damaged_piece_is_found_by_who_starts_however_often_it_was_gone_on_with(kept: Path) -> None:
    """Making the next checkpoint reads no pieces: it costs what was written since, not what there is."""
    path = checkpoint.tree_of(kept) / "0"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(bytes(data))
    fill(kept, 20, begin=40)
    before = checkpoint.load(kept, with_pieces=False)
    assert before is not None
    place = checkpoint.heard_of(kept)
    heard = HeardFiles(place, before.heard, place)
    made = CheckpointMaker(kept, before, heard, lambda one: None, lambda place_of: b"0").make()
    assert made is not None
    assert made.size > before.size

    with pytest.raises(CheckpointUnusableError):
        checkpoint.load(kept)
    resumed, _, size = open_behind(kept)
    assert not resumed
    assert size == 181


def test_a_checkpoint_cut_anywhere_is_put_aside(kept: Path) -> None:
    path = kept / "checkpoint" / "state"
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointUnusableError):
            checkpoint.load(kept)


def test_a_checkpoint_of_another_version_is_put_aside(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", "0 little")

    with pytest.raises(CheckpointUnusableError, match="another version"):
        checkpoint.load(kept)


def test_a_checkpoint_of_another_log_is_put_aside(kept: Path, tmp_path: Path) -> None:
    """Also where names and lengths of the segments are the same."""
    other = tmp_path / "other"
    create_log(other, GENESIS.replace(b"0" * 32, b"1" * 32))
    fill(other, 40)
    assert [path.name for path in segments(other)] == [path.name for path in segments(kept)]
    shutil.copytree(kept / "checkpoint", other / "checkpoint")

    with pytest.raises(CheckpointUnusableError):
        checkpoint.load(other)
    assert not open_behind(other)[0]


def test_a_checkpoint_with_a_tree_of_its_own_is_not_believed(kept: Path) -> None:
    """Whatever its digests say: the root of what goes on from it must be what was signed."""
    found = checkpoint.load(kept)
    assert found is not None
    whole = LogReader(kept)
    hashes = [bytes(32) if one.index == 7 else whole.node(0, one.index) for one in whole.follow()]
    forged = TreeFiles(kept / "forged")
    forged.extend(hashes[: found.size])
    log = Log.open(
        kept,
        after=Checkpoint(
            found.format,
            found.log,
            found.segment,
            found.segments,
            found.sequence,
            forged.kept(),
            found.heard,
            found.state,
        ),
        kept_in=kept / "forged",
    )

    assert not log.resumed
    assert log.root() == whole.tree.root()
    log.close()


def test_one_process_makes_a_checkpoint_at_a_time(directory: Path) -> None:
    with checkpoint.hold(directory) as first, checkpoint.hold(directory) as second:
        assert (first, second) == (True, False)
    with checkpoint.hold(directory) as again:
        assert again


def test_who_started_from_a_checkpoint_keeps_reading_it_when_it_is_made_anew(kept: Path) -> None:
    """A running worker has its pieces open: neither the next checkpoint nor a deleted one takes them away."""
    found = checkpoint.load(kept)
    assert found is not None
    log = Log.open(kept, segment_bytes=SEGMENT_BYTES, after=found, kept_in=checkpoint.tree_of(kept))
    nodes = [log.node(0, index) for index in range(log.size)]
    log.close()
    log = Log.open(kept, segment_bytes=SEGMENT_BYTES, after=found, kept_in=checkpoint.tree_of(kept))

    checkpoint.remove(kept)
    assert make(kept) is not None
    assert [log.node(0, index) for index in range(log.size)] == nodes
    shutil.rmtree(kept / "checkpoint")
    assert [log.node(0, index) for index in range(log.size)] == nodes
    log.close()
