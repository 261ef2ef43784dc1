"""adapter.toml: read once, strictly, with every path made absolute."""

from pathlib import Path

import pytest

from adapters.identity.store import open_store
from adapters.kit.founding import seed_register
from adapters.settings import load_adapter_settings
from core.identifiers import GatewayId
from core.reasons import Reason
from rpc.settings import SettingsError

MINIMAL = """
adapter = "identity"
subsystem = "BJ/GOV/ANIP/RNPP"
gateways = ["BJ/GOV/ANIP/gw1", "BJ/GOV/ANIP/gw2"]
database = "sqlite:///rnpp.sqlite"
"""


def written(directory: Path, text: str = MINIMAL) -> Path:
    """``adapter.toml`` with this text."""
    path = directory / "adapter.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_little_must_be_said_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """What the founding writes beside the file is found there, wherever the process is started."""
    settings = load_adapter_settings(written(tmp_path))

    assert settings.pinned_gateways == {
        GatewayId.parse("BJ/GOV/ANIP/gw1"),
        GatewayId.parse("BJ/GOV/ANIP/gw2"),
    }
    assert settings.listen == "127.0.0.1:9101"
    assert settings.lang == "fr"
    assert Path(settings.anchor) == tmp_path / "anchor.pem"
    assert Path(settings.key) == tmp_path / "identity.key"
    assert Path(settings.certificate) == tmp_path / "identity.crt"
    assert settings.database == f"sqlite:///{tmp_path}/rnpp.sqlite"


@pytest.mark.parametrize(
    "url",
    ["sqlite:////srv/rnpp.sqlite", "sqlite:///:memory:", "postgresql+psycopg://rnpp@db/rnpp", "sqlite://"],
)
def test_a_database_elsewhere_is_taken_as_written(tmp_path: Path, url: str) -> None:
    """Absolute files and servers are not relative to anything."""
    text = MINIMAL.replace("sqlite:///rnpp.sqlite", url)

    assert load_adapter_settings(written(tmp_path, text)).database == url


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('adapter = "identity"', 'adapter = "Land"', "adapter"),
        ('"BJ/GOV/ANIP/RNPP"', '"ANIP/RNPP"', ""),
        ('["BJ/GOV/ANIP/gw1", "BJ/GOV/ANIP/gw2"]', "[]", ""),
        ('"BJ/GOV/ANIP/gw2"', '"BJ/GOV/PNS/gw1"', ""),
        ('"BJ/GOV/ANIP/gw2"', '"BJ/GOV/ANIP/gw1"', ""),
        ('"BJ/GOV/ANIP/gw2"', '"gw2"', ""),
        ("gateways", "gateway", "gateway"),
        ("database =", "databas =", "databas"),
        ("database =", 'lang = "de"\ndatabase =', "lang"),
        ("database =", "listen = 9101\ndatabase =", "listen"),
        ("database =", "repeat_days = 29\ndatabase =", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    """Another member's gateway, a misspelt key, a wrong type: the process does not start."""
    assert old in MINIMAL

    with pytest.raises(SettingsError) as refused:
        load_adapter_settings(written(tmp_path, MINIMAL.replace(old, new)))

    assert refused.value.reason is Reason.CONFIG_FILE_INVALID
    assert refused.value.place == place


def test_a_register_is_founded_where_the_file_says(tmp_path: Path) -> None:
    """Founding creates and fills it, and may be repeated."""
    path = written(tmp_path)
    told: list[int] = []

    assert seed_register(path, 100, 229, told.append) == 100
    assert seed_register(path, 50, 7) == 50

    assert sum(told) == 100
    assert open_store(f"sqlite:///{tmp_path}/rnpp.sqlite").count() == 50
