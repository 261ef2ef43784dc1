"""``passerelle adapter serve|migrate|seed|descriptors|dossier|register|office`` and ``passerelle sandbox persons|seed``.

What needs grpcio or SQLAlchemy is imported by the command that uses it: help and the list of persons stay fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from adapters.business.commands import office
from adapters.officers import dossier
from adapters.registrars import register
from adapters.world.personas.elsewhere import elsewhere
from adapters.world.personas.people import PERSONAS
from adapters.world.sizes import MAX_PERSONS, Sizes
from adapters.world.world import DEFAULT_SEED
from core.language import Language, Text
from rpc.commandline import Output, lang_option, output_option, show_rows

_COLUMNS: Final = {
    "npi": Text("NPI", "NPI"),
    "name": Text("Personne", "Person"),
    "case": Text("Cas", "Case"),
    "elsewhere": Text("Cadastre, RCCM, Travail", "Land, trade register, labour"),
}

_config = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("adapter.toml"),
    show_default=True,
    help="réglages de l'adaptateur / the adapter's settings",
)
_persons = click.option(
    "--persons",
    type=click.IntRange(len(PERSONAS) - 1, MAX_PERSONS),
    default=Sizes().persons,
    show_default=True,
    help="combien de personnes / how many people",
)
_seed = click.option(
    "--seed",
    type=int,
    default=DEFAULT_SEED,
    show_default=True,
    help="même graine, mêmes personnes / same seed, same people",
)


@click.group()
def adapter() -> None:
    """Servir un registre derrière la passerelle / serve a register behind the gateway."""


adapter.add_command(dossier)
adapter.add_command(register)
adapter.add_command(office)


@adapter.command()
@_config
@click.option("--lifeline", type=int, default=None, hidden=True)
def serve(config: Path, lifeline: int | None) -> None:
    """Répondre aux appels de la passerelle / answer the gateway's calls."""
    from adapters.kit.adapter import Adapter, load_ministry
    from adapters.settings import load_adapter_settings
    from core.clock import SystemClock
    from rpc.lifeline import stop_event
    from rpc.logs import configure_logs

    configure_logs("adapter")
    stopped = stop_event(lifeline)
    settings = load_adapter_settings(config)
    serving = Adapter(load_ministry(settings.adapter), settings, SystemClock())
    serving.start()
    stopped.wait()
    serving.stop()


@adapter.command()
@_config
@lang_option
def migrate(config: Path, lang: Language) -> None:
    """Créer la base ou la mettre à jour / create the database or bring it up to date."""
    from adapters.kit.founding import create_register

    create_register(config)
    click.echo(Text("base à jour", "database up to date").in_(lang))


@adapter.command()
@_config
@_persons
@_seed
@lang_option
def seed(config: Path, persons: int, seed: int, lang: Language) -> None:
    """Remplir le registre d'un pays fictif / fill the register with a fictitious country.

    Un pays fictif est remplacé ; un registre qui contient une fiche réelle est refusé. Même nombre et même graine :
    les registres s'accordent.
    """
    from adapters.kit.founding import seed_register
    from adapters.settings import load_adapter_settings

    # Of the others nobody knows how many records a country of so many people gives.
    total_told = persons if load_adapter_settings(config).adapter == "identity" else None
    with _progress(total_told, lang) as written:
        total = seed_register(config, persons, seed, written)
    click.echo(Text(f"{total} fiches fictives", f"{total} fictitious records").in_(lang))


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
@click.option(
    "--service", default=None, help="l'un de ses services ; sinon, tous / one of its services; else all"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="fichier ; pour plusieurs services, dossier / file; for several services, directory",
)
@lang_option
def descriptors(config: Path, standard: str | None, service: str | None, out: Path, lang: Language) -> None:
    """Écrire les descripteurs à publier / write the descriptors to be published.

    Dit ce qui leur manque : les champs qui ne disent pas s'ils sont personnels, les commentaires. / Tells what they lack.
    """
    from adapters.descriptors import STANDARD_SERVICES, descriptor_set, missing_comments, standard_set
    from rpc.personal import unsaid

    if standard is not None:
        found = {STANDARD_SERVICES[standard]: standard_set(standard)}
    else:
        found = {one: descriptor_set(one) for one in _services(config, service)}
    if len(found) == 1 and not out.is_dir():
        files = dict.fromkeys(found, out)
    else:
        out.mkdir(parents=True, exist_ok=True)
        files = {one: out / f"{one}.binpb" for one in found}
    for one, file in files.items():
        file.write_bytes(found[one])
        click.echo(f"{one} -> {file}")
        for line in (*unsaid(found[one]).lines(), *map(_uncommented, missing_comments(found[one]))):
            click.echo(line.in_(lang), err=True)


def _uncommented(file: str) -> Text:
    """What to do so that others get the comments of a proto, which are its manual."""
    plugin = "protoc --plugin=protoc-gen-comments=tools/protoc_gen_comments.py --comments_out=DIR"
    return Text(
        f"Sans commentaires : {file}. Les écrire à côté du code : {plugin}",
        f"Without comments: {file}. Write them beside the code: {plugin}",
    )


def _services(config: Path, service: str | None) -> tuple[str, ...]:
    """What the adapter of ``config`` serves; loading it fills the pool of descriptors."""
    from adapters.kit.adapter import load_ministry, services_of
    from adapters.settings import load_adapter_settings

    served = services_of(load_ministry(load_adapter_settings(config).adapter))
    if service is None:
        return served
    if service not in served:
        raise click.BadParameter(", ".join(served), param_hint="--service")
    return (service,)


@click.group()
def sandbox() -> None:
    """Le pays d'essai / the sandbox."""


@sandbox.command()
@output_option
@lang_option
def persons(output: Output, lang: Language) -> None:
    """Lister les personnes de test / list the test persons (docs/personnes-de-test.md)."""
    rows = [
        {
            "npi": one.npi,
            "name": one.name,
            "case": one.case.in_(lang),
            "elsewhere": [text.in_(lang) for text in elsewhere(one.npi)],
        }
        for one in PERSONAS
    ]
    show_rows(rows, _COLUMNS, output, lang)


@sandbox.command("seed")
@click.argument(
    "places", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR|CONFIG…"
)
@_persons
@_seed
@lang_option
def seed_sandbox(places: tuple[Path, ...], persons: int, seed: int, lang: Language) -> None:
    """Semer tous les registres d'un même pays fictif / seed all registers from one fictitious country.

    Sous chaque DIR, tout adapter.toml est trouvé. Les mêmes personnes possèdent, dirigent et travaillent.
    """
    from adapters.kit.founding import find_configurations, seed_register
    from adapters.settings import load_adapter_settings

    for config in find_configurations(places):
        with _progress(None, lang) as written:
            total = seed_register(config, persons, seed, written)
        click.echo(f"{load_adapter_settings(config).adapter:<10} {total:>9}  {config}")


@contextmanager
def _progress(total: int | None, lang: Language) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing in a pipe or a log."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(Text("fiches", "records").in_(lang), total=total)
        yield lambda count: progress.advance(task, count)
