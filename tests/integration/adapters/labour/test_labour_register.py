"""The register on either database: employers by any number, who works, notices, job seekers."""

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from adapters.kit.calendar import Calendar
from adapters.kit.store import Store
from adapters.labour.days import start_of
from adapters.labour.employers import (
    Employer,
    add_employer,
    employer_of,
    find_by_cnss,
    find_by_ifu,
    find_by_rccm,
    has_open_dispute,
)
from adapters.labour.employment import Employment, employment_of
from adapters.labour.notices import affiliate, hire, is_late, leave
from adapters.labour.ruleset import load_rules
from adapters.labour.seekers import Seeker, find_by_npi, find_by_number, register_seeker
from adapters.labour.tables import CONTRACTS, DISPUTES, EMPLOYERS, HIRINGS, METADATA, SEEKERS
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason

RULES = load_rules()
TODAY = date(2026, 11, 16)
NOW = start_of(TODAY) + 36_000_000
KOFFI, BRICE = "0000000001", "0000000006"


def enter(tx: sa.Connection, number: int = 1, **changes: str) -> Employer:
    """Enter an employer."""
    values = {
        "name": f"Zinsou & fils {number}",
        "ifu": f"320259{number:05d}12",
        "rccm": f"RB/COT/25 B {900000 + number}",
        "cnss_employer_no": f"900{number:05d}",
        "sector": "Commerce",
        "inspectorate_code": "LI",
        "registered_on": "2025-03-01",
        **changes,
    }
    return add_employer(tx, **values)


def contract(tx: sa.Connection, employer: Employer, **changes: str | int | None) -> None:
    """Enter a contract that has its visa."""
    values: dict[str, str | int | None] = {
        "reference": f"DGT-202601-{employer.id:04d}",
        "employer_id": employer.id,
        "worker_npi": KOFFI,
        "worker_name": "ADJOVI KOFFI",
        "work_permit_no": "",
        "type": "cdd",
        "post": "Comptable",
        "signed_on": "2026-01-05",
        "start_date": "2026-02-01",
        "end_date": "2027-01-31",
        "left_on": "",
        "is_full_time": True,
        "salary_xof": 80_000,
        "is_fit": True,
        "contract_sha256": "0" * 64,
        "state": "vised",
        "visa_no": f"VISA-202601-{employer.id:04d}",
        "changed_at": start_of(date(2026, 1, 20)),
        **changes,
    }
    tx.execute(CONTRACTS.insert(), values)


def test_an_employer_is_found_by_each_of_its_numbers(store: Store) -> None:
    """The number of the trade register with or without its blanks."""
    with store.writing() as tx:
        entered = enter(tx)
        other = enter(tx, 2)

    with store.reading() as tx:
        assert employer_of(tx, entered.id) == entered
        assert find_by_ifu(tx, entered.ifu) == entered
        assert find_by_cnss(tx, entered.cnss_employer_no) == entered
        for rccm in (entered.rccm, entered.rccm.replace(" ", "")):
            assert find_by_rccm(tx, rccm) == entered
        assert find_by_ifu(tx, other.ifu) == other != entered
        assert find_by_cnss(tx, "9999999") is None
    assert (entered.headcount, entered.contributions) == ("", "UNKNOWN")
    assert entered.name not in repr(entered)


def test_numbers_that_an_employer_lacks_are_nobodys(store: Store) -> None:
    """Two employers without a number at the CNSS are two, and an empty number finds neither."""
    with store.writing() as tx:
        for number in (1, 2):
            assert enter(tx, number, cnss_employer_no="", rccm="").cnss_employer_no == ""

        assert find_by_cnss(tx, "") is find_by_rccm(tx, "") is None


def test_an_employer_is_entered_once(store: Store) -> None:
    """Whoever enters it again gets the one that is there."""
    with store.writing() as tx:
        first = enter(tx)

        assert enter(tx, name="Un autre nom", cnss_employer_no="", rccm="") == first


def test_an_employer_without_tax_number_gets_it(store: Store) -> None:
    """Known by another number before; one who has another tax number is somebody else."""
    with store.writing() as tx:
        first = enter(tx)
        tx.execute(EMPLOYERS.update().values(ifu=None))

        assert enter(tx, cnss_employer_no="9999999") == first
        with pytest.raises(ProviderError) as refused:
            enter(tx, ifu="3202590000212")

    assert refused.value.reason is ProviderReason.IDENTITY_MISMATCH


def test_a_dispute_is_open_until_it_is_closed(store: Store) -> None:
    """One that is closed hinders nothing."""
    with store.writing() as tx:
        employer = enter(tx)
        tx.execute(
            DISPUTES.insert(),
            {"employer_id": employer.id, "opened_on": "2025-01-01", "closed_on": "2025-06-30"},
        )
        assert not has_open_dispute(tx, employer.id)
        tx.execute(
            DISPUTES.insert(), {"employer_id": employer.id, "opened_on": "2026-01-01", "closed_on": ""}
        )
        assert has_open_dispute(tx, employer.id)


def test_somebody_unknown_has_no_work(store: Store) -> None:
    """And nothing about him ever changed."""
    with store.reading() as tx:
        assert employment_of(tx, KOFFI, TODAY) == Employment(False, 0, 0, ())


@pytest.mark.parametrize(
    ("changes", "employed", "open_contracts", "changed"),
    [
        ({}, True, 1, date(2026, 2, 1)),
        ({"end_date": "2026-11-16"}, True, 1, date(2026, 2, 1)),
        ({"end_date": "2026-11-15"}, False, 0, date(2026, 11, 16)),
        ({"left_on": "2026-06-30", "changed_at": start_of(date(2026, 7, 2))}, False, 0, date(2026, 7, 2)),
        ({"start_date": "2026-12-01"}, False, 1, date(2026, 1, 20)),
        ({"type": "cdi", "end_date": ""}, True, 1, date(2026, 2, 1)),
        ({"state": "filed", "visa_no": None}, False, 0, None),
        ({"state": "closed", "visa_no": None}, False, 0, None),
    ],
)
def test_a_contract_is_work_from_its_first_day_to_its_last(
    store: Store,
    changes: dict[str, str | int | None],
    employed: bool,
    open_contracts: int,
    changed: date | None,
) -> None:
    """Only one that has its visa; one that begins later is open already."""
    with store.writing() as tx:
        employer = enter(tx)
        contract(tx, employer, **changes)

        found = employment_of(tx, KOFFI, TODAY)

    assert (found.is_employed, found.open_contracts) == (employed, open_contracts)
    assert found.changed_at_ms == (start_of(changed) if changed else 0)
    assert found.employers == ((employer.name,) if employed else ())


def test_a_hiring_is_work_and_a_contract_with_the_same_employer_is_the_same_work(store: Store) -> None:
    """Counted by worker, not by his numbers at the CNSS: one in a hundred has two."""
    with store.writing() as tx:
        one, other = enter(tx, 1), enter(tx, 2)
        contract(tx, one)
        for number, employer in (("90000001", one), ("90000002", other)):
            affiliate(tx, number, KOFFI)
            assert hire(
                tx,
                employer_id=employer.id,
                npi=KOFFI,
                cnss_worker_no=number,
                day=date(2026, 3, 1),
                late=False,
                now_ms=NOW,
            )

        found = employment_of(tx, KOFFI, TODAY)

    assert (found.open_contracts, found.employers) == (2, (one.name, other.name))


def test_a_hiring_is_entered_once_until_the_worker_leaves(store: Store) -> None:
    """Told again, be it under his other number, it changes nothing; after he left he may be hired again."""
    with store.writing() as tx:
        employer = enter(tx)
        contract(tx, employer)

        def tell(day: date, number: str = "") -> bool:
            return hire(
                tx,
                employer_id=employer.id,
                npi=KOFFI,
                cnss_worker_no=number,
                day=day,
                late=False,
                now_ms=NOW,
            )

        assert tell(date(2026, 2, 1))
        assert not tell(date(2026, 2, 1))
        assert not tell(date(2026, 2, 2), "90000009")
        leave(tx, employer_id=employer.id, npi=KOFFI, day=date(2026, 10, 31), late=True, now_ms=NOW)
        assert employment_of(tx, KOFFI, TODAY) == Employment(False, 0, NOW, ())
        assert tell(date(2026, 11, 2))
        assert employment_of(tx, KOFFI, TODAY).open_contracts == 1
        lates = tx.execute(sa.select(HIRINGS.c.is_leave_late).order_by(HIRINGS.c.hired_on)).scalars().all()
        assert lates == [True, False]


def test_nobody_leaves_whom_nobody_hired(store: Store) -> None:
    """Nor does he leave twice, or before he came."""
    with store.writing() as tx:
        employer = enter(tx)
        hire(
            tx,
            employer_id=employer.id,
            npi=KOFFI,
            cnss_worker_no="",
            day=date(2026, 3, 1),
            late=False,
            now_ms=NOW,
        )
        with pytest.raises(InvalidFieldsError) as early:
            leave(tx, employer_id=employer.id, npi=KOFFI, day=date(2026, 2, 28), late=False, now_ms=NOW)
        assert set(early.value.violations) == {"left_on"}
        leave(tx, employer_id=employer.id, npi=KOFFI, day=date(2026, 3, 1), late=False, now_ms=NOW)
        for npi in (KOFFI, BRICE):
            with pytest.raises(ProviderError) as refused:
                leave(tx, employer_id=employer.id, npi=npi, day=date(2026, 3, 2), late=False, now_ms=NOW)
            assert refused.value.reason is ProviderReason.NOT_FOUND


def test_a_number_at_the_cnss_is_one_workers(store: Store) -> None:
    """A worker may have two, a number has one worker."""
    with store.writing() as tx:
        for number in ("90000001", "90000002", "90000001"):
            affiliate(tx, number, KOFFI)

        with pytest.raises(ProviderError) as refused:
            affiliate(tx, "90000001", BRICE)

    assert refused.value.reason is ProviderReason.IDENTITY_MISMATCH


@pytest.mark.parametrize(
    ("day", "last_moment"),
    [
        (date(2026, 11, 16), date(2026, 11, 19)),
        (date(2026, 11, 20), date(2026, 11, 25)),
        (date(2026, 11, 21), date(2026, 11, 25)),
        (date(2026, 12, 24), date(2026, 12, 30)),
    ],
)
def test_a_notice_is_late_after_48_working_hours(day: date, last_moment: date) -> None:
    """From the end of the day: Monday's by Wednesday night, Friday's and Saturday's by Tuesday night."""
    calendar = Calendar.load()
    end = start_of(last_moment)

    assert not is_late(day, start_of(day) - 86_400_000, calendar, RULES)
    assert not is_late(day, end, calendar, RULES)
    assert is_late(day, end + 1, calendar, RULES)


def seek(tx: sa.Connection, npi: str = KOFFI, today: date = TODAY) -> Seeker:
    """Enter a job seeker."""
    return register_seeker(
        tx,
        npi=npi,
        diploma="BAC",
        occupation_code="M1607",
        commune_code="LI-COT",
        today=today,
        rules=RULES,
    )


def test_a_job_seeker_stays_on_the_list_for_six_months(store: Store) -> None:
    """Found by either number until the last day, and then no more."""
    with store.writing() as tx:
        entry = seek(tx)

        assert (entry.seeker_no, entry.valid_until) == ("DE-2026-000001", "2027-05-16")
        for day, found in ((date(2027, 5, 16), entry), (date(2027, 5, 17), None)):
            assert find_by_npi(tx, KOFFI, day) == find_by_number(tx, entry.seeker_no, day) == found


def test_nobody_is_on_the_list_twice(store: Store) -> None:
    """Whoever comes back afterwards gets a new number, and the former one finds nobody."""
    with store.writing() as tx:
        first = seek(tx)
        assert seek(tx, BRICE).seeker_no == "DE-2026-000002"

    with pytest.raises(ProviderError) as refused, store.writing() as tx:
        seek(tx, today=date(2027, 5, 16))

    assert refused.value.reason is ProviderReason.DUPLICATE_REQUEST
    with store.writing() as tx:
        again = seek(tx, today=date(2027, 5, 17))
        assert again.seeker_no == "DE-2027-000001"
        assert find_by_number(tx, first.seeker_no, date(2027, 5, 1)) is None
        assert tx.execute(sa.select(sa.func.count()).select_from(SEEKERS)).scalar_one() == 2


def test_the_database_itself_keeps_numbers_and_states_together(store: Store) -> None:
    """No contract has a visa without its number, or the number of another's."""
    with store.writing() as tx:
        employer = enter(tx)
    for changes in ({"visa_no": None}, {"state": "closed"}, {"state": "lost", "visa_no": None}):
        with pytest.raises(sa.exc.IntegrityError), store.writing() as tx:
            contract(tx, employer, **changes)


def test_migrations_end_at_the_schema_that_the_code_uses(database: str, store: Store) -> None:
    """What Alembic built is what the tables in the code say."""
    with sa.create_engine(database).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)

    assert differences == []


def test_an_entry_shows_no_number_in_a_log() -> None:
    """Whoever prints a job seeker prints nobody's personal number."""
    entry = Seeker("DE-2026-000001", KOFFI, "", "M1607", "LI-COT", "2027-05-16")

    assert KOFFI not in repr(replace(entry))
