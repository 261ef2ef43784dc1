"""Who may own, run and work: people drawn for a role, the same for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from adapters.world.draws import Draws
from adapters.world.people import TODAY, Citizen, People

ADULT_DAYS: Final = 18 * 365 + 5
# Nobody found among so many: a small country, which makes do with others.
_ATTEMPTS: Final = 600


class Roles:
    """Finds people among the population."""

    def __init__(self, people: People) -> None:
        self._people = people

    def adult(self, draws: Draws, day: int) -> Citizen:
        """Somebody alive, with a record that stands, who came of age by ``day`` (its ordinal)."""
        found = self._find(draws, day - ADULT_DAYS, lambda one: one.stands)
        found = found or self._find(draws, TODAY, lambda one: one.stands)
        if found is None:
            raise LookupError("nobody in this country may own or run anything")
        return found

    def deceased(self, draws: Draws, day: int) -> Citizen | None:
        """Somebody who came of age by ``day`` and died after it, if there is anybody."""
        last = iso(day)
        return self._find(draws, day - ADULT_DAYS, lambda one: one.record.death_date > last)

    def _find(self, draws: Draws, born_by: int, wanted: Callable[[Citizen], bool]) -> Citizen | None:
        for _ in range(_ATTEMPTS):
            ordinal = draws.below(self._people.size)
            if self._people.born(ordinal) <= born_by:
                one = self._people.citizen(ordinal)
                if one.born <= born_by and wanted(one):
                    return one
        return None


def iso(day: int) -> str:
    """The day of an ordinal, ``2026-11-28``."""
    return date.fromordinal(day).isoformat()
