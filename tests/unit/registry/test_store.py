"""The database: migrations, durability, settings."""

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from core.reasons import ExchangeError
from registry.settings import RegistrySettings
from registry.store import alembic_config, open_engine, sqlite_url, upgrade
from rpc.settings import load_settings


def test_migrations_lead_to_the_models(tmp_path: Path) -> None:
    """``alembic check`` finds nothing to do after the newest revision."""
    engine = open_engine(sqlite_url(tmp_path / "registry.sqlite"))
    upgrade(engine)

    with engine.begin() as connection:
        command.check(alembic_config(connection))
    engine.dispose()


def test_migrations_can_be_taken_back(tmp_path: Path) -> None:
    """Down to nothing and up again."""
    engine = open_engine(sqlite_url(tmp_path / "registry.sqlite"))
    upgrade(engine)

    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    upgrade(engine)

    with engine.begin() as connection:
        command.check(alembic_config(connection))
    engine.dispose()


def test_commits_survive_a_power_loss_and_foreign_keys_hold(tmp_path: Path) -> None:
    """synchronous = FULL, WAL, foreign keys on: on every connection."""
    engine = open_engine(sqlite_url(tmp_path / "registry.sqlite"))

    with engine.connect() as connection:
        found = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()

    assert found == ["wal", 2, 1]


@pytest.mark.parametrize(
    "lines",
    [
        'registry = "BJ/GOV/ASIN/registre"\nsurprise = 1',
        'registry = "BJ/GOV/ASIN"',
        'registry = "BJ/GOV/ASIN/registre"\napprovals = 1',
        'registry = "BJ/GOV/ASIN/registre"\nallowed_networks = ["10.0.0.1/8"]',
        'registry = "BJ/GOV/ASIN/registre"\nexpires_h = 0',
        "",
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, lines: str) -> None:
    """Unknown keys, malformed ids and networks, fewer than two approvals."""
    file = tmp_path / "registry.toml"
    file.write_text(lines)

    with pytest.raises(ExchangeError):
        load_settings(file, RegistrySettings)
