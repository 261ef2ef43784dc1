"""What stands against a sale, and what a claim of ownership is answered."""

from fractions import Fraction
from itertools import product

import pytest

from adapters.land.blocking import Blocking, Ownership, Standing, blocking_reasons, ownership
from adapters.land.parties import Party, PartyKind
from adapters.land.shares import WHOLE, Capacity, Holding
from bj.land.v1 import parcel_pb2

AFI, BIO, CODJO = (Party(PartyKind.PERSON, f"000000000{number}") for number in (1, 2, 3))
CLEAR = Standing(is_titled=True)


def test_a_titled_parcel_without_anything_against_it_can_be_sold() -> None:
    """So can, exceptionally, one with a certificate of belonging."""
    assert blocking_reasons(CLEAR) == ()
    assert blocking_reasons(Standing(has_certificate=True)) == ()


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (Standing(), Blocking.NO_TITLE),
        (Standing(is_titled=True, is_opposable=True), Blocking.OPPOSITION_OPEN),
        (Standing(is_titled=True, is_disputed=True), Blocking.DISPUTE),
        (Standing(is_titled=True, is_mortgaged=True), Blocking.MORTGAGE),
        (Standing(is_titled=True, has_transfer=True), Blocking.TRANSFER_PENDING),
        (Standing(is_titled=True, has_deceased_holder=True), Blocking.HOLDER_DECEASED),
        (Standing(is_titled=True, is_superseded=True), Blocking.SUPERSEDED),
    ],
)
def test_each_thing_alone_is_its_own_reason(standing: Standing, reason: Blocking) -> None:
    """One fact, one reason."""
    assert blocking_reasons(standing) == (reason,)


def test_all_that_stands_against_a_sale_is_told_at_once() -> None:
    """A buyer who settles one thing is not sent back for the next."""
    for facts in product((False, True), repeat=8):
        reasons = blocking_reasons(Standing(*facts))
        titled, certified, *others = facts

        assert len(reasons) == (not titled and not certified) + sum(others)
        assert list(reasons) == sorted(reasons, key=list(Blocking).index)


def test_reasons_and_results_are_those_of_the_proto() -> None:
    """A name that the proto lacks could not be sent."""
    values = parcel_pb2.BlockingReason.values()
    assert [parcel_pb2.BlockingReason.Value(f"BLOCKING_REASON_{reason}") for reason in Blocking] == values[1:]
    assert {f"OWNERSHIP_RESULT_{result}" for result in Ownership} < set(parcel_pb2.OwnershipResult.keys())
    assert {f"HOLDER_CAPACITY_{one}" for one in Capacity} < set(parcel_pb2.HolderCapacity.keys())


def test_a_claim_is_answered_by_shares() -> None:
    """Alone, with others, not at all, or nobody knows."""
    half = Holding(AFI, Fraction(1, 2), Capacity.OWNER)
    other = Holding(BIO, Fraction(1, 2), Capacity.HEIR)
    burden = Holding(CODJO, WHOLE, Capacity.USUFRUCT)

    assert ownership([Holding(AFI, WHOLE, Capacity.OWNER)], AFI) is Ownership.YES
    assert ownership([half, Holding(AFI, Fraction(1, 2), Capacity.BARE_OWNER)], AFI) is Ownership.YES
    assert ownership([half, other, burden], BIO) is Ownership.CO_OWNER
    assert ownership([half, other, burden], CODJO) is Ownership.NO
    assert ownership([], AFI) is Ownership.UNKNOWN
