"""The sandbox's DGI and CNSS are declared closed, open or refusing while the adapter runs."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.business.commands import NAMES, STATES
from adapters.business.offices import CNSS, DGI, OfficeState, office_state
from adapters.commands import adapter
from tests.support.business import Apiex


@pytest.fixture
def config(apiex: Apiex, tmp_path: Path) -> Path:
    """The running adapter's ``adapter.toml``."""
    config = tmp_path / "adapter.toml"
    config.write_text(
        'adapter = "business"\nsubsystem = "BJ/GOV/APIEX/RCCM"\ngateways = ["BJ/GOV/APIEX/gw1"]\n'
        f'database = "{apiex.database}"\n',
        encoding="utf-8",
    )
    return config


def states(apiex: Apiex) -> dict[str, tuple[OfficeState, str]]:
    """How the offices stand, as the running adapter reads it."""
    with apiex.desk.store.reading() as tx:
        return {name: office_state(tx, name) for name in (DGI, CNSS)}


def test_an_office_is_open_until_it_is_said_to_be_otherwise(apiex: Apiex, config: Path) -> None:
    """Each for itself; a running adapter goes by it at its next call."""
    run = CliRunner()

    closed = run.invoke(adapter, ["office", "dgi", "closed", "--config", str(config), "--lang", "fr"])

    assert (closed.exit_code, closed.output) == (0, "DGI ne répond pas\n")
    assert states(apiex) == {DGI: (OfficeState.CLOSED, ""), CNSS: (OfficeState.OPEN, "")}
    assert run.invoke(adapter, ["office", "dgi", "open", "--config", str(config)]).exit_code == 0
    assert states(apiex)[DGI] == (OfficeState.OPEN, "")


def test_an_office_that_refuses_says_why(apiex: Apiex, config: Path) -> None:
    """The applicant reads it."""
    run = CliRunner()

    mute = run.invoke(adapter, ["office", "cnss", "refusing", "--config", str(config)])
    said = run.invoke(
        adapter, ["office", "cnss", "refusing", "--reason", "aucun travailleur", "--config", str(config)]
    )

    assert (mute.exit_code, said.exit_code) == (2, 0)
    assert states(apiex)[CNSS] == (OfficeState.REFUSING, "aucun travailleur")


def test_the_command_knows_every_office_and_state() -> None:
    """It names them itself, so that help needs no database."""
    assert set(NAMES) == {DGI, CNSS}
    assert set(STATES) == set(OfficeState)
