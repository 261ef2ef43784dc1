"""Where parcels lie and how large they are: fictitious ground, in centimetres and whole numbers."""

from __future__ import annotations

from typing import Final, NamedTuple

from adapters.world import places
from adapters.world.draws import Draws
from adapters.world.places import Arrondissement
from adapters.world.records.land import LegacyRef, Point

_TOWNS: Final = frozenset({"LI-COT", "AQ-CAL", "OU-PNO", "BO-PAR", "OU-SEM", "ZO-BOH", "ZO-ABO"})
# Sides of a rectangle turned against the grid, as rational as they come: 4/5 and 3/5, 12/13 and 5/13, none.
_TURNS: Final = ((4, 3, 5), (12, 5, 13), (1, 0, 1), (15, 8, 17))


class Ground(NamedTuple):
    """A rectangle on the ground."""

    centroid: Point
    polygon: tuple[Point, ...]
    area_m2: float


def is_town(home: Arrondissement) -> bool:
    """Whether it is built up: parcels are small, and lie in allotments."""
    return home.code[:6] in _TOWNS


def ground(draws: Draws, home: Arrondissement) -> Ground:
    """A parcel of that arrondissement."""
    x_km, y_km = places.DEPARTMENT_BY_CODE[home.code[:2]].centre_km
    # Communes lie around the middle of their department, arrondissements around the middle of their commune.
    commune = sum(map(ord, home.code[3:6]))
    number = int(home.code[7:9])
    x = (
        x_km * 100_000
        + (commune * 7 % 21 - 10) * 70_000
        + (number * 5 % 7 - 3) * 30_000
        + draws.below(25_000)
    )
    y = (
        y_km * 100_000
        + (commune * 11 % 19 - 9) * 70_000
        + (number * 3 % 8 - 4) * 30_000
        + draws.below(25_000)
    )
    if is_town(home):
        width, depth = draws.between(1_200, 2_500), draws.between(1_500, 3_500)
    else:
        width, depth = draws.between(3_000, 25_000), draws.between(4_000, 30_000)
    across, along, whole = draws.pick(_TURNS)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    polygon = tuple(
        _point(
            x + (a * width * across - b * depth * along) // (2 * whole),
            y + (a * width * along + b * depth * across) // (2 * whole),
        )
        for a, b in corners
    )
    return Ground(_point(x, y), polygon, round(width * depth / 10_000, 2))


def legacy_ref(draws: Draws, home: Arrondissement, ordinal: int) -> LegacyRef:
    """What a parcel was known by: of its own, as it hangs on the ordinal."""
    block, parcel = divmod(ordinal, 40)
    if is_town(home):
        lotissement = f"{home.name} tranche {'ABCDEF'[draws.below(6)]}"
        return LegacyRef(
            home.code[:6], lotissement, str(block + 1), chr(ord("a") + parcel % 26), str(parcel + 1)
        )
    return LegacyRef(home.code[:6], f"Plan foncier rural de {home.name}", str(block + 1), str(parcel + 1), "")


def _point(x: int, y: int) -> Point:
    return Point(x / 100, y / 100)
