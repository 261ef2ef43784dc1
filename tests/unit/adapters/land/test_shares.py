"""Shares are exact: nothing is lost or made by a sale, whoever sells how much to whom."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.land.parties import Party, PartyKind
from adapters.land.shares import (
    MAX_PARTS,
    WHOLE,
    Capacity,
    Holding,
    NotHeldError,
    TooFineError,
    require_whole,
    sell,
    share_of,
)

AFI, BIO, CODJO = (Party(PartyKind.PERSON, f"000000000{number}") for number in (1, 2, 3))
FIRM = Party(PartyKind.FIRM, "3202590000100")
PARTIES = (AFI, BIO, CODJO, FIRM)


def owner(party: Party, numerator: int = 1, denominator: int = 1) -> Holding:
    """A plain owner."""
    return Holding(party, Fraction(numerator, denominator), Capacity.OWNER)


@st.composite
def co_owned(draw: st.DrawFn) -> tuple[Holding, ...]:
    """A parcel whose owned shares sum to the whole, perhaps with a usufruct on it."""
    parts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    owning = st.sampled_from([Capacity.OWNER, Capacity.BARE_OWNER, Capacity.HEIR])
    holdings = [
        Holding(draw(st.sampled_from(PARTIES)), Fraction(part, sum(parts)), draw(owning)) for part in parts
    ]
    if draw(st.booleans()):
        holdings.append(Holding(draw(st.sampled_from(PARTIES)), WHOLE, Capacity.USUFRUCT))
    return tuple(holdings)


@given(co_owned(), st.sampled_from(PARTIES), st.sampled_from(PARTIES), st.fractions(0, 1, max_denominator=30))
def test_a_sale_moves_what_is_sold_and_nothing_else(
    holdings: tuple[Holding, ...], seller: Party, buyer: Party, part: Fraction
) -> None:
    """The whole stays the whole; the seller has less by what the buyer has more; others do not notice."""
    owned = share_of(holdings, seller)
    sold = owned * part
    assume(seller != buyer and sold > 0)

    after = sell(holdings, seller, buyer, sold)

    require_whole(after)
    assert share_of(after, seller) == owned - sold
    assert share_of(after, buyer) == share_of(holdings, buyer) + sold
    for other in set(PARTIES) - {seller, buyer}:
        assert share_of(after, other) == share_of(holdings, other)
    assert [h for h in after if h.capacity is Capacity.USUFRUCT] == [
        h for h in holdings if h.capacity is Capacity.USUFRUCT
    ]
    assert len({(h.party, h.capacity) for h in after}) == len(after)


@given(co_owned(), st.sampled_from(PARTIES), st.fractions(0, 2, max_denominator=60))
def test_nobody_sells_more_than_he_holds(
    holdings: tuple[Holding, ...], seller: Party, share: Fraction
) -> None:
    """Nor nothing, nor to himself."""
    buyer = Party(PartyKind.PERSON, "0000000099")
    assume(share == 0 or share > share_of(holdings, seller))

    with pytest.raises(NotHeldError):
        sell(holdings, seller, buyer, share)
    with pytest.raises(NotHeldError):
        sell(holdings, seller, seller)


def test_a_sole_owner_who_sells_all_is_gone() -> None:
    """No share given: all that the seller owns."""
    assert sell((owner(AFI),), AFI, BIO) == (owner(BIO),)


def test_a_half_of_a_half_leaves_a_quarter() -> None:
    """Shares are parts of the whole parcel, not of what the seller holds."""
    after = sell((owner(AFI, 1, 2), owner(BIO, 1, 2)), AFI, FIRM, Fraction(1, 4))

    assert set(after) == {owner(AFI, 1, 4), owner(BIO, 1, 2), owner(FIRM, 1, 4)}


def test_who_buys_the_rest_owns_one_share() -> None:
    """What he had and what he bought are joined."""
    assert sell((owner(AFI, 1, 3), owner(BIO, 2, 3)), AFI, BIO) == (owner(BIO),)


def test_what_an_heir_sells_is_owned_and_what_is_held_barely_stays_bare() -> None:
    """A buyer inherits nothing, and buys no usufruct that the seller does not have."""
    heir = Holding(AFI, Fraction(1, 2), Capacity.HEIR)
    bare = Holding(BIO, Fraction(1, 2), Capacity.BARE_OWNER)
    burden = Holding(CODJO, WHOLE, Capacity.USUFRUCT)

    after = sell((heir, bare, burden), AFI, FIRM)
    after = sell(after, BIO, CODJO)

    assert set(after) == {owner(FIRM, 1, 2), Holding(CODJO, Fraction(1, 2), Capacity.BARE_OWNER), burden}


def test_whoever_only_uses_a_parcel_owns_nothing_of_it() -> None:
    """A usufruct or a lease is no share to be sold."""
    for capacity in (Capacity.USUFRUCT, Capacity.LONG_LEASE):
        holdings = (owner(AFI), Holding(BIO, WHOLE, capacity))

        assert share_of(holdings, BIO) == 0
        with pytest.raises(NotHeldError):
            sell(holdings, BIO, CODJO)


def test_parts_finer_than_the_register_writes_are_refused() -> None:
    """The register is never rounded."""
    with pytest.raises(TooFineError):
        sell((owner(AFI, 1, 999_983), owner(BIO, 999_982, 999_983)), AFI, FIRM, Fraction(1, 999_983 * 2))
    assert sell((owner(AFI),), AFI, BIO, Fraction(1, MAX_PARTS))


@pytest.mark.parametrize("share", [Fraction(0), Fraction(-1, 2), Fraction(3, 2)])
def test_a_share_is_more_than_nothing_and_at_most_the_whole(share: Fraction) -> None:
    """As the proto demands of a request."""
    with pytest.raises(ValueError):
        Holding(AFI, share, Capacity.OWNER)


@pytest.mark.parametrize("holdings", [(), (owner(AFI, 1, 2),), (owner(AFI), owner(BIO, 1, 9))])
def test_shares_that_are_not_the_whole_are_found(holdings: tuple[Holding, ...]) -> None:
    """Too little or too much."""
    with pytest.raises(ValueError):
        require_whole(holdings)


def test_a_party_does_not_show_its_number() -> None:
    """Neither in a log line nor in the text of an error."""
    assert AFI.number not in repr(owner(AFI))
