"""What law and ministry fix, read from ``rules.toml``: lowest salaries, ages, delays."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rpc.settings import load_settings

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

DEFAULT_RULES: Final = Path(__file__).parent / "rules.toml"


class Smig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lowest salary for a month, from a day on."""

    since: date
    monthly_xof: int


class Apprentices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How young an apprentice may be at the start, how long he may be one."""

    min_age: int
    max_years: int


class Foreigners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many years a foreigner has contracts for a term only; how early the end of a permit is told."""

    fixed_term_years: int
    expiring_days: int


class Notices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Working hours after which a notice is late."""

    hours: int


class Inspectorates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which one has an employer whose seat nobody knows."""

    default: str


class Seekers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Months on the list of job seekers."""

    months: int


class Attestations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Months for which each kind of attestation holds; 0 for ever."""

    non_litige: int
    service_fait: int
    licenciement_eco: int
    reglement_interieur: int


class Ruleset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them.

    Attributes:
        smig: The lowest salaries, the oldest first.
    """

    smig: tuple[Smig, ...]
    apprentices: Apprentices
    foreigners: Foreigners
    notices: Notices
    inspectorates: Inspectorates
    seekers: Seekers
    attestations: Attestations

    def __post_init__(self) -> None:
        days = [one.since for one in self.smig]
        if not days or days != sorted(set(days)):
            raise ValueError("smig: at least one is needed, the oldest first, each from another day")

    def smig_on(self, day: date) -> int:
        """The lowest salary for a month in force on ``day``, in francs CFA; before the first, the first."""
        in_force = [one for one in self.smig if one.since <= day] or self.smig[:1]
        return in_force[-1].monthly_xof


def rules_of(desk: Desk) -> Ruleset:
    """The rules that the adapter of ``desk`` goes by: ``rules`` in ``adapter.toml``, or those beside this module.

    Raises:
        SettingsError: The file is missing or malformed; an adapter asks before it serves.
    """
    return _loaded(Path(desk.settings.rules) if desk.settings.rules else DEFAULT_RULES)


def load_rules(path: Path = DEFAULT_RULES) -> Ruleset:
    """Read a file of rules.

    Raises:
        SettingsError: The file is missing, malformed, or does not say exactly what is asked for.
    """
    return load_settings(path, Ruleset)


# An adapter reads its file once.
_loaded = lru_cache(maxsize=8)(load_rules)
