"""One country: whoever a registry names is known to the others, and fit for what he is said to be."""

from adapters.world import places
from adapters.world.names import registered
from adapters.world.personas.firms import ENTRIES
from adapters.world.personas.land import ESTATES
from adapters.world.personas.work import HIRINGS
from adapters.world.records.business import BusinessStatus
from adapters.world.records.labour import ContractState, ContractType
from adapters.world.records.person import Person, RecordState
from adapters.world.sizes import Sizes
from adapters.world.world import World
from tests.support.world_country import Country

STATE = "4"


def came_of_age_by(person: Person, day: str, years: int = 18) -> bool:
    """Whether ``person`` was so old, as far as the register knows the day of birth."""
    turned = str(int(person.birth_date[:4]) + years) + person.birth_date[4:]
    return turned[: len(day)] <= day


def test_everybody_whom_a_registry_names_is_in_the_register_of_persons(country: Country) -> None:
    """Holders, applicants, opponents, owners, managers, partners, workers, seekers."""
    charges = [estate.charges for estate in country.estates]
    named = {holding.npi for estate in country.estates for holding in estate.holdings}
    named |= {charge.notice.applicant_npi for charge in charges if charge.notice}
    named |= {opposition.opponent_npi for charge in charges for opposition in charge.oppositions}
    named |= {charge.certificate.npi for charge in charges if charge.certificate}
    named |= {relation.npi for entry in country.entries for relation in entry.relations}
    named |= {hiring.contract.worker_npi for hiring in country.hirings}
    named |= {affiliation.npi for hiring in country.hirings for affiliation in hiring.affiliations}
    named |= {permit.npi for hiring in country.hirings for permit in hiring.permits}
    named |= {seeker.npi for seeker in country.seekers}

    assert named - {""} <= set(country.persons)


def test_every_firm_that_a_registry_names_is_in_the_trade_register(country: Country) -> None:
    """Employers, corporate holders, partners that are firms; the State aside, which is in no register."""
    ifus = {entry.firm.ifu: entry.firm for entry in country.entries if entry.firm.ifu}

    named = {holding.ifu for estate in country.estates for holding in estate.holdings}
    named |= {relation.ifu for entry in country.entries for relation in entry.relations}
    named |= {hiring.contract.employer_ifu for hiring in country.hirings}
    named |= {permit.employer_ifu for hiring in country.hirings for permit in hiring.permits}

    assert {ifu for ifu in named if not ifu.startswith(STATE)} - {""} <= set(ifus)
    assert any(ifu.startswith("3") for ifu in named)
    for employer in country.employers:
        firm = ifus[employer.ifu]
        assert (firm.rccm, firm.name, firm.ordinal) == (employer.rccm, employer.name, employer.firm)
        assert firm.cnss_employer_no == employer.cnss_employer_no
        assert firm.registered_on == employer.registered_on


def test_employers_are_alive_and_were_there_before_their_workers(country: Country) -> None:
    """A contract begins at a firm that is registered."""
    firms = {entry.firm.ordinal: entry.firm for entry in country.entries}
    for hiring in country.hirings[len(HIRINGS) :]:
        firm = firms[hiring.contract.employer]
        assert firm.ifu == hiring.contract.employer_ifu
        assert firm.status is BusinessStatus.ACTIVE
        assert firm.registered_on <= hiring.contract.start_date


def test_who_owns_or_runs_a_firm_was_of_age_and_has_a_record_that_stands(country: Country) -> None:
    """Alive, neither locked nor merged, eighteen when he began; the personas are the cases that are not."""
    for entry in country.entries[len(ENTRIES) :]:
        for relation in entry.relations:
            person = country.persons[relation.npi]
            assert person.state == RecordState.ACTIVE
            assert not person.is_deceased
            assert came_of_age_by(person, relation.from_date)


def test_holders_were_of_age(country: Country) -> None:
    """Eighteen when they came to hold; the dead came to hold before they died."""
    for estate in country.estates[len(ESTATES) :]:
        for holding in estate.holdings:
            if holding.npi:
                person = country.persons[holding.npi]
                assert came_of_age_by(person, holding.since)
                assert not person.is_deceased or person.death_date > holding.since


def test_workers_are_old_enough(country: Country) -> None:
    """Apprentices are fourteen when they begin, all others eighteen; they are alive."""
    for hiring in country.hirings[len(HIRINGS) :]:
        contract, person = hiring.contract, country.persons[hiring.contract.worker_npi]
        years = 14 if contract.type is ContractType.APPRENTICESHIP else 18
        assert came_of_age_by(person, contract.start_date, years)
        assert not person.is_deceased
        assert (person.nationality != "BEN") == (contract.type is ContractType.FOREIGN)


def test_seekers_are_registered_where_they_live(country: Country) -> None:
    """Of age; commune by commune."""
    for seeker in country.seekers[2:]:
        person = country.persons[seeker.npi]
        assert came_of_age_by(person, seeker.registered_on)
        assert places.COMMUNE_CODES[person.residence_town] == seeker.commune_code


def test_names_in_other_registries_are_those_of_the_register(country: Country) -> None:
    """Written with accents, and each in its place even where the register exchanged them."""
    for entry in country.entries[:500]:
        for relation in entry.relations:
            if relation.npi:
                person = country.persons[relation.npi]
                told = {registered(relation.last_name), registered(relation.first_names)}
                if person.state != RecordState.MERGED:
                    assert told == {person.last_name, person.first_names}


def test_the_same_people_own_run_and_work(country: Country) -> None:
    """Somebody who has something in every registry."""
    owners = {holding.npi for estate in country.estates for holding in estate.holdings} - {""}
    runners = {relation.npi for entry in country.entries for relation in entry.relations} - {""}
    workers = {
        hiring.contract.worker_npi
        for hiring in country.hirings
        if hiring.contract.state is ContractState.GRANTED
    }

    assert len(owners & runners) > 100
    assert len(owners & runners & workers) > 10


def test_a_registry_seeded_apart_agrees_with_the_others() -> None:
    """Nothing hangs on who was asked before: two worlds, asked in another order, tell the same."""
    one, other = World(7, Sizes.of(400)), World(7, Sizes.of(400))

    contracts, persons = list(one.contracts()), list(one.persons())
    assert list(other.persons()) == persons
    assert list(other.estates()) == list(one.estates())
    assert list(other.contracts()) == contracts


def test_a_small_country_is_the_personas_alone() -> None:
    """Nineteen people: what they own, run and work at, and nothing else."""
    world = World(sizes=Sizes.of(19))

    assert len(list(world.persons())) == 19
    assert [estate.parcel.ordinal for estate in world.estates()][: len(ESTATES)] == list(range(len(ESTATES)))
    assert len(list(world.firms())) == len(ENTRIES)
    assert len(list(world.contracts())) == len(HIRINGS)
