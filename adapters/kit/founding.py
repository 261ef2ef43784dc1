"""Create a ministry's database, and fill it with fictitious data: for sandboxes, demonstrations and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from adapters.kit.adapter import load_ministry
from adapters.kit.desk import open_desk
from adapters.kit.store import migrate
from adapters.settings import load_adapter_settings
from core.clock import SystemClock
from core.reasons import ExchangeError, Reason


def create_register(config: Path) -> None:
    """Create the database that ``adapter.toml`` names, or bring its schema to this version's.

    Raises:
        ExchangeError: The configuration cannot be used.
    """
    settings = load_adapter_settings(config)
    migrate(settings.database, load_ministry(settings.adapter).migrations)


def seed_register(
    config: Path, persons: int, seed: int, written: Callable[[int], None] = lambda _: None
) -> int:
    """Create the register if need be, and put a fictitious country in the place of the one that it holds.

    Args:
        config: The adapter's configuration.
        persons: How many people the country has; firms, parcels and contracts go with them.
        seed: What the country hangs on: the same for all its registers.
        written: Told after each batch how many records went in with it.

    Returns:
        How many of its main records it holds.

    Raises:
        ExchangeError: The register holds somebody real (STATE_CONFLICT), the ministry has no fictitious data, or the
            configuration cannot be used.
        ValueError: ``persons`` is impossible.
    """
    settings = load_adapter_settings(config)
    ministry = load_ministry(settings.adapter)
    if ministry.seed is None:
        raise ExchangeError(
            Reason.CONFIG_FILE_INVALID, f"the adapter {settings.adapter} has no fictitious data"
        )
    migrate(settings.database, ministry.migrations)
    desk = open_desk(ministry, settings, SystemClock())
    try:
        return ministry.seed(desk, persons, seed, written)
    finally:
        desk.close()


def find_configurations(places: Iterable[Path]) -> Iterator[Path]:
    """The ``adapter.toml`` that ``places`` are, and those below them whose registers have fictitious data, in order.

    Raises:
        ExchangeError: There is none (NOT_FOUND).
    """
    found = False
    for place in places:
        if not place.is_dir():
            found = True
            yield place
            continue
        for config in sorted(place.rglob("adapter.toml")):
            if load_ministry(load_adapter_settings(config).adapter).seed is not None:
                found = True
                yield config
    if not found:
        raise ExchangeError(Reason.NOT_FOUND, "there is no adapter.toml in these directories")
