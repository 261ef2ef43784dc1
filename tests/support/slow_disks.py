"""Disks whose syncs take their time, or wait until they are let go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.log import SystemDisk
from tests.support.calls import worker_of
from tests.support.federation import Member


class SlowDisk(SystemDisk):
    """A disk whose syncs take longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.synced = 0

    def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]  # slower
        """Take time, then sync."""
        time.sleep(self._seconds)
        self.synced += 1
        os.fdatasync(fd)


def slow_down(seconds: float, *members: Member) -> list[SlowDisk]:
    """The disks of these members' gateways from now on."""
    disks = [SlowDisk(seconds) for _ in members]
    for member, disk in zip(members, disks, strict=True):
        worker_of(member)._commit.log.disk = disk
    return disks


class HeldDisk(SystemDisk):
    """A disk whose syncs wait until they are let go."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.go_on = threading.Event()

    def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]  # waits first
        """Wait, then sync."""
        self.held.set()
        assert self.go_on.wait(20)
        SystemDisk.fdatasync(fd)


@contextmanager
def held(member: Member) -> Iterator[HeldDisk]:
    """Hold every commit of ``member`` until the end of the block."""
    log, disk = worker_of(member)._commit.log, HeldDisk()
    before, log.disk = log.disk, disk
    try:
        yield disk
    finally:
        log.disk = before
        disk.go_on.set()
