"""Shares in a right: exact fractions that are sold, joined, and never lost.

What is owned of a parcel (by owners, bare owners and heirs) sums to the whole, before a sale and after it.
Usufructs and long leases burden the whole and are no part of that sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from adapters.land.parties import Party

WHOLE: Final = Fraction(1)
# What ``bj.land.v1.Share`` can say.
MAX_PARTS: Final = 1_000_000


class Capacity(StrEnum):
    """As what somebody holds; named as in ``bj.land.v1.HolderCapacity``."""

    OWNER = "OWNER"
    USUFRUCT = "USUFRUCT"
    BARE_OWNER = "BARE_OWNER"
    HEIR = "HEIR"
    LONG_LEASE = "LONG_LEASE"


OWNING: Final = frozenset({Capacity.OWNER, Capacity.BARE_OWNER, Capacity.HEIR})


@dataclass(frozen=True, slots=True)
class Holding:
    """What one party holds of one parcel in one capacity."""

    party: Party
    share: Fraction
    capacity: Capacity

    def __post_init__(self) -> None:
        if not 0 < self.share <= WHOLE:
            raise ValueError("a share is more than nothing and at most the whole")


class NotHeldError(ValueError):
    """The seller does not hold what is sold."""


class TooFineError(ValueError):
    """What would be left cannot be written in parts of a million."""


def share_of(holdings: Iterable[Holding], party: Party) -> Fraction:
    """How much of the parcel ``party`` owns; 0 for a stranger, and for whoever only uses it."""
    owned = (h.share for h in holdings if h.party == party and h.capacity in OWNING)
    return sum(owned, Fraction(0))


def require_whole(holdings: Iterable[Holding]) -> None:
    """Check that what is owned is the whole; raises ``ValueError`` else."""
    owned = sum((h.share for h in holdings if h.capacity in OWNING), Fraction(0))
    if owned != WHOLE:
        raise ValueError("the shares do not sum to the whole")


def sell(
    holdings: Sequence[Holding], seller: Party, buyer: Party, share: Fraction | None = None
) -> tuple[Holding, ...]:
    """Who holds what after a sale.

    The buyer becomes an owner, or a bare owner of what the seller held barely; what he held before is joined
    to it. A sale of more than one of the seller's holdings takes them in the order of ``Capacity``.

    Args:
        holdings: All holdings of the parcel.
        seller: Who sells.
        buyer: Who buys; another party.
        share: How much of the whole parcel; ``None`` for all that the seller owns.

    Raises:
        NotHeldError: The seller owns nothing, or less than ``share``.
        TooFineError: A share that results has more than a million parts.
    """
    owned = share_of(holdings, seller)
    sold = owned if share is None else share
    if seller == buyer or not 0 < sold <= owned:
        raise NotHeldError("the seller does not hold what is sold")
    after: dict[tuple[Party, Capacity], Fraction] = {}

    def give(party: Party, capacity: Capacity, part: Fraction) -> None:
        if part:
            after[party, capacity] = after.get((party, capacity), Fraction(0)) + part

    order = list(Capacity)
    for holding in sorted(holdings, key=lambda h: order.index(h.capacity)):
        part = Fraction(0)
        if holding.party == seller and holding.capacity in OWNING:
            part = min(sold, holding.share)
            sold -= part
            bare = holding.capacity is Capacity.BARE_OWNER
            give(buyer, Capacity.BARE_OWNER if bare else Capacity.OWNER, part)
        give(holding.party, holding.capacity, holding.share - part)
    if any(left.denominator > MAX_PARTS for left in after.values()):
        raise TooFineError("a share would have more than a million parts")
    return tuple(Holding(party, left, capacity) for (party, capacity), left in after.items())
