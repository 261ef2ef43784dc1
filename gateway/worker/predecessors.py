"""The logs that ours goes on from, read at the start: what they left unfinished, and what they heard (PROTOCOL M4, M5).

A successor speaks for the logs before it. It says the abandonment of their open requests, refuses what they took and
never answered, and answers ``Outcome`` for them: ``fate_of`` tells what became of a peer's statement there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from core.leaves import HEARD, NOTE, Heard, parse_heard, parse_leaf, parse_note
from core.reasons import ExchangeError
from core.succession import Gap, read_gap
from gateway.layout import GatewayDirectory
from gateway.succession import predecessors
from ledger.places import closed_place
from ledger.reader import LogReader, StoredLeaf


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a peer's statement in a log that is closed.

    Attributes:
        kind: ``heard``: it was recorded, with ``heard``. ``passed``: the log is here to its end and did not record it:
            it never was taken, nor will be. ``unknown``: leaves of the log are missing here; it may have been taken,
            and delivered.
        heard: The record.
    """

    kind: Literal["heard", "passed", "unknown"]
    heard: Heard | None = None


@dataclass(slots=True)
class ClosedLogHere:
    """One log that was closed, as far as it is here; a lost one has no reader.

    Attributes:
        log: Its id.
        reader: Its leaves.
        gap: What its successor declared to be missing.
    """

    log: str
    reader: LogReader | None
    gap: Gap | None
    # By peer's log: indexes of its statements that were heard, rising, and of our records of them.
    _heard: dict[str, tuple[array[int], array[int]]] = field(default_factory=dict)

    def fate_of(self, peer: str, index: int) -> Fate:
        """What became of the statement at ``index`` of the log ``peer``; ``read`` came before."""
        theirs, ours = self._heard.get(peer, (array("Q"), array("Q")))
        at = bisect_left(theirs, index)
        if self.reader is not None and at < len(theirs) and theirs[at] == index:
            return Fate("heard", parse_heard(parse_leaf(self.reader.at(ours[at]).leaf).body))
        # Also below what these leaves verified of the peer: of two copies that went on, the other may have taken it.
        is_complete = self.reader is not None and self.gap is not None and self.gap.is_empty
        return Fate("passed" if is_complete else "unknown")

    def read(self) -> Iterator[StoredLeaf]:
        """Its leaves, as far as they can be read; notes what was heard on the way."""
        if self.reader is None:
            return
        try:
            for stored in self.reader.follow():
                leaf = parse_leaf(stored.leaf)
                if leaf.label == HEARD:
                    heard = parse_heard(leaf.body)
                    theirs, ours = self._heard.setdefault(heard.log, (array("Q"), array("Q")))
                    if not theirs or theirs[-1] < heard.index:
                        theirs.append(heard.index)
                        ours.append(stored.index)
                yield stored
        except ExchangeError:
            # It was closed because it is damaged: what stands before the damage is read, as its successor was told.
            return


@dataclass(frozen=True, slots=True)
class Predecessors:
    """All logs before ours, the oldest first."""

    logs: tuple[ClosedLogHere, ...] = ()

    def leaves(self) -> list[Iterator[StoredLeaf]]:
        """The leaves of all, log by log, once."""
        return [one.read() for one in self.logs]

    def fate_of(self, log: str, peer: str, index: int) -> Fate | None:
        """What became in ``log`` of the statement at ``index`` of ``peer``; ``None`` if we do not speak for ``log``."""
        return next((one.fate_of(peer, index) for one in self.logs if one.log == log), None)


def read_predecessors(directory: GatewayDirectory, worker: int) -> Predecessors:
    """The logs that the worker's log goes on from; ``leaves`` reads them.

    Raises:
        ExchangeError: The genesis leaf of one cannot be read.
    """
    found: list[ClosedLogHere] = []
    successor = directory.log(worker)
    for before in predecessors(directory, worker):
        place = closed_place(directory.root, worker, before.log)
        is_here = any(place.segments.glob("*.seg"))
        reader = LogReader(place.segments) if is_here else None
        found.append(ClosedLogHere(before.log, reader, _declared_gap(LogReader(successor))))
        successor = place.segments
    return Predecessors(tuple(reversed(found)))


def _declared_gap(successor: LogReader) -> Gap | None:
    """What the log that goes on says first of what is missing before it."""
    for stored in successor.follow():
        leaf = parse_leaf(stored.leaf)
        if leaf.label == NOTE:
            gap = read_gap(parse_note(leaf.body))
            if gap is not None:
                return gap
        elif stored.index > 0:
            break
    return None
