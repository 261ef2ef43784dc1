"""``passerelle member``, and what operators order of a member's gateway: ``passerelle gateway suspend | revoke``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from core.language import Language, Text
from registry.commands.asking import (
    FILE,
    NEW_FILE,
    ascii_text,
    publishes,
    reason_option,
    revokes,
    say,
    shows,
    state_name,
    submits,
)
from rpc.commandline import Row, lang_option
from rpc.files import replace_file
from rpc.words import Coded, coded

if TYPE_CHECKING:
    from passerelle.registry.v1 import members_pb2
    from registry.client import RegistryClient

_COLUMNS: Final = {
    "member": Text("membre", "member"),
    "name": Text("nom", "name"),
    "state": Text("état", "state"),
    "keys": Text("clés", "keys"),
    "subsystems": Text("sous-systèmes", "subsystems"),
    "gateways": Text("passerelles", "gateways"),
}


@click.group()
def member() -> None:
    """Les membres et leurs clés / members and their keys."""


@member.command()
@click.option("--out", type=NEW_FILE, required=True, help="fichier de la clé / file of the key")
@lang_option
def keygen(out: Path, lang: Language) -> None:
    """Créer la clé d'un membre, hors de ses passerelles / make a member key, away from its gateways."""
    from pki.keys import generate_key, key_thumbprint, public_key_pem, write_key

    key = generate_key()
    write_key(out, key)
    public = out.with_name(f"{out.name}.pub")
    replace_file(public, public_key_pem(key.public_key()).encode("ascii"))
    thumbprint = key_thumbprint(key.public_key())
    told = Text(
        f"Clé : {out} (à garder hors ligne)\nClé publique : {public}\nEmpreinte à dicter : {thumbprint}",
        f"Key: {out} (keep it offline)\nPublic key: {public}\nThumbprint to read out: {thumbprint}",
    )
    say(told, lang)


@member.command("add")
@click.argument("member_id", metavar="MEMBER")
@click.option("--fr", required=True, help="nom en français / name in French")
@click.option("--en", required=True, help="nom en anglais / name in English")
@click.option("--key", type=FILE, required=True, help="clé publique / public key (member keygen)")
@submits
def add_member(client: RegistryClient, member_id: str, fr: str, en: str, key: Path, dry_run: bool) -> int:
    """Demander l'ajout d'un membre / ask that a member be added."""
    return client.propose_member(member_id, fr, en, ascii_text(key), dry_run=dry_run)


@member.command("register")
@click.argument("registration", type=FILE)
@submits
def register_gateway(client: RegistryClient, registration: Path, dry_run: bool) -> int:
    """Déposer l'enregistrement signé d'une passerelle / submit a gateway's signed registration."""
    return client.submit_registration(ascii_text(registration).strip(), dry_run=dry_run)


@member.command("list")
@shows(_COLUMNS)
def list_members(client: RegistryClient) -> list[Row]:
    """Lister les membres / list members."""
    return [_row(one) for one in client.list_members()]


@member.command("show")
@click.argument("member_id", metavar="MEMBER")
@shows(_COLUMNS)
def show_member(client: RegistryClient, member_id: str) -> Row:
    """Montrer un membre / show a member."""
    return _row(client.get_member(member_id))


@member.command("suspend")
@click.argument("member_id", metavar="MEMBER")
@reason_option
@publishes
def suspend_member(client: RegistryClient, member_id: str, reason: str, dry_run: bool) -> int:
    """Suspendre un membre ; un opérateur suffit / suspend a member; one operator is enough."""
    return client.suspend_member(member_id, reason, dry_run=dry_run)


@member.command("resume")
@click.argument("member_id", metavar="MEMBER")
@submits
def resume_member(client: RegistryClient, member_id: str, dry_run: bool) -> int:
    """Demander la reprise d'un membre / ask that a member go on."""
    return client.resume_member(member_id, dry_run=dry_run)


# --- orders to gateways ---


@click.command("suspend")
@click.argument("gateway_id", metavar="GATEWAY")
@reason_option
@publishes
def suspend_gateway(client: RegistryClient, gateway_id: str, reason: str, dry_run: bool) -> int:
    """Suspendre une passerelle ; un opérateur suffit / suspend a gateway; one operator is enough."""
    return client.suspend_gateway(gateway_id, reason, dry_run=dry_run)


@click.command("revoke")
@click.argument("name", metavar="GATEWAY")
@reason_option
@revokes
def revoke_gateway(client: RegistryClient, name: str, reason: str, dry_run: bool) -> int:
    """Révoquer une passerelle / revoke a gateway."""
    return client.revoke_gateway(name, reason, dry_run=dry_run)


def _row(found: members_pb2.Member) -> Row:
    return {
        "member": found.member,
        "name": Text(found.name.fr, found.name.en),
        "state": coded(state_name(found.state)),
        "keys": [key.thumbprint for key in found.keys],
        "subsystems": list(found.subsystems),
        "gateways": [_gateway(one.gateway, coded(state_name(one.state))) for one in found.gateways],
    }


def _gateway(name: str, state: Coded) -> Coded:
    return Coded(f"{name} ({state.code})", Text(f"{name} : {state.shown.fr}", f"{name} ({state.shown.en})"))
