"""A small cadastre, written row by row, for tests of ANDF's side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from adapters.kit.store import Store
from adapters.land import tables
from adapters.land.parties import Party, PartyKind
from adapters.land.shares import Capacity, Holding
from tests.support.consents import give_consent

AFI, BIO, CODJO, DOSSI = (Party(PartyKind.PERSON, f"000000000{number}") for number in (1, 4, 5, 6))
FIRM = Party(PartyKind.FIRM, "3202590000100")
STATE = Party(PartyKind.FIRM, "4200690000100")
NOTARY = "NOT-COT-0001"
NOTARY_NPI = "0000000009"
SINCE_MS = 1_700_000_000_000


def owner(party: Party, numerator: int = 1, denominator: int = 1) -> Holding:
    """A plain owner."""
    return Holding(party, Fraction(numerator, denominator), Capacity.OWNER)


@dataclass
class LandBook:
    """Writes into one store; parcels are numbered from 900000101 on."""

    store: Store
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(101))

    def parcel(
        self,
        *holders: Holding,
        title_no: str = "",
        nup: str | None = "",
        right_type: str = "",
        legacy: tuple[str, str, str, str] | None = None,
        commune_code: str = "LI-COT",
        is_superseded: bool = False,
        shortcomings: str = "[]",
    ) -> str:
        """Write a parcel with its holders; returns its NUP, empty if ``nup`` is None."""
        parcel_id = next(self._ids)
        number = f"900000{parcel_id}" if nup == "" else nup
        names = legacy or ("", "", "", "")
        with self.store.writing() as tx:
            tx.execute(
                tables.PARCELS.insert().values(
                    parcel_id=parcel_id,
                    nup=number,
                    commune_code=commune_code,
                    legacy='["' + '", "'.join(names) + '"]' if legacy else "",
                    lotissement=names[0],
                    ilot=names[1],
                    parcelle=names[2],
                    lot=names[3],
                    calculated_area_m2=500.25,
                    surveyed_area_m2=499.5,
                    nature="INDIVIDUAL",
                    register_type="LAND_BOOK" if title_no else "CADASTRE",
                    ba_unit_type="PROPERTY",
                    right_type=right_type or ("TITLED" if title_no else "PRESUMED"),
                    unit_code=f"{commune_code}-01-001",
                    department="Littoral",
                    commune="Cotonou",
                    arrondissement="1er arrondissement",
                    quarter="Gare",
                    x=430_000.5,
                    y=703_000.25,
                    polygon="[[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]",
                    shortcomings=shortcomings,
                    valid_from_ms=SINCE_MS,
                    valid_to_ms=SINCE_MS + 1000 if is_superseded else None,
                )
            )
            if title_no:
                tx.execute(
                    tables.TITLES.insert().values(
                        title_no=title_no,
                        parcel_id=parcel_id,
                        book="Livre foncier de Cotonou",
                        origin="Immatriculation sur convention de vente",
                        issued_on="2019-03-14",
                    )
                )
            for holding in holders:
                tx.execute(tables.HOLDINGS.insert().values(_holding(parcel_id, holding)))
        return number or ""

    def id_of(self, nup: str) -> int:
        """By what the register knows a parcel inside."""
        with self.store.reading() as tx:
            return int(
                tx.execute(
                    sa.select(tables.PARCELS.c.parcel_id).where(tables.PARCELS.c.nup == nup)
                ).scalar_one()
            )

    def write(self, table: sa.Table, nup: str, **values: object) -> None:
        """Write a row that hangs on a parcel."""
        with self.store.writing() as tx:
            tx.execute(table.insert().values(parcel_id=self.id_of(nup), **values))

    def mortgage(self, nup: str, *, rank: int = 1, released_on: str = "") -> None:
        """Lend 8 million on a parcel."""
        self.write(
            tables.MORTGAGES,
            nup,
            rank=rank,
            creditor="Banque fictive du Littoral",
            amount_xof=8_000_000,
            registered_on="2024-02-19",
            released_on=released_on,
        )

    def dispute(self, nup: str, *, settled_on: str = "") -> None:
        """Note a dispute."""
        self.write(
            tables.DISPUTES,
            nup,
            text="contestation de limites",
            court="tribunal de Cotonou",
            noted_on="2025-09-08",
            settled_on=settled_on,
        )

    def certificate(self, nup: str, party: Party, valid_until: str, *, used_by: str = "") -> None:
        """A certificate of belonging."""
        self.write(
            tables.CERTIFICATES,
            nup,
            number=f"ANDF-CA-{nup}-{valid_until}",
            party_kind=party.kind,
            party_number=party.number,
            issued_on="2026-01-15",
            valid_until=valid_until,
            used_by=used_by,
        )

    def succession(self, from_nup: str, to_nup: str) -> None:
        """One number took another's place."""
        with self.store.writing() as tx:
            tx.execute(tables.SUCCESSIONS.insert().values(from_nup=from_nup, to_nup=to_nup))

    def notaries(self) -> None:
        """One in office, one who is no more."""
        with self.store.writing() as tx:
            for reference, npi, in_office in (
                (NOTARY, NOTARY_NPI, True),
                ("NOT-COT-0002", "0000000008", False),
            ):
                tx.execute(
                    tables.NOTARIES.insert().values(
                        notary_ref=reference, npi=npi, office="Cotonou", in_office=in_office
                    )
                )

    def consent(
        self,
        reference: str,
        party: Party,
        client: str,
        **more: Any,
    ) -> None:
        """What ``party`` lets ``client`` read."""
        give_consent(
            self.store,
            tables.CONSENTS,
            reference,
            party.number,
            kind=party.kind,
            client=client,
            **more,
        )


def _holding(parcel_id: int, holding: Holding) -> dict[str, object]:
    return {
        "parcel_id": parcel_id,
        "party_kind": holding.party.kind,
        "party_number": holding.party.number,
        "party_name": f"NOM-DE-{holding.party.number[-2:]}",
        "numerator": holding.share.numerator,
        "denominator": holding.share.denominator,
        "capacity": holding.capacity,
        "is_deceased": False,
        "from_ms": SINCE_MS,
        "by_reference": "",
        "ended_by": "",
    }
