"""What the personas own."""

from __future__ import annotations

from typing import Final

from adapters.world import places
from adapters.world.charges import Charges
from adapters.world.parcels import STATE_IFU, Estate
from adapters.world.personas.firms import COMPANY
from adapters.world.personas.people import FAR, full_name, npi_of
from adapters.world.records.land import (
    BaUnitType,
    BelongingCertificate,
    Dispute,
    HolderCapacity,
    Holding,
    LegacyRef,
    Mortgage,
    Notice,
    Opposition,
    Parcel,
    ParcelNature,
    Point,
    PresumptiveDeed,
    RegisterType,
    RightType,
    Title,
)
from adapters.world.sizes import MAX_RANKS

_SINCE: Final = "2025-05-02"


def _estate(
    ordinal: int,
    nup: int,
    where: str,
    *holders: int,
    title: bool = False,
    right: RightType = RightType.PRESUMED,
    firm: tuple[str, str] | None = None,
    legacy: LegacyRef | None = None,
    charges: Charges = Charges(),  # noqa: B008 - frozen
    came_from: int = 0,
) -> Estate:
    """A parcel of 500 m²; ``holders`` share it alike, ``firm`` (name, IFU) holds it alone; ``nup`` 0 is none."""
    place = places.place(where)
    number = f"9000000{nup:02d}" if nup else ""
    title_no = f"TF/{where[3:6]}/9000{nup or ordinal:02d}" if title else ""
    x, y = (float(km * 1_000 + ordinal * 40) for km in places.DEPARTMENT_BY_CODE[where[:2]].centre_km)
    holdings = tuple(
        Holding(
            ordinal,
            rank,
            npi_of(holder),
            "",
            full_name(npi_of(holder)),
            1,
            len(holders),
            HolderCapacity.OWNER,
            _SINCE,
        )
        for rank, holder in enumerate(holders, 1)
    )
    if firm:
        holdings = (Holding(ordinal, 1, "", firm[1], firm[0], 1, 1, HolderCapacity.OWNER, _SINCE),)
    kinds = {RightType.STATE: ParcelNature.STATE}
    parcel = Parcel(
        ordinal=ordinal,
        nup=number,
        legacy=legacy,
        calculated_area_m2=500.0,
        surveyed_area_m2=499.5 if title else 0.0,
        nature=ParcelNature.COLLECTIVE if len(holders) > 1 else kinds.get(right, ParcelNature.INDIVIDUAL),
        register_type=RegisterType.LAND_BOOK if title else RegisterType.CADASTRE,
        ba_unit_type=BaUnitType.PROPERTY,
        right_type=RightType.TITLED if title else right,
        title_no=title_no,
        place=place,
        centroid=Point(x, y),
        polygon=(
            Point(x - 10, y - 12.5),
            Point(x + 10, y - 12.5),
            Point(x + 10, y + 12.5),
            Point(x - 10, y + 12.5),
        ),
        party_exists=bool(holdings),
        shortcomings=(),
        predecessor_nups=(f"9000000{came_from:02d}",) if came_from else (),
        successor_nups=(),
        valid_from=_SINCE,
        valid_to="",
    )
    origin = "Immatriculation sur convention de vente affirmée"
    book = f"Livre foncier de {place.commune}"
    return Estate(
        parcel,
        Title(ordinal, title_no, number, book, origin, "2019-03-14") if title else None,
        holdings,
        charges,
    )


_GBEGAMEY: Final = LegacyRef("LI-COT", "Gbégamey", "2021", "p", "")
_TWICE: Final = LegacyRef("LI-COT", "Gbégamey", "1204", "b", "")

ESTATES: Final = (
    _estate(0, 1, "AQ-CAL-02-001", 13, title=True),
    _estate(1, 2, "ZO-ABO-01-001", 2, title=True),
    _estate(2, 3, "MO-LOK-01-001", 10, title=True),
    _estate(3, 4, "LI-COT-04-003", 1, 7, title=True),
    _estate(4, 5, "LI-COT-04-003", 8),
    _estate(
        5, 6, "AQ-CAL-02-001", 6,
        charges=Charges(
            certificate=BelongingCertificate(5, "ANDF-CA-2026-00000006", npi_of(6), "2026-01-15", FAR)
        ),
    ),
    _estate(
        6, 7, "OU-PNO-01-007", 17, title=True,
        charges=Charges(mortgages=(Mortgage(6, 1, "Banque fictive du Littoral", 8_000_000, "2024-02-19", ""),)),
    ),
    _estate(
        7, 8, "AK-NAT-01-001", 19, title=True,
        charges=Charges(
            disputes=(Dispute(7, "contestation de limites", "tribunal de Natitingou", "2025-09-08", ""),)
        ),
    ),
    _estate(
        8, 9, "AL-KAN-01-002", 4,
        charges=Charges(
            notice=Notice(
                8, "ANDF-202609-0009", npi_of(4), PresumptiveDeed.CUSTOMARY_HOLDING, "2026-09-07", "2026-10-20", FAR
            ),
            oppositions=(
                Opposition(8, "OPP-202610-0009", npi_of(18), "les limites empiètent sur ma parcelle", "2026-10-26"),
            ),
        ),
    ),
    _estate(
        9, 10, "LI-COT-04-003", 5,
        charges=Charges(
            notice=Notice(
                9, "ANDF-202609-0010", npi_of(5), PresumptiveDeed.SALE, "2026-09-07", "2026-10-20", FAR
            )
        ),
    ),
    _estate(10, 11, "LI-COT-12-001", right=RightType.STATE, firm=("État béninois", STATE_IFU)),
    _estate(11, 0, "LI-COT-06-001", 14, title=True, legacy=_GBEGAMEY),
    _estate(12, 0, "LI-COT-06-001", 11, legacy=_TWICE),
    _estate(13, 0, "LI-COT-06-001", 20, legacy=_TWICE),
    _estate(14, 12, "BO-NIK-01-001", right=RightType.CUSTOMARY),
    _estate(15, 14, "LI-COT-04-001", 9, came_from=13),
    _estate(16, 15, "LI-COT-04-001", 1, came_from=13),
    _estate(17, 16, "LI-COT-05-001", title=True, firm=COMPANY),
    _estate(18, 17, "AL-KAN-01-002", 12, title=True),
    _estate(19, 18, "PL-KET-01-001", 20, title=True),
)  # fmt: skip

GIVEN_UP: Final = (
    _estate(15, 13, "LI-COT-04-001").parcel._replace(
        ordinal=MAX_RANKS + 15,
        successor_nups=("900000014", "900000015"),
        valid_from="2025-01-15",
        valid_to=_SINCE,
    ),
)
