"""``passerelle agreement``: written down, signed by both members, concluded, stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from core.clock import SystemClock
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
from rpc.figures import utc_time
from rpc.files import replace_file
from rpc.words import coded

if TYPE_CHECKING:
    from passerelle.registry.v1 import agreements_pb2
    from registry.client import RegistryClient

_COLUMNS: Final = {
    "id": Text("convention", "agreement"),
    "version": Text("version", "version"),
    "state": Text("état", "state"),
    "consumer": Text("consommateur", "consumer"),
    "provider": Text("fournisseur", "provider"),
    "service": Text("service", "service"),
    "methods": Text("méthodes", "methods"),
    "purposes": Text("finalités", "purposes"),
    "changed_at": Text("depuis", "since"),
    "reason": Text("motif", "reason"),
}


@click.group()
def agreement() -> None:
    """Les conventions entre membres / agreements between members."""


@agreement.command()
@click.argument("terms", type=FILE)
@click.option("--out", type=NEW_FILE, required=True, help="le texte à signer / what will be signed")
@lang_option
def propose(terms: Path, out: Path, lang: Language) -> None:
    """Mettre une convention par écrit depuis un fichier TOML / write an agreement down from a TOML file."""
    from core.documents import digest
    from registry.proposals import proposal_payload

    payload = proposal_payload(terms)
    replace_file(out, payload)
    say(Text(f"{out} : empreinte {digest(payload)}", f"{out}: digest {digest(payload)}"), lang)


@agreement.command()
@click.argument("payload", type=FILE)
@click.option("--member-key", type=FILE, required=True, help="la clé du membre / the member key")
@click.option("--out", type=NEW_FILE, required=True)
@lang_option
def sign(payload: Path, member_key: Path, out: Path, lang: Language) -> None:
    """Signer une convention avec la clé du membre / sign an agreement with the member key."""
    from registry.proposals import sign_agreement

    signed_for, jws = sign_agreement(payload.read_bytes(), member_key, SystemClock().now_ms())
    replace_file(out, jws.encode("ascii"))
    say(Text(f"{out} : signé pour {signed_for}", f"{out}: signed for {signed_for}"), lang)


@agreement.command()
@click.argument("consumer", type=FILE)
@click.argument("provider", type=FILE)
@submits
def conclude(client: RegistryClient, consumer: Path, provider: Path, dry_run: bool) -> int:
    """Déposer une convention signée des deux membres / submit an agreement that both members signed."""
    signed = ascii_text(consumer).strip(), ascii_text(provider).strip()
    return client.conclude_agreement(*signed, dry_run=dry_run)


@agreement.command("list")
@click.option("--member", "member_id", default="", help="d'un seul membre / of one member")
@shows(_COLUMNS)
def list_agreements(client: RegistryClient, member_id: str) -> list[Row]:
    """Lister les conventions / list agreements."""
    return [_row(one) for one in client.list_agreements(member_id)]


@agreement.command("show")
@click.argument("name", metavar="ID")
@click.option("--version", type=click.IntRange(0), default=0, help="0 : la dernière / the newest")
@shows(_COLUMNS)
def show_agreement(client: RegistryClient, name: str, version: int) -> Row:
    """Montrer une convention / show an agreement."""
    return _row(client.get_agreement(name, version))


@agreement.command("suspend")
@click.argument("name", metavar="ID")
@reason_option
@publishes
def suspend_agreement(client: RegistryClient, name: str, reason: str, dry_run: bool) -> int:
    """Suspendre une convention / suspend an agreement."""
    return client.suspend_agreement(name, reason, dry_run=dry_run)


@agreement.command("resume")
@click.argument("name", metavar="ID")
@submits
def resume_agreement(client: RegistryClient, name: str, dry_run: bool) -> int:
    """Demander la reprise d'une convention / ask that an agreement go on."""
    return client.resume_agreement(name, dry_run=dry_run)


@agreement.command("revoke")
@click.argument("name", metavar="ID")
@reason_option
@revokes
def revoke_agreement(client: RegistryClient, name: str, reason: str, dry_run: bool) -> int:
    """Révoquer une convention pour de bon / revoke an agreement for good."""
    return client.revoke_agreement(name, reason, dry_run=dry_run)


def _row(found: agreements_pb2.Agreement) -> Row:
    return {
        "id": found.id,
        "version": found.version,
        "state": coded(state_name(found.state)),
        "consumer": found.consumer,
        "provider": found.provider,
        "service": found.service,
        "methods": list(found.methods),
        "purposes": list(found.purposes),
        "changed_at": utc_time(found.changed_at_ms),
        "reason": found.reason,
    }
