"""The sandbox's population: always the same, always fictitious, as untidy as it says."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from adapters.identity import places
from adapters.identity.person import Person, RecordState
from adapters.identity.personas import PERSONAS, record_of
from adapters.identity.reserved import ReservedRangeError, require_reserved
from adapters.identity.seed import DEFAULT_SEED, digest, population

SIZE = 6_000
DIGEST_OF_2000 = "2a8be4660ce07970eaf37a7004bb7771e5a500ab14e9755aa2e3138315ec0baa"


@pytest.fixture(scope="module")
def persons() -> list[Person]:
    """A population large enough for shares to settle."""
    return list(population(size=SIZE))


def share(persons: list[Person], count: int) -> float:
    """``count`` as a share of ``persons``."""
    return count / len(persons)


def test_a_seed_always_gives_the_same_bytes() -> None:
    """The digest is fixed: who changes the generator changes it on purpose."""
    assert digest(population(DEFAULT_SEED, 2_000)) == DIGEST_OF_2000


def test_another_seed_gives_other_people() -> None:
    """The seed is what the population hangs on, the personas aside."""
    one, other = list(population(1, 200)), list(population(2, 200))

    assert one[:19] == other[:19]
    assert not {person.npi for person in one[19:]} & {person.npi for person in other[19:]}


def test_a_larger_population_begins_like_a_smaller_one() -> None:
    """Asking for more people changes nobody who was there."""
    assert list(islice(population(size=SIZE), 500)) == list(population(size=500))


def test_personas_come_first_and_the_third_never() -> None:
    """The twenty fixed numbers hold what the page of test persons says."""
    first = list(islice(population(), 30))

    assert [person.npi for person in first[:19]] == [p.npi for p in PERSONAS if p.npi != "0000000003"]
    assert [p.npi for p in PERSONAS] == [f"{number:010d}" for number in range(1, 21)]
    assert all(person.npi > "0000000099" for person in first[19:])


def test_numbers_are_unique_and_inside_the_reserved_range(persons: list[Person]) -> None:
    """Nobody has a number that a real person can have, and nobody another's."""
    assert len({person.npi for person in persons}) == SIZE
    assert all(person.npi.startswith("000") for person in persons)
    assert all(require_reserved(person) is person for person in persons)


@pytest.mark.parametrize(
    "field",
    [
        {"npi": "1234567890"},
        {"npi": "0001234567\n"},
        {"npi": "000123456"},
        {"phone": "0197000000"},
        {"phone": "97000000"},
        {"phone_cc": "+228"},
        {"email": "koffi@gouv.bj"},
        {"email": "koffi@example.bj.com"},
        {"merged_into": "1234567890"},
    ],
)
def test_whoever_is_outside_the_reserved_ranges_is_refused(field: dict[str, str]) -> None:
    """No seed can slip in what may be somebody's, and the refusal does not repeat it."""
    person = replace(record_of("0000000001"), **field)  # type: ignore[arg-type]  # every field is a text

    with pytest.raises(ReservedRangeError) as refused:
        require_reserved(person)

    assert next(iter(field.values())) not in str(refused.value)


@pytest.mark.parametrize("size", [-1, 0, 18, 5_000_001])
def test_impossible_sizes_are_refused(size: int) -> None:
    """A population holds the personas and stays far from the end of the reserved range."""
    with pytest.raises(ValueError, match="persons"):
        next(population(size=size))


def test_the_dirt_of_a_real_register_is_there(persons: list[Person]) -> None:
    """Shares of DOMAIN section 6, within what chance allows."""
    with_phone = [person for person in persons if person.phone]
    year_only = sum(len(person.birth_date) == 4 for person in persons)
    old_phones = sum(len(person.phone) == 8 for person in with_phone)
    without_email = sum(not person.email for person in persons)

    assert 0.10 < share(persons, year_only) < 0.14
    assert 0.36 < share(with_phone, old_phones) < 0.44
    assert 0.82 < share(persons, without_email) < 0.90


def test_there_are_homonyms_twins_married_women_merged_and_locked_records(persons: list[Person]) -> None:
    """Every case that a caller must cope with occurs."""
    names = Counter((person.last_name, person.first_names, person.birth_date[:4]) for person in persons)
    homonyms = sum(names[p.last_name, p.first_names, p.birth_date[:4]] > 1 for p in persons)

    assert share(persons, homonyms) > 0.08
    assert {"ZINSOU", "SAGBO"} <= {person.first_names for person in persons}
    assert any(person.marital_name for person in persons)
    assert {person.state for person in persons} == set(RecordState)
    assert any(person.is_deceased for person in persons)
    assert {person.nationality for person in persons} > {"BEN", "TGO", "NGA"}


def test_a_merged_record_leads_to_one_that_stands(persons: list[Person]) -> None:
    """One step from a merged number to the surviving record, never a chain."""
    by_npi = {person.npi: person for person in persons}

    merged = [person for person in persons if person.state == RecordState.MERGED]

    assert merged
    assert all(by_npi[person.merged_into].state == RecordState.ACTIVE for person in merged)


def test_names_and_places_are_written_as_the_register_writes_them(persons: list[Person]) -> None:
    """Capitals, no accents."""
    for person in persons:
        for text in (person.last_name, person.first_names, person.birth_place, person.residence_town):
            assert text.isascii()
            assert text == text.upper()


def test_people_live_where_benin_lives(persons: list[Person]) -> None:
    """Twelve departments, 77 communes, 546 arrondissements; the four most populous ones first."""
    departments = Counter(person.residence_department for person in persons if person.residence_department)
    communes = [commune for department in places.DEPARTMENTS for commune in department.communes]

    assert {name for name, _ in departments.most_common(4)} == {"ATLANTIQUE", "BORGOU", "OUEME", "LITTORAL"}
    assert len(departments) == 12
    assert len(communes) == 77
    assert sum(len(commune.arrondissements) for commune in communes) == 546


def test_nobody_dies_before_birth_or_after_the_seeds_day(persons: list[Person]) -> None:
    """Dates make sense, and none depends on the day of the run."""
    for person in persons:
        assert "1900" < person.birth_date <= "2026-01-01"
        if person.is_deceased:
            assert person.birth_date[:4] <= person.death_date[:4] <= "2026"


def test_a_record_never_shows_itself() -> None:
    """What lands in a log line or a traceback says nothing about the person."""
    assert "ADJOVI" not in repr(record_of("0000000001"))
    assert "0000000001" not in f"{record_of('0000000001')}"
