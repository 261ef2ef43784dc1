"""What a transfer costs: the scale of ANDF, to the franc."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kit.scale import Bracket, Scale

ANDF = Scale(
    brackets=(
        Bracket(up_to_xof=10_000_000, per_mille=3),
        Bracket(up_to_xof=50_000_000, flat_xof=30_000),
        Bracket(per_mille=5),
    ),
    plus_xof=500,
)


@pytest.mark.parametrize(
    ("price", "fee"),
    [
        (1, 501),
        (1_000_000, 3_500),
        (10_000_000, 30_500),
        (10_000_001, 30_500),
        (50_000_000, 30_500),
        (50_000_001, 250_501),
        (60_000_000, 300_500),
        (1_000_000_000_000, 5_000_000_500),
    ],
)
def test_the_fee_is_that_of_the_scale(price: int, fee: int) -> None:
    """The values of DOMAIN 5.2; what is less than a franc is rounded up."""
    assert ANDF.fee_xof(price) == fee


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_a_dearer_parcel_never_costs_less(price: int, more: int) -> None:
    """Nobody saves by declaring a higher price."""
    assert ANDF.fee_xof(price) <= ANDF.fee_xof(price + more)


@given(st.integers(1, 10**12))
def test_a_fee_is_never_short_of_its_rate_nor_a_franc_above_it(price: int) -> None:
    """Whole francs, rounded up once: no float comes near an amount."""
    thousandths = (ANDF.fee_xof(price) - 500) * 1000
    exact = price * 3 if price <= 10**7 else 30_000_000 if price <= 5 * 10**7 else price * 5

    assert exact <= thousandths < exact + 1000


@pytest.mark.parametrize(
    "brackets",
    [
        (),
        (Bracket(up_to_xof=5, flat_xof=1),),
        (Bracket(flat_xof=1), Bracket(flat_xof=2)),
        (Bracket(up_to_xof=5, flat_xof=1), Bracket(up_to_xof=5, flat_xof=2), Bracket(flat_xof=3)),
        (Bracket(up_to_xof=9, flat_xof=1), Bracket(up_to_xof=5, flat_xof=2), Bracket(flat_xof=3)),
    ],
)
def test_a_scale_with_holes_is_none(brackets: tuple[Bracket, ...]) -> None:
    """A price that no bracket, or two, would charge is found when the catalogue is read."""
    with pytest.raises(ValueError):
        Scale(brackets=brackets)


@pytest.mark.parametrize("fields", [{}, {"flat_xof": 1, "per_mille": 1}, {"flat_xof": -1}])
def test_a_bracket_says_one_thing(fields: dict[str, int]) -> None:
    """A sum or a rate, and neither below zero."""
    with pytest.raises(ValueError):
        Bracket(**fields)
