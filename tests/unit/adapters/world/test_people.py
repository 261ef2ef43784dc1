"""The people: always the same, always fictitious, as untidy as DOMAIN section 6 says."""

from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise

import pytest

from adapters.world import places
from adapters.world.events import in_order_of_persons
from adapters.world.personas.people import PERSONAS, record_of
from adapters.world.records.person import FEMALE, Person, RecordState
from adapters.world.sizes import Sizes
from adapters.world.world import World
from tests.support.world_country import Country, digest

DIGEST_OF_2000 = "f4c85ffa7340b038bb0eb80be83d2d032ef3741ccf098d1dfbbf4f3dcaa32bd4"


@pytest.fixture(scope="module")
def persons(country: Country) -> list[Person]:
    """Everybody in the default country but the personas."""
    return list(country.persons.values())[19:]


def share(persons: list[Person], holds: Callable[[Person], object]) -> float:
    """Of how many of ``persons`` something holds."""
    return sum(bool(holds(person)) for person in persons) / len(persons)


def test_a_seed_always_gives_the_same_bytes() -> None:
    """The digest is fixed: who changes the generator changes it on purpose."""
    assert digest(World(sizes=Sizes.of(2_000)).persons()) == DIGEST_OF_2000


def test_another_seed_gives_other_people() -> None:
    """The seed is what the population hangs on, the personas aside."""
    one, other = (list(World(seed, Sizes.of(200)).persons()) for seed in (1, 2))

    assert one[:19] == other[:19]
    assert not {person.npi for person in one[19:]} & {person.npi for person in other[19:]}


def test_a_larger_population_begins_like_a_smaller_one(country: Country) -> None:
    """Asking for more people changes nobody who was there."""
    assert list(islice(country.world.persons(), 500)) == list(World(sizes=Sizes.of(500)).persons())


def test_personas_come_first_and_the_third_never(country: Country) -> None:
    """The twenty fixed numbers hold what the page of test persons says."""
    npis = list(islice(country.persons, 30))

    assert npis[:19] == [p.npi for p in PERSONAS if p.npi != "0000000003"]
    assert [p.npi for p in PERSONAS] == [f"{number:010d}" for number in range(1, 21)]
    assert all(npi > "0000000099" for npi in npis[19:])


def test_the_order_of_numbers_tells_the_same_people() -> None:
    """For databases whose key they are."""
    world = World(sizes=Sizes.of(3_000))

    assert list(world.persons_by_number()) == sorted(world.persons())


def test_what_happened_to_people_is_the_same_in_the_order_of_numbers() -> None:
    """Seeds note it as they go by; events of a day must not hang on who was asked first."""
    world = World(sizes=Sizes.of(3_000))
    told = list(world.person_events())

    noted = [event for person in world.persons_by_number() for event in world.events_of(person)]

    assert in_order_of_persons(noted) == told
    assert [event.occurred_on for event in told] == sorted(event.occurred_on for event in told)
    assert len({event.occurred_on for event in told}) < len(told)


def test_everybody_has_a_number_of_his_own(country: Country) -> None:
    """Fifty thousand records, fifty thousand numbers, all of them in the reserved range."""
    assert len(country.persons) == 50_000
    assert all(npi.startswith("000") for npi in country.persons)


@pytest.mark.parametrize("size", [-1, 0, 18, 5_000_001])
def test_impossible_sizes_are_refused(size: int) -> None:
    """A population holds the personas and stays far from the end of the reserved range."""
    with pytest.raises(ValueError, match="persons"):
        Sizes.of(size)


def test_some_have_a_year_of_birth_only(persons: list[Person]) -> None:
    """12 %."""
    assert share(persons, lambda p: len(p.birth_date) == 4) == pytest.approx(0.12, abs=0.005)


def test_most_have_no_email(persons: list[Person]) -> None:
    """85 %."""
    assert share(persons, lambda p: not p.email) == pytest.approx(0.85, abs=0.005)


def test_many_telephones_are_of_before_2024(persons: list[Person]) -> None:
    """40 % of those who have one: eight digits."""
    reachable = [person for person in persons if person.phone]

    assert share(reachable, lambda p: len(p.phone) == 8) == pytest.approx(0.40, abs=0.008)


def test_some_names_are_exchanged(persons: list[Person]) -> None:
    """5 %: what only first names have stands where the last name is to be, blanks among them."""
    surnames = {person.father_last_name for person in persons}
    several = [person for person in persons if " " in person.first_names or " " in person.last_name]

    assert share(several, lambda p: " " in p.last_name) == pytest.approx(0.05, abs=0.004)
    assert all(p.first_names in surnames for p in several if " " in p.last_name)


def test_some_are_homonyms_on_purpose(persons: list[Person]) -> None:
    """8 % have another's names, sex and year of birth, so twice as many share them with somebody."""
    who = Counter((p.last_name, p.first_names, p.sex, p.birth_date[:4]) for p in persons)

    alike = share(persons, lambda p: who[p.last_name, p.first_names, p.sex, p.birth_date[:4]] > 1)

    assert alike == pytest.approx(0.16, abs=0.02)


def test_twins_have_the_names_that_custom_gives_them(persons: list[Person]) -> None:
    """Zinsou, the elder, and Sagbo: one after the other, of the same parents, on the same day."""
    pairs = [
        (elder, younger)
        for elder, younger in pairwise(persons)
        if (elder.first_names, younger.first_names) == ("ZINSOU", "SAGBO")
    ]

    assert len(pairs) == 106
    assert all(elder.npi != younger.npi for elder, younger in pairs)
    for field in ("last_name", "birth_date", "mother_last_name", "mother_first_names", "residence_district"):
        assert all(getattr(elder, field) == getattr(younger, field) for elder, younger in pairs)


def test_women_carry_the_names_of_their_husbands(persons: list[Person]) -> None:
    """45 % of those of age; no man and no girl."""
    women = [p for p in persons if p.sex == FEMALE and p.birth_date[:4] < "2007"]

    assert share(women, lambda p: p.marital_name) == pytest.approx(0.45, abs=0.01)
    assert {p.sex for p in persons if p.marital_name} == {FEMALE}
    assert max(p.birth_date[:4] for p in persons if p.marital_name) <= "2008"


def test_some_died_and_all_of_them_since_there_is_a_register(persons: list[Person]) -> None:
    """Dates make sense, and none depends on the day of the run."""
    dead = [person for person in persons if person.is_deceased]

    assert len(dead) / len(persons) == pytest.approx(0.018, abs=0.003)
    assert all("2018" <= person.death_date <= "2026-01-01" for person in dead)
    assert all(person.birth_date[:4] <= person.death_date[:4] for person in dead)
    assert all("1930" < person.birth_date <= "2026-01-01" for person in persons)


def test_every_fiftieth_comes_from_abroad(persons: list[Person]) -> None:
    """Of age, with a nationality of a neighbour."""
    foreigners = [person for person in persons if person.nationality != "BEN"]

    assert len(foreigners) == 1_000
    assert {person.nationality for person in foreigners} == {"TGO", "NGA", "NER", "BFA", "GHA", "CIV"}
    assert max(person.birth_date[:4] for person in foreigners) <= "2008"


def test_a_merged_record_leads_to_one_that_stands_of_the_same_person(country: Country) -> None:
    """One step, never a chain; names and day of birth agree, but for what the register got wrong."""
    merged = [p for p in country.persons.values() if p.state == RecordState.MERGED][1:]

    assert len(merged) == 48
    for second in merged:
        first = country.persons[second.merged_into]
        assert first.state == RecordState.ACTIVE
        assert {first.last_name, first.first_names} == {second.last_name, second.first_names}
        assert first.birth_date[:4] == second.birth_date[:4]


def test_some_records_are_locked(persons: list[Person]) -> None:
    """Two in a thousand."""
    assert share(persons, lambda p: p.state == RecordState.LOCKED) == pytest.approx(0.002, abs=0.0005)


def test_names_and_places_are_written_as_the_register_writes_them(persons: list[Person]) -> None:
    """Capitals, no accents; addresses as noted at the census."""
    for person in persons[:5_000]:
        for text in (person.last_name, person.first_names, person.birth_place, person.residence_town):
            assert text.isascii()
            assert text == text.upper()
    in_cotonou = [person for person in persons if person.residence_town == "COTONOU"]
    assert all(person.residence_address.startswith("C/") for person in in_cotonou)
    assert all(person.residence_district.endswith("ARRONDISSEMENT") for person in in_cotonou)


def test_people_live_where_benin_lives(persons: list[Person]) -> None:
    """By the weight of the departments; the four most populous ones first."""
    departments = Counter(person.residence_department for person in persons)

    assert {name for name, _ in departments.most_common(4)} == {"ATLANTIQUE", "BORGOU", "OUEME", "LITTORAL"}
    assert len({person.residence_town for person in persons}) == 77
    for department in places.DEPARTMENTS:
        name = department.arrondissements[0].registered[0]
        assert departments[name] / len(persons) == pytest.approx(department.weight / 1_000, abs=0.005)


def test_names_are_those_of_the_region(persons: list[Person]) -> None:
    """Most people of the north have names of the north."""
    northern = [p for p in persons if p.residence_department == "BORGOU" and p.nationality == "BEN"]
    surnames = Counter(person.father_last_name for person in northern if person.father_last_name)

    assert surnames["OROU"] > 5 * surnames["ADJOVI"]


def test_a_record_never_shows_itself() -> None:
    """What lands in a log line or a traceback says nothing about the person."""
    assert "ADJOVI" not in repr(record_of("0000000001"))
    assert "0000000001" not in f"{record_of('0000000001')}"
