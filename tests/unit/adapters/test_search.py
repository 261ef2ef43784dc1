"""SearchPerson: who may be meant, and what nobody learns by searching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import grpc
import pytest
import sqlalchemy as sa

from adapters.context import serving
from adapters.identity.candidates import LIFETIME_MS
from adapters.identity.comparison import record_words
from adapters.identity.person import Person, RecordState
from adapters.identity.seed import population, record_of
from adapters.identity.service import MAX_CANDIDATES, IdentityService, mask
from adapters.identity.store import METADATA, MIGRATIONS, PERSONS, WORDS, PersonStore, migrate, open_store
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from adapters.validation import require_valid
from bj.identity.v1 import identity_pb2 as pb
from core.clock import ManualClock
from core.identifiers import SubsystemId
from tests.support.registers import make_register
from tests.unit.adapters.test_identity_service import CALLER

NO_CONTEXT = cast(grpc.ServicerContext, None)
MOTHER = "Houessou"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PersonStore]:
    """A register with the personas alone."""
    url = f"sqlite:///{tmp_path_factory.mktemp('rnpp')}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    store = open_store(url)
    store.replace_all(population(size=19))
    yield store
    store.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(store: PersonStore, clock: ManualClock) -> IdentityService:
    return IdentityService(store, clock)


def search(
    service: IdentityService,
    last: str,
    first: str,
    born: str = "",
    *,
    around: int = 0,
    mother: str = "",
    purpose: str = "P01",
) -> list[pb.PersonCandidate]:
    """Valid criteria, or the test is wrong."""
    request = pb.SearchPersonRequest(
        last_name=last,
        first_names=first,
        birth_date=born,
        birth_years_around=around,
        mother_last_name=mother,
    )
    require_valid(request)
    with serving(replace(CALLER, purpose=purpose)):
        return list(service.SearchPerson(request, NO_CONTEXT).candidates)


def years(found: list[pb.PersonCandidate]) -> list[str]:
    return [one.birth_year for one in found]


@pytest.mark.parametrize(
    ("last", "first", "born", "year"),
    [
        ("adjovi", "koffi", "1987-04-12", "1987"),
        ("ADJOVI", "Koffi", "1987-04", "1987"),
        ("Koffi", "Adjovi", "1987", "1987"),  # exchanged by whoever asks
        ("Hounkpatin", "Sènami", "1995-12-24", "1995"),  # exchanged in the register, one of two first names
        ("Ahouansou", "Rosine", "1978", "1978"),  # by marriage
        ("N\u2019Tcha", "Aicha", "1997", "1997"),  # another apostrophe, no diaeresis
        ("Adekambi", "SEIDOU", "1979-08-30", "1979"),  # the register knows no day
        ("Chabi", "Moussa", "1954-06-01", "1954"),  # nor a month
    ],
)
def test_people_are_found_however_their_names_are_written(
    service: IdentityService, last: str, first: str, born: str, year: str
) -> None:
    """As VerifyPerson compares them."""
    (found,) = search(service, last, first, born)

    assert found.birth_year == year


def test_a_candidate_is_masked_and_has_no_number(service: IdentityService) -> None:
    """Enough to choose among five, not to keep."""
    (found,) = search(service, "Hounkpatin", "Sènami", "1995")

    assert "0000000005" not in str(found)
    assert {found.masked_last_name, found.masked_first_names} == {"H***", "S*** F***"}
    assert mask("ADJOVI AMA") == "A*** A***"
    assert found.npi == ""


def test_the_year_may_differ_as_far_as_is_said(service: IdentityService) -> None:
    """And no further."""
    assert years(search(service, "Adjovi", "Koffi", "1989", around=2)) == ["1987"]
    assert search(service, "Adjovi", "Koffi", "1989", around=1) == []
    assert search(service, "Adjovi", "Koffi", "1988") == []


def test_who_is_known_without_a_date_is_found_by_any(tmp_path: Path) -> None:
    """What the register does not know speaks against nobody; only a number is not given out for it."""
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    migrate(url)
    store = open_store(url)
    store.replace_all([replace(record_of("0000000001"), birth_date="")])
    service = IdentityService(store, ManualClock())

    for born, around in (("1987", 0), ("1950-01-01", 2), ("", 0)):
        (found,) = search(service, "Adjovi", "Koffi", born, around=around, mother=MOTHER)
        assert found.birth_year == ""
    assert search(service, "Adjovi", "Koffi", "1987-04-12", mother=MOTHER, purpose="P07") == []
    store.close()


def test_the_mother_may_stand_for_the_date(service: IdentityService) -> None:
    """Whose name the register does not know speaks against nobody."""
    assert years(search(service, "Adjovi", "Koffi", mother=MOTHER)) == ["1987"]
    assert search(service, "Adjovi", "Koffi", mother="Dossou") == []
    assert years(search(service, "Sabi", "Yacoubou", mother="Dossou")) == ["1960"]


@pytest.mark.parametrize(
    ("last", "first", "born"),
    [
        ("Dossou", "Afi", "1941-06-30"),  # deceased
        ("Orou", "Bio", "1972-10-02"),  # locked
        ("Nobody", "Here", "1990-01-01"),
    ],
)
@pytest.mark.parametrize("purpose", ["P01", "P07"])
def test_hidden_and_unknown_people_look_the_same(
    service: IdentityService, last: str, first: str, born: str, purpose: str
) -> None:
    """An answer without candidates; no refusal tells them apart."""
    assert search(service, last, first, born, mother=MOTHER, purpose=purpose) == []


def test_of_two_records_of_one_person_the_one_that_stands_is_found(service: IdentityService) -> None:
    """Merged ones are not shown."""
    (found,) = search(service, "Kpadonou", "Chantal", "1983-05-08", mother=MOTHER, purpose="P07")

    assert found.npi == "0000000011"


def test_own_access_gets_the_number_of_one_who_is_alone(service: IdentityService) -> None:
    """Of two who answer to everything neither is told the other's."""
    (found,) = search(service, "Adjovi", "Koffi", "1987-04-12", mother=MOTHER, purpose="P07")

    assert found.npi == "0000000001"


def test_own_access_of_two_alike_gets_no_number(tmp_path: Path) -> None:
    """Twins with one name on the act, or a second record that nobody has merged yet."""
    one = record_of("0000000001")
    assert one is not None
    service = _register(tmp_path, [one, replace(one, npi="0000000002")])

    found = search(service, "Adjovi", "Koffi", "1987-04-12", mother=MOTHER, purpose="P07")

    assert [candidate.npi for candidate in found] == ["", ""]


@pytest.mark.parametrize(
    ("criteria", "field"),
    [
        ({"birth_date": "1987-04"}, "birth_date"),
        ({"birth_date": "1987-04-12", "birth_years_around": 1}, "birth_years_around"),
        ({"birth_date": "1987-04-12", "mother_last_name": ""}, "mother_last_name"),
    ],
)
def test_own_access_needs_all_four_criteria_exactly(
    service: IdentityService, criteria: dict[str, str | int], field: str
) -> None:
    """A number is given to somebody who knows what only the person knows."""
    wanted = {"last_name": "Adjovi", "first_names": "Koffi", "mother_last_name": MOTHER} | criteria
    request = pb.SearchPersonRequest(**wanted)  # type: ignore[arg-type]  # by name

    with serving(replace(CALLER, purpose="P07")), pytest.raises(InvalidFieldsError) as refused:
        service.SearchPerson(request, NO_CONTEXT)

    assert list(refused.value.violations) == [field]


@pytest.mark.parametrize("purpose", ["P02", "P03", "P04", "P05", "P06", "P08"])
def test_other_purposes_do_not_search(service: IdentityService, purpose: str) -> None:
    """Before the register is read, for known and unknown people alike."""
    for last in ("Adjovi", "Nobody"):
        with pytest.raises(ProviderError) as refused:
            search(service, last, "Koffi", "1987", purpose=purpose)

        assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


@pytest.mark.parametrize(
    "request_",
    [
        pb.SearchPersonRequest(last_name="Adjovi", first_names="Koffi"),
        pb.SearchPersonRequest(last_name="Adjovi", birth_date="1987"),
        pb.SearchPersonRequest(first_names="Koffi", birth_date="1987"),
        pb.SearchPersonRequest(last_name="A", first_names="Koffi", birth_date="1987"),
        pb.SearchPersonRequest(last_name="a" * 101, first_names="Koffi", birth_date="1987"),
        pb.SearchPersonRequest(last_name="Adjovi", first_names="a" * 201, birth_date="1987"),
        pb.SearchPersonRequest(last_name="Adjovi", first_names="Koffi", birth_date="1987/04"),
        pb.SearchPersonRequest(
            last_name="Adjovi", first_names="Koffi", birth_date="1987", birth_years_around=3
        ),
        pb.SearchPersonRequest(last_name="Adjovi", first_names="Koffi", mother_last_name="a" * 101),
    ],
)
def test_fewer_criteria_than_needed_or_longer_ones_are_refused(request_: pb.SearchPersonRequest) -> None:
    """Both names, and the date or the mother."""
    with pytest.raises(InvalidFieldsError):
        require_valid(request_)


def test_a_day_that_the_calendar_lacks_is_refused_by_name(service: IdentityService) -> None:
    """As in VerifyPerson."""
    with pytest.raises(InvalidFieldsError) as refused:
        search(service, "Adjovi", "Koffi", "1987-02-30")

    assert list(refused.value.violations) == ["birth_date"]


def _register(tmp_path: Path, people: list[Person]) -> IdentityService:
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    store = open_store(url)
    store.replace_all(people)
    return IdentityService(store, ManualClock())


def test_more_than_five_are_refused_and_have_no_further_page(tmp_path: Path) -> None:
    """A search finds a person; hidden people do not count."""
    one = record_of("0000000001")
    assert one is not None
    five = [replace(one, npi=f"{number:010d}") for number in range(1, MAX_CANDIDATES + 1)]
    hidden = replace(one, npi="0000000100", state=RecordState.LOCKED)
    service = _register(tmp_path, [*five, hidden])

    assert len(search(service, "Adjovi", "Koffi", "1987")) == MAX_CANDIDATES

    service = _register(tmp_path, [*five, replace(one, npi="0000000099")])
    with pytest.raises(ProviderError) as refused:
        search(service, "Adjovi", "Koffi", "1987")
    assert refused.value.reason is ProviderReason.TOO_MANY_RECORDS


def test_no_more_are_looked_at_than_a_search_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that half a country bears must not make the register read half of itself."""
    monkeypatch.setattr("adapters.identity.service.MAX_COMPARED", 3)
    one = record_of("0000000001")
    assert one is not None
    others = [replace(one, npi=f"{number:010d}", mother_last_name="BELLO") for number in range(1, 5)]

    with pytest.raises(ProviderError) as refused:
        search(_register(tmp_path, others), "Adjovi", "Koffi", mother=MOTHER)

    assert refused.value.reason is ProviderReason.TOO_MANY_RECORDS


def test_people_who_bear_one_word_of_several_are_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are: they are not who is meant."""
    one = record_of("0000000001")
    assert one is not None
    names = ["SENAN JEAN", *["SENAN"] * 3, *["JEAN"] * 3]
    others = [replace(one, npi=f"{n:010d}", first_names=name) for n, name in enumerate(names, 1)]
    monkeypatch.setattr("adapters.identity.service.MAX_COMPARED", 1)

    found = search(_register(tmp_path, others), "Adjovi", "Jean Sènan", mother=MOTHER)

    assert [candidate.score for candidate in found] == [100]


def test_a_search_by_words_that_too_many_bear_ends_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few people bear all of them; one rarer word, or a year, makes it narrow enough."""
    one = record_of("0000000001")
    assert one is not None
    others = [replace(one, npi=f"{number:010d}", first_names="SENAN JEAN") for number in range(2, 6)]
    service = _register(tmp_path, [one, *others, replace(one, npi="0000000006", first_names="SENAN")])
    monkeypatch.setattr("adapters.identity.store.MAX_WALKED", 4)

    assert len(search(service, "Adjovi", "Koffi", mother=MOTHER)) == 1
    assert len(search(service, "Adjovi", "Jean", mother=MOTHER)) == 4
    with pytest.raises(ProviderError) as refused:
        search(service, "Adjovi", "Senan", mother=MOTHER)
    assert refused.value.reason is ProviderReason.TOO_MANY_RECORDS
    assert search(service, "Adjovi", "Senan", "1988") == []


# --- tokens ---


def verify(
    service: IdentityService, token: str, *, client: str = "BJ/GOV/PNS/PORTAIL", issue: str | None = None
) -> pb.VerifyPersonResponse:
    request = pb.VerifyPersonRequest(candidate_token=token, mother_last_name=MOTHER)
    require_valid(request)
    with serving(replace(CALLER, client=SubsystemId.parse(client), issue=issue)):
        return service.VerifyPerson(request, NO_CONTEXT)


def test_a_candidate_is_verified_by_its_token(service: IdentityService) -> None:
    """Without anybody having seen a number."""
    (found,) = search(service, "Adjovi", "Koffi", "1987")

    assert verify(service, found.candidate_token).mother_last_name == pb.MATCH_RESULT_YES


def test_two_tokens_of_one_person_cannot_be_told_from_those_of_two(service: IdentityService) -> None:
    """Nor does a token's length say anything."""
    first, second = (search(service, "Adjovi", "Koffi", "1987")[0] for _ in range(2))

    assert first.candidate_token != second.candidate_token
    assert len(first.candidate_token) == len(second.candidate_token) == 62


def test_a_token_is_good_for_its_consumer_its_dossier_and_its_time(
    service: IdentityService, store: PersonStore, clock: ManualClock
) -> None:
    """And for the process that gave it; nobody can make one, or change one."""
    token = search(service, "Adjovi", "Koffi", "1987")[0].candidate_token
    changed = token[:-2] + ("AA" if token[-2:] != "AA" else "BA")

    misused: list[Callable[[], object]] = [
        lambda: verify(service, token, client="BJ/GOV/PNS/STATS"),
        lambda: verify(service, token, issue="ACT-2"),
        lambda: verify(service, changed),
        lambda: verify(service, "A" * 62),
        lambda: verify(IdentityService(store, clock), token),
    ]
    for use in misused:
        with pytest.raises(InvalidFieldsError) as refused:
            use()
        assert list(refused.value.violations) == ["candidate_token"]
    clock.advance(timedelta(milliseconds=LIFETIME_MS - 1))
    verify(service, token)
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(InvalidFieldsError):
        verify(service, token)


@pytest.mark.parametrize(
    ("npi", "token"), [("", ""), ("0000000001", "A" * 62), ("", "A" * 61), ("", "A" * 61 + "+")]
)
def test_a_record_is_named_by_a_number_or_by_a_token(npi: str, token: str) -> None:
    """One of the two, in its form."""
    with pytest.raises(InvalidFieldsError):
        require_valid(pb.VerifyPersonRequest(npi=npi, candidate_token=token, last_name="Adjovi"))


# --- the store ---


def test_a_seed_leaves_no_words_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many batches it takes."""
    monkeypatch.setattr("adapters.identity.store._BATCH", 7)
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    store = open_store(url)

    store.replace_all(population(1, 200))
    store.replace_all(population(2, 100))

    assert words_in(url) == {
        (word, int(one.birth_date[:4]), one.npi)
        for one in population(2, 100)
        for word in record_words(one.last_name, one.marital_name, one.first_names)
    }


def test_a_migration_fills_the_words_of_a_register_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as a seed wrote, over more than one batch; by its own folding, which later changes leave alone."""
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    some = list(population(2, 100))
    open_store(url).replace_all(replace(some[n % 100], npi=f"{n:010d}") for n in range(1, 10_011))
    seeded = words_in(url)
    with sa.create_engine(url).begin() as connection:
        METADATA.drop_all(connection, [table for table in METADATA.sorted_tables if table is not PERSONS])
        connection.execute(sa.text("DROP INDEX ix_person_merged_into"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    monkeypatch.setattr("adapters.identity.comparison.search_words", lambda name: {"changed"})

    migrate(url)

    assert words_in(url) == seeded


def words_in(url: str) -> set[tuple[str, int, str]]:
    """Word, year and number of each row."""
    with sa.create_engine(url).connect() as connection:
        return {(row.word, row.year, row.npi) for row in connection.execute(sa.select(WORDS))}
