"""``passerelle registry | member | subsystem | service | agreement | request``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from core.clock import SystemClock
from core.language import Language, Text
from core.reasons import ExchangeError, Reason
from registry.hints import read_hints
from rpc.commandline import (
    Output,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_one,
    show_rows,
    yes_option,
)
from rpc.files import replace_file

if TYPE_CHECKING:
    from passerelle.registry.v1 import agreements_pb2, members_pb2, requests_pb2, services_pb2
    from registry.client import RegistryClient

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY: Final = click.Path(path_type=Path, exists=True, file_okay=False)


class Connection:
    """Where the registry is and who asks; from options, or from the identity directory's own hints."""

    def __init__(self, identity: Path, address: str | None, registry_id: str | None) -> None:
        hints = None if address and registry_id else read_hints(identity)
        address = address or (hints.address if hints else None)
        registry_id = registry_id or (hints.registry if hints else None)
        if address is None or registry_id is None:
            raise click.UsageError(
                "--registry et --registry-id sont nécessaires / are needed: "
                f"{identity} n'a pas de passerelle.toml / has no passerelle.toml"
            )
        self._identity, self._address, self._registry_id = identity, address, registry_id

    @contextmanager
    def open(self) -> Iterator[RegistryClient]:
        """A connection, closed at the end."""
        # grpcio is imported only by commands that talk to somebody.
        from registry.client import RegistryClient
        from rpc.identity import Identity

        with RegistryClient(self._address, Identity.read(self._identity), self._registry_id) as client:
            yield client


def _connected(command: _Command) -> _Command:
    """``--identity``, ``--registry``, ``--registry-id``; the command gets ``connection``."""

    @click.option(
        "--identity", type=_DIRECTORY, required=True, help="répertoire d'identité / identity directory"
    )
    @click.option(
        "--registry", "address", default=None, metavar="HOST:PORT", help="adresse du registre / address"
    )
    @click.option("--registry-id", default=None, metavar="ID", help="BJ/GOV/ASIN/registre")
    @functools.wraps(command)
    def wrapped(
        *args: Any, identity: Path, address: str | None, registry_id: str | None, **options: Any
    ) -> Any:
        return command(*args, connection=Connection(identity, address, registry_id), **options)

    return wrapped  # type: ignore[return-value]  # functools.wraps keeps the command's own signature


def _say(lang: Language, fr: str, en: str) -> None:
    click.echo(fr if lang == "fr" else en)


def _say_request(number: int, lang: Language, *, dry_run: bool) -> None:
    if dry_run:
        _say(lang, "Vérifié, rien n'est changé.", "Checked, nothing is changed.")
    else:
        _say(
            lang,
            f"Demande n° {number} : attend l'avis de deux opérateurs.",
            f"Request no. {number}: waits for two operators.",
        )


def _say_version(version: int, lang: Language, *, dry_run: bool) -> None:
    if dry_run:
        _say(lang, "Vérifié, rien n'est changé.", "Checked, nothing is changed.")
    else:
        _say(lang, f"Publié : configuration v{version}.", f"Published: configuration v{version}.")


def _when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# --- registry ---


@click.group()
def registry() -> None:
    """Le registre central / the central registry."""


@registry.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--id", "registry_id", required=True, help="BJ/GOV/ASIN/registre")
@click.option(
    "--ca", type=_DIRECTORY, required=True, help="répertoire de « ca found » / directory of 'ca found'"
)
@click.option("--anchor", type=_NEW_FILE, required=True, help="où écrire l'ancre / where to write the anchor")
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
    _say(
        lang,
        f"Empreinte de l'ancre : {spoken(made.fingerprint)}\n"
        f"Mettez les clés de {directory / 'root-keys'} en lieu sûr, hors de cette machine.",
        f"Fingerprint of the anchor: {spoken(made.fingerprint)}\n"
        f"Move the keys in {directory / 'root-keys'} to a safe place, away from this machine.",
    )


@registry.command()
@click.option("--config", type=_FILE, required=True, help="registry.toml")
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
@_connected
@output_option
@lang_option
def status(connection: Connection, output: Output, lang: Language) -> None:
    """Où en est le registre / how the registry stands."""
    from core.heads import parse_head

    with connection.open() as client:
        found = client.status()
    row = {
        "registry": found.registry,
        "version": found.version,
        "digest": found.digest,
        "expires_at": _when(found.expires_at_ms),
        "log_id": found.log_id,
        "log_size": parse_head(found.head).unverified.size,
        "members": found.members,
        "active_agreements": found.active_agreements,
        "pending_requests": found.pending_requests,
        "watchers": found.watchers,
    }
    show_one(row, _STATUS_COLUMNS, output, lang)


# --- member ---


@click.group()
def member() -> None:
    """Les membres et leurs clés / members and their keys."""


@member.command()
@click.option("--out", type=_NEW_FILE, required=True, help="fichier de la clé / file of the key")
@lang_option
def keygen(out: Path, lang: Language) -> None:
    """Créer la clé d'un membre, hors de ses passerelles / make a member key, away from its gateways."""
    from pki.keys import generate_key, key_thumbprint, public_key_pem, write_key

    key = generate_key()
    write_key(out, key)
    public = out.with_name(f"{out.name}.pub")
    replace_file(public, public_key_pem(key.public_key()).encode("ascii"))
    thumbprint = key_thumbprint(key.public_key())
    _say(
        lang,
        f"Clé : {out} (à garder hors ligne)\nClé publique : {public}\nEmpreinte à dicter : {thumbprint}",
        f"Key: {out} (keep it offline)\nPublic key: {public}\nThumbprint to read out: {thumbprint}",
    )


@member.command("add")
@click.argument("member_id", metavar="MEMBER")
@click.option("--fr", required=True, help="nom en français / name in French")
@click.option("--en", required=True, help="nom en anglais / name in English")
@click.option("--key", type=_FILE, required=True, help="clé publique / public key (member keygen)")
@_connected
@dry_run_option
@lang_option
def add_member(
    member_id: str, fr: str, en: str, key: Path, connection: Connection, dry_run: bool, lang: Language
) -> None:
    """Demander l'ajout d'un membre / ask that a member be added."""
    with connection.open() as client:
        number = client.propose_member(member_id, fr, en, _text(key), dry_run=dry_run)
    _say_request(number, lang, dry_run=dry_run)


@member.command("register")
@click.argument("registration", type=_FILE)
@_connected
@dry_run_option
@lang_option
def register_gateway(registration: Path, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Déposer l'enregistrement signé d'une passerelle / submit a gateway's signed registration."""
    with connection.open() as client:
        number = client.submit_registration(_text(registration).strip(), dry_run=dry_run)
    _say_request(number, lang, dry_run=dry_run)


_MEMBER_COLUMNS: Final = {
    "member": Text("membre", "member"),
    "name": Text("nom", "name"),
    "state": Text("état", "state"),
    "keys": Text("clés", "keys"),
    "subsystems": Text("sous-systèmes", "subsystems"),
    "gateways": Text("passerelles", "gateways"),
}


@member.command("list")
@_connected
@output_option
@lang_option
def list_members(connection: Connection, output: Output, lang: Language) -> None:
    """Lister les membres / list members."""
    with connection.open() as client:
        rows = [_member_row(found, lang) for found in client.list_members()]
    show_rows(rows, _MEMBER_COLUMNS, output, lang)


@member.command("show")
@click.argument("member_id", metavar="MEMBER")
@_connected
@output_option
@lang_option
def show_member(member_id: str, connection: Connection, output: Output, lang: Language) -> None:
    """Montrer un membre / show a member."""
    with connection.open() as client:
        row = _member_row(client.get_member(member_id), lang)
    show_one(row, _MEMBER_COLUMNS, output, lang)


@member.command("suspend")
@click.argument("member_id", metavar="MEMBER")
@click.option("--reason", required=True)
@_connected
@dry_run_option
@lang_option
def suspend_member(
    member_id: str, reason: str, connection: Connection, dry_run: bool, lang: Language
) -> None:
    """Suspendre un membre ; un opérateur suffit / suspend a member; one operator is enough."""
    with connection.open() as client:
        version = client.suspend_member(member_id, reason, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


@member.command("resume")
@click.argument("member_id", metavar="MEMBER")
@_connected
@dry_run_option
@lang_option
def resume_member(member_id: str, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Demander la reprise d'un membre / ask that a member go on."""
    with connection.open() as client:
        number = client.resume_member(member_id, dry_run=dry_run)
    _say_request(number, lang, dry_run=dry_run)


# --- gateway, as the registry's operators see it: cli.main adds these to ``passerelle gateway`` ---


@click.command("suspend")
@click.argument("gateway_id", metavar="GATEWAY")
@click.option("--reason", required=True)
@_connected
@dry_run_option
@lang_option
def suspend_gateway(
    gateway_id: str, reason: str, connection: Connection, dry_run: bool, lang: Language
) -> None:
    """Suspendre une passerelle ; un opérateur suffit / suspend a gateway; one operator is enough."""
    with connection.open() as client:
        version = client.suspend_gateway(gateway_id, reason, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


@click.command("revoke")
@click.argument("gateway_id", metavar="GATEWAY")
@click.option("--reason", required=True)
@_connected
@dry_run_option
@yes_option
@lang_option
def revoke_gateway(
    gateway_id: str, reason: str, connection: Connection, dry_run: bool, yes: bool, lang: Language
) -> None:
    """Révoquer une passerelle / revoke a gateway."""
    confirm(
        Text(f"Révoquer {gateway_id} pour de bon ?", f"Revoke {gateway_id} for good?"),
        lang,
        yes=yes or dry_run,
    )
    with connection.open() as client:
        version = client.revoke_gateway(gateway_id, reason, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


GATEWAY_ORDERS: Final[Sequence[click.Command]] = (suspend_gateway, revoke_gateway)


# --- subsystem ---


@click.group()
def subsystem() -> None:
    """Les systèmes d'information des membres / members' information systems."""


@subsystem.command("add")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@_connected
@dry_run_option
@lang_option
def add_subsystem(subsystem_id: str, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Ajouter un sous-système / add a subsystem."""
    with connection.open() as client:
        version = client.add_subsystem(subsystem_id, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


# --- service ---


@click.group()
def service() -> None:
    """Les services publiés / published services."""


_SERVICE_COLUMNS: Final = {
    "subsystem": Text("sous-système", "subsystem"),
    "service": Text("service", "service"),
    "methods": Text("méthodes", "methods"),
    "descriptors": Text("descripteurs", "descriptors"),
}


@service.command("publish")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("descriptors", type=_FILE)
@click.option("--service", "services", multiple=True, help="seulement ceux-ci / only these")
@_connected
@dry_run_option
@output_option
@lang_option
def publish_services(
    subsystem_id: str,
    descriptors: Path,
    services: tuple[str, ...],
    connection: Connection,
    dry_run: bool,
    output: Output,
    lang: Language,
) -> None:
    """Publier les services d'un FileDescriptorSet / publish the services of a FileDescriptorSet."""
    with connection.open() as client:
        found = client.publish_services(subsystem_id, descriptors.read_bytes(), services, dry_run=dry_run)
    show_rows([_service_row(one) for one in found], _SERVICE_COLUMNS, output, lang)


@service.command("list")
@click.option("--subsystem", "subsystem_id", default="", help="d'un seul sous-système / of one subsystem")
@_connected
@output_option
@lang_option
def list_services(subsystem_id: str, connection: Connection, output: Output, lang: Language) -> None:
    """Lister les services / list services."""
    with connection.open() as client:
        rows = [_service_row(one) for one in client.list_services(subsystem_id)]
    show_rows(rows, _SERVICE_COLUMNS, output, lang)


@service.command("show")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("name", metavar="SERVICE")
@click.option("--out", type=_NEW_FILE, default=None, help="écrire les descripteurs / write the descriptors")
@_connected
@output_option
@lang_option
def show_service(
    subsystem_id: str, name: str, out: Path | None, connection: Connection, output: Output, lang: Language
) -> None:
    """Montrer un service / show a service."""
    with connection.open() as client:
        found = client.get_service(subsystem_id, name)
    if out is not None:
        replace_file(out, found.file_descriptor_set)
    show_one(_service_row(found.service), _SERVICE_COLUMNS, output, lang)


@service.command("retire")
@click.argument("subsystem_id", metavar="SUBSYSTEM")
@click.argument("name", metavar="SERVICE")
@_connected
@dry_run_option
@lang_option
def retire_service(
    subsystem_id: str, name: str, connection: Connection, dry_run: bool, lang: Language
) -> None:
    """Retirer un service / withdraw a service."""
    with connection.open() as client:
        version = client.retire_service(subsystem_id, name, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


# --- agreement ---


@click.group()
def agreement() -> None:
    """Les conventions entre membres / agreements between members."""


@agreement.command()
@click.argument("terms", type=_FILE)
@click.option("--out", type=_NEW_FILE, required=True, help="le texte à signer / what will be signed")
@lang_option
def propose(terms: Path, out: Path, lang: Language) -> None:
    """Mettre une convention par écrit depuis un fichier TOML / write an agreement down from a TOML file."""
    from core.documents import digest
    from registry.proposals import proposal_payload

    payload = proposal_payload(terms)
    replace_file(out, payload)
    _say(lang, f"{out} : empreinte {digest(payload)}", f"{out}: digest {digest(payload)}")


@agreement.command()
@click.argument("payload", type=_FILE)
@click.option("--member-key", type=_FILE, required=True, help="la clé du membre / the member key")
@click.option("--out", type=_NEW_FILE, required=True)
@lang_option
def sign(payload: Path, member_key: Path, out: Path, lang: Language) -> None:
    """Signer une convention avec la clé du membre / sign an agreement with the member key."""
    from registry.proposals import sign_agreement

    signed_for, jws = sign_agreement(payload.read_bytes(), member_key, SystemClock().now_ms())
    replace_file(out, jws.encode("ascii"))
    _say(lang, f"{out} : signé pour {signed_for}", f"{out}: signed for {signed_for}")


@agreement.command()
@click.argument("consumer", type=_FILE)
@click.argument("provider", type=_FILE)
@_connected
@dry_run_option
@lang_option
def conclude(consumer: Path, provider: Path, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Déposer une convention signée des deux membres / submit an agreement that both members signed."""
    with connection.open() as client:
        number = client.conclude_agreement(_text(consumer).strip(), _text(provider).strip(), dry_run=dry_run)
    _say_request(number, lang, dry_run=dry_run)


_AGREEMENT_COLUMNS: Final = {
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


@agreement.command("list")
@click.option("--member", "member_id", default="", help="d'un seul membre / of one member")
@_connected
@output_option
@lang_option
def list_agreements(member_id: str, connection: Connection, output: Output, lang: Language) -> None:
    """Lister les conventions / list agreements."""
    with connection.open() as client:
        rows = [_agreement_row(one) for one in client.list_agreements(member_id)]
    show_rows(rows, _AGREEMENT_COLUMNS, output, lang)


@agreement.command("show")
@click.argument("name", metavar="ID")
@click.option("--version", type=click.IntRange(0), default=0, help="0 : la dernière / the newest")
@_connected
@output_option
@lang_option
def show_agreement(name: str, version: int, connection: Connection, output: Output, lang: Language) -> None:
    """Montrer une convention / show an agreement."""
    with connection.open() as client:
        row = _agreement_row(client.get_agreement(name, version))
    show_one(row, _AGREEMENT_COLUMNS, output, lang)


@agreement.command("suspend")
@click.argument("name", metavar="ID")
@click.option("--reason", required=True)
@_connected
@dry_run_option
@lang_option
def suspend_agreement(name: str, reason: str, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Suspendre une convention / suspend an agreement."""
    with connection.open() as client:
        version = client.suspend_agreement(name, reason, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


@agreement.command("resume")
@click.argument("name", metavar="ID")
@_connected
@dry_run_option
@lang_option
def resume_agreement(name: str, connection: Connection, dry_run: bool, lang: Language) -> None:
    """Demander la reprise d'une convention / ask that an agreement go on."""
    with connection.open() as client:
        number = client.resume_agreement(name, dry_run=dry_run)
    _say_request(number, lang, dry_run=dry_run)


@agreement.command("revoke")
@click.argument("name", metavar="ID")
@click.option("--reason", required=True)
@_connected
@dry_run_option
@yes_option
@lang_option
def revoke_agreement(
    name: str, reason: str, connection: Connection, dry_run: bool, yes: bool, lang: Language
) -> None:
    """Révoquer une convention pour de bon / revoke an agreement for good."""
    confirm(Text(f"Révoquer {name} pour de bon ?", f"Revoke {name} for good?"), lang, yes=yes or dry_run)
    with connection.open() as client:
        version = client.revoke_agreement(name, reason, dry_run=dry_run)
    _say_version(version, lang, dry_run=dry_run)


# --- request ---


@click.group()
def request() -> None:
    """Les demandes que deux opérateurs approuvent / requests that two operators approve."""


_REQUEST_COLUMNS: Final = {
    "number": Text("n°", "no."),
    "kind": Text("objet", "kind"),
    "subject": Text("sujet", "subject"),
    "state": Text("état", "state"),
    "submitted_by": Text("déposée par", "submitted by"),
    "submitted_at": Text("le", "at"),
    "approvals": Text("avis", "approvals"),
    "needed": Text("sur", "of"),
    "refusal_reason": Text("motif du refus", "refused because"),
}


@request.command("list")
@click.option("--all", "everything", is_flag=True, help="aussi les demandes closes / closed ones too")
@_connected
@output_option
@lang_option
def list_requests(everything: bool, connection: Connection, output: Output, lang: Language) -> None:
    """Lister les demandes / list requests."""
    from passerelle.registry.v1 import requests_pb2

    state = requests_pb2.REQUEST_STATE_UNSPECIFIED if everything else requests_pb2.REQUEST_STATE_PENDING
    with connection.open() as client:
        rows = [_request_row(one) for one in client.list_requests(state)]
    show_rows(rows, _REQUEST_COLUMNS, output, lang)


@request.command("show")
@click.argument("number", type=click.IntRange(1))
@_connected
@output_option
@lang_option
def show_request(number: int, connection: Connection, output: Output, lang: Language) -> None:
    """Montrer une demande et ce qu'elle porte / show a request and what it carries."""
    with connection.open() as client:
        found = client.get_request(number)
    columns = {**_REQUEST_COLUMNS, "document": Text("document", "document")}
    row = {**_request_row(found.request), "document": found.document.decode("utf-8")}
    show_one(row, columns, output, lang)


@request.command()
@click.argument("number", type=click.IntRange(1))
@_connected
@lang_option
def approve(number: int, connection: Connection, lang: Language) -> None:
    """Approuver une demande ; deux opérateurs sont nécessaires / approve a request; two operators are needed."""
    with connection.open() as client:
        answer = client.approve(number)
    given, needed = len(answer.request.approvals), answer.request.approvals_needed
    if answer.version:
        _say(
            lang,
            f"{given} avis sur {needed} · publié v{answer.version}",
            f"{given} of {needed} approvals · published v{answer.version}",
        )
    else:
        _say(lang, f"{given} avis sur {needed}", f"{given} of {needed} approvals")


@request.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True)
@_connected
@lang_option
def refuse(number: int, reason: str, connection: Connection, lang: Language) -> None:
    """Refuser une demande ; un opérateur suffit / refuse a request; one operator is enough."""
    with connection.open() as client:
        client.refuse(number, reason)
    _say(lang, f"Demande n° {number} refusée.", f"Request no. {number} refused.")


# --- rows ---


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"{file} is not ASCII text") from None


def _state_name(number: int) -> str:
    from passerelle.registry.v1 import members_pb2

    return members_pb2.State.Name(members_pb2.State.ValueType(number)).removeprefix("STATE_").lower()


def _member_row(found: members_pb2.Member, lang: Language) -> dict[str, object]:
    return {
        "member": found.member,
        "name": found.name.fr if lang == "fr" else found.name.en,
        "state": _state_name(found.state),
        "keys": [key.thumbprint for key in found.keys],
        "subsystems": list(found.subsystems),
        "gateways": [f"{one.gateway} ({_state_name(one.state)})" for one in found.gateways],
    }


def _service_row(found: services_pb2.Service) -> dict[str, object]:
    return {
        "subsystem": found.subsystem,
        "service": found.service,
        "methods": [method.name for method in found.methods],
        "descriptors": found.descriptors_digest,
    }


def _agreement_row(found: agreements_pb2.Agreement) -> dict[str, object]:
    return {
        "id": found.id,
        "version": found.version,
        "state": _state_name(found.state),
        "consumer": found.consumer,
        "provider": found.provider,
        "service": found.service,
        "methods": list(found.methods),
        "purposes": list(found.purposes),
        "changed_at": _when(found.changed_at_ms),
        "reason": found.reason,
    }


def _request_row(found: requests_pb2.Request) -> dict[str, object]:
    from passerelle.registry.v1 import requests_pb2

    kind = requests_pb2.RequestKind.Name(found.kind).removeprefix("REQUEST_KIND_")
    state = requests_pb2.RequestState.Name(found.state).removeprefix("REQUEST_STATE_")
    return {
        "number": found.number,
        "kind": kind.lower().replace("_", "-"),
        "subject": found.subject,
        "state": state.lower(),
        "submitted_by": found.submitted_by,
        "submitted_at": _when(found.submitted_at_ms),
        "approvals": [one.operator for one in found.approvals],
        "needed": found.approvals_needed,
        "refusal_reason": found.refusal_reason,
    }
