"""``passerelle adapter …`` and ``passerelle sandbox persons``, as an operator uses them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf import descriptor_pb2

from adapters.commands import adapter, sandbox
from adapters.identity.store import open_store
from adapters.world.personas.people import PERSONAS
from core.reasons import ExchangeError, Reason
from tests.support.forgetful import FILE, without_marks

TOML = """
adapter = "identity"
subsystem = "BJ/GOV/ANIP/RNPP"
gateways = ["BJ/GOV/ANIP/gw1"]
database = "sqlite:///rnpp.sqlite"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """``adapter.toml`` of a register that does not exist yet."""
    path = tmp_path / "adapter.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def run(*arguments: str) -> Result:
    """Run one command of the adapter."""
    return CliRunner().invoke(adapter, arguments)


def test_a_register_is_made_and_filled_by_two_commands(config: Path) -> None:
    """As docs/adapters.md says."""
    migrated = run("migrate", "--config", str(config))
    seeded = run("seed", "--config", str(config), "--persons", "120", "--lang", "fr")

    assert migrated.output == "base à jour\n"
    assert seeded.output == "120 fiches fictives\n"
    assert open_store(f"sqlite:///{config.parent}/rnpp.sqlite").count() == 120


def test_a_seed_too_small_for_the_personas_is_a_mistake_of_usage(config: Path) -> None:
    """Exit code 2, before anything is written."""
    refused = run("seed", "--config", str(config), "--persons", "5")

    assert refused.exit_code == 2
    assert not (config.parent / "rnpp.sqlite").exists()


def test_a_missing_configuration_is_a_mistake_of_usage(tmp_path: Path) -> None:
    """The file is named."""
    refused = run("migrate", "--config", str(tmp_path / "none.toml"))

    assert refused.exit_code == 2
    assert "none.toml" in refused.output


def test_an_adapter_does_not_serve_a_store_that_was_not_migrated(config: Path) -> None:
    """It says which command is missing."""
    failed = run("serve", "--config", str(config))

    assert isinstance(failed.exception, ExchangeError)
    assert failed.exception.reason is Reason.STATE_CONFLICT
    assert "passerelle adapter migrate" in str(failed.exception)


def test_descriptors_are_written_for_the_registry(config: Path, tmp_path: Path) -> None:
    """A self-contained file to be published."""
    out = tmp_path / "identity.binpb"

    written = run(
        *("descriptors", "--config", str(config), "--out", str(out)),
        *("--service", "bj.identity.v1.IdentityService"),
    )

    assert written.output == f"bj.identity.v1.IdentityService -> {out}\n"
    assert "bj/identity/v1/identity.proto" in {
        file.name for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    }


def test_what_descriptors_lack_is_said_when_they_are_written(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the other output: fields that do not say whether they are personal, and protos without comments."""
    monkeypatch.setattr("adapters.descriptors.descriptor_set", lambda _service: without_marks())
    asked = ("descriptors", "--config", str(config), "--service", "bj.identity.v1.IdentityService")

    written = run(*asked, "--out", str(tmp_path / "identity.binpb"), "--lang", "fr")

    assert written.exit_code == 0
    assert "  bj.identity.v1.GetPersonRequest.npi\n" in written.stderr
    assert f"Sans commentaires : {FILE}" in written.stderr


def test_descriptors_of_health_are_written_without_any_settings(tmp_path: Path) -> None:
    """They are the same for every server."""
    out = tmp_path / "health.binpb"

    written = run("descriptors", "--standard", "health", "--out", str(out))

    assert written.output == f"grpc.health.v1.Health -> {out}\n"
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    assert file.package == "grpc.health.v1"


def test_all_registers_of_a_sandbox_are_seeded_from_one_country_by_one_command(tmp_path: Path) -> None:
    """Each in a database of its own; the people are the same."""
    for name, subsystem in (
        ("business", "APIEX/RCCM"),
        ("identity", "ANIP/RNPP"),
        ("labour", "MTFP/TRAVAIL"),
        ("land", "ANDF/CADASTRE"),
    ):
        directory = tmp_path / name
        directory.mkdir()
        gateway = f"BJ/GOV/{subsystem.split('/')[0]}/gw1"
        (directory / "adapter.toml").write_text(
            f'adapter = "{name}"\nsubsystem = "BJ/GOV/{subsystem}"\ngateways = ["{gateway}"]\n'
            'database = "sqlite:///register.sqlite"\n',
            encoding="utf-8",
        )

    seeded = CliRunner().invoke(sandbox, ["seed", str(tmp_path), "--persons", "400"])

    assert [line.split()[:2] for line in seeded.output.splitlines()] == [
        ["business", "32"],
        ["identity", "400"],
        ["labour", "72"],
        ["land", "97"],
    ]


def test_a_sandbox_without_any_adapter_is_a_mistake(tmp_path: Path) -> None:
    """Nothing is seeded in silence."""
    failed = CliRunner().invoke(sandbox, ["seed", str(tmp_path)])

    assert isinstance(failed.exception, ExchangeError)


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_test_persons_are_listed_in_both_languages(lang: str) -> None:
    """Number, name, what is particular about it, and what it has in the other registries."""
    listed = CliRunner().invoke(sandbox, ["persons", "--output", "json", "--lang", lang])
    table = CliRunner().invoke(sandbox, ["persons", "--lang", lang])

    rows = json.loads(listed.output)
    assert [row["npi"] for row in rows] == [persona.npi for persona in PERSONAS]
    assert rows[1]["case"] == {"fr": "décédée", "en": "deceased"}[lang]
    assert all(row["case"] in table.output for row in rows)
    assert rows[12]["elsewhere"][0] == "NUP 900000001 (TF/CAL/900001)"
    assert {"fr": "gérant", "en": "manager"}[lang] + " RB/COT/20 B 900001" in rows[13]["elsewhere"]


def test_listing_persons_loads_neither_grpcio_nor_sqlalchemy() -> None:
    """A developer's first command answers at once."""
    probe = "import sys, adapters.commands; print({'grpc', 'sqlalchemy', 'rich'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert loaded.stdout == "set()\n"
