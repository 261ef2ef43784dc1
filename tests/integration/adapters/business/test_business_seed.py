"""The firms of the fictitious country in the register, on both databases."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.business import answers, namebook
from adapters.business.names import name_rules
from adapters.business.register import firm_by_rccm, relations_of
from adapters.business.seed import fill
from adapters.business.tables import FIRM, KIT, NAME_TRACE, OFFICE_NUMBER, RELATION
from adapters.kit.events import Wanted
from adapters.validation import require_valid
from adapters.world.sizes import Sizes
from adapters.world.world import World
from bj.business.v1 import business_pb2 as pb
from core.reasons import ExchangeError, Reason
from tests.support.business import NOW_MS, SARL, Apiex

WORLD = World(sizes=Sizes.of(1_000))


@pytest.fixture
def seeded(database: str, tmp_path: Path) -> Apiex:
    """A register with the firms of a small country."""
    apiex = Apiex(database, tmp_path)
    fill(apiex.desk, WORLD)
    return apiex


def count(apiex: Apiex, table: sa.Table) -> int:
    """How many rows there are."""
    with apiex.desk.store.reading() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_every_firm_and_role_of_the_country_is_in_the_register(seeded: Apiex) -> None:
    """As the country tells them; and a second seed stands in the place of the first."""
    firms, roles = list(WORLD.firms()), list(WORLD.relations())
    told: list[int] = []

    assert fill(seeded.desk, WORLD, told.append) == sum(told) == len(firms)

    assert (count(seeded, FIRM), count(seeded, RELATION)) == (len(firms), len(roles))
    first = firms[0]
    with seeded.desk.store.reading() as tx:
        found = firm_by_rccm(tx, first.rccm)
        behind = relations_of(tx, first.rccm, with_former=True)
    assert found is not None
    assert (found.name, found.ifu, found.seat.code) == (first.name, first.ifu, first.seat.code)
    assert {one.npi for one in behind} == {one.npi for one in roles if one.rccm == first.rccm}


def test_answers_of_seeded_firms_keep_the_rules_of_the_proto(seeded: Apiex) -> None:
    """Letters, digits and days agree, for every form."""
    with seeded.desk.store.reading() as tx:
        for row in tx.execute(sa.select(FIRM.c.rccm)):
            firm = firm_by_rccm(tx, row.rccm)
            assert firm is not None
            require_valid(answers.business(firm, with_birth_data=True))
            for one in relations_of(tx, firm.rccm, with_former=True):
                require_valid(answers.relation(one, with_number=True))


def test_names_of_living_firms_are_in_use(seeded: Apiex) -> None:
    """Those of firms that were struck off are free."""
    living = {firm.rccm for firm in WORLD.firms() if firm.status != "STRUCK_OFF"}
    with seeded.desk.store.reading() as tx:
        holders = set(tx.execute(sa.select(NAME_TRACE.c.holder).distinct()).scalars())
        company = next(one for one in WORLD.firms() if one.legal_form == "SARL" and one.rccm in living)
        verdict = namebook.judge(tx, name_rules(), company.name, pb.LEGAL_FORM_SARL, NOW_MS)

    assert holders <= living
    assert verdict.availability == pb.NAME_AVAILABILITY_CONFLICT
    assert company.name in verdict.similar


def test_the_offices_know_the_numbers_that_the_seed_gave(seeded: Apiex) -> None:
    """So they never give one again."""
    firms = list(WORLD.firms())

    assert count(seeded, OFFICE_NUMBER) == sum(bool(firm.ifu) + bool(firm.cnss_employer_no) for firm in firms)


def test_what_happened_in_the_last_year_is_told(seeded: Apiex) -> None:
    """With its day, in its order."""
    events = list(WORLD.registry_events())
    with seeded.desk.store.reading() as tx:
        page = seeded.desk.events.page(tx, "", 1000, Wanted())

    assert [event.subject for event in page.events] == [event.rccm for event in events[:1000]]
    assert page.events[0].header.occurred_at.ToDatetime().date().isoformat() == events[0].occurred_on
    assert count(seeded, KIT.event) == len(events)


def test_a_register_of_real_firms_is_never_seeded(seeded: Apiex) -> None:
    """One number outside the reserved ranges is enough to stop it."""
    before = count(seeded, FIRM)
    with seeded.desk.store.writing() as tx:
        first = sa.select(RELATION.c.rccm).where(RELATION.c.npi != "").limit(1).scalar_subquery()
        tx.execute(RELATION.update().where(RELATION.c.rccm == first).values(npi="1000000001"))

    with pytest.raises(ExchangeError) as refused:
        fill(seeded.desk, WORLD)

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert "1000000001" not in str(refused.value)
    assert count(seeded, FIRM) == before


def test_a_real_tax_number_stops_a_seed(database: str, tmp_path: Path) -> None:
    """Ranks below the reserved range are somebody's."""
    apiex = Apiex(database, tmp_path)
    apiex.enter()
    with apiex.desk.store.writing() as tx:
        tx.execute(FIRM.update().where(FIRM.c.rccm == SARL.rccm).values(ifu="3202500123417"))

    with pytest.raises(ExchangeError) as refused:
        fill(apiex.desk, WORLD)

    assert refused.value.reason is Reason.STATE_CONFLICT
