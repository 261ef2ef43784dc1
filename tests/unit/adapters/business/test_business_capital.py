"""Shares sum to the capital, and each form has the partners that it may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.business.capital import Share, capital_violations
from adapters.business.forms import FORMS, LegalForm
from bj.business.v1 import business_pb2 as pb

KOFFI, AFI = "0000000001", "0000000021"
_AMOUNTS = st.lists(st.integers(1, 10**9), min_size=2, max_size=20)


def shares(*amounts: int) -> list[Share]:
    """Partners with these shares."""
    return [Share(f"{number:010d}", amount) for number, amount in enumerate(amounts, 1)]


@given(_AMOUNTS)
def test_shares_that_sum_to_the_capital_are_taken(amounts: list[int]) -> None:
    """Whatever the shares."""
    assert capital_violations(pb.LEGAL_FORM_SARL, sum(amounts), shares(*amounts), [KOFFI]) == {}


@given(_AMOUNTS, st.integers(-(10**6), 10**6).filter(bool))
def test_shares_that_sum_to_anything_else_are_refused(amounts: list[int], off: int) -> None:
    """A franc more or less is an error in the statutes."""
    capital = max(0, sum(amounts) + off)

    assert "capital_xof" in capital_violations(pb.LEGAL_FORM_SARL, capital, shares(*amounts), [KOFFI])


@pytest.mark.parametrize(
    ("legal_form", "amounts"),
    [
        (pb.LEGAL_FORM_SARL, (1_000_000,)),
        (pb.LEGAL_FORM_SARLU, (500_000, 500_000)),
        (pb.LEGAL_FORM_SARLU, ()),
        (pb.LEGAL_FORM_SNC, (1_000_000,)),
        (pb.LEGAL_FORM_COOP, (1, 1, 1, 1)),
        (pb.LEGAL_FORM_EI, (100,)),
        (pb.LEGAL_FORM_SAS, ()),
    ],
)
def test_a_form_has_the_partners_that_it_may_have(legal_form: LegalForm, amounts: tuple[int, ...]) -> None:
    """One for a SARLU, two or more for a SARL, none for a sole trader."""
    found = capital_violations(legal_form, sum(amounts), shares(*amounts), [KOFFI])

    assert found["partners"].startswith(FORMS[legal_form].abbreviation)


def test_a_sole_trader_is_alone_and_has_no_capital() -> None:
    """He is the firm."""
    assert capital_violations(pb.LEGAL_FORM_EI, 0, [], [KOFFI]) == {}
    assert set(capital_violations(pb.LEGAL_FORM_EI, 5, [], [KOFFI, AFI])) == {"capital_xof", "managers"}


def test_an_sa_has_the_capital_that_ohada_asks_of_it() -> None:
    """Ten million."""
    assert capital_violations(pb.LEGAL_FORM_SA, 10_000_000, shares(10_000_000), [KOFFI]) == {}
    assert "capital_xof" in capital_violations(pb.LEGAL_FORM_SA, 9_999_999, shares(9_999_999), [KOFFI])


def test_nobody_stands_twice_or_brings_in_nothing() -> None:
    """A doubled partner is a misprint, an empty share no share."""
    twice = [Share(KOFFI, 5), Share(KOFFI, 5)]

    assert "partners" in capital_violations(pb.LEGAL_FORM_SARL, 10, twice, [KOFFI])
    assert "partners" in capital_violations(pb.LEGAL_FORM_SARL, 10, shares(10, 0), [KOFFI])
    assert "managers" in capital_violations(pb.LEGAL_FORM_SARL, 10, shares(5, 5), [KOFFI, KOFFI])


def test_members_of_a_group_without_capital_bring_in_nothing() -> None:
    """A GIE may have none."""
    assert capital_violations(pb.LEGAL_FORM_GIE, 0, shares(0, 0), [KOFFI]) == {}


def test_refusals_name_fields_and_rules_and_nobody() -> None:
    """They reach logs and counters."""
    told = str(capital_violations(pb.LEGAL_FORM_SARL, 11, [Share(KOFFI, 10)], [AFI, AFI]))

    assert KOFFI not in told
    assert AFI not in told
