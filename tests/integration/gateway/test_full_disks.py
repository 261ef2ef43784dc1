"""A disk that fills up: refused by name at the reserve, nothing lost beyond it, and resumed alone when there is room."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from core.leaves import NOTE, SAID
from core.statements import parse_statement
from gateway.settings import LogSettings
from ledger.log import SystemDisk
from tests.support.calls import judge, leaves, request_hash
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.processes import ProcessFederation
from tests.support.programs import end_without
from tests.support.waiting import until
from tests.support.weather import SmallDisk

RESERVE = 1_000_000


class ReportedDisk(SystemDisk):
    """A real disk that tells of the free space which the test says."""

    free = 10**12

    def free_bytes(self, directory: Path, /) -> int:  # type: ignore[override]  # as set
        """As set."""
        return self.free


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, log=LogSettings(reserve_bytes=RESERVE)) as found:
        yield found


def fill(member: Member) -> None:
    """Let the member's disk have less room than the reserve, and its worker know of it (it looks every 50 ms)."""
    assert member.worker is not None
    commit = member.worker._commit
    commit.log.disk = disk = ReportedDisk()
    disk.free = RESERVE - 1
    until(commit.is_reserve_reached)


def empty(member: Member) -> None:
    """Let there be room again; the worker finds it by itself."""
    assert member.worker is not None
    member.worker._commit.log.disk = ReportedDisk()


@pytest.mark.parametrize("who", ["pns", "anip"])
def test_at_the_reserve_new_exchanges_are_refused_and_those_under_way_finish(
    federation: Federation, who: str
) -> None:
    """At either gateway; and as soon as there is room calls go on, without anybody's help."""
    inside, gate = threading.Event(), threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        inside.set()
        gate.wait(20)
        return request

    federation.adapter.answer = slow
    with federation.channel() as channel:
        call = calling(channel)
        under_way = call.future(b"under way", metadata=metadata(), timeout=20, wait_for_ready=True)
        assert inside.wait(20)

        fill(federation.pns if who == "pns" else federation.anip)
        refused = outcome_of(partial(call, b"new", metadata=metadata(), timeout=20))
        gate.set()

        assert under_way.result(timeout=20) == b"under way"
        assert refused == "DISK_RESERVE"
        assert outcome_of(partial(call, b"new", metadata=metadata(), timeout=20)) == "DISK_RESERVE"
        empty(federation.pns if who == "pns" else federation.anip)
        until(lambda: _passes(call))
    assert {request for _, request, _ in federation.adapter.calls} == {b"under way", b"again"}


def _passes(call: object) -> bool:
    try:
        return bool(call(b"again", metadata=metadata(), timeout=20))  # type: ignore[operator]  # a stock callable
    except grpc.RpcError:
        return False


def test_programs_that_try_again_do_not_fill_the_reserve(federation: Federation) -> None:
    """What is kept free is for the exchanges under way: their refusals are told each, and summed in one note a second."""
    with federation.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=20, wait_for_ready=True)
        fill(federation.pns)
        for _ in range(50):
            assert outcome_of(partial(call, b"new", metadata=metadata(), timeout=20)) == "DISK_RESERVE"

        until(
            lambda: any(
                label == NOTE and b"refusals-summed" in body for label, body in leaves(federation.pns)
            )
        )
    statements = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    assert [one.kind for one in statements if one.reason == "DISK_RESERVE"] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "small", megabytes=5)
    except (OSError, subprocess.CalledProcessError) as error:
        end_without("mount", f"a tmpfs cannot be mounted here: {error}")
    yield disk
    disk.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("who", ["pns", "anip"] if "REHEARSAL_ROUNDS" in os.environ else ["anip"])
def test_a_disk_that_is_full_in_the_middle_of_a_commit_loses_nothing(
    tmp_path: Path, small_disk: SmallDisk, who: str
) -> None:
    """Without a reserve ENOSPC hits a write: the process ends, and goes on with the same log once there is room."""
    federation = ProcessFederation(tmp_path)
    member = federation.pns if who == "pns" else federation.anip
    small_disk.take_over(member.directory.root)
    acknowledged: list[str] = []
    with federation:
        process = federation.running[member.id]
        with federation.channel() as channel:
            call = calling(channel)
            while process.poll() is None:
                try:
                    _, told = call.with_call(b"x" * 200_000, metadata=metadata(), timeout=5)
                except grpc.RpcError:
                    continue
                acknowledged.append(request_hash(told))
        ended = process.returncode
        # Control would start it every few seconds: as long as the disk is full it ends again, in good order.
        again = federation.launch(member).wait(30)

        small_disk.grow()
        federation.spawn(member)
        with federation.channel() as channel:
            _, told = calling(channel).with_call(b"y", metadata=metadata(), timeout=20, wait_for_ready=True)
        acknowledged.append(request_hash(told))
        # What was under way when the disk was full is in doubt until the peers have spoken.
        until(lambda: not judge(federation, acknowledged).unresolved, 30)
    verdict = judge(federation, acknowledged)
    assert (ended, again) == (1, 1)
    assert verdict.is_clean, verdict
    assert len(acknowledged) > 5
