"""A quick look at a log that nobody may disturb: sizes of its segments, and the newest one read through.

Proves nothing and changes nothing. Whoever must know reads the log whole (``ledger.reader``); whoever asks how it stands,
on a disk that is full or beside a process that is dead, is answered within a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.log import LogDamagedError, segments
from ledger.records import (
    HEADER_BYTES,
    CommitRecords,
    Ending,
    MalformedSegmentError,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_leaf,
)


@dataclass(frozen=True, slots=True)
class Glance:
    """How a log stands.

    Attributes:
        log: Its id.
        size: Leaves that it holds.
        segments: Files.
        used_bytes: What they take up on the disk.
        newest: Name of the newest file.
        damage: What is wrong with it; empty if nothing was seen. A torn end is nothing wrong.
    """

    log: str
    size: int
    segments: int
    used_bytes: int
    newest: str
    damage: str = ""


def glance(directory: Path) -> Glance:
    """Look at the log in ``directory``.

    Raises:
        LogDamagedError: There is no log, or none of its two newest files has a header.
        OSError: It cannot be read.
    """
    found = segments(directory)
    if not found:
        raise LogDamagedError(f"no log in {directory}")
    used = sum(path.stat().st_blocks * 512 for path in found)
    # The newest may have been begun a moment ago, or spoilt before its first commit was synced.
    seen: Glance | None = None
    for path in reversed(found[-2:]):
        data = path.read_bytes()
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError:
            continue
        size, commits, damage = _read_through(path.name, header, data)
        if seen is None:
            seen = Glance(header.log, size, len(found), used, path.name, damage)
        else:
            seen = replace(seen, size=max(seen.size, size))
        if commits or damage:
            break
    if seen is None:
        raise LogDamagedError(f"{found[-1].name} has no header")
    return seen


def older_damage(directory: Path, *, within_s: float) -> str:
    """What keeps a log from being opened, in a segment before its newest; empty if nothing was seen in that time.

    Segments are read from the newest back, so that the time is spent where a worker wrote last. Like ``glance`` it proves
    nothing: of a log that is too long for ``within_s`` the oldest segments are not looked at.

    Raises:
        OSError: A segment cannot be read.
    """
    end = time.monotonic() + within_s
    for path in reversed(segments(directory)[:-1]):
        if time.monotonic() > end:
            return ""
        data = path.read_bytes()
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError as error:
            return f"{path.name}: {error}"
        if damage := _walk(path.name, header, data, lambda commit: time.monotonic() <= end):
            return damage
    return ""


def _read_through(name: str, header: SegmentHeader, data: bytes) -> tuple[int, int, str]:
    """Leaves up to the last whole commit, whole commits, and what is wrong behind them."""
    size, commits = header.first_leaf, 0

    def count(commit: CommitRecords) -> bool:
        nonlocal size, commits
        commits += 1
        for record in commit.records:
            if record.type is RecordType.LEAF:
                size = max(size, split_leaf(record.data)[0] + 1)
        return True

    damage = _walk(name, header, data, count)
    return size, commits, damage


def _walk(name: str, header: SegmentHeader, data: bytes, goes_on: Callable[[CommitRecords], bool]) -> str:
    """Take every whole commit of a segment; where reading ended, if later commits follow there."""
    writer = RecordWriter(header.log)
    sequence, at = header.first_sequence - 1, HEADER_BYTES
    while (commit := writer.read_commit(data, at)) is not None:
        if not goes_on(commit):
            return ""
        sequence, at = commit.sequence, commit.end
    return f"{name}: byte {at}" if writer.ending(data, at, sequence) is Ending.DAMAGED else ""
