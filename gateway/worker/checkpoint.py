"""Makes the checkpoint of a worker's log, and takes it up at a start.

What the finished segments of a log say never changes. So once a segment's worth of bytes is finished, a short process
beside the worker reads them on from the last checkpoint and keeps what it knows then (``ledger.checkpoint``); control
starts one whenever a segment ended, at the lowest priority, and a start does the same for itself before it opens the
log. The worker's own path never knows of it. Logs that ours succeeds are closed: what they say is kept with the rest.

``python -m gateway.worker.checkpoint --config gateway.toml --worker 0`` makes one, if there is enough to be kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from core.reasons import ExchangeError
from gateway.layout import GatewayDirectory
from gateway.open_files import allow_open_files
from gateway.settings import GatewaySettings
from gateway.worker.predecessors import ClosedLogHere, Predecessors, read_predecessors
from gateway.worker.recovery import Place, Reading
from ledger import checkpoint as kept
from ledger.checkpoint import Checkpoint, CheckpointUnusableError
from ledger.heard import HeardFiles
from ledger.log import SystemDisk, segments
from ledger.pieces import PieceDamagedError, is_passing
from ledger.reader import LogReader, StoredLeaf, read_leaf
from ledger.records import RecordWriter
from ledger.tree import TreeFiles
from rpc.logs import configure_logs
from rpc.settings import load_settings

# Each start begins a segment, however short: so many are enough as well.
MAX_BEHIND: Final = 64
_LOWEST_PRIORITY: Final = 19
# 72 bytes a leaf, which is some 600 bytes of a segment at least.
_SHARE_OF_A_LOG: Final = 8
_REFUSED: Final = (ExchangeError, ValueError, OSError)

_events = structlog.get_logger("gateway.worker.checkpoint")


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gateway's checkpoint knows beside tree and heard leaves.

    Attributes:
        predecessors: Digest over names and lengths of the segments of the logs before.
        damaged: Those of them that could not be read to their end.
        reading: ``Reading.state``.
    """

    predecessors: str
    damaged: list[str]
    reading: bytes


_states = msgspec.msgpack.Decoder(_State)


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A checkpoint that a start goes on from.

    Attributes:
        checkpoint: What it covers.
        reading: What is known of the leaves that it covers.
        heard: The heard leaves, in the directory where the worker goes on with them.
        damaged: The logs before that could not be read to their end.
    """

    checkpoint: Checkpoint
    reading: Reading
    heard: HeardFiles
    damaged: frozenset[str]

    def reader(self, log: Path) -> LogReader:
        """Reads the leaves of the log in the directory ``log`` that it does not cover."""
        tree = TreeFiles(None, self.checkpoint.tree, kept.tree_of(log))
        return LogReader(log, after=self.checkpoint, tree=tree)


def take_up(
    log: Path, predecessors: Predecessors, heard: Path, *, with_pieces: bool = True
) -> TakenUp | None:
    """The checkpoint of the log in the directory ``log``, if there is one that can be believed so far.

    What cannot is put aside, with an event that says why; ``Log.open`` has the last word.

    Raises:
        OSError: The system lacks something that it may have later: nothing is put aside for that.

    Args:
        log: Directory of the log.
        predecessors: The logs before it.
        heard: Where the worker's own heard leaves go.
        with_pieces: Whether its pieces are checked as well; who starts from them must.
    """
    try:
        found = kept.load(log, with_pieces=with_pieces)
        if found is None:
            return None
        state = _states.decode(found.state)
        if state.predecessors != _digest_of(predecessors):
            raise CheckpointUnusableError("the logs before are not those it was made from")
        files = HeardFiles(heard, found.heard, kept.heard_of(log))
        writer = RecordWriter(found.log)

        def read(index: int, place: Place) -> StoredLeaf:
            return read_leaf(log, writer, index, *place)

        reading = Reading.restored(state.reading, found.log, files, read)
    except (
        Exception
    ) as error:  # what is only derived keeps no gateway from starting, whatever is wrong with it
        if isinstance(error, OSError) and is_passing(error):
            raise
        put_aside(log, f"{type(error).__name__}: {error}")
        return None
    return TakenUp(found, reading, files, frozenset(state.damaged))


def put_aside(log: Path, why: str) -> None:
    """Forget a checkpoint that is not to be believed: the whole log is read."""
    _events.warning("checkpoint.put_aside", why=why)
    kept.remove(log)


def bring_on(directory: GatewayDirectory, worker: int, least_bytes: int, reserve_bytes: int) -> int:
    """Make a new checkpoint of a worker's log, if at least ``least_bytes`` were finished since the last one.

    None is made where it would use of the ``reserve_bytes`` that are kept free for the log itself. Whatever keeps it from
    being made is an event and no more: the start that opens the log finds it, and names it better.

    Returns how many leaves it covers; 0 if none was made.
    """
    log = directory.log(worker)
    try:
        with kept.hold(log) as is_held:
            before = read_predecessors(directory, worker)
            return _bring_on(log, before, least_bytes, reserve_bytes) if is_held else 0
    except (PieceDamagedError, *_REFUSED) as error:
        _events.warning("checkpoint.not_made", why=str(error))
    except Exception as error:  # no defect in what is only derived keeps a gateway from starting
        _events.exception("checkpoint.not_made", why=f"{type(error).__name__}: {error}")
    return 0


def _bring_on(log: Path, predecessors: Predecessors, least_bytes: int, reserve_bytes: int) -> int:
    found = take_up(log, predecessors, kept.heard_of(log), with_pieces=False)
    behind = kept.finished_behind(log, found.checkpoint if found is not None else None)
    older = [path for one in predecessors.logs for path in _segments_of(one)]
    to_read = behind if found is not None else [*older, *behind]
    if not behind or (_bytes_of(to_read) < least_bytes and len(to_read) < MAX_BEHIND):
        if found is not None:
            found.heard.close()
        return 0
    if SystemDisk.free_bytes(log) < reserve_bytes + _bytes_of(to_read) // _SHARE_OF_A_LOG:
        # What is only derived must not take what the log's own writes are promised.
        _events.warning("checkpoint.not_made", why="no room for it above the reserve")
        if found is not None:
            found.heard.close()
        return 0
    files = found.heard if found is not None else HeardFiles(kept.heard_of(log))
    try:
        if found is not None:
            predecessors.take_damaged(found.damaged)
            reading = found.reading
        else:
            reading = _read_before(log, predecessors, files)
        before = _digest_of(predecessors), [one.log for one in predecessors.logs if one.is_damaged]

        def state(place_of: kept.PlaceOf) -> bytes:
            return msgspec.msgpack.encode(_State(*before, reading.state(place_of)))

        checkpoint = found.checkpoint if found is not None else None
        made = kept.CheckpointMaker(log, checkpoint, files, reading.take, state).make()
    finally:
        files.close()
    if made is None:
        return 0
    _events.info("checkpoint.made", log=made.log, size=made.size, segment=made.segment)
    return made.size


def _read_before(log: Path, predecessors: Predecessors, heard: HeardFiles) -> Reading:
    """What the logs before ours say."""
    # The id of our log is the hash of its first leaf; who reads that leaf first knows it.
    first = LogReader(log)
    next(first.follow())
    reading = Reading(first.log_id, heard)
    for leaves in predecessors.leaves():
        for one in leaves:
            reading.take(one)
    return reading


def _segments_of(log: ClosedLogHere) -> list[Path]:
    return segments(log.reader.directory) if log.reader is not None else []


def _digest_of(predecessors: Predecessors) -> str:
    lines = [f"{one.log} {kept.digest_of(_segments_of(one))}" for one in predecessors.logs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _bytes_of(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def main() -> int:
    """Make a checkpoint of one worker's log; 0 whether there was one to make or not."""
    parser = argparse.ArgumentParser(prog="gateway.worker.checkpoint")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--worker", type=int, required=True)
    arguments = parser.parse_args()
    configure_logs("gateway-checkpoint")
    os.nice(_LOWEST_PRIORITY)
    allow_open_files()
    settings = load_settings(arguments.config, GatewaySettings)
    bring_on(
        GatewayDirectory.of(arguments.config),
        arguments.worker,
        settings.log.segment_bytes,
        settings.log.reserve_bytes,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
