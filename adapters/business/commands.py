"""``office``: say how the sandbox's DGI or CNSS stands, while the adapter runs.

A command of this ministry alone; ``python -m adapters.business.commands dgi closed --config adapter.toml`` runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from adapters.business.offices import CNSS, DGI, OfficeState, declare_office
from adapters.business.tables import MIGRATIONS
from adapters.kit.store import open_store
from adapters.settings import load_adapter_settings
from core.language import Language, Text
from rpc.commandline import lang_option

_STATES: Final = {
    OfficeState.OPEN: Text("répond", "answers"),
    OfficeState.CLOSED: Text("ne répond pas", "does not answer"),
    OfficeState.REFUSING: Text("refuse", "refuses"),
}


@click.command()
@click.argument("name", type=click.Choice([DGI, CNSS]))
@click.argument("state", type=click.Choice([state.value for state in OfficeState]))
@click.option("--reason", default="", help="pourquoi il refuse / why it refuses (refusing)")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("adapter.toml"),
    show_default=True,
    help="réglages de l'adaptateur / the adapter's settings",
)
@lang_option
def office(name: str, state: str, reason: str, config: Path, lang: Language) -> None:
    """Dire comment se tient la DGI ou la CNSS du bac à sable / say how the sandbox's DGI or CNSS stands."""
    store = open_store(load_adapter_settings(config).database, MIGRATIONS)
    said = OfficeState(state)
    try:
        store.write(lambda tx: declare_office(tx, name, said, reason))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    finally:
        store.close()
    click.echo(f"{name.upper()} {_STATES[said].in_(lang)}")


if __name__ == "__main__":
    office()
