"""How large a country is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_PERSONS: Final = 19
MAX_PERSONS: Final = 5_000_000
# Ranks in the reserved ranges of trade register, tax numbers and land books have six digits, from 900000; the first
# hundred are the personas'.
MAX_RANKS: Final = 99_900
# Below this the registries hold the personas' records alone.
MIN_DRAWN: Final = 200


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of records, personas included; the defaults are DOMAIN section 6's.

    Whoever seeds one registry alone needs all of them: who holds and who works hangs on how many there are.

    Raises:
        ValueError: Too few persons for the personas, or more than the reserved ranges have numbers for.
    """

    persons: int = 50_000
    businesses: int = 4_000
    parcels: int = 12_000
    contracts: int = 9_000
    job_seekers: int = 2_000

    def __post_init__(self) -> None:
        if not MIN_PERSONS <= self.persons <= MAX_PERSONS:
            raise ValueError(f"a population has {MIN_PERSONS} to {MAX_PERSONS} persons")
        if max(self.businesses, self.parcels) > MAX_RANKS:
            raise ValueError(f"a country has at most {MAX_RANKS} firms and as many parcels")

    @classmethod
    def of(cls, persons: int) -> Sizes:
        """The default country, larger or smaller: as many firms, parcels and contracts per head as it has."""
        return cls(
            persons,
            min(persons * 4_000 // 50_000, MAX_RANKS),
            min(persons * 12_000 // 50_000, MAX_RANKS),
            persons * 9_000 // 50_000,
            persons * 2_000 // 50_000,
        )
