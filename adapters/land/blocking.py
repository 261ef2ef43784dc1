"""What keeps a parcel from being sold, and whether somebody owns it: pure rules over what the register knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from adapters.land.parties import Party
from adapters.land.shares import WHOLE, Holding, share_of


class Blocking(StrEnum):
    """Why a parcel cannot be sold today; named as in ``bj.land.v1.BlockingReason``."""

    NO_TITLE = "NO_TITLE"
    OPPOSITION_OPEN = "OPPOSITION_OPEN"
    DISPUTE = "DISPUTE"
    MORTGAGE = "MORTGAGE"
    TRANSFER_PENDING = "TRANSFER_PENDING"
    HOLDER_DECEASED = "HOLDER_DECEASED"
    SUPERSEDED = "SUPERSEDED"


class Ownership(StrEnum):
    """Whether somebody owns; named as in ``bj.land.v1.OwnershipResult``."""

    YES = "YES"
    NO = "NO"
    CO_OWNER = "CO_OWNER"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Standing:
    """What bears on a sale of one parcel.

    Attributes:
        is_titled: A title stands in the land book.
        has_certificate: A certificate of belonging is in force; it allows a sale without title.
        is_opposable: A title is asked for, so that it is or will be open to oppositions, or one is undecided.
        is_disputed: A dispute is noted.
        is_mortgaged: A mortgage is not released.
        has_transfer: A transfer is under way.
        has_deceased_holder: A holder died, and his heirs are not written in.
        is_superseded: Its number was given up by a split or a merger.
    """

    is_titled: bool = False
    has_certificate: bool = False
    is_opposable: bool = False
    is_disputed: bool = False
    is_mortgaged: bool = False
    has_transfer: bool = False
    has_deceased_holder: bool = False
    is_superseded: bool = False


def blocking_reasons(standing: Standing) -> tuple[Blocking, ...]:
    """All that stands against a sale, in the order of ``Blocking``; nothing if nothing does."""
    stands = {
        Blocking.NO_TITLE: not (standing.is_titled or standing.has_certificate),
        Blocking.OPPOSITION_OPEN: standing.is_opposable,
        Blocking.DISPUTE: standing.is_disputed,
        Blocking.MORTGAGE: standing.is_mortgaged,
        Blocking.TRANSFER_PENDING: standing.has_transfer,
        Blocking.HOLDER_DECEASED: standing.has_deceased_holder,
        Blocking.SUPERSEDED: standing.is_superseded,
    }
    return tuple(reason for reason in Blocking if stands[reason])


def ownership(holdings: Sequence[Holding], party: Party) -> Ownership:
    """What the register says to a claim that ``party`` owns: ``UNKNOWN`` where it knows no holder at all."""
    if not holdings:
        return Ownership.UNKNOWN
    share = share_of(holdings, party)
    if share == 0:
        return Ownership.NO
    return Ownership.YES if share == WHOLE else Ownership.CO_OWNER
