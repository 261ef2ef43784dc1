"""``passerelle subsystem | service``: members' information systems and what they publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from core.language import Language, Text
from registry.commands.asking import FILE, NEW_FILE, Connection, connected, publishes, shows
from rpc.commandline import (
    Output,
    Row,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_rows,
    yes_option,
)
from rpc.files import replace_file

if TYPE_CHECKING:
    from passerelle.registry.v1 import services_pb2
    from registry.client import RegistryClient

_COLUMNS: Final = {
    "subsystem": Text("sous-système", "subsystem"),
    "service": Text("service", "service"),
    "methods": Text("méthodes", "methods"),
    "descriptors": Text("descripteurs", "descriptors"),
}
_FORGOTTEN: Final = Text("Publier quand même ?", "Publish all the same?")


@click.group()
def subsystem() -> None:
    """Les systèmes d'information des membres / members' information systems."""


@subsystem.command("add")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@publishes
def add_subsystem(client: RegistryClient, subsystem_id: str, dry_run: bool) -> int:
    """Ajouter un sous-système / add a subsystem."""
    return client.add_subsystem(subsystem_id, dry_run=dry_run)


@click.group()
def service() -> None:
    """Les services publiés / published services."""


@service.command("publish")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("descriptors", type=FILE)
@click.option("--service", "services", multiple=True, help="seulement ceux-ci / only these")
@connected
@dry_run_option
@yes_option
@output_option
@lang_option
def publish_services(
    subsystem_id: str,
    descriptors: Path,
    services: tuple[str, ...],
    connection: Connection,
    dry_run: bool,
    yes: bool,
    output: Output,
    lang: Language,
) -> None:
    """Publier les services d'un FileDescriptorSet / publish the services of a FileDescriptorSet.

    Un champ qui ne dit pas s'il est personnel est nommé ; il faut alors confirmer. / A field that does not say whether it
    is personal is named; then it takes a confirmation.
    """
    from rpc.personal import unsaid  # reads the ministries' options: protobuf, which help does without

    data = descriptors.read_bytes()
    if forgotten := unsaid(data, services):
        for line in forgotten.lines():
            click.echo(line.in_(lang), err=True)
        confirm(_FORGOTTEN, lang, yes=yes or dry_run)
    with connection.open() as client:
        found = client.publish_services(subsystem_id, data, services, dry_run=dry_run)
    show_rows([_row(one) for one in found], _COLUMNS, output, lang)


@service.command("list")
@click.option("--subsystem", "subsystem_id", default="", help="d'un seul sous-système / of one subsystem")
@shows(_COLUMNS)
def list_services(client: RegistryClient, subsystem_id: str) -> list[Row]:
    """Lister les services / list services."""
    return [_row(one) for one in client.list_services(subsystem_id)]


@service.command("show")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("name", metavar="SERVICE")
@click.option("--out", type=NEW_FILE, default=None, help="écrire les descripteurs / write the descriptors")
@shows(_COLUMNS)
def show_service(client: RegistryClient, subsystem_id: str, name: str, out: Path | None) -> Row:
    """Montrer un service / show a service."""
    found = client.get_service(subsystem_id, name)
    if out is not None:
        replace_file(out, found.file_descriptor_set)
    return _row(found.service)


@service.command("retire")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("name", metavar="SERVICE")
@publishes
def retire_service(client: RegistryClient, subsystem_id: str, name: str, dry_run: bool) -> int:
    """Retirer un service / withdraw a service."""
    return client.retire_service(subsystem_id, name, dry_run=dry_run)


def _row(found: services_pb2.Service) -> Row:
    return {
        "subsystem": found.subsystem,
        "service": found.service,
        "methods": [method.name for method in found.methods],
        "descriptors": found.descriptors_digest,
    }
