"""Small logs on real files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.heads import TreeHead, b64url, encode_head, head_header
from core.leaves import Genesis, genesis_leaf, said_leaf
from core.merkle import leaf_hash
from ledger.commit import Entry, GroupCommit
from ledger.log import Log, SystemDisk, create_log
from ledger.records import AttachmentKind

GENESIS = genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1_790_000_000_000, "0" * 32, None))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    create_log(path, GENESIS)
    return path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def entry(log: str, number: int, *, body: bytes | None = None, attachment: bytes = b"beside") -> Entry:
    """A leaf that can be told from others."""
    leaf = said_leaf(log, b"statement %d" % number)
    return Entry(leaf, leaf_hash(leaf), ((AttachmentKind.STATEMENT, attachment),), body, "BJ/GOV/ANIP/RNPP")


def run_now(callback: Callable[[], None]) -> None:
    """A loop that runs callbacks at once, on the commit thread."""
    callback()


def fail_loudly(error: BaseException) -> None:
    raise AssertionError(f"the disk refused: {error}")


def filled(directory: Path, commits: int, *, per_commit: int = 3, segment_bytes: int = 1 << 20) -> bytes:
    """Append ``commits`` commits; returns the root."""
    log = Log.open(directory, segment_bytes=segment_bytes)
    commit = GroupCommit(log, run_now, fail_loudly)
    for number in range(commits):
        commit.commit_now([entry(log.log_id, number * per_commit + one) for one in range(per_commit)])
    root = log.root()
    commit.close()
    log.close()
    return root


class FailingDisk(SystemDisk):
    """A disk that refuses the n-th write or sync from now on."""

    def __init__(self) -> None:
        self.fail_write_in = -1
        self.fail_sync_in = -1
        self.error = errno.EIO
        self.free = 10**12
        self.synced = 0

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:  # type: ignore[override]  # counts
        self.fail_write_in -= 1
        if self.fail_write_in == 0:
            raise OSError(self.error, os.strerror(self.error))
        return os.pwrite(fd, data, offset)

    def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]  # counts
        self.fail_sync_in -= 1
        if self.fail_sync_in == 0:
            raise OSError(self.error, os.strerror(self.error))
        os.fdatasync(fd)
        self.synced += 1

    def free_bytes(self, directory: Path, /) -> int:  # type: ignore[override]  # as set
        return self.free


def unsigned_head(log: Log, size: int) -> bytes:
    """A head of the right form; the ledger does not check signatures, it knows no keys."""
    claims = TreeHead(1, log.log_id, "BJ/GOV/ANIP/gw1", size, log.root(size).hex(), 1, None)
    return b".".join((b64url(head_header("A" * 43)), b64url(encode_head(claims)), b64url(bytes(64))))
