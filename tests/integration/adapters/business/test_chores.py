"""What APIEx forgets each night of what it needed for formalities, on both databases."""

from datetime import timedelta
from functools import partial

import sqlalchemy as sa

from adapters.business.adapter import MINISTRY
from adapters.business.tables import NAME_TRACE, PERSON, RESERVATION
from adapters.kit.dossier import State
from tests.support.business import Apiex


def do_chores(apiex: Apiex) -> None:
    """Until each finds nothing."""
    for chore in MINISTRY.chores:
        while apiex.desk.store.write(partial(chore, apiex.desk)):
            pass


def values(apiex: Apiex, column: sa.Column[str]) -> set[str]:
    """What a column holds."""
    with apiex.desk.store.reading() as tx:
        return set(tx.execute(sa.select(column)).scalars())


def test_what_anip_said_is_forgotten_when_the_dossier_has_ended(apiex: Apiex) -> None:
    """Not before: a formality that goes on needs it, also days later."""
    anip = apiex.open_anip()
    ended = apiex.paid(apiex.creation())
    apiex.run()
    anip.answers_left = 1
    goes_on = apiex.paid(apiex.creation("Sèwa Bois"))
    apiex.run()
    assert apiex.state(ended) is State.GRANTED
    assert values(apiex, PERSON.c.reference) == {ended, goes_on}

    do_chores(apiex)

    assert values(apiex, PERSON.c.reference) == {goes_on}


def test_a_name_that_was_kept_in_vain_is_forgotten(apiex: Apiex) -> None:
    """With its applicant; not the one that a dossier uses, nor one that is still kept."""
    apiex.reserve("Gbèdjromèdé")
    request = apiex.creation("Sèwa Bois")
    apiex.submit(request)
    apiex.clock.advance(timedelta(days=30))
    apiex.reserve("Nonvignon")
    apiex.clock.advance(timedelta(days=2))
    before = len(values(apiex, NAME_TRACE.c.holder))

    do_chores(apiex)

    assert values(apiex, RESERVATION.c.name) == {"Sèwa Bois", "Nonvignon"}
    assert len(values(apiex, NAME_TRACE.c.holder)) == before - 1
