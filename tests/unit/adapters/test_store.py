"""The register on disk: found by number, migrated, never seeded over real people."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from adapters.identity.person import RecordState
from adapters.identity.seed import population, record_of
from adapters.identity.store import (
    METADATA,
    PERSONS,
    WORDS,
    PersonStore,
    is_merged_into,
    migrate,
    open_store,
    replace_values,
)
from core.reasons import ExchangeError, Reason


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A register with today's schema and nobody in it."""
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    migrate(url)
    return url


@pytest.fixture
def store(url: str) -> PersonStore:
    """The same, opened."""
    return open_store(url)


def test_a_seeded_person_is_found_field_by_field(store: PersonStore) -> None:
    """What went in comes out, whatever the state of the record."""
    store.replace_all(population(size=100))

    for npi in ("0000000001", "0000000010", "0000000012", "0000000019"):
        assert store.find(npi) == record_of(npi)


def test_nobody_is_found_under_a_number_that_is_not_there(store: PersonStore) -> None:
    """Unknown, malformed or hostile numbers find nothing."""
    store.replace_all(population(size=100))

    for npi in ("0000000003", "", "1", "0000000001 ", "%", "' OR 1=1 --"):
        assert store.find(npi) is None


def test_seeding_tells_its_progress_and_replaces_the_last_seed(store: PersonStore) -> None:
    """A seed can be written again; nothing of the former one stays."""
    told: list[int] = []
    store.replace_all(population(1, 300))

    assert store.replace_all(population(2, 200), told.append) == 200

    assert sum(told) == 200
    assert store.count() == 200


def test_a_failed_seed_leaves_the_former_one(store: PersonStore) -> None:
    """All or nothing: a seed that breaks off changes nobody."""
    store.replace_all(population(size=50))
    first = record_of("0000000001")

    with pytest.raises(sa.exc.IntegrityError):
        store.replace_all([first, first])

    assert store.count() == 50


def test_the_memory_of_a_seed_is_given_back(store: PersonStore) -> None:
    """Written or broken off: the connection goes on to serve calls."""

    def cache() -> int:
        with store._store.reading() as tx:
            return int(tx.exec_driver_sql("PRAGMA cache_size").scalar_one())

    usual, during = cache(), []
    first = record_of("0000000001")

    store.replace_rows(
        [], more=lambda tx: during.append(tx.exec_driver_sql("PRAGMA cache_size").scalar_one())
    )
    with pytest.raises(sa.exc.IntegrityError):
        store.replace_all([first, first])

    assert during != [usual]
    assert cache() == usual


def test_a_register_of_real_people_is_never_seeded(url: str, store: PersonStore) -> None:
    """One number outside the reserved range is enough to stop it."""
    store.replace_all(population(size=50))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(PERSONS.update().where(PERSONS.c.npi == "0000000001").values(npi="1000000001"))

    with pytest.raises(ExchangeError) as refused:
        store.replace_all(population(size=50))

    assert refused.value.reason is Reason.STATE_CONFLICT
    assert "1000000001" not in str(refused.value)
    assert store.count() == 50


def test_a_store_without_schema_is_refused_and_told_the_remedy(tmp_path: Path) -> None:
    """An adapter does not start on a store that it would misread."""
    with pytest.raises(ExchangeError, match="passerelle adapter migrate") as refused:
        open_store(f"sqlite:///{tmp_path}/empty.sqlite")

    assert refused.value.reason is Reason.STATE_CONFLICT


def test_migrating_twice_changes_nothing(url: str, store: PersonStore) -> None:
    """A restart migrates again without harm."""
    store.replace_all(population(size=50))

    migrate(url)

    assert open_store(url).count() == 50


def test_migrations_end_at_the_schema_that_the_code_uses(url: str) -> None:
    """What Alembic built is what the tables in the code say."""
    with sa.create_engine(url).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)

    assert differences == []


def test_no_error_of_the_database_repeats_a_personal_number(store: PersonStore) -> None:
    """Statements are told without their parameters."""
    first = record_of("0000000001")

    with pytest.raises(sa.exc.IntegrityError) as failed:
        store.replace_all([first, first])

    assert first.npi not in str(failed.value)
    assert first.last_name not in str(failed.value)


def test_the_database_itself_refuses_a_half_merged_record(store: PersonStore) -> None:
    """A merged record names the one that stands, and no other record does."""
    for state, merged_into in ((RecordState.MERGED, ""), (RecordState.ACTIVE, "0000000002")):
        broken = replace(record_of("0000000001"), state=state, merged_into=merged_into)

        with pytest.raises(sa.exc.IntegrityError):
            store.replace_all([broken])


def test_no_officer_makes_the_register_read_all_of_its_rows(store: PersonStore) -> None:
    """A correction finds the words of before, and a merger whom it leads on, by key; a death leaves words alone."""
    store.replace_all(population(size=60))
    plans: list[str] = []

    def explain(
        connection: sa.Connection, _cursor: object, text: str, given: tuple[object, ...], *_: object
    ) -> None:
        if text.startswith(("UPDATE", "DELETE")):
            with closing(connection.connection.cursor()) as cursor:
                steps = cursor.execute(f"EXPLAIN QUERY PLAN {text}", given).fetchall()
            plans.append(" ".join([text.split()[0], *(step[3] for step in steps)]))

    with store._store.writing() as tx:
        sa.event.listen(tx, "before_cursor_execute", explain)
        replace_values(tx, record_of("0000000001"), {"death_date": "2024-11-20"})
        of_a_death = len(plans)
        replace_values(tx, record_of("0000000005"), {"birth_date": "1980", "last_name": "AUTRE"})
        tx.execute(PERSONS.update().where(is_merged_into("0000000001")).values(merged_into="0000000005"))
        born = tx.execute(sa.select(WORDS.c.year).where(WORDS.c.npi == "0000000005")).scalars().all()

    assert (of_a_death, set(born)) == (1, {1980})
    assert {plan.split()[0] for plan in plans} == {"UPDATE", "DELETE"}
    assert [plan for plan in plans if "SCAN" in plan] == []
