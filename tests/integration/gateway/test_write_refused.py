"""A write that the disk refuses ends the worker, and what it was stays behind (invariant 4)."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from gateway.worker.main import Worker
from ledger.log import SystemDisk
from tests.support.federation import Federation, calling, metadata


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        with found.channel() as channel:
            assert calling(channel)(b"first", metadata=metadata(), timeout=10) == b"first"
        yield found


@pytest.fixture
def refused(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The consumer's worker, after its disk refused the commit of a call."""
    worker = federation.pns.worker
    assert worker is not None
    own = worker._log._fd

    def refuse(fd: int, /) -> None:
        if fd == own:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(fd)

    monkeypatch.setattr(SystemDisk, "fdatasync", staticmethod(refuse))
    with federation.channel() as channel, pytest.raises(grpc.RpcError):
        calling(channel)(b"second", metadata=metadata(), timeout=10)
    end = time.monotonic() + 10
    while worker._write_failure is None:
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return worker


def test_what_the_disk_refused_is_told_to_control_and_kept(refused: Worker) -> None:
    """When, what the system said, and which segment was open."""
    kept = json.loads(refused.directory.write_failure(0).read_bytes())
    report = refused.report()

    assert (kept["error"], kept["segment"]) == ("EIO", refused._log.segment)
    assert abs(kept["at"] - time.time() * 1000) < 60_000
    assert (refused.directory.log(0) / kept["segment"]).exists()
    assert report.state == "closed"
    assert report.write_failure is not None
    assert (report.write_failure.error, report.write_failure.at) == (kept["error"], kept["at"])


def test_a_disk_that_takes_not_even_that_ends_nothing(refused: Worker) -> None:
    """The event and the word to control remain."""
    where = refused.directory.write_failure(0)
    where.unlink()
    where.mkdir()

    refused.tell_failed_start(OSError(errno.ENOSPC, "full"))

    assert refused._write_failure is not None
    assert refused._write_failure.error == "ENOSPC"


def test_a_defect_is_not_called_a_refused_write(federation: Federation) -> None:
    """Nobody is sent to change a disk for a mistake of ours."""
    worker = federation.anip.worker
    assert worker is not None

    worker.tell_failed_start(ConnectionResetError(errno.ECONNRESET, "reset"))
    worker.tell_failed_start(RuntimeError("defect"))

    assert worker._write_failure is None
    assert not worker.directory.write_failure(0).exists()
