"""Work that goes on after a transaction: reports, steps at other members, deadlines.

A task is a row, committed with the change that asks for it, so that neither is without the other, whatever dies. One
thread of the adapter's process runs what is due: the handler outside any transaction (it may call the road), then, in
one transaction, what it found and the end of the task. A process that dies in between runs it again: at least once, so
handlers bear a second run. A task that cannot be done now is tried again, later each time, at most an hour apart; it is
never dropped because it failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

from adapters.kit.tables import Tables
from core.clock import Clock

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


class TryAgain(Exception):
    """A task cannot be done now. ``why`` is a word or two for the log; it names no person."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Task:
    """One task, as its handler gets it.

    Attributes:
        id: Names it.
        kind: Which handler does it.
        reference: What it is about, a dossier's reference mostly.
        due_at_ms: Not before this instant, UTC milliseconds.
        attempts: How often it was begun before.
        payload: What the handler needs, in its own form.
    """

    id: str
    kind: str
    reference: str
    due_at_ms: int
    attempts: int
    payload: bytes = field(repr=False)


# What a handler found, to be committed with the end of its task; None if there is nothing to write.
Finish: TypeAlias = Callable[[sa.Connection], None]
Handler: TypeAlias = "Callable[[Desk, Task], Finish | None]"


class Tasks:
    """The tasks of one ministry."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def add(
        self, tx: sa.Connection, kind: str, reference: str, *, due_at_ms: int = 0, payload: bytes = b""
    ) -> None:
        """Ask for a task, in the transaction that makes it needed; due at once unless told otherwise."""
        raise NotImplementedError

    def cancel(self, tx: sa.Connection, kind: str, reference: str) -> None:
        """Take back the tasks of that kind for that reference; one that runs at this moment ends its run."""
        raise NotImplementedError


class TaskRunner:
    """Runs what is due, in one thread."""

    def __init__(self, desk: Desk, handlers: Mapping[str, Handler]) -> None:
        self._desk = desk
        self._handlers = handlers

    def start(self) -> None:
        """Run tasks as they come due, until ``stop``."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let the task that runs end, and begin no other."""
        raise NotImplementedError

    def run_due(self) -> int:
        """Run each task that is due now, once, in this thread; returns how many were done. For tests and commands."""
        raise NotImplementedError
