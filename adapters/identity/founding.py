"""Fill a register with fictitious people: for sandboxes, demonstrations and tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters.identity.seed import DEFAULT_SIZE
from adapters.identity.store import migrate, open_store
from adapters.settings import load_adapter_settings
from adapters.world.sizes import Sizes
from adapters.world.world import DEFAULT_SEED, World


def seed_store(
    config: Path,
    size: int = DEFAULT_SIZE,
    *,
    seed: int = DEFAULT_SEED,
    written: Callable[[int], None] = lambda _: None,
) -> int:
    """Create the register that ``adapter.toml`` names, or replace its seed; return how many people it holds.

    Args:
        config: The adapter's configuration.
        size: How many people.
        seed: What the population hangs on.
        written: Told after each batch how many went in with it.

    Raises:
        ExchangeError: The register holds real people, or the configuration cannot be used.
        ValueError: ``size`` is impossible.
    """
    database = load_adapter_settings(config).database
    migrate(database)
    store = open_store(database)
    try:
        return store.replace_rows(World(seed, Sizes.of(size)).persons_by_number(), written)
    finally:
        store.close()
