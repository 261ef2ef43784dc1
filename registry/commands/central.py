"""``passerelle registry``: the registry itself, founded, served, looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from core.clock import SystemClock
from core.language import Language, Text
from registry.commands.asking import DIRECTORY, FILE, NEW_FILE, say, shows
from rpc.commandline import Row, lang_option
from rpc.figures import utc_time

if TYPE_CHECKING:
    from registry.client import RegistryClient


@click.group()
def registry() -> None:
    """Le registre central / the central registry."""


@registry.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--id", "registry_id", required=True, help="BJ/GOV/ASIN/registre")
@click.option(
    "--ca", type=DIRECTORY, required=True, help="répertoire de « ca found » / directory of 'ca found'"
)
@click.option("--anchor", type=NEW_FILE, required=True, help="où écrire l'ancre / where to write the anchor")
@click.option("--listen", default="0.0.0.0:7443", show_default=True)
@click.option("--host", "hosts", multiple=True, required=True, help="nom ou adresse / name or address")
@click.option(
    "--purpose", "purposes", multiple=True, nargs=3, metavar="CODE FR EN", help="finalité / purpose"
)
@click.option("--root-keys", type=click.IntRange(1, 32), default=3, show_default=True)
@click.option("--threshold", type=click.IntRange(1, 32), default=2, show_default=True)
@click.option(
    "--allow-loopback", is_flag=True, help="adresses de boucle locale admises / loopback may register"
)
@lang_option
def found(
    directory: Path,
    registry_id: str,
    ca: Path,
    anchor: Path,
    listen: str,
    hosts: tuple[str, ...],
    purposes: tuple[tuple[str, str, str], ...],
    root_keys: int,
    threshold: int,
    allow_loopback: bool,
    lang: Language,
) -> None:
    """Fonder un registre : base, clés, journal, ancre / found a registry: database, keys, log, anchor."""
    from core.identifiers import RegistryId
    from pki.anchor import spoken
    from pki.authority import Authority
    from pki.profiles import AuthorityKind
    from registry.founding import found_registry

    founded = (AuthorityKind.ROOT, AuthorityKind.AUTH, AuthorityKind.SEAL)
    made = found_registry(
        directory,
        registry=RegistryId.parse(registry_id),
        listen=listen,
        hosts=hosts,
        lang=lang,
        purposes=purposes,
        authorities={kind: Authority.open(ca, kind) for kind in founded},
        anchor=anchor,
        loopback_allowed=allow_loopback,
        clock=SystemClock(),
        root_keys=root_keys,
        threshold=threshold,
    )
    told = Text(
        f"Empreinte de l'ancre : {spoken(made.fingerprint)}\n"
        f"Mettez les clés de {directory / 'root-keys'} en lieu sûr, hors de cette machine.",
        f"Fingerprint of the anchor: {spoken(made.fingerprint)}\n"
        f"Move the keys in {directory / 'root-keys'} to a safe place, away from this machine.",
    )
    say(told, lang)


@registry.command()
@click.option("--config", type=FILE, required=True, help="registry.toml")
@click.option("--lifeline", type=int, default=None, hidden=True)
def serve(config: Path, lifeline: int | None) -> None:
    """Servir le registre / serve the registry."""
    from registry.serving import serve as run
    from rpc.logs import configure_logs

    configure_logs("registry")
    run(config, lifeline)


_STATUS_COLUMNS: Final = {
    "registry": Text("registre", "registry"),
    "version": Text("configuration", "configuration"),
    "digest": Text("empreinte", "digest"),
    "expires_at": Text("valable jusqu'au", "valid until"),
    "log_id": Text("journal", "log"),
    "log_size": Text("entrées", "entries"),
    "members": Text("membres", "members"),
    "active_agreements": Text("conventions en vigueur", "agreements in force"),
    "pending_requests": Text("demandes en attente", "pending requests"),
    "watchers": Text("passerelles à l'écoute", "gateways listening"),
}


@registry.command()
@shows(_STATUS_COLUMNS)
def status(client: RegistryClient) -> Row:
    """Où en est le registre / how the registry stands."""
    from core.heads import parse_head

    found = client.status()
    return {
        "registry": found.registry,
        "version": found.version,
        "digest": found.digest,
        "expires_at": utc_time(found.expires_at_ms),
        "log_id": found.log_id,
        "log_size": parse_head(found.head).unverified.size,
        "members": found.members,
        "active_agreements": found.active_agreements,
        "pending_requests": found.pending_requests,
        "watchers": found.watchers,
    }


_ALARM_COLUMNS: Final = {
    "at": Text("le", "at"),
    "gateway": Text("passerelle", "gateway"),
    "log": Text("journal", "log"),
    "kind": Text("alarme", "alarm"),
    "held": Text("taille connue", "size held"),
    "shown": Text("taille montrée", "size shown"),
}


_NO_ALARM: Final = Text(
    "Aucune alarme : aucune tête n'a reculé, aucune n'en contredit une autre.",
    "No alarm: no head went back, none contradicts another.",
)


@registry.command()
@shows(_ALARM_COLUMNS, _NO_ALARM)
def alarms(client: RegistryClient) -> list[Row]:
    """Têtes de journaux qui reculent ou se contredisent / heads of logs that go back or contradict."""
    from core.heads import parse_head
    from passerelle.registry.v1 import heads_pb2

    kinds = {
        heads_pb2.HEAD_ALARM_KIND_BEHIND: Text("journal ancien", "old log"),
        heads_pb2.HEAD_ALARM_KIND_FORKED: Text("journal bifurqué", "forked log"),
    }
    return [
        {
            "at": utc_time(one.at_ms),
            "gateway": one.gateway,
            "log": one.log,
            "kind": kinds.get(one.kind, Text("?", "?")),
            "held": parse_head(one.held).unverified.size,
            "shown": parse_head(one.shown).unverified.size,
        }
        for one in client.list_alarms()
    ]
