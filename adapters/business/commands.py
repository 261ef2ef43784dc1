"""``passerelle adapter office``: say how the sandbox's DGI or CNSS stands, while APIEx's adapter runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from core.language import Language, Text
from rpc.commandline import lang_option

# Those of ``offices``, which SQLAlchemy comes with: help stays fast.
NAMES: Final = ("dgi", "cnss")
STATES: Final = {
    "open": Text("répond", "answers"),
    "closed": Text("ne répond pas", "does not answer"),
    "refusing": Text("refuse", "refuses"),
}


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.argument("state", type=click.Choice(list(STATES)))
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
    from adapters.business.offices import OfficeState, declare_office
    from adapters.business.tables import MIGRATIONS
    from adapters.kit.store import open_store
    from adapters.settings import load_adapter_settings

    store = open_store(load_adapter_settings(config).database, MIGRATIONS)
    said = OfficeState(state)
    try:
        store.write(lambda tx: declare_office(tx, name, said, reason))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    finally:
        store.close()
    click.echo(f"{name.upper()} {STATES[state].in_(lang)}")
