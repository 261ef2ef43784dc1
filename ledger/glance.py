"""A quick look at a log that nobody may disturb: sizes of its segments, and the newest one read through.

Proves nothing and changes nothing. Whoever must know reads the log whole (``ledger.reader``); whoever asks how it stands,
on a disk that is full or beside a process that is dead, is answered within a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ledger.log import LogDamagedError, segments
from ledger.records import (
    HEADER_BYTES,
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
    for path in reversed(found[-2:]):
        data = path.read_bytes()
        try:
            header = SegmentHeader.decode(data)
        except MalformedSegmentError:
            continue
        size, damage = _read_through(path.name, header, data)
        return Glance(header.log, size, len(found), used, path.name, damage)
    raise LogDamagedError(f"{found[-1].name} has no header")


def _read_through(name: str, header: SegmentHeader, data: bytes) -> tuple[int, str]:
    """Leaves up to the last whole commit, and what is wrong behind it."""
    writer = RecordWriter(header.log)
    size, sequence, at = header.first_leaf, header.first_sequence - 1, HEADER_BYTES
    while (commit := writer.read_commit(data, at)) is not None:
        for record in commit.records:
            if record.type is RecordType.LEAF:
                size = max(size, split_leaf(record.data)[0] + 1)
        sequence, at = commit.sequence, commit.end
    if writer.ending(data, at, sequence) is Ending.DAMAGED:
        return size, f"{name}: byte {at}"
    return size, ""
