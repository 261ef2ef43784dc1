"""Work that goes on after a transaction: reports, steps at other members, deadlines.

A task is a row, committed with the change that asks for it, so that neither is without the other, whatever dies. The
adapter's process runs what is due: the handler outside any transaction (it may call the road), then, in one transaction,
what it found and the end of the task. A process that dies in between runs it again: at least once, so handlers bear a
second run. A task that cannot be done now is tried again, later each time, at most an hour apart; it is never dropped
because it failed.

Tasks of one reference are done one after the other, in the order in which they came due; so are those of one lane, which
is whom they wait for: the kind of task, or a consumer. Lanes do not wait for each other: a member that is silent for its
twenty seconds holds up what concerns it. Four are done at a time, so more than three silent members hold up the rest.
Reports keep the order of their lane alone: a consumer that does not hear keeps no ministry from its own work.
"""

from __future__ import annotations

import threading
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from adapters.kit.tables import Tables
from adapters.reasons import ProviderError
from core.clock import Clock

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

MAX_PAUSE_MS: Final = 3600 * 1000
AT_ONCE: Final = 4

_FIRST_PAUSE_MS: Final = 1000
# What another process adds (an officer's command) is found after so long; what this one adds, at once.
_POLL_S: Final = 1.0
_BATCH: Final = 100

_log = structlog.get_logger("adapter")


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
        attempts: How often it was begun before and not done.
        lane: Whom it waits for.
        payload: What the handler needs, in its own form.
    """

    id: str
    kind: str
    reference: str
    due_at_ms: int
    attempts: int
    lane: str
    payload: bytes = field(repr=False)


# What a handler found, to be committed with the end of its task; None if there is nothing to write.
Finish: TypeAlias = Callable[[sa.Connection], None]
Handler: TypeAlias = "Callable[[Desk, Task], Finish | None]"


class Tasks:
    """The tasks of one ministry."""

    def __init__(self, tables: Tables, clock: Clock, reports: str) -> None:
        """``reports`` is the kind of task that only tells others what was done."""
        self._table = tables.task
        self._clock = clock
        self._reports = reports

    def add(
        self,
        tx: sa.Connection,
        kind: str,
        reference: str,
        *,
        due_at_ms: int = 0,
        payload: bytes = b"",
        lane: str = "",
    ) -> None:
        """Ask for a task, in the transaction that makes it needed; due at once unless told otherwise.

        ``lane`` names whom it waits for, where the kind does not say that.
        """
        tx.execute(
            self._table.insert().values(
                id=uuid.uuid4().hex,
                kind=kind,
                reference=reference,
                due_at=due_at_ms or self._clock.now_ms(),
                attempts=0,
                payload=payload,
                last_error="",
                lane=lane or kind,
            )
        )

    def add_once(self, tx: sa.Connection, kind: str, *, due_at_ms: int) -> None:
        """Ask for a task of which there is never more than one, about nothing in particular; if it is there, it stays."""
        insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
        tx.execute(
            insert(self._table)
            .values(
                id=kind,
                kind=kind,
                reference="",
                due_at=due_at_ms,
                attempts=0,
                payload=b"",
                last_error="",
                lane=kind,
            )
            .on_conflict_do_nothing()
        )

    def cancel(self, tx: sa.Connection, kind: str, reference: str) -> bool:
        """Take back the tasks of that kind for that reference; of one that runs, what it found is not written.

        Returns whether there were any.
        """
        return tx.execute(self._table.delete().where(*self._about(kind, reference))).rowcount > 0

    def is_asked(self, tx: sa.Connection, kind: str, reference: str) -> bool:
        """Whether a task of that kind for that reference is still to be done."""
        asked = sa.select(self._table.c.id).where(*self._about(kind, reference)).limit(1)
        return tx.execute(asked).first() is not None

    def due(self, tx: sa.Connection) -> list[Task]:
        """Some of the tasks that are due now, the one that has waited longest first."""
        return [_task(row) for row in tx.execute(self._due().limit(_BATCH))]

    def next(self, tx: sa.Connection, running: Collection[Task]) -> Task | None:
        """The task that has waited longest, of those that none of ``running`` and none before it holds up."""
        earlier = self._table.alias()
        is_behind = sa.exists().where(
            earlier.c.reference == self._table.c.reference,
            earlier.c.kind != self._reports,
            sa.tuple_(earlier.c.due_at, earlier.c.id) < sa.tuple_(self._table.c.due_at, self._table.c.id),
        )
        busy = {task.reference for task in running if task.kind != self._reports}
        has_its_turn = sa.and_(self._table.c.reference.not_in(busy), ~is_behind)
        query = self._due().where(
            self._table.c.lane.not_in({task.lane for task in running}),
            sa.or_(self._table.c.kind == self._reports, has_its_turn),
        )
        row = tx.execute(query.limit(1)).first()
        return _task(row) if row else None

    def end(self, tx: sa.Connection, task: Task) -> bool:
        """Take a task that was done off; False if it is not there any more."""
        return tx.execute(self._table.delete().where(self._table.c.id == task.id)).rowcount == 1

    def put_off(self, tx: sa.Connection, task: Task, why: str) -> None:
        """Let a task be tried again later, twice as late as the last time."""
        pause = min(_FIRST_PAUSE_MS << min(task.attempts, 20), MAX_PAUSE_MS)
        later = {"due_at": self._clock.now_ms() + pause, "attempts": task.attempts + 1}
        tx.execute(
            self._table.update().where(self._table.c.id == task.id).values(**later, last_error=why[:80])
        )

    def _due(self) -> sa.Select[Any]:
        due = sa.select(self._table).where(self._table.c.due_at <= self._clock.now_ms())
        return due.order_by(self._table.c.due_at, self._table.c.id)

    def _about(self, kind: str, reference: str) -> tuple[sa.ColumnElement[bool], ...]:
        return self._table.c.kind == kind, self._table.c.reference == reference


def _task(row: Any) -> Task:
    return Task(row.id, row.kind, row.reference, row.due_at, row.attempts, row.lane, row.payload)


class TaskRunner:
    """Runs what is due, some at a time."""

    def __init__(self, desk: Desk, handlers: Mapping[str, Handler]) -> None:
        self._desk = desk
        self._handlers = handlers
        self._woken = threading.Event()
        self._stopping = False
        # By their ids; this thread puts them in, those that do them take them out.
        self._running: dict[str, Task] = {}
        self._thread = threading.Thread(target=self._run, name="tasks", daemon=True)
        desk.store.on_commit(self._woken.set)

    def start(self) -> None:
        """Run tasks as they come due, until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Let the tasks that run end, and begin no other."""
        self._stopping = True
        self._woken.set()
        self._thread.join()

    def run_due(self) -> int:
        """Run each task that is due now, once, in this thread; returns how many were done. For tests and commands."""
        seen: set[str] = set()
        done = 0
        while True:
            with self._desk.store.reading() as tx:
                tasks = [task for task in self._desk.tasks.due(tx) if task.id not in seen]
            if not tasks or self._stopping:
                return done
            for task in tasks:
                if self._stopping:
                    return done
                seen.add(task.id)
                done += self._try(task)

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="task") as pool:
            while not self._stopping:
                self._woken.clear()
                with _surviving():
                    while task := self._next():
                        self._running[task.id] = task
                        pool.submit(self._do, task)
                self._woken.wait(_POLL_S)

    def _next(self) -> Task | None:
        running = list(self._running.values())
        if self._stopping or len(running) >= AT_ONCE:
            return None
        with self._desk.store.reading() as tx:
            return self._desk.tasks.next(tx, running)

    def _do(self, task: Task) -> None:
        with _surviving():
            try:
                self._try(task)
            finally:
                del self._running[task.id]
            # Its lane is free. After a failure of the database that is found a moment later.
            self._woken.set()

    def _try(self, task: Task) -> bool:
        told = {"kind": task.kind, "reference": task.reference, "attempts": task.attempts + 1}
        try:
            handler = self._handlers[task.kind]
            finish = handler(self._desk, task)
            self._desk.store.write(lambda tx: self._finish(tx, task, finish))
        except TryAgain as again:
            _log.info("task_put_off", why=again.why, **told)
            why = again.why
        except Exception as error:
            # A mistake of ours or a refusal that nobody foresaw: the next version may do it. Its text may name somebody.
            frames = traceback.extract_tb(error.__traceback__)
            place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
            _log.error("task_failed", error=type(error).__name__, place=place, **told)
            why = type(error).__name__
        else:
            return True
        self._desk.store.write(lambda tx: self._desk.tasks.put_off(tx, task, why))
        return False

    def _finish(self, tx: sa.Connection, task: Task, finish: Finish | None) -> None:
        # Taken back meanwhile: then what it found is not wanted either.
        if self._desk.tasks.end(tx, task) and finish is not None:
            finish(tx)


@contextmanager
def _surviving() -> Iterator[None]:
    """Whatever it is: without these threads no dossier would ever go on, and nobody would see it."""
    try:
        yield
    except ProviderError as error:
        # The database is away; the tasks are still there when it comes back.
        _log.warning("tasks_wait", reason=str(error.reason))
    except Exception as error:
        _log.error("tasks_failed", error=type(error).__name__)
