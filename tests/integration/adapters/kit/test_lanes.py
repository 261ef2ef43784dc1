"""Tasks are done side by side, where none waits for the other: what is silent holds up what concerns it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.dossiers import REPORT_DECISION
from adapters.kit.tasks import AT_ONCE, Task, TaskRunner
from core.identifiers import SubsystemId
from tests.support.postal.ministry import CALLER, TABLES, PostOffice
from tests.support.waiting import until

KINDS = [f"ask_{name}" for name in "abcdef"]


@dataclass
class Members:
    """Others who are asked: the silent ones hold whoever asks until ``answer``."""

    silent: set[str]
    answer: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, desk: Desk, task: Task) -> None:
        """A handler of any kind: note who is asked, and how many are at a time, of each kind and reference and of all."""
        ways = (task.kind, task.reference, "all")
        with self._lock:
            self.asked.append((task.kind, task.reference))
            self.now.update(ways)
            self.most |= self.now
        if task.kind in self.silent:
            assert self.answer.wait(20)
        with self._lock:
            self.now.subtract(ways)


@contextmanager
def asking(office: PostOffice, members: Members) -> Iterator[None]:
    """The adapter's threads, at work; in the end all answer, and all is done."""
    runner = TaskRunner(office.desk, dict.fromkeys((*KINDS, REPORT_DECISION), members.ask))
    runner.start()
    try:
        yield
        members.answer.set()
        until(lambda: not office.tasks())
    finally:
        members.answer.set()
        runner.stop()


def queue(office: PostOffice, *tasks: tuple[str, str]) -> None:
    """Tasks, kind and reference, each due a moment after the one before."""
    with office.desk.store.writing() as tx:
        for kind, reference in tasks:
            office.clock.advance(timedelta(milliseconds=1))
            office.desk.tasks.add(tx, kind, reference)


def test_a_silent_member_holds_up_what_concerns_it(office: PostOffice) -> None:
    """However much of that waits in front; of one lane one at a time, in order."""
    members = Members(silent={"ask_a"})
    first = [("ask_a", f"POST-{number}") for number in range(12)]
    queue(office, *first, ("ask_b", "POST-B"), ("ask_c", "POST-C"))

    with asking(office, members):
        until(lambda: len(office.tasks()) == len(first))
        assert set(members.asked) == {first[0], ("ask_b", "POST-B"), ("ask_c", "POST-C")}

    assert [one for one in members.asked if one[0] == "ask_a"] == first
    assert members.most["ask_a"] == 1


def test_what_concerns_one_dossier_keeps_its_order(office: PostOffice) -> None:
    """Whoever is asked: what came due first is done first, also if it cannot begin yet."""
    members = Members(silent={"ask_a"})
    queue(office, ("ask_a", "POST-1"), ("ask_a", "POST-2"), ("ask_b", "POST-2"), ("ask_b", "POST-1"))
    queue(office, ("ask_c", "POST-3"))

    with asking(office, members):
        until(lambda: len(office.tasks()) == 4)
        assert set(members.asked) == {("ask_a", "POST-1"), ("ask_c", "POST-3")}

    of = {
        reference: [kind for kind, one in members.asked if one == reference]
        for reference in ("POST-1", "POST-2")
    }
    assert of == {"POST-1": ["ask_a", "ask_b"], "POST-2": ["ask_a", "ask_b"]}
    assert max(members.most["POST-1"], members.most["POST-2"]) == 1


def test_a_consumer_that_hears_nothing_holds_up_no_work_on_its_dossiers(office: PostOffice) -> None:
    """Reports to it wait for each other; the ministry's own tasks keep their order and go on."""
    members = Members(silent={REPORT_DECISION})
    queue(office, (REPORT_DECISION, "POST-1"), ("ask_a", "POST-1"), (REPORT_DECISION, "POST-1"))
    queue(office, (REPORT_DECISION, "POST-2"), ("ask_b", "POST-2"), ("ask_b", "POST-1"))

    with asking(office, members):
        until(lambda: len(office.tasks()) == 3)
        own = [("ask_a", "POST-1"), ("ask_b", "POST-2"), ("ask_b", "POST-1")]
        assert sorted(members.asked) == sorted([(REPORT_DECISION, "POST-1"), *own])

    assert members.most[REPORT_DECISION] == 1


def test_a_report_waits_for_no_work_on_its_dossier(office: PostOffice) -> None:
    """What was decided is told while what comes after it, or before it, waits for somebody else."""
    members = Members(silent={"ask_a"})
    queue(office, ("ask_a", "POST-1"), ("ask_b", "POST-1"), (REPORT_DECISION, "POST-1"))

    with asking(office, members):
        until(lambda: len(office.tasks()) == 2)
        assert sorted(members.asked) == [("ask_a", "POST-1"), (REPORT_DECISION, "POST-1")]


def test_no_more_are_done_at_once_than_there_are_threads(office: PostOffice) -> None:
    """Six silent members: four are asked, the others in their turn."""
    members = Members(silent=set(KINDS))
    queue(office, *((kind, f"POST-{kind}") for kind in KINDS))

    with asking(office, members):
        until(lambda: len(members.asked) == AT_ONCE)

    assert members.most["all"] == AT_ONCE
    assert sorted(kind for kind, _ in members.asked) == KINDS


def test_a_report_waits_for_no_other_consumer(office: PostOffice) -> None:
    """Its lane is the consumer's, not that of reports."""
    other = replace(CALLER, client=SubsystemId.parse("BJ/COL/COTONOU/GUICHET"))
    for number, caller in enumerate((CALLER, other)):
        opened = office.open("PS90903", key=f"key-of-a-filing-{number:04d}", caller=caller)
        office.desk.store.write(partial(office.desk.dossiers.grant, reference=opened.reference))

    with office.desk.store.reading() as tx:
        lanes = tx.execute(sa.select(TABLES.task.c.lane).where(TABLES.task.c.kind == "report_decision"))
        assert set(lanes.scalars()) == {str(CALLER.client), str(other.client)}


def test_a_database_that_is_away_ends_no_thread(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be ended is done again when it is back."""
    members = Members(silent=set())
    write, failures = office.desk.store.write, iter([sa.exc.OperationalError("away", None, Exception())] * 2)

    def fail_twice(work: object) -> object:
        for failure in failures:
            raise failure
        return write(work)  # type: ignore[arg-type]

    queue(office, ("ask_a", "POST-1"))
    monkeypatch.setattr(office.desk.store, "write", fail_twice)

    with asking(office, members):
        until(lambda: not office.tasks())

    assert members.asked == [("ask_a", "POST-1")] * 2
