"""A start reads on from a checkpoint: it knows what the whole log says, and reads no more than it must."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from gateway.settings import LogSettings
from gateway.worker import checkpoint
from gateway.worker.predecessors import read_predecessors
from gateway.worker.recovery import LeafSource, Reading
from ledger import checkpoint as kept
from ledger.heard import HeardFiles
from ledger.log import segments
from ledger.reader import LogReader
from tests.integration.gateway.test_doubts import lose_a_request
from tests.support.calls import call, worker_of
from tests.support.checkpoints import (
    known_from_all,
    known_from_checkpoint,
    known_of,
    make_small,
    opened,
    resumed,
)
from tests.support.federation import Federation, Member
from tests.support.waiting import until

MIB = 1024 * 1024


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country", log=LogSettings(segment_bytes=MIB, reserve_bytes=0)) as found:
        yield found


def fill(federation: Federation, calls: int) -> None:
    """Calls, of which one that meets a link that broke a moment ago may end in doubt."""
    for number in range(calls):
        with suppress(grpc.RpcError):
            call(federation, b"%d" % number + b"x" * 60_000)


def answers(federation: Federation) -> bool:
    """Whether a call is answered."""
    with suppress(grpc.RpcError):
        return call(federation, b"after").answer == b"after"
    return False


def count_leaves(patch: pytest.MonkeyPatch) -> list[int]:
    """The indexes of leaves that a start takes in, one by one, as it does."""
    found: list[int] = []
    take = Reading.take

    def counted(reading: Reading, one: LeafSource) -> None:
        found.append(one.index)
        take(reading, one)

    patch.setattr(Reading, "take", counted)
    return found


def test_a_start_reads_what_lies_behind_the_checkpoint_only(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start that makes it reads everything once; the next one a segment's worth, whatever lies before."""
    fill(federation, 70)
    for member in (federation.pns, federation.anip):
        federation.stop(member)
        taken = count_leaves(monkeypatch)
        federation.start(member)
        size, first = worker_of(member)._log.size, len(taken)
        federation.stop(member)
        taken.clear()
        federation.start(member)

        finished = segments(member.directory.log(0))[:-1]
        assert first >= size > 140
        assert worker_of(member)._read_from > size / 2
        assert len(taken) <= size - worker_of(member)._read_from + 8
        assert worker_of(member)._log.resumed
        assert len(finished) > 4
        monkeypatch.undo()

    until(lambda: answers(federation))


def test_a_checkpoint_is_made_while_the_worker_runs(federation: Federation) -> None:
    """What control starts beside the worker; after a kill the start has to read little."""
    fill(federation, 40)
    made = checkpoint.bring_on(federation.pns.directory, 0, MIB, 0)
    fill(federation, 40)
    again = checkpoint.bring_on(federation.pns.directory, 0, MIB, 0)

    assert 0 < made < again
    assert checkpoint.bring_on(federation.pns.directory, 0, MIB, 0) == 0
    federation.stop(federation.pns)
    federation.start(federation.pns)
    assert worker_of(federation.pns)._read_from >= again
    until(lambda: answers(federation))


@pytest.mark.no_cover
@pytest.mark.parametrize("who", ["pns", "anip"])
def test_a_checkpoint_knows_what_the_whole_log_says(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """At many cuts: after each few calls and starts, answers unheard, pieces of a few hashes."""
    make_small(monkeypatch)
    member: Member = getattr(federation, who)
    chance = random.Random(f"20261128 {who}")
    covered = 0
    for _ in range(8):
        fill(federation, chance.randrange(1, 6))
        federation.stop(member)
        federation.start(member)
        federation.stop(member)
        known, covered = known_from_checkpoint(member.directory)

        assert known == known_from_all(member.directory)
        assert resumed(member.directory)
        federation.start(member)
    assert covered > 8
    assert any(kept.tree_of(member.directory.log(0)).iterdir())


@pytest.mark.parametrize("who", ["pns", "anip"])
def test_what_is_known_can_be_written_down_after_any_leaf(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str
) -> None:
    """Requests open, answers without receipt, doubts: wherever the log is cut, the rest makes the same of it."""
    make_small(monkeypatch)
    fill(federation, 6)
    lose_a_request(federation)
    fill(federation, 3)
    member: Member = getattr(federation, who)
    federation.stop(member)
    log = member.directory.log(0)
    reader = LogReader(log)
    stored = list(reader.follow())
    whole = known_from_all(member.directory)
    states = set[bytes]()
    for cut in range(1, len(stored)):
        place = tmp_path / f"heard-{cut}"
        files = HeardFiles(place)
        before = Reading(reader.log_id, files)
        for one in stored[:cut]:
            before.take(one)
        state, heard = before.state(reader.whereabouts), files.kept()

        files = HeardFiles(tmp_path / f"own-{cut}", heard, place)
        after = Reading.restored(state, reader.log_id, files, lambda index, at: reader.at(index))
        for one in stored[cut:]:
            after.take(one)

        assert after.state(reader.whereabouts) != b""
        assert known_of(after.result(opened)) == whole
        states.add(state)
    assert len(states) > 10


def test_a_checkpoint_may_be_deleted_at_any_time(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    member = federation.pns
    for gone in ("state", "tree", "heard", "."):
        fill(federation, 2)
        federation.stop(member)
        federation.start(member)
        federation.stop(member)
        place = member.directory.log(0) / "checkpoint" / gone
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        federation.start(member)

        until(lambda: answers(federation))


def test_a_checkpoint_takes_nothing_of_the_room_that_is_kept_for_the_log(federation: Federation) -> None:
    """Where the reserve begins none is made; the one of before still counts."""
    fill(federation, 40)
    directory = federation.pns.directory
    made = checkpoint.bring_on(directory, 0, MIB, 0)
    fill(federation, 40)

    assert checkpoint.bring_on(directory, 0, MIB, 1 << 62) == 0
    found = kept.load(directory.log(0))
    assert found is not None
    assert found.size == made > 0


def test_a_process_without_room_for_files_puts_no_checkpoint_aside(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system lacks for a moment says nothing about it; what cannot be read as one does, whatever the error."""
    fill(federation, 40)
    directory = federation.pns.directory
    made = checkpoint.bring_on(directory, 0, MIB, 0)

    def fail(error: Exception) -> Callable[..., bytes]:
        def failing(*_: object) -> bytes:
            raise error

        return failing

    with monkeypatch.context() as lacking:
        lacking.setattr(Path, "read_bytes", fail(OSError(errno.EMFILE, "too many")))
        assert checkpoint.bring_on(directory, 0, MIB, 0) == 0
    found = kept.load(directory.log(0))
    assert found is not None
    assert found.size == made > 0

    with monkeypatch.context() as broken:
        broken.setattr(Reading, "restored", fail(KeyError("a defect of ours")))
        assert (
            checkpoint.take_up(directory.log(0), read_predecessors(directory, 0), directory.root / "h")
            is None
        )
    assert kept.load(directory.log(0)) is None


def test_a_checkpoint_of_another_gateway_is_put_aside(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    fill(federation, 2)
    for member in (federation.pns, federation.anip):
        federation.stop(member)
        federation.start(member)
        federation.stop(member)
    theirs = federation.anip.directory.log(0) / "checkpoint"
    ours = federation.pns.directory.log(0) / "checkpoint"
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    for member in (federation.anip, federation.pns):
        federation.start(member)

    until(lambda: answers(federation))


def test_a_log_put_back_from_before_its_checkpoint_is_read_whole(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Segments that the checkpoint knows and the disk does not have: nothing is known of them."""
    make_small(monkeypatch)
    member = federation.pns
    federation.stop(member)
    before = {path.name for path in segments(member.directory.log(0))}
    federation.start(member)
    for _ in range(3):
        fill(federation, 2)
        federation.stop(member)
        federation.start(member)
    federation.stop(member)
    for path in segments(member.directory.log(0)):
        if path.name not in before:
            path.unlink()

    federation.start(member)

    assert not worker_of(member)._log.resumed
    assert worker_of(member)._log.size < 8
