"""Small logs on real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.leaves import Genesis, genesis_leaf, said_leaf
from core.merkle import leaf_hash
from ledger.commit import Entry, GroupCommit
from ledger.log import Log, create_log
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
