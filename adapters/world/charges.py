"""What weighs on a parcel: mortgages, restrictions, disputes, certificates, notices and oppositions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple

from adapters.world.draws import Draws
from adapters.world.records.land import (
    BelongingCertificate,
    Dispute,
    Holding,
    Mortgage,
    Notice,
    Opposition,
    Parcel,
    PresumptiveDeed,
    Restriction,
    RightType,
)
from adapters.world.roles import Roles, iso

NOTICE_DAYS: Final = 15

# No bank of the country: nobody is said to have lent to a real one's customer.
_BANKS: Final = (
    "Banque fictive du Littoral", "Crédit imaginaire du Golfe", "Caisse d'essai de l'Ouémé",
    "Mutuelle fictive du Borgou",
)  # fmt: skip
_RESTRICTIONS: Final = (
    "servitude de passage au profit de la parcelle voisine",
    "bail emphytéotique de 25 ans",
    "zone non aedificandi le long de la berge",
    "servitude de ligne électrique",
)
_DISPUTES: Final = (
    "revendication par un tiers", "contestation de limites", "partage successoral contesté",
    "double vente alléguée",
)  # fmt: skip
_GROUNDS: Final = (
    "le demandeur n'est pas le seul héritier", "les limites empiètent sur ma parcelle",
    "j'ai acheté cette parcelle en 2012",
)  # fmt: skip
_COURTS: Final = ("tribunal de Cotonou", "tribunal d'Abomey", "tribunal de Parakou", "tribunal de Porto-Novo")


Charge = Mortgage | Restriction | Dispute | BelongingCertificate | Notice | Opposition


class Charges(NamedTuple):
    """All of one parcel's."""

    mortgages: tuple[Mortgage, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    certificate: BelongingCertificate | None = None
    notice: Notice | None = None
    oppositions: tuple[Opposition, ...] = ()

    def all(self) -> tuple[Charge | None, ...]:
        """One after the other; what is not there is None."""
        return (
            *self.mortgages, *self.restrictions, *self.disputes, self.certificate, self.notice, *self.oppositions,
        )  # fmt: skip


def charges(draws: Draws, parcel: Parcel, holdings: Sequence[Holding], roles: Roles, today: int) -> Charges:
    """What weighs on ``parcel`` on the day of that ordinal."""
    since = date.fromisoformat(parcel.valid_from).toordinal()
    disputes = (_dispute(draws, parcel.ordinal, since, today),) if draws.chance(20) else ()
    if parcel.right_type is RightType.TITLED:
        restricted = (
            (Restriction(parcel.ordinal, draws.pick(_RESTRICTIONS), iso(since)),) if draws.chance(80) else ()
        )
        return Charges(tuple(_mortgages(draws, parcel.ordinal, since, today)), restricted, disputes)
    if parcel.right_type is not RightType.PRESUMED or not parcel.nup or not holdings or not holdings[0].npi:
        return Charges(disputes=disputes)
    holder = holdings[0].npi
    if draws.chance(30):
        opened = today - draws.below(NOTICE_DAYS - 1)
        notice = Notice(
            parcel.ordinal, f"ANDF-{_month(opened - 40)}-{900_000 + parcel.ordinal}", holder,
            draws.pick(tuple(PresumptiveDeed)), iso(opened - 40), iso(opened), iso(opened + NOTICE_DAYS),
        )  # fmt: skip
        opposed = tuple(_oppositions(draws, parcel, opened, today, roles)) if draws.chance(400) else ()
        return Charges(disputes=disputes, notice=notice, oppositions=opposed)
    if draws.chance(60):
        issued = today - draws.below(730)
        number = f"ANDF-CA-{date.fromordinal(issued).year}-{parcel.ordinal:08d}"
        certificate = BelongingCertificate(parcel.ordinal, number, holder, iso(issued), iso(issued + 365))
        return Charges(disputes=disputes, certificate=certificate)
    return Charges(disputes=disputes)


def _mortgages(draws: Draws, parcel: int, since: int, today: int) -> Iterator[Mortgage]:
    if not draws.chance(120):
        return
    for rank in range(1, 2 + draws.chance(200)):
        registered = since + draws.below(today - since)
        released = registered + draws.below(today - registered) if draws.chance(400) else 0
        amount = draws.between(2, 120) * 500_000
        yield Mortgage(
            parcel, rank, draws.pick(_BANKS), amount, iso(registered), iso(released) if released else ""
        )


def _dispute(draws: Draws, parcel: int, since: int, today: int) -> Dispute:
    noted = since + draws.below(today - since)
    settled = iso(noted + draws.below(today - noted)) if draws.chance(300) else ""
    return Dispute(parcel, draws.pick(_DISPUTES), draws.pick(_COURTS), iso(noted), settled)


def _oppositions(draws: Draws, parcel: Parcel, opened: int, today: int, roles: Roles) -> Iterator[Opposition]:
    for number in range(1 + draws.chance(200)):
        opponent = roles.adult(draws, opened)
        lodged = opened + draws.below(today - opened + 1)
        reference = f"OPP-{_month(lodged)}-{9_000_000 + parcel.ordinal * 2 + number}"
        yield Opposition(parcel.ordinal, reference, opponent.record.npi, draws.pick(_GROUNDS), iso(lodged))


def _month(day: int) -> str:
    return f"{date.fromordinal(day):%Y%m}"
