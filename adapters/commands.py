"""``passerelle adapter serve|migrate|seed|descriptors`` and ``passerelle sandbox persons``.

What needs grpcio or SQLAlchemy is imported by the command that uses it: help and the list of persons stay fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from adapters.world.personas.people import PERSONAS
from adapters.world.sizes import MAX_PERSONS, Sizes
from adapters.world.world import DEFAULT_SEED
from core.clock import SystemClock
from core.language import Language, Text
from rpc.commandline import Output, lang_option, output_option, show_rows

_SERVICES: Final = {"identity": "bj.identity.v1.IdentityService"}
_COLUMNS: Final = {
    "npi": Text("NPI", "NPI"),
    "name": Text("Personne", "Person"),
    "case": Text("Cas", "Case"),
}

_config = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("adapter.toml"),
    show_default=True,
    help="réglages de l'adaptateur / the adapter's settings",
)


@click.group()
def adapter() -> None:
    """Servir un registre derrière la passerelle / serve a register behind the gateway."""


@adapter.command()
@_config
@click.option("--lifeline", type=int, default=None, hidden=True)
def serve(config: Path, lifeline: int | None) -> None:
    """Répondre aux appels de la passerelle / answer the gateway's calls."""
    from adapters.identity.adapter import SERVICES, make_adapter
    from adapters.server import start
    from adapters.settings import load_adapter_settings
    from rpc.lifeline import stop_event
    from rpc.logs import configure_logs

    configure_logs("adapter")
    stopped = stop_event(lifeline)
    settings = load_adapter_settings(config)
    server, store = make_adapter(settings, SystemClock())
    start(server, settings, SERVICES)
    stopped.wait()
    server.stop()
    store.close()


@adapter.command()
@_config
@lang_option
def migrate(config: Path, lang: Language) -> None:
    """Créer la base ou la mettre à jour / create the database or bring it up to date."""
    from adapters.identity.store import migrate as migrate_store
    from adapters.settings import load_adapter_settings

    migrate_store(load_adapter_settings(config).database)
    click.echo(Text("base à jour", "database up to date").in_(lang))


@adapter.command()
@_config
@click.option(
    "--persons",
    type=click.IntRange(len(PERSONAS) - 1, MAX_PERSONS),
    default=Sizes().persons,
    show_default=True,
    help="combien de personnes / how many people",
)
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="même graine, mêmes personnes"
)
@lang_option
def seed(config: Path, persons: int, seed: int, lang: Language) -> None:
    """Remplir le registre d'une population fictive / fill the register with fictitious people.

    Une population fictive est remplacée ; un registre qui contient une personne réelle est refusé.
    """
    from adapters.identity.founding import seed_store

    with _progress(persons, lang) as written:
        total = seed_store(config, persons, seed=seed, written=written)
    click.echo(Text(f"{total} personnes fictives", f"{total} fictitious people").in_(lang))


@adapter.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("adapter.toml"),
    show_default=True,
    help="réglages de l'adaptateur / the adapter's settings",
)
@click.option(
    "--standard",
    type=click.Choice(["health", "reflection"]),
    default=None,
    help="ceux de grpc.health.v1, de grpc.reflection.v1 / those of the server's health, reflection",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def descriptors(config: Path, standard: str | None, out: Path) -> None:
    """Écrire les descripteurs à publier / write the descriptors to be published."""
    import adapters.identity.service  # noqa: F401 - its generated modules fill the pool of descriptors
    from adapters.descriptors import STANDARD_SERVICES, descriptor_set, standard_set
    from adapters.settings import load_adapter_settings

    if standard is not None:
        service, data = STANDARD_SERVICES[standard], standard_set(standard)
    else:
        service = _SERVICES[load_adapter_settings(config).adapter]
        data = descriptor_set(service)
    out.write_bytes(data)
    click.echo(f"{service} -> {out}")


@click.group()
def sandbox() -> None:
    """Le pays d'essai / the sandbox."""


@sandbox.command()
@output_option
@lang_option
def persons(output: Output, lang: Language) -> None:
    """Lister les personnes de test / list the test persons (docs/personnes-de-test.md)."""
    rows = [{"npi": p.npi, "name": p.name, "case": p.case.in_(lang)} for p in PERSONAS]
    show_rows(rows, _COLUMNS, output, lang)


@contextmanager
def _progress(total: int, lang: Language) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing in a pipe or a log."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(Text("personnes", "people").in_(lang), total=total)
        yield lambda count: progress.advance(task, count)
