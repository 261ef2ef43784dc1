"""Which contracts the ministry takes: SMIG, terms, apprentices, foreigners, and what only warns."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.labour.contract import (
    Caution,
    Contract,
    ContractKind,
    Permit,
    Term,
    apprentice_faults,
    cautions,
    contract_faults,
    foreigner_faults,
    permit_faults,
)
from adapters.labour.days import add_months, add_years, earliest, parse_day, start_of
from adapters.labour.ruleset import DEFAULT_RULES, load_rules, rules_of
from adapters.settings import AdapterSettings
from rpc.settings import SettingsError

RULES = load_rules()
DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))
TERMS = st.builds(
    lambda start, days: Term(start, None if days is None else start + timedelta(days)),
    DAYS,
    st.none() | st.integers(1, 4000),
)
CDI = Contract(ContractKind.CDI, date(2026, 11, 2), Term(date(2026, 12, 1), None), 80_000)
CDD = replace(CDI, kind=ContractKind.CDD, term=Term(date(2026, 12, 1), date(2027, 11, 30)))
APPRENTICE = replace(CDD, kind=ContractKind.APPRENTICESHIP)


def test_a_sound_contract_of_each_kind_has_no_fault() -> None:
    """The plain case, so that the others fail for their own reason."""
    assert contract_faults(CDI, RULES) == {}
    for kind in set(ContractKind) - {ContractKind.CDI}:
        assert contract_faults(replace(CDD, kind=kind), RULES) == {}


@pytest.mark.parametrize(
    ("signed_on", "salary", "fields"),
    [
        (date(2022, 12, 31), 40_000, set()),
        (date(2022, 12, 31), 39_999, {"salary_xof"}),
        (date(2023, 1, 1), 52_000, set()),
        (date(2023, 1, 1), 51_999, {"salary_xof"}),
        (date(2023, 1, 1), 40_000, {"salary_xof"}),
        (date(1990, 1, 1), 40_000, set()),
    ],
)
def test_the_smig_of_the_day_of_signature_counts(signed_on: date, salary: int, fields: set[str]) -> None:
    """Not that of the day of filing or of the first day of work."""
    faults = contract_faults(replace(CDI, signed_on=signed_on, salary_xof=salary), RULES)

    assert set(faults) == fields
    assert str(salary) not in str(faults)


@given(DAYS, DAYS)
def test_the_smig_never_falls(one: date, other: date) -> None:
    """A later signature never lowers it."""
    assert RULES.smig_on(min(one, other)) <= RULES.smig_on(max(one, other))


@pytest.mark.parametrize("kind", [ContractKind.CDD, ContractKind.SEASONAL, ContractKind.APPRENTICESHIP])
def test_a_contract_for_a_term_needs_an_end(kind: ContractKind) -> None:
    """Without it nobody knows when the worker is free."""
    assert set(contract_faults(replace(CDI, kind=kind), RULES)) == {"end_date"}


def test_a_contract_without_term_has_no_end() -> None:
    """Said twice, it would be said in two ways."""
    assert set(contract_faults(replace(CDD, kind=ContractKind.CDI), RULES)) == {"end_date"}


@pytest.mark.parametrize("days", [0, -1])
def test_the_end_is_after_the_start(days: int) -> None:
    """A contract of no day, or of fewer, is none."""
    term = Term(CDD.term.start, CDD.term.start + timedelta(days))

    assert set(contract_faults(replace(CDD, term=term), RULES)) == {"end_date"}


def test_an_apprenticeship_lasts_four_years_at_most() -> None:
    """Other contracts for a term may last longer."""
    last = date(2030, 12, 1)

    for end, fields in ((last, set()), (last + timedelta(1), {"end_date"})):
        term = Term(date(2026, 12, 1), end)
        assert set(contract_faults(replace(APPRENTICE, term=term), RULES)) == fields
        assert contract_faults(replace(CDD, term=term), RULES) == {}


@pytest.mark.parametrize(
    ("birth_date", "fields"),
    [
        ("2012-12-01", set()),
        ("2012-12-02", {"worker_npi"}),
        ("2012-12", set()),
        ("2012", set()),
        ("2013-01", {"worker_npi"}),
        ("2013", {"worker_npi"}),
        ("", set()),
    ],
)
def test_an_apprentice_is_fourteen_at_the_start(birth_date: str, fields: set[str]) -> None:
    """Whose day of birth is not known to the day passes if he may be old enough: the officer sees him."""
    faults = apprentice_faults(APPRENTICE, birth_date, RULES)

    assert set(faults) == fields
    assert birth_date == "" or birth_date not in str(faults)
    assert apprentice_faults(CDD, birth_date, RULES) == {}


@given(DAYS)
def test_an_apprentice_becomes_old_enough_and_stays_so(born: date) -> None:
    """There is one day from which he may start."""
    first = add_years(born, 14)

    for day, is_refused in ((first - timedelta(1), True), (first, False), (first + timedelta(400), False)):
        contract = replace(APPRENTICE, term=Term(day, None))
        assert bool(apprentice_faults(contract, born.isoformat(), RULES)) is is_refused


PERMIT = Permit("PT-2026-0001", "0000000016", Term(date(2026, 6, 1), date(2027, 5, 31)))


@pytest.mark.parametrize(
    ("start", "is_refused"),
    [
        (date(2026, 5, 31), True),
        (date(2026, 6, 1), False),
        (date(2027, 5, 31), False),
        (date(2027, 6, 1), True),
    ],
)
def test_a_permit_is_in_force_on_the_first_day_of_work(start: date, is_refused: bool) -> None:
    """From its first day to its last, both included."""
    assert bool(permit_faults(PERMIT, {PERMIT.npi}, start)) is is_refused


def test_somebody_elses_permit_reads_as_none() -> None:
    """Whether a number is anybody's is not told."""
    start = date(2026, 7, 1)

    assert permit_faults(PERMIT, {"0000000001"}, start) == permit_faults(None, {"0000000001"}, start) != {}
    assert permit_faults(PERMIT, {"0000000001", PERMIT.npi}, start) == {}


def test_a_foreigner_has_contracts_for_a_term_in_his_first_two_years() -> None:
    """Counted from his first permit."""
    first = date(2026, 6, 1)

    assert set(foreigner_faults(Term(date(2028, 5, 31), None), first, RULES)) == {"end_date"}
    assert foreigner_faults(Term(date(2028, 6, 1), None), first, RULES) == {}
    assert foreigner_faults(Term(first, date(2027, 5, 31)), first, RULES) == {}


@given(TERMS, TERMS)
def test_terms_overlap_each_other(one: Term, other: Term) -> None:
    """Whoever is asked says the same, and it is so exactly if the later start lies in both."""
    later = max(one.start, other.start)

    assert one.overlaps(other) is other.overlaps(one)
    assert one.overlaps(other) is (one.holds(later) and other.holds(later))


def test_only_an_overlapping_contract_for_a_term_is_warned_of() -> None:
    """One without term that runs on, or one that ends the day before, is not."""
    eve = CDD.term.start - timedelta(1)

    def warned(*others: Term) -> list[Caution]:
        return cautions(CDD, others=list(others), contributions_late=False, today=date(2026, 11, 20))

    assert warned() == warned(Term(date(2020, 1, 1), None)) == warned(Term(date(2020, 1, 1), eve)) == []
    assert warned(Term(eve, eve), Term(eve, CDD.term.start)) == [Caution.OVERLAPPING_CONTRACT]


def test_late_contributions_and_a_start_that_is_past_are_warned_of() -> None:
    """All warnings together, in the order of the proto."""
    found = cautions(CDD, others=[CDD.term], contributions_late=True, today=CDD.term.start + timedelta(1))

    assert found == list(Caution)
    assert cautions(CDD, others=[], contributions_late=False, today=CDD.term.start) == []


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        (date(2026, 11, 28), 3, date(2027, 2, 28)),
        (date(2026, 11, 30), 3, date(2027, 3, 1)),
        (date(2024, 2, 29), 12, date(2025, 3, 1)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2026, 12, 31), 6, date(2027, 7, 1)),
        (date(2026, 12, 31), 0, date(2026, 12, 31)),
    ],
)
def test_months_are_counted_by_the_calendar(day: date, months: int, later: date) -> None:
    """A day that the month lacks is the first of the next."""
    assert add_months(day, months) == later


@given(st.integers(0, 4_000_000_000_000))
def test_the_day_at_the_ministry_holds_its_instants(now_ms: int) -> None:
    """An hour before UTC: what is filed at half past eleven in the evening UTC is of the next day."""
    day = day_of(now_ms)

    assert start_of(day) <= now_ms < start_of(day + timedelta(1))
    assert start_of(day) % 86_400_000 == 23 * 3_600_000


def test_days_that_the_calendar_lacks_are_refused() -> None:
    """The proto's rule judges the form only."""
    assert parse_day("2024-02-29") == date(2024, 2, 29)
    with pytest.raises(ValueError, match="day"):
        parse_day("2026-02-29")
    assert (earliest("1954"), earliest("1979-08")) == (date(1954, 1, 1), date(1979, 8, 1))


def test_an_adapter_goes_by_the_rules_that_its_settings_name(tmp_path: Path) -> None:
    """Or by the ministry's own; a file that is not there ends its start."""
    path = tmp_path / "rules.toml"
    path.write_text(DEFAULT_RULES.read_text(encoding="utf-8").replace("52_000", "60_000"), encoding="utf-8")

    def smig(rules: str) -> int:
        settings = AdapterSettings(
            adapter="labour",
            subsystem="BJ/GOV/MTFP/TRAVAIL",
            gateways=("BJ/GOV/MTFP/gw1",),
            database="sqlite://",
            rules=rules,
        )
        return rules_of(cast(Desk, SimpleNamespace(settings=settings))).smig_on(date(2026, 1, 1))

    assert (smig(""), smig(str(path))) == (52_000, 60_000)
    with pytest.raises(SettingsError):
        smig(str(tmp_path / "none.toml"))


def test_rules_are_data_and_judged_when_read(tmp_path: Path) -> None:
    """A correction is a line of the file; a file that cannot be meant is refused with its place."""
    text = DEFAULT_RULES.read_text(encoding="utf-8")
    path = tmp_path / "rules.toml"
    path.write_text(text.replace("52_000", "60_000"), encoding="utf-8")
    assert load_rules(path).smig_on(date(2026, 1, 1)) == 60_000

    for wrong in (text.replace("2023-01-01", "1997-01-01"), text + "\n[surprise]\n", "smig = []"):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(SettingsError):
            load_rules(path)
