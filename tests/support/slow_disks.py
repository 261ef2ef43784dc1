"""Disks whose syncs take their time."""

from __future__ import annotations

import os
import time

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
