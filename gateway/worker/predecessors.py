"""The logs that ours goes on from, read at the start: what they left unfinished, and what they heard (PROTOCOL M4, M5).

A successor speaks for the logs before it. It says the abandonment of their open requests, refuses what they took and
never answered, and answers OUTCOME for them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from core.leaves import NOTE, parse_leaf, parse_note
from core.reasons import ExchangeError
from core.succession import Gap, read_gap
from gateway.layout import GatewayDirectory
from gateway.succession import predecessors
from ledger.places import closed_place
from ledger.reader import LogReader, StoredLeaf


@dataclass(slots=True)
class ClosedLogHere:
    """One log that was closed, as far as it is here; a lost one has no reader.

    Attributes:
        log: Its id.
        reader: Its leaves.
        gap: What its successor declared to be missing.
        is_damaged: Whether reading it came to an end before its end.
    """

    log: str
    reader: LogReader | None
    gap: Gap | None
    is_damaged: bool = False

    def read(self) -> Iterator[StoredLeaf]:
        """Its leaves, as far as they can be read."""
        if self.reader is None:
            return
        try:
            yield from self.reader.follow()
        except ExchangeError:
            # It was closed because it is damaged: what stands before the damage is read, as its successor was told.
            self.is_damaged = True


@dataclass(frozen=True, slots=True)
class Predecessors:
    """All logs before ours, the oldest first."""

    logs: tuple[ClosedLogHere, ...] = ()

    def leaves(self) -> list[Iterator[StoredLeaf]]:
        """The leaves of all, log by log, once."""
        return [one.read() for one in self.logs]

    def take_damaged(self, logs: Container[str]) -> None:
        """Those of these ids were read before, and not to their end."""
        for one in self.logs:
            one.is_damaged = one.log in logs

    @property
    def are_whole(self) -> bool:
        """Whether each is here to its end, once they were read.

        If not, of two copies that went on the other may have taken what these leaves do not show.
        """
        return all(
            one.reader is not None and one.gap is not None and one.gap.is_empty and not one.is_damaged
            for one in self.logs
        )


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
