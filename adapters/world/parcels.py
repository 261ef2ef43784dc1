"""The parcels, each with its holders and charges (DOMAIN sections 1.3 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from math import gcd
from typing import Final, NamedTuple

from adapters.world import places
from adapters.world.charges import Charges, charges
from adapters.world.draws import Draws, spread
from adapters.world.firms import Firms
from adapters.world.ground import ground, is_town, legacy_ref
from adapters.world.people import People
from adapters.world.places import Arrondissement
from adapters.world.records.land import (
    BaUnitType,
    HolderCapacity,
    Holding,
    LegacyRef,
    Parcel,
    ParcelNature,
    RegisterType,
    RightType,
    Title,
)
from adapters.world.reserved import FIRST_NUP, FIRST_RANK
from adapters.world.roles import Roles, iso
from adapters.world.sizes import MAX_RANKS

# How many of twenty have each kind of right; 7 goes through all of them in no visible order.
_RIGHTS: Final = (
    *(RightType.TITLED,) * 6, *(RightType.PRESUMED,) * 11, *(RightType.STATE,) * 2, RightType.CUSTOMARY,
)  # fmt: skip
_NUPS: Final = 99_999_900
_NUP_STEP: Final = 61_803_407
_RANK_STEP: Final = 61_807
assert gcd(_NUP_STEP, _NUPS) == gcd(_RANK_STEP, MAX_RANKS) == 1  # noqa: S101 - of constants
# NUP were given from 2025 on, with a few of the trial before.
_FIRST_NUPS: Final = date(2025, 4, 1).toordinal()
_FIRST_TITLES: Final = date(1996, 1, 2).toordinal()
# The register of persons knows of deaths since 2018.
_HELD_BY_THE_DEAD: Final = date(2017, 6, 30).toordinal()
# Every so many, a parcel was split in two, or two were merged.
_FAMILY_EVERY: Final = 200
_SPLIT_AT: Final = 50
_MERGED_AT: Final = 150

STATE_IFU: Final = "4200690000010"
"""The State's own, as holder of its private domain."""

_SHORTCOMINGS: Final = (
    "superficie levée et superficie calculée diffèrent de plus de 5 %",
    "chevauchement avec une parcelle voisine",
    "borne manquante",
    "levé topographique absent du dossier",
)
_ORIGINS: Final = (
    "Immatriculation sur convention de vente affirmée",
    "Immatriculation sur attestation de recasement",
    "Transformation d'un permis d'habiter",
    "Morcellement d'un titre foncier",
    "Décision de justice",
)


class Estate(NamedTuple):
    """A parcel with all that is written of it; ``title`` if it is titled."""

    parcel: Parcel
    title: Title | None
    holdings: tuple[Holding, ...]
    charges: Charges


class Parcels:
    """All parcels but the personas'; ``first`` is the ordinal of the first of them."""

    def __init__(self, seed: int, people: People, firms: Firms, first: int, size: int, day: date) -> None:
        self._seed = seed
        self._roles = Roles(people)
        self._firms = firms
        self._first = first
        self._today = day.toordinal()
        self.size = size

    def __iter__(self) -> Iterator[Estate]:
        return map(self.estate, range(self._first, self.size))

    def given_up(self) -> Iterator[Parcel]:
        """Those that were split or merged: they have successors, nobody's rights, and ordinals beyond all others."""
        for ordinal in range(self._first, self.size):
            parcel = None
            for number, nup in enumerate(self._predecessors(ordinal)):
                if ordinal % _FAMILY_EVERY != _SPLIT_AT + 1:
                    parcel = parcel or self.estate(ordinal).parcel
                    yield self._predecessor(parcel, number, nup)

    def estate(self, ordinal: int) -> Estate:
        """That parcel, with all that is written of it."""
        draws = Draws(self._seed, b"parcel", ordinal)
        right = _RIGHTS[ordinal * 7 % 20]
        home = self._home(ordinal)
        nup = self._nup(ordinal)
        where = ground(draws, home)
        surveyed = draws.chance(620) or right is RightType.TITLED
        flawed = draws.chance(60)
        since = self._today - 30 - draws.fraction(self._today - 30 - _FIRST_TITLES)
        title_no = self._title_no(ordinal, home) if right is RightType.TITLED else ""
        holdings = tuple(self._holdings(draws, ordinal, right, home, since))
        parcel = Parcel(
            ordinal=ordinal,
            nup=nup,
            legacy=self._legacy(draws, ordinal, home, nup),
            calculated_area_m2=where.area_m2,
            surveyed_area_m2=round(where.area_m2 * draws.between(985, 1_015) / 1_000, 2) if surveyed else 0.0,
            nature=_nature(holdings, right),
            register_type=_register(right, home),
            ba_unit_type=_unit(draws, right, home, len(holdings)),
            right_type=right,
            title_no=title_no,
            place=home.place(draws.below(home.quarters)),
            centroid=where.centroid,
            polygon=where.polygon,
            party_exists=bool(holdings),
            shortcomings=(draws.pick(_SHORTCOMINGS),) if flawed else (),
            predecessor_nups=self._predecessors(ordinal),
            successor_nups=(),
            valid_from=iso(max(since, _FIRST_NUPS) if nup else since),
            valid_to="",
        )
        title = None
        if title_no:
            held = date.fromisoformat(holdings[0].since).toordinal()
            issued = max(_FIRST_TITLES, held - draws.fraction(4_000))
            book = f"Livre foncier de {home.commune}"
            title = Title(ordinal, title_no, nup, book, draws.pick(_ORIGINS), iso(issued))
        return Estate(parcel, title, holdings, charges(draws, parcel, holdings, self._roles, self._today))

    def _home(self, ordinal: int) -> Arrondissement:
        # The two halves of a parcel lie side by side.
        first = ordinal - 1 if ordinal % _FAMILY_EVERY == _SPLIT_AT + 1 else ordinal
        draws = Draws(self._seed, b"ground", first)
        return draws.pick(draws.pick(places.BY_WEIGHT))

    def _nup(self, ordinal: int) -> str:
        """Six in ten are of before 2025 and have none yet; whoever has a history has one."""
        if not self._predecessors(ordinal) and not Draws(self._seed, b"nup", ordinal).chance(400):
            return ""
        return self._number(ordinal)

    def _number(self, ordinal: int) -> str:
        return str(FIRST_NUP + spread(self._seed, b"number", ordinal, _NUPS, _NUP_STEP))

    def _predecessors(self, ordinal: int) -> tuple[str, ...]:
        place = ordinal % _FAMILY_EVERY
        if ordinal - place < self._first or ordinal - place + _FAMILY_EVERY > self.size:
            return ()
        if place in (_SPLIT_AT, _SPLIT_AT + 1):
            return (self._number(MAX_RANKS + ordinal - place + _SPLIT_AT),)
        if place == _MERGED_AT:
            return self._number(MAX_RANKS + ordinal), self._number(MAX_RANKS + ordinal + 1)
        return ()

    def _predecessor(self, parcel: Parcel, number: int, nup: str) -> Parcel:
        nups = [parcel.nup]
        if parcel.ordinal % _FAMILY_EVERY == _SPLIT_AT:
            nups.append(self._number(parcel.ordinal + 1))
        area = parcel.calculated_area_m2 * 2 if len(nups) == 2 else parcel.calculated_area_m2 / 2
        return parcel._replace(
            ordinal=MAX_RANKS + parcel.ordinal + number,
            nup=nup,
            legacy=None,
            calculated_area_m2=round(area, 2),
            surveyed_area_m2=0.0,
            title_no="",
            right_type=RightType.PRESUMED,
            register_type=RegisterType.CADASTRE,
            party_exists=False,
            shortcomings=(),
            predecessor_nups=(),
            successor_nups=tuple(nups),
            valid_from="2025-01-15",
            valid_to=parcel.valid_from,
        )

    def _title_no(self, ordinal: int, home: Arrondissement) -> str:
        rank = FIRST_RANK + spread(self._seed, b"title", ordinal, MAX_RANKS, _RANK_STEP)
        return f"TF/{home.code[3:6]}/{rank}"

    def _legacy(self, draws: Draws, ordinal: int, home: Arrondissement, nup: str) -> LegacyRef | None:
        if nup and not draws.chance(500):
            return None
        # One in a hundred was given to two parcels.
        shared = draws.chance(10) and ordinal > self._first
        if shared:
            home, ordinal = self._home(ordinal - 1), ordinal - 1
        return legacy_ref(Draws(self._seed, b"legacy", ordinal), home, ordinal)

    def _holdings(
        self, draws: Draws, ordinal: int, right: RightType, home: Arrondissement, since: int
    ) -> Iterator[Holding]:
        if right is RightType.STATE:
            yield self._of_state(draws, ordinal, home, since)
            return
        known = {RightType.TITLED: 1000, RightType.PRESUMED: 880, RightType.CUSTOMARY: 600}[right]
        if not draws.chance(known):
            return
        if right is not RightType.CUSTOMARY and draws.chance(40):
            holding = self._of_firm(draws, ordinal, since)
            if holding:
                yield holding
                return
        dead = None
        if right is RightType.TITLED and draws.chance(30):
            since = min(since, _HELD_BY_THE_DEAD)
            dead = self._roles.deceased(draws, since)
        count = 1 if dead or not draws.chance(120) else draws.between(2, 4)
        heirs = count > 1 and draws.chance(400)
        weights = [draws.between(1, 3) for _ in range(count)] if count > 1 else [1]
        for rank, weight in enumerate(weights, 1):
            holder = dead or self._roles.adult(draws, since)
            yield Holding(
                ordinal, rank, holder.record.npi, "", holder.name, weight, sum(weights),
                HolderCapacity.HEIR if heirs else HolderCapacity.OWNER, iso(since),
            )  # fmt: skip

    def _of_firm(self, draws: Draws, ordinal: int, since: int) -> Holding | None:
        for _ in range(8):
            number = self._firms.pick(draws, 900)
            firm = self._firms.entry(number).firm if number is not None else None
            if (
                firm
                and firm.ifu[:1] == "3"
                and not firm.struck_off_on
                and firm.registered_on < iso(self._today - 30)
            ):
                day = max(iso(since), firm.registered_on)
                return Holding(ordinal, 1, "", firm.ifu, firm.name, 1, 1, HolderCapacity.OWNER, day)
        return None

    def _of_state(self, draws: Draws, ordinal: int, home: Arrondissement, since: int) -> Holding:
        if draws.chance(300):
            name, ifu = f"Commune de {home.commune}", commune_ifu(home.code[:6])
        else:
            name, ifu = "État béninois", STATE_IFU
        return Holding(ordinal, 1, "", ifu, name, 1, 1, HolderCapacity.OWNER, iso(since))


def commune_ifu(code: str) -> str:
    """The tax number of a commune as a holder of land: the State's kind, ranks of the personas' hundred."""
    rank = 900_001 + sorted(places.COMMUNE_BY_CODE).index(code)
    return f"42006{rank}10"


def _nature(holdings: tuple[Holding, ...], right: RightType) -> ParcelNature:
    if right is RightType.STATE:
        return ParcelNature.STATE if holdings[0].ifu == STATE_IFU else ParcelNature.COMMUNE
    return ParcelNature.COLLECTIVE if len(holdings) > 1 else ParcelNature.INDIVIDUAL


def _register(right: RightType, home: Arrondissement) -> RegisterType:
    if right is RightType.TITLED:
        return RegisterType.LAND_BOOK
    if right is RightType.CUSTOMARY or not is_town(home):
        return RegisterType.RURAL_PLAN
    return RegisterType.CADASTRE


def _unit(draws: Draws, right: RightType, home: Arrondissement, holders: int) -> BaUnitType:
    if right is RightType.CUSTOMARY:
        return BaUnitType.USE_RIGHT
    if holders > 1 and is_town(home) and draws.chance(300):
        return BaUnitType.CO_OWNERSHIP
    return BaUnitType.PROPERTY
