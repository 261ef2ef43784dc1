"""What is not needed any more is forgotten, each night, once."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from adapters.kit import housekeeping
from adapters.kit.desk import Desk
from adapters.kit.eventlog import EventPage, Wanted
from adapters.kit.housekeeping import HOUSEKEEPING, keep_house, plan
from adapters.kit.tasks import TaskRunner
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from tests.support.postal.ministry import BOXES, MONDAY_MS, NPI, TABLES, TOKEN, PostOffice

HOUR_MS = 3600 * 1000
# 03:00 in Porto-Novo, on Tuesday.
TUESDAY_NIGHT_MS = MONDAY_MS + 18 * HOUR_MS


def clean(office: PostOffice, times: int = 1) -> None:
    """Have the chores done, as on as many nights as there are processes."""
    for _ in range(times):
        office.desk.store.write(lambda tx: plan(office.desk, tx))
    office.clock.advance(timedelta(days=1))
    assert TaskRunner(office.desk, {HOUSEKEEPING: keep_house}).run_due() == 1


def rows(office: PostOffice, column: sa.Column[str]) -> list[str]:
    """All values of a column, in order."""
    with office.desk.store.reading() as tx:
        return list(tx.execute(sa.select(column).order_by(column)).scalars())


def test_it_is_planned_once_however_many_processes_there_are(office: PostOffice) -> None:
    """For the night, and by its own end for the next one."""

    def planned() -> list[tuple[str, int]]:
        with office.desk.store.reading() as tx:
            return [(row.kind, row.due_at) for row in tx.execute(sa.select(TABLES.task))]

    office.race(*[lambda: office.desk.store.write(lambda tx: plan(office.desk, tx))] * 4)
    assert planned() == [(HOUSEKEEPING, TUESDAY_NIGHT_MS)]

    clean(office)

    assert planned() == [(HOUSEKEEPING, TUESDAY_NIGHT_MS + 24 * HOUR_MS)]


def test_answers_are_forgotten_when_their_time_is_over(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty days, not one less; the same request under that key is then another one. More than a batch of them."""
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    first = [office.open("PS90903", key=f"key-of-a-filing-{number:04d}").reference for number in range(5)]
    office.clock.advance(timedelta(days=29, hours=1))
    assert office.open("PS90903", key="key-of-a-filing-0000").reference == first[0]
    later = office.open("PS90903", key="key-of-a-filing-0005").reference

    clean(office)

    assert rows(office, TABLES.answered.c.key) == ["key-of-a-filing-0005"]
    assert office.open("PS90903", key="key-of-a-filing-0005").reference == later
    assert office.open("PS90903", key="key-of-a-filing-0000").reference not in [*first, later]


def test_events_are_kept_as_long_as_settings_say(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """366 days; who is further behind is told so, whoever is not goes on. More than a batch of them."""
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    events = office.desk.events

    def append(*subjects: str) -> str:
        for subject in subjects:
            office.desk.store.write(partial(events.append, kind=1, subject=subject, links=["l"]))
        return page("").next_cursor

    def page(since: str) -> EventPage:
        with office.desk.store.reading() as tx:
            return events.page(tx, since, 100, Wanted())

    behind = append("A")
    at_the_edge = append("B", "C", "D", "E")
    office.clock.advance(timedelta(days=365, hours=1))
    append("F")

    clean(office)

    assert [event.subject for event in page(at_the_edge).events] == ["F"]
    assert len(rows(office, TABLES.event_link.c.link)) == 1
    with pytest.raises(ProviderError) as refused:
        page(behind)
    assert refused.value.reason is ProviderReason.CURSOR_EXPIRED


def test_a_token_is_forgotten_when_nothing_is_left_to_be_reported(office: PostOffice) -> None:
    """Not of a dossier that goes on, nor of a granted one whose step does, nor before the last report was confirmed."""
    dossiers, write = office.desk.dossiers, office.desk.store.write
    told, untold, numbered, refused, open_ = (office.reviewed() for _ in range(5))
    for reference in (told, untold, numbered):
        write(partial(dossiers.grant, reference=reference))
    with office.desk.store.writing() as tx:
        for reference in (numbered, refused):
            dossiers.set_step(tx, reference, "cnss", dossier_pb2.STEP_STATE_RUNNING)
    write(lambda tx: dossiers.reject(tx, refused, "agent-7", "no such thing"))
    for reference in (told, numbered, refused, open_):
        write(partial(office.desk.tasks.cancel, kind="report_decision", reference=reference))

    clean(office)

    assert {one: token(office, one) for one in (told, untold, numbered, refused, open_)} == {
        told: "",
        refused: "",
        untold: TOKEN,
        numbered: TOKEN,
        open_: TOKEN,
    }


def token(office: PostOffice, reference: str) -> str:
    """The response token of a dossier, as it is kept."""
    with office.desk.store.reading() as tx:
        return office.desk.dossiers.get(tx, reference).response_token


def test_much_is_forgotten_some_at_a_time(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits for it who stops the adapter: each chore has its share, and it goes on in a minute."""
    monkeypatch.setattr(housekeeping, "BATCH", 1)
    monkeypatch.setattr(housekeeping, "BATCHES", 2)
    for number in range(3):
        office.open("PS90903", key=f"key-of-a-filing-{number:04d}")
    with office.desk.store.writing() as tx:
        tx.execute(BOXES.insert(), [{"number": "A", "holder": NPI}])
    office.desk.ministry = replace(office.desk.ministry, chores=(shut_a_box,))
    office.clock.advance(timedelta(days=31))

    clean(office)
    left, boxes = rows(office, TABLES.answered.c.key), rows(office, BOXES.c.number)
    office.clock.advance(timedelta(minutes=1))
    assert TaskRunner(office.desk, {HOUSEKEEPING: keep_house}).run_due() == 1

    assert (len(left), boxes) == (1, [])
    assert rows(office, TABLES.answered.c.key) == []
    assert rows(office, TABLES.task.c.kind).count(HOUSEKEEPING) == 1


def shut_a_box(desk: Desk, tx: sa.Connection) -> int:
    """A ministry's own chore."""
    oldest = sa.select(BOXES.c.number).limit(1)
    return tx.execute(BOXES.delete().where(BOXES.c.number.in_(oldest))).rowcount


def test_a_ministry_has_chores_of_its_own(office: PostOffice) -> None:
    """Each is called until it finds nothing, in a transaction each time."""
    office.desk.ministry = replace(office.desk.ministry, chores=(shut_a_box,))
    with office.desk.store.writing() as tx:
        tx.execute(BOXES.insert(), [{"number": name, "holder": NPI} for name in "ABC"])

    clean(office, times=2)

    assert rows(office, BOXES.c.number) == []
