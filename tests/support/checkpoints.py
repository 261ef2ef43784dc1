"""Small checkpoints, and what a start makes of a log with one and without."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.layout import GatewayDirectory
from gateway.worker import checkpoint
from gateway.worker.predecessors import Predecessors, read_predecessors
from gateway.worker.recovery import Reading, Recovered
from ledger import heard, tree
from ledger.checkpoint import tree_of
from ledger.heard import HeardFiles, HeardLeaves
from ledger.log import Log
from ledger.reader import LogReader


def make_small(patch: pytest.MonkeyPatch, *, behind: int = 1) -> None:
    """Checkpoints after ``behind`` finished segments, with pieces of a few hashes."""
    patch.setattr(checkpoint, "MAX_BEHIND", behind)
    patch.setattr(tree, "TAIL_BYTES", 512)
    patch.setattr(tree, "SPILL_BYTES", 256)
    patch.setattr(heard, "UNSORTED", 8)


def opened(body: bytes) -> bytes:
    """Bodies stay sealed here: equal ones are equal."""
    return body


def known_of(found: Recovered) -> dict[str, Any]:
    """All that a start knows of a log, to be compared."""
    return {
        "peers": {
            log: (one.edge.size, one.edge.root(), one.head, one.met_at, items_of(one.heard))
            for log, one in found.peers.items()
        },
        "unfinished": [(one.role, one.statement, one.leaf, one.index) for one in found.unfinished],
        "doubts": [(one.statement, one.leaf, one.index) for one in found.doubts],
        "unreceipted": {
            peer: [(one.index, one.leaf, one.payloads, one.role) for one in leaves]
            for peer, leaves in found.unreceipted.items()
        },
    }


def items_of(leaves: HeardLeaves) -> list[int]:
    """Every heard leaf."""
    return [leaves[place] for place in range(len(leaves))]


def known_from_all(directory: GatewayDirectory, worker: int = 0) -> dict[str, Any]:
    """What the whole log says, that of its predecessors first."""
    log = directory.log(worker)
    reader = LogReader(log)
    first = next(LogReader(log).follow())
    files = HeardFiles(directory.root / "heard-of-all")
    reading = Reading(_log_id(log), files)
    assert first.index == 0
    for leaves in read_predecessors(directory, worker).leaves():
        for one in leaves:
            reading.take(one)
    for one in reader.follow():
        reading.take(one)
    return known_of(reading.result(opened))


def known_from_checkpoint(directory: GatewayDirectory, worker: int = 0) -> tuple[dict[str, Any], int]:
    """What the checkpoint and the leaves behind it say, and how many leaves it covers; none of it is put aside."""
    log = directory.log(worker)
    before: Predecessors = read_predecessors(directory, worker)
    found = checkpoint.take_up(log, before, directory.root / "heard-of-checkpoint")
    assert found is not None
    for one in found.reader(log).follow():
        found.reading.take(one)
    return known_of(found.reading.result(opened)), found.checkpoint.size


def resumed(directory: GatewayDirectory, worker: int = 0) -> bool:
    """Whether ``Log.open`` believes the checkpoint; it opens the log, as a start does."""
    log = directory.log(worker)
    found = checkpoint.take_up(log, read_predecessors(directory, worker), directory.root / "heard-again")
    opened_log = Log.open(log, after=found.checkpoint if found is not None else None, kept_in=tree_of(log))
    opened_log.close()
    return opened_log.resumed


def _log_id(log: Any) -> str:
    reader = LogReader(log)
    next(reader.follow())
    return reader.log_id
