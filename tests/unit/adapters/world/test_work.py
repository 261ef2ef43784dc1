"""Employers, contracts and job seekers: types, salaries and dirt in the shares of DOMAIN section 6."""

from collections import Counter
from datetime import date
from statistics import mean, median, stdev

import pytest

from adapters.world.personas.work import HIRINGS, SEEKERS
from adapters.world.records.labour import Contract, ContractState, ContractType, VisaEventKind
from adapters.world.sizes import Sizes
from adapters.world.work import SMIG_XOF
from adapters.world.world import World
from tests.support.world_country import Country, digest

DIGESTS_OF_2000 = {
    "contracts": "7983c24715a9af24655ef771782c23e85393737fbe274f376bf0c746edc75e04",
    "job_seekers": "f53e330a1f1c398353337911ec926baccb948b34a0619e3233ca53eaf737a753",
}


@pytest.fixture(scope="module")
def contracts(country: Country) -> list[Contract]:
    """All but the personas'."""
    return [hiring.contract for hiring in country.hirings[len(HIRINGS) :]]


def test_a_seed_always_gives_the_same_work() -> None:
    """The digests are fixed: who changes the generator changes them on purpose."""
    world = World(sizes=Sizes.of(2_000))

    found = {"contracts": digest(world.contracts()), "job_seekers": digest(world.job_seekers())}
    assert found == DIGESTS_OF_2000


def test_contracts_are_of_every_kind(country: Country, contracts: list[Contract]) -> None:
    """9,000 contracts: CDI 25 %, CDD 50 %, apprenticeship 20 %, foreigners 5 %."""
    kinds = Counter(contract.type for contract in contracts)

    def share(kind: ContractType) -> float:
        return kinds[kind] / len(contracts)

    assert len(country.hirings) == 9_000
    assert share(ContractType.CDI) == pytest.approx(0.25, abs=0.001)
    assert share(ContractType.CDD) == pytest.approx(0.50, abs=0.001)
    assert share(ContractType.APPRENTICESHIP) == pytest.approx(0.20, abs=0.001)
    assert share(ContractType.FOREIGN) == pytest.approx(0.05, abs=0.001)


def test_salaries_are_log_normal_above_the_smig(contracts: list[Contract]) -> None:
    """None below 52,000 F; half of them up to 45,000 F above it, a few far above."""
    salaries = [c.salary_xof for c in contracts if c.type is not ContractType.APPRENTICESHIP]
    above = [salary - SMIG_XOF for salary in salaries]

    assert min(c.salary_xof for c in contracts) >= SMIG_XOF == 52_000
    assert all(c.salary_xof % 500 == 0 for c in contracts)
    assert median(above) == pytest.approx(45_000, rel=0.05)
    assert mean(above) > 1.3 * median(above)
    assert stdev(above) > mean(above)
    assert max(salaries) > 500_000


def test_terms_are_as_the_law_has_them(contracts: list[Contract]) -> None:
    """A CDI has no end, all others have; apprentices learn for up to four years."""
    for contract in contracts:
        assert bool(contract.end_date) == (contract.type is not ContractType.CDI)
        if contract.end_date:
            days = (date.fromisoformat(contract.end_date) - date.fromisoformat(contract.start_date)).days
            assert 0 < days <= 4 * 365
        assert contract.signed_on <= contract.filed_on < contract.start_date
        assert not contract.left_on or contract.start_date < contract.left_on <= "2026-11-01"


def test_visas_are_in_every_state(contracts: list[Contract]) -> None:
    """Granted most of them; what is undecided was filed lately."""
    states = Counter(contract.state for contract in contracts)
    undecided = [c for c in contracts if c.state not in (ContractState.GRANTED, ContractState.REJECTED)]

    assert set(states) == set(ContractState)
    assert states[ContractState.GRANTED] / len(contracts) == pytest.approx(0.88, abs=0.01)
    assert all(bool(c.visa_no) == (c.state is ContractState.GRANTED) for c in contracts)
    assert all(bool(c.reason) == (c.state is ContractState.REJECTED) for c in contracts)
    assert all(c.filed_on > "2026-09-01" for c in undecided if c.start_date < "2026-10-31")


def test_nobody_is_hired_twice(country: Country, contracts: list[Contract]) -> None:
    """Each contract has a worker of its own, and none of them seeks work."""
    workers = {contract.worker_npi for contract in contracts}

    assert len(workers) == len(contracts)
    assert not workers & {seeker.npi for seeker in country.seekers}


def test_some_workers_have_two_numbers(country: Country) -> None:
    """1 % of those affiliated; the contract has the one he works under."""
    hirings = [hiring for hiring in country.hirings[len(HIRINGS) :] if hiring.affiliations]
    twice = [hiring for hiring in hirings if len(hiring.affiliations) == 2]
    numbers = [one.cnss_worker_no for hiring in country.hirings for one in hiring.affiliations]

    assert len(twice) / len(hirings) == pytest.approx(0.01, abs=0.003)
    assert all(h.contract.cnss_worker_no == h.affiliations[-1].cnss_worker_no for h in hirings)
    assert len(set(numbers)) == len(numbers)


def test_foreigners_have_permits_that_held_when_they_began(country: Country) -> None:
    """Twelve months each, renewed while they work; some let it lapse."""
    foreign = [h for h in country.hirings[len(HIRINGS) :] if h.contract.type is ContractType.FOREIGN]
    numbers = [permit.number for hiring in country.hirings for permit in hiring.permits]

    assert len(set(numbers)) == len(numbers)
    assert not any(h.permits for h in country.hirings if h.contract.type is not ContractType.FOREIGN)
    for hiring in foreign:
        first = hiring.permits[0]
        assert first.number == hiring.contract.work_permit_no
        assert first.valid_from <= hiring.contract.start_date <= first.valid_until
        assert country.persons[hiring.contract.worker_npi].nationality == first.nationality != "BEN"
    assert {len(hiring.permits) for hiring in foreign} == {1, 2, 3}


def test_job_seekers_are_on_the_list_for_six_months(country: Country) -> None:
    """2,000 of them, each once; some entries have lapsed."""
    seekers = country.seekers[len(SEEKERS) :]

    assert len(country.seekers) == 2_000
    assert len({seeker.npi for seeker in country.seekers}) == 2_000
    assert len({seeker.seeker_no for seeker in country.seekers}) == 2_000
    assert {seeker.valid_until >= "2026-11-01" for seeker in seekers} == {True, False}


def test_events_of_a_year_are_told_in_order(country: Country) -> None:
    """By the records themselves."""
    told = list(country.world.visa_events())

    assert [event.occurred_on for event in told] == sorted(event.occurred_on for event in told)
    assert {event.kind for event in told} == set(VisaEventKind) - {VisaEventKind.OVERDUE}
