"""An adapter that hangs: deadlines are kept, nothing of it is left behind, and calls go on as soon as it answers.

``REHEARSAL_ROUNDS`` makes it more calls than a test run has time for; docs/reliability.md has the figures.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import grpc

from gateway.worker.pipeline import Pipeline
from tests.support.checker import read
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.waiting import until

ROUNDS = int(os.environ.get("REHEARSAL_ROUNDS", "2"))
AT_ONCE = 150


def test_hangs_leave_no_task_no_stream_and_no_file_behind(tmp_path: Path) -> None:
    """Each ends DEADLINE_EXCEEDED at its own time, is on record at both ends, and costs nothing afterwards."""
    awake = threading.Event()

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        gone = threading.Event()
        if context.add_callback(gone.set):
            while not gone.wait(0.05) and not awake.is_set():
                pass
        return request

    with Federation(tmp_path) as federation, federation.channel() as channel:
        call = calling(channel)
        assert call(b"before", metadata=metadata(), timeout=20, wait_for_ready=True) == b"before"
        before = _held(federation)
        federation.adapter.answer = hang

        for _ in range(ROUNDS):
            futures = [call.future(b"x", metadata=metadata(), timeout=0.4) for _ in range(AT_ONCE)]
            for future in futures:
                error = future.exception(timeout=30)
                assert isinstance(error, grpc.Call)
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        awake.set()
        federation.adapter.answer = lambda request, _: request

        until(lambda: not _under_way(federation), 30)
        assert call(b"after", metadata=metadata(), timeout=20) == b"after"
        until(lambda: _held(federation)[:2] == before[:2], 30)
        files = _held(federation)[2]

    # A log keeps one file open for each doubling of its size; a leak would be one for each call.
    assert files < before[2] + 40
    found = read(federation.anip.directory.log(0))
    assert found.taken.keys() <= found.answered.keys()


def _under_way(federation: Federation) -> int:
    return sum(_pipeline(one).in_flight for one in (federation.pns, federation.anip))


def _pipeline(member: Member) -> Pipeline:
    assert member.worker is not None
    return member.worker.station.pipeline


def _held(federation: Federation) -> tuple[int, int, int]:
    """Tasks of the loop, streams to the adapter, open files of the process."""
    worker = federation.anip.worker
    assert worker is not None
    edges = worker._adapters.edges.values()
    streams = sum(len(one.streams) for edge in edges for one in edge._connections)
    tasks = federation.do(_tasks())
    return tasks, streams, len(os.listdir("/proc/self/fd"))


async def _tasks() -> int:
    return len(asyncio.all_tasks())
