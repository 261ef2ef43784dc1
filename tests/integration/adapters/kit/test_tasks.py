"""Tasks: done after their commit, again until they are, and not lost with the process."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
import structlog
from structlog.testing import capture_logs

from adapters.kit.desk import Desk
from adapters.kit.tasks import MAX_PAUSE_MS, Finish, Task, TaskRunner, TryAgain
from tests.support.postal.ministry import BOXES, TABLES, PostOffice
from tests.support.waiting import until


def ask(
    office: PostOffice, kind: str = "survey", reference: str = "POST-202611-0001", due_at_ms: int = 0
) -> None:
    """A task in a transaction of its own."""
    office.desk.store.write(
        lambda tx: office.desk.tasks.add(tx, kind, reference, due_at_ms=due_at_ms, payload=b"what is needed")
    )


def runner(office: PostOffice, survey: Callable[[Desk, Task], Finish | None]) -> TaskRunner:
    """Who does surveys."""
    return TaskRunner(office.desk, {"survey": survey})


def boxes(office: PostOffice) -> int:
    """How many rows the handlers wrote."""
    with office.desk.store.reading() as tx:
        return tx.execute(sa.select(sa.func.count()).select_from(BOXES)).scalar_one()


def task_row(office: PostOffice) -> Any:
    """The only task, as it is kept."""
    with office.desk.store.reading() as tx:
        return tx.execute(sa.select(TABLES.task)).one()


def write_box(desk: Desk, task: Task) -> Finish:
    """A handler that writes one row with the end of its task."""
    return lambda tx: cast(None, tx.execute(BOXES.insert().values(number=task.id[:20], holder="")))


def test_a_task_is_done_with_what_it_found(office: PostOffice) -> None:
    """One commit: the row and the end of the task."""
    seen: list[Task] = []

    def survey(desk: Desk, task: Task) -> Finish:
        seen.append(task)
        return write_box(desk, task)

    ask(office)

    assert runner(office, survey).run_due() == 1
    assert [(task.reference, task.payload, task.attempts) for task in seen] == [
        ("POST-202611-0001", b"what is needed", 0)
    ]
    assert (boxes(office), office.tasks()) == (1, [])


def test_a_task_of_an_undone_transaction_was_never_asked_for(office: PostOffice) -> None:
    """Neither is without the other."""

    def undone(tx: sa.Connection) -> None:
        office.desk.tasks.add(tx, "survey", "POST-202611-0001")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        office.desk.store.write(undone)

    assert office.tasks() == []


def test_a_task_waits_for_its_time(office: PostOffice) -> None:
    """Not a millisecond before."""
    ask(office, due_at_ms=office.clock.now_ms() + 1000)

    assert runner(office, write_box).run_due() == 0
    office.clock.advance(timedelta(seconds=1))
    assert runner(office, write_box).run_due() == 1


def test_what_cannot_be_done_now_is_tried_later_and_later(office: PostOffice) -> None:
    """Twice as late each time, never more than an hour."""
    begun: list[int] = []

    def survey(desk: Desk, task: Task) -> None:
        begun.append(office.clock.now_ms())
        raise TryAgain("PEER_UNAVAILABLE")

    ask(office)
    for _ in range(16):
        runner(office, survey).run_due()
        office.clock.advance(timedelta(milliseconds=task_row(office).due_at - office.clock.now_ms()))
    row = task_row(office)

    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert pauses[:5] == [1000, 2000, 4000, 8000, 16000]
    assert pauses[-1] == MAX_PAUSE_MS
    assert (row.attempts, row.last_error) == (16, "PEER_UNAVAILABLE")


def test_a_mistake_in_a_handler_loses_no_task_and_names_nobody(office: PostOffice) -> None:
    """The log gets the type and the place; the next version may do it."""

    def survey(desk: Desk, task: Task) -> None:
        raise KeyError("0000000001")

    ask(office)
    with capture_logs() as logs:
        assert runner(office, survey).run_due() == 0

    assert len(office.tasks()) == 1
    assert [(entry["event"], entry["error"]) for entry in logs] == [("task_failed", "KeyError")]
    assert "0000000001" not in str(logs)
    structlog.reset_defaults()


def test_one_bad_task_does_not_hold_up_the_others(office: PostOffice) -> None:
    """They are done in the same round."""

    def survey(desk: Desk, task: Task) -> Finish:
        if task.reference == "bad":
            raise TryAgain("it is bad")
        return write_box(desk, task)

    for reference in ("bad", "good", "better"):
        ask(office, reference=reference)

    assert runner(office, survey).run_due() == 2
    assert [reference for _, reference in office.tasks()] == ["bad"]


def test_more_tasks_than_a_round_takes_are_all_done(office: PostOffice) -> None:
    """Also when none of the first ones can be."""

    def survey(desk: Desk, task: Task) -> Finish:
        if int(task.reference) < 150:
            raise TryAgain("not yet")
        return write_box(desk, task)

    with office.desk.store.writing() as tx:
        for number in range(250):
            office.desk.tasks.add(tx, "survey", str(number), due_at_ms=office.clock.now_ms() - 250 + number)

    assert runner(office, survey).run_due() == 100


def test_what_a_task_found_is_not_written_when_it_was_taken_back(office: PostOffice) -> None:
    """The dossier was cancelled while the handler was on the road."""

    def survey(desk: Desk, task: Task) -> Finish:
        desk.store.write(lambda tx: desk.tasks.cancel(tx, task.kind, task.reference))
        return write_box(desk, task)

    ask(office)
    runner(office, survey).run_due()

    assert (boxes(office), office.tasks()) == (0, [])


def test_the_runner_does_what_comes_and_ends_when_told(office: PostOffice) -> None:
    """In a thread of the adapter's process."""
    running = runner(office, write_box)
    running.start()
    for _ in range(3):
        ask(office)
    until(lambda: boxes(office) == 3)
    running.stop()
    ask(office)

    assert len(office.tasks()) == 1


DIES = """
import os, signal, sys
from pathlib import Path
from adapters.kit.tasks import TaskRunner
from tests.support.postal.ministry import PostOffice
office = PostOffice(sys.argv[1], Path(sys.argv[2]))
def survey(desk, task):
    print("begun", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
TaskRunner(office.desk, {"survey": survey}).run_due()
"""


def test_a_killed_process_loses_no_task(office: PostOffice, database: str, tmp_path: Path) -> None:
    """Whoever comes next does it again."""
    ask(office)

    killed = subprocess.run(
        [sys.executable, "-c", DIES, database, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (killed.returncode, killed.stdout) == (-9, "begun\n"), killed.stderr
    assert runner(office, write_box).run_due() == 1
    assert boxes(office) == 1
