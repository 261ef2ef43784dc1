"""Whatever mergers a register is told of, and in whatever order, one step leads to the number that stands."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
import sqlalchemy as sa

from adapters.kit.aliases import alias_table, follow_merger, numbers_of
from tests.support.postal.ministry import PostOffice
from tests.support.transactions import until_it_waits

A, B, C, D = (f"{number:010d}" for number in (10, 11, 12, 13))
ALIASES = alias_table(sa.MetaData())


@pytest.fixture
def office(office: PostOffice) -> PostOffice:
    """One that keeps numbers of persons."""
    office.desk.store.write(ALIASES.create)
    return office


def told(office: PostOffice, *mergers: tuple[str, str]) -> dict[str, str]:
    """What the register knows after these alone, each told in a transaction of its own."""
    office.desk.store.write(lambda tx: tx.execute(ALIASES.delete()))
    for former, standing in mergers:
        with office.desk.store.writing() as tx:
            follow_merger(tx, ALIASES, former, standing)
    return known(office)


def known(office: PostOffice) -> dict[str, str]:
    """Each number that gave way, with the one that stands."""
    with office.desk.store.reading() as tx:
        return {row.npi: row.standing_npi for row in tx.execute(sa.select(ALIASES))}


def test_mergers_told_in_any_order_lead_to_the_same_number(office: PostOffice) -> None:
    """The one told first is not undone by what came before it."""
    for order in permutations([(A, B), (B, C), (C, D)]):
        assert told(office, *order) == {A: D, B: D, C: D}, order

    with office.desk.store.reading() as tx:
        assert numbers_of(tx, ALIASES, B) == {A, B, C, D}


def test_a_merger_turned_round_is_followed(office: PostOffice) -> None:
    """What ANIP said last holds, for those who were merged before too; told twice it changes nothing."""
    assert told(office, (A, B), (B, A)) == {B: A}
    assert told(office, (A, C), (B, C), (C, A), (C, A)) == {B: A, C: A}


def test_who_rewrites_numbers_is_told_which_one_stands(office: PostOffice) -> None:
    """Not always the one that ANIP named."""
    told(office, (B, C))

    assert office.desk.store.write(lambda tx: follow_merger(tx, ALIASES, A, B)) == C


def test_two_mergers_that_meet_leave_no_chain(office: PostOffice) -> None:
    """The second waits until the first is there, and takes it along."""
    store = office.desk.store

    with ThreadPoolExecutor(1) as beside:
        with store.writing() as tx:
            follow_merger(tx, ALIASES, A, B)
            other = beside.submit(store.write, lambda tx: follow_merger(tx, ALIASES, B, C))
            until_it_waits(store, tx, other)
        other.result()

    assert known(office) == {A: C, B: C}
