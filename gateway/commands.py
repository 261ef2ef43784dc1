"""Commands of a gateway: ``gateway``, ``program``, ``status``, ``exchange``, ``log`` and ``config``.

What founds or runs a gateway works on its directory; what asks a running one uses its ``admin.sock``. Modules that are
slow to load are imported where they are used, so that ``--help`` stays fast.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from core.clock import SystemClock
from core.identifiers import GatewayId, ProgramId, RegistryId, SubsystemId
from core.language import Language, Text
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, HostPort, Listen, road_of
from rpc.commandline import (
    FAULT,
    GOOD,
    Output,
    confirm,
    dry_run_option,
    lang_option,
    output_option,
    show_one,
    show_rows,
    yes_option,
)
from rpc.settings import load_settings
from rpc.words import coded

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from gateway.screens import Screen
    from gateway.succession import OldLog
    from passerelle.gateway.v1.log_pb2 import GetHeadResponse
    from passerelle.gateway.v1.status_pb2 import GetStatusResponse

_PROGRAM_COLUMNS = {
    "id": Text("programme", "program"),
    "credential": Text("justificatif", "credential"),
    "thumbprint": Text("empreinte", "thumbprint"),
    "state": Text("état", "state"),
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway that a command works on."""

    directory: GatewayDirectory
    settings: GatewaySettings

    @classmethod
    def open(cls, config: Path) -> Gateway:
        """Read its ``gateway.toml``; raises ``SettingsError``."""
        settings = load_settings(config, GatewaySettings)
        return cls(GatewayDirectory.of(config), settings)


def _config_option(command: Any) -> Any:
    option = click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("gateway.toml"),
        show_default=True,
        help="gateway.toml de la passerelle / of the gateway",
    )
    return option(command)


@click.group()
def gateway() -> None:
    """Fonder et faire tourner une passerelle / found and run a gateway."""


@gateway.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--gateway", "gateway_id", required=True, help="BJ/GOV/ANIP/gw1")
@click.option("--anchor", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option(
    "--member-key", required=True, help="empreinte de la clé du membre / thumbprint of the member key"
)
@click.option("--registry", required=True, help="registre.asin.bj:7443")
@click.option("--registry-id", required=True, help="BJ/GOV/ASIN/registre")
@click.option(
    "--host", "hosts", multiple=True, help="nom ou adresse, le premier est enregistré / first is registered"
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--programs", default="0.0.0.0:8443", show_default=True)  # peers and programs come from outside
@click.option("--road", default="0.0.0.0:7444", show_default=True, help="premier worker / first worker")
@click.option("--admin", default="0.0.0.0:7445", show_default=True)
@click.option("--http", default="127.0.0.1:9444", show_default=True)
@click.option("--adapter", "adapters", multiple=True, help="BJ/GOV/ANIP/RNPP=127.0.0.1:9101")
@click.option("--allow-network", "networks", multiple=True, help="127.0.0.0/8")
@click.option("--wrapping-key", type=click.Path(dir_okay=False, path_type=Path), default=None)
@click.option("--programs-ca", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None)
@output_option
@lang_option
def init(
    directory: Path,
    gateway_id: str,
    anchor: Path,
    member_key: str,
    registry: str,
    registry_id: str,
    hosts: tuple[str, ...],
    workers: int,
    programs: str,
    road: str,
    admin: str,
    http: str,
    adapters: tuple[str, ...],
    networks: tuple[str, ...],
    wrapping_key: Path | None,
    programs_ca: Path | None,
    output: Output,
    lang: Language,
) -> None:
    """Créer clés, demandes, journaux et réglages / make keys, requests, logs and settings."""
    from gateway.founding import Plan, init_gateway
    from pki.anchor import spoken

    plan = Plan(
        gateway=GatewayId.parse(gateway_id),
        member_key=member_key,
        registry=RegistryId.parse(registry_id),
        registry_address=HostPort.parse(registry),
        hosts=hosts or ("127.0.0.1",),
        listen=Listen(
            programs=programs,
            road=tuple(str(road_of(HostPort.parse(road), worker)) for worker in range(workers)),
            admin=admin,
            http=http,
        ),
        adapters=dict(map(_adapter, adapters)),
        allowed_networks=networks,
        lang=lang,
        wrapping_key=wrapping_key,
    )
    shared = GatewayDirectory(programs_ca) if programs_ca is not None else None
    made = init_gateway(directory, plan, anchor, clock=SystemClock(), programs_ca=shared)
    show_one(
        {
            "anchor": spoken(made.anchor_fingerprint),
            "auth": str(made.directory.auth.request),
            "seal": str(made.directory.seal.request),
            "logs": [log.id for log in made.logs],
            "settings": str(made.directory.settings),
        },
        {
            "anchor": Text(
                "Empreinte de l'ancre, à comparer de vive voix", "Anchor fingerprint, compare by voice"
            ),
            "auth": Text("Demande de certificat auth", "Auth certificate request"),
            "seal": Text("Demande de certificat seal", "Seal certificate request"),
            "logs": Text("Journaux", "Logs"),
            "settings": Text("Réglages", "Settings"),
        },
        output,
        lang,
    )


def _adapter(text: str) -> tuple[SubsystemId, HostPort]:
    subsystem, equals, address = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}: BJ/GOV/ANIP/RNPP=127.0.0.1:9101")
    return SubsystemId.parse(subsystem), HostPort.parse(address)


@gateway.command("install")
@click.option("--auth", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--seal", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@_config_option
@lang_option
def install(auth: Path, seal: Path, config: Path, lang: Language) -> None:
    """Installer les certificats reçus / install the certificates received."""
    from gateway.founding import install_certificates

    opened = Gateway.open(config)
    install_certificates(opened.directory, opened.settings, auth.read_bytes(), seal.read_bytes())
    _say(Text("Certificats installés.", "Certificates installed."), lang)


@gateway.command("register")
@click.option("--member-key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="écrire ce qui est à signer / write what is to be signed",
)
@click.option("--signed", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_config_option
@dry_run_option
@lang_option
def register(
    member_key_file: Path | None,
    out: Path | None,
    signed: Path | None,
    config: Path,
    dry_run: bool,
    lang: Language,
) -> None:
    """Faire enregistrer la passerelle sous la clé du membre / register the gateway under the member key."""
    from gateway.founding import registration_payload, sign_registration, submit_registration

    opened = Gateway.open(config)
    if [member_key_file, out, signed].count(None) != 2:
        raise click.UsageError("--member-key-file | --out | --signed")
    if signed is not None:
        jws = signed.read_text(encoding="ascii").strip()
    else:
        payload = registration_payload(opened.directory, opened.settings, SystemClock())
        if out is not None:
            out.write_bytes(payload)
            _say(
                Text(f"À signer avec la clé du membre : {out}", f"To be signed with the member key: {out}"),
                lang,
            )
            return
        jws = sign_registration(payload, member_key_file or Path(), opened.settings)
    request = submit_registration(opened.directory, opened.settings, jws, dry_run=dry_run)
    if dry_run:
        _say(Text("Rien n'a été changé ; tout est en ordre.", "Nothing was changed; all is in order."), lang)
    else:
        _say(
            Text(
                f"Demande n° {request} envoyée ; elle attend deux avis.",
                f"Request no. {request} sent; it waits for two approvals.",
            ),
            lang,
        )


@gateway.command("add-worker")
@click.option(
    "--road", default=None, help="127.0.0.1:7448 ; défaut : le port suivant / default: the next port"
)
@_config_option
@dry_run_option
@lang_option
def add_worker(road: str | None, config: Path, dry_run: bool, lang: Language) -> None:
    """Ajouter un worker : son journal, sa ligne dans gateway.toml / add a worker: its log, its line in gateway.toml."""
    from gateway.enlarging import add_worker as add
    from gateway.enlarging import enlarged, worker_without_log

    opened = Gateway.open(config)
    directory, settings = opened.directory, opened.settings
    worker, larger = worker_without_log(directory, settings), settings
    if worker is None:
        worker, larger = settings.workers, enlarged(settings, HostPort.parse(road) if road else None)
    listen = larger.listen.road[worker]
    if dry_run:
        _say(
            Text(
                f"Worker {worker}, route {listen}. Rien n'a été changé.",
                f"Worker {worker}, road {listen}. Nothing was changed.",
            ),
            lang,
        )
        return
    made = add(directory, settings, larger, worker, SystemClock())
    register = f"passerelle gateway register --config {quote(str(config))} --member-key-file"
    _say(
        Text(
            f"Worker {worker} : journal {made.id}, route {listen}. Aucun échange n'y passe avant son enregistrement : "
            f"{register} CLÉ, puis l'avis de deux opérateurs. Il démarre quand la passerelle est relancée.",
            f"Worker {worker}: log {made.id}, road {listen}. No exchange passes through it before it is registered: "
            f"{register} KEY, then the approval of two operators. It starts when the gateway is started again.",
        ),
        lang,
    )


@gateway.command("pseudonym-keys")
@click.option(
    "--from",
    "shared",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="keys/pseudonyms d'une autre passerelle du membre / of another gateway of the member",
)
@click.option(
    "--anew",
    is_flag=True,
    help="la clé qui a fait des annexes du journal est perdue pour de bon / a key that made annexes of the log is lost",
)
@_config_option
@lang_option
def pseudonym_keys(shared: Path | None, anew: bool, config: Path, lang: Language) -> None:
    """Ajouter les clés de pseudonymes qui manquent / add the keys of pseudonyms that are missing."""
    from gateway.founding import add_pseudonym_keys
    from pki.pseudonyms import years_held

    opened = Gateway.open(config)
    added = add_pseudonym_keys(opened.directory, SystemClock(), shared, anew=anew)
    held = years_held(opened.directory.pseudonym_keys)
    _say(
        Text(
            f"Clés de pseudonymes ajoutées : {', '.join(map(str, added)) or 'aucune'} ; "
            f"tenues : {', '.join(map(str, held))}. À sauvegarder comme la clé de scellement.",
            f"Keys of pseudonyms added: {', '.join(map(str, added)) or 'none'}; "
            f"held: {', '.join(map(str, held))}. To be backed up as the seal key is.",
        ),
        lang,
    )


@gateway.command("adapter")
@click.argument("subsystem")
@click.option("--host", "hosts", multiple=True, required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@_config_option
@lang_option
def adapter(subsystem: str, hosts: tuple[str, ...], out: Path, config: Path, lang: Language) -> None:
    """Écrire l'identité d'un adaptateur / write the identity of an adapter."""
    from gateway.founding import add_adapter

    opened = Gateway.open(config)
    add_adapter(opened.directory, SubsystemId.parse(subsystem), hosts, out, SystemClock())
    _say(Text(f"Identité de l'adaptateur : {out}", f"Identity of the adapter: {out}"), lang)


@gateway.command("serve")
@click.option("--lifeline", type=int, default=None, hidden=True)
@_config_option
def serve(config: Path, lifeline: int | None) -> None:
    """Faire tourner contrôle et workers / run control and workers."""
    from gateway.control.main import serve as run

    run(config, lifeline)


@click.group()
def program() -> None:
    """Programmes du ministère / the ministry's programs."""


@program.command("add")
@click.argument("subsystem")
@click.argument("name")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=None)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="clé publique dont le programme signe ses jetons / public key of its tokens",
)
@_config_option
@lang_option
def add(subsystem: str, name: str, out: Path | None, key: Path | None, config: Path, lang: Language) -> None:
    """Admettre un programme, par certificat ou par jetons / admit a program, by certificate or by tokens."""
    from gateway.founding import add_program, add_program_key
    from gateway.local import is_admission_in_use

    opened = Gateway.open(config)
    added = ProgramId(SubsystemId.parse(subsystem), name)
    if key is not None:
        kid = add_program_key(opened.directory, opened.settings, added, key, out)
        written = Text(
            f"Ses jetons : kid {kid}, aud {opened.settings.gateway}, iss et sub {added}.",
            f"Its tokens: kid {kid}, aud {opened.settings.gateway}, iss and sub {added}.",
        )
    elif out is not None:
        add_program(opened.directory, opened.settings, added, out, SystemClock())
        written = Text(
            f"Dans {out} : identity.key (secret), identity.crt, ca.pem, passerelle.toml.",
            f"In {out}: identity.key (secret), identity.crt, ca.pem, passerelle.toml.",
        )
    else:
        raise click.UsageError("--out | --key")
    admitted = (
        Text(f"{added} est admis.", f"{added} is admitted.")
        if is_admission_in_use(opened.directory)
        else Text(
            f"{added} sera admis dès que la passerelle sera en service (passerelle status).",
            f"{added} will be admitted as soon as the gateway is in service (passerelle status).",
        )
    )
    _say(
        Text(f"{admitted.fr} {written.fr}", f"{admitted.en} {written.en}"),
        lang,
    )


@program.command("token")
@click.argument("program_id", metavar="BJ/GOV/MTFP/TRAVAIL/nuit")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="clé privée du programme / private key of the program",
)
@click.option("--gateway", "gateway_id", required=True, metavar="BJ/GOV/MTFP/gw1")
def token(program_id: str, key: Path, gateway_id: str) -> None:
    """Écrire un jeton de cinq minutes, pour essayer / print a token of five minutes, to try."""
    from secrets import token_urlsafe

    from pki.keys import read_key
    from pki.tokens import issue_token

    signer, audience = ProgramId.parse(program_id), GatewayId.parse(gateway_id)
    click.echo(issue_token(read_key(key), signer, audience, clock=SystemClock(), token_id=token_urlsafe(16)))


@program.command("list")
@_config_option
@output_option
@lang_option
def list_programs(config: Path, output: Output, lang: Language) -> None:
    """Qui est admis / who is admitted."""
    from gateway.control.programs import PinnedPrograms

    entries = PinnedPrograms(Gateway.open(config).directory.pinned_programs).entries()
    rows = [
        {
            "id": one.id,
            "credential": coded("jwt" if one.public_key else "mtls"),
            "thumbprint": one.thumbprint,
            "state": coded(one.state),
        }
        for one in entries
    ]
    show_rows(rows, _PROGRAM_COLUMNS, output, lang)


@program.command("remove")
@click.argument("program_id", metavar="BJ/GOV/MTFP/TRAVAIL/gestion")
@click.option("--thumbprint", help="ce certificat ou cette clé seulement / this certificate or key only")
@_config_option
@yes_option
@lang_option
def remove(program_id: str, thumbprint: str | None, config: Path, yes: bool, lang: Language) -> None:
    """Ne plus admettre un programme / no longer admit a program."""
    from gateway.control.programs import PinnedPrograms
    from gateway.local import is_admission_in_use

    removed = ProgramId.parse(program_id)
    what = f"{removed} ({thumbprint})" if thumbprint else str(removed)
    confirm(Text(f"Ne plus admettre {what} ?", f"No longer admit {what}?"), lang, yes=yes)
    directory = Gateway.open(config).directory
    PinnedPrograms(directory.pinned_programs).remove(removed, thumbprint)
    _say(
        Text(f"{what} n'est plus admis.", f"{what} is no longer admitted.")
        if is_admission_in_use(directory)
        else Text(
            f"{what} est retiré. La passerelle ne l'a pas confirmé : si elle tourne, voir passerelle status ; "
            "sinon, elle le saura en démarrant.",
            f"{what} is removed. The gateway has not confirmed it: if it runs, see passerelle status; "
            "otherwise it will know when it starts.",
        ),
        lang,
    )


@click.command()
@_config_option
@output_option
@lang_option
def status(config: Path, output: Output, lang: Language) -> None:
    """L'état de la passerelle sur un écran / the state of the gateway on one screen."""
    from gateway.screens import status_screen
    from passerelle.gateway.v1.status_pb2 import STATE_CLOSED

    found, _, is_live = _standing(config)
    _show(status_screen(found, SystemClock().now_ms()), found, output, lang)
    sys.exit(GOOD if is_live and found.state != STATE_CLOSED else FAULT)


def _standing(config: Path) -> tuple[GetStatusResponse, GetHeadResponse, bool]:
    """How a gateway stands, its newest heads, and whether it told so itself; else its files do."""
    from gateway.local import LocalAdmin, NotRunningError
    from gateway.remains import status_from_files

    opened = Gateway.open(config)
    try:
        with LocalAdmin(opened.directory) as admin:
            return admin.status(), admin.heads(), True
    except NotRunningError:
        found, heads = status_from_files(opened.settings, opened.directory, SystemClock().now_ms())
        return found, heads, False


@click.group()
def exchange() -> None:
    """Échanges / exchanges."""


@exchange.command("show")
@click.argument("exchange_id")
@_config_option
@output_option
@lang_option
def show(exchange_id: str, config: Path, output: Output, lang: Language) -> None:
    """Où en est un échange, des deux côtés / where an exchange stands, both sides."""
    from gateway.local import LocalAdmin
    from gateway.screens import exchange_screen

    with LocalAdmin(GatewayDirectory.of(config)) as admin:
        found = admin.exchange(exchange_id)
    _show(exchange_screen(found), found, output, lang)


@exchange.command("list")
@click.option(
    "--in-doubt",
    is_flag=True,
    help="ceux dont la fin est inconnue [ceci ou --dossier] / whose end is unknown [this or --dossier]",
)
@click.option("--dossier", default=None, metavar="DOSSIER", help="ceux d'un dossier / those of a dossier")
@_config_option
@output_option
@lang_option
def list_exchanges(in_doubt: bool, dossier: str | None, config: Path, output: Output, lang: Language) -> None:
    """Échanges en doute, ou d'un dossier / exchanges in doubt, or of a dossier."""
    from gateway.local import LocalAdmin
    from gateway.screens import doubts_screen, exchanges_screen

    if in_doubt == (dossier is not None):
        raise click.UsageError(
            Text(
                "donner --dossier DOSSIER (les échanges d'un dossier) ou --in-doubt (ceux dont la fin est inconnue) ; "
                "tous les échanges de la passerelle : passerelle audit list --log RÉPERTOIRE",
                "give --dossier DOSSIER (the exchanges of a dossier) or --in-doubt (those whose end is unknown); "
                "all exchanges of the gateway: passerelle audit list --log DIRECTORY",
            ).in_(lang)
        )
    with LocalAdmin(GatewayDirectory.of(config)) as admin:
        found = admin.in_doubt() if dossier is None else admin.dossier(dossier)
        gateways = admin.gateways_by_log() if found.exchanges and in_doubt else {}
    screen = doubts_screen(found, gateways, SystemClock().now_ms()) if in_doubt else exchanges_screen(found)
    _show(screen, found, output, lang)


@click.group()
def log() -> None:
    """Le journal de la passerelle / the gateway's log."""


@log.command("status")
@_config_option
@output_option
@lang_option
def log_status(config: Path, output: Output, lang: Language) -> None:
    """Taille, tête signée, index, place libre, jours restants / size, signed head, index, free space, days left."""
    from gateway.screens import heads_json, log_screen

    found, heads, is_live = _standing(config)
    if output == "json":
        click.echo(heads_json(heads))
    else:
        _show(log_screen(found, heads.heads), heads, output, lang)
    sys.exit(GOOD if is_live else FAULT)


@log.command("succeed")
@click.option("--reason", required=True, help="pourquoi ; écrit dans le journal / why; written into the log")
@click.option(
    "--worker",
    type=click.IntRange(0, 63),
    default=None,
    help="s'il y en a plusieurs ; défaut : celui qui s'est arrêté / default: the one that stopped",
)
@_config_option
@dry_run_option
@yes_option
@lang_option
def succeed(reason: str, worker: int | None, config: Path, dry_run: bool, yes: bool, lang: Language) -> None:
    """Clore un journal et en ouvrir un successeur / close a log and open its successor."""
    from gateway.closing import ask_registry, require_stopped, switch, worker_to_succeed
    from gateway.succession import is_successor_waiting, open_successor, read_old_log

    opened = Gateway.open(config)
    directory, settings = opened.directory, opened.settings
    if worker is None:
        worker = worker_to_succeed(directory, settings)
    if is_successor_waiting(directory, worker):
        # Cut off in between, by a crash or by a process that held the log: only the switch is left to do.
        switch(directory, worker)
        _say(Text("Le successeur est en place.", "The successor is in place."), lang)
        return
    old, tree = read_old_log(directory, settings, worker)
    old, is_asked = ask_registry(directory, settings, old, tree)
    require_stopped(directory, worker, old)
    _say(_what_is_closed(old, is_asked=is_asked), lang)
    if dry_run:
        _say(Text("Rien n'a été changé.", "Nothing was changed."), lang)
        return
    confirm(
        Text(
            "Clore ce journal pour toujours ? Le disque d'origine ne servira plus.",
            "Close this log for ever? The original disk will be of no use then.",
        ),
        lang,
        yes=yes,
    )
    made = open_successor(directory, settings, worker, old, reason, SystemClock(), is_asked=is_asked)
    switch(directory, worker)
    register = f"passerelle gateway register --config {quote(str(config))} --member-key-file"
    _say(
        Text(
            f"Successeur : journal {made.log}. Aucun échange ne passe avant son enregistrement : "
            f"{register} CLÉ, puis l'avis de deux opérateurs.",
            f"Successor: log {made.log}. No exchange passes before it is registered: "
            f"{register} KEY, then the approval of two operators.",
        ),
        lang,
    )


def _what_is_closed(old: OldLog, *, is_asked: bool) -> Text:
    from gateway.stopped import held_by

    heads = [(one.head.size, held_by(one.witness)) for one in old.elsewhere]
    there_fr = ", ".join(f"{size} {where.fr}" for size, where in heads) or "rien de plus ailleurs"
    there_en = ", ".join(f"{size} {where.en}" for size, where in heads) or "nothing more elsewhere"
    damaged = (
        Text("", "") if old.is_whole else Text(" (abîmé, perdu ou bifurqué)", " (damaged, lost or forked)")
    )
    silent = (
        Text("", "") if is_asked else Text(" Le registre n'a pas répondu.", " The registry did not answer.")
    )
    return Text(
        f"Journal {old.log} : {old.size} feuilles ici{damaged.fr} ; {there_fr}.{silent.fr}",
        f"Log {old.log}: {old.size} leaves here{damaged.en}; {there_en}.{silent.en}",
    )


@click.group()
def config() -> None:
    """La configuration globale / the global configuration."""


@config.command("show")
@_config_option
@output_option
@lang_option
def config_show(config: Path, output: Output, lang: Language) -> None:
    """La configuration en vigueur / the configuration in force."""
    from core.configuration import decode_current
    from gateway.local import LocalAdmin
    from gateway.screens import configuration_screen

    with LocalAdmin(GatewayDirectory.of(config)) as admin:
        found = admin.configuration()
    if output == "json":
        click.echo(found.document.decode("utf-8"))
        return
    current = decode_current(found.document)
    _show(configuration_screen(current, found.left_out, SystemClock().now_ms()), found, output, lang)


def _show(screen: Screen, found: Message, output: Output, lang: Language) -> None:
    """A screen as text, or what it was made from as JSON; CSV is its first table."""
    if output == "json":
        from google.protobuf.json_format import MessageToJson

        click.echo(MessageToJson(found, indent=None, ensure_ascii=False))
        return
    if output == "table":
        for line in screen.lines:
            click.echo(line.in_(lang))
    for table in screen.tables[: 1 if output == "csv" else None]:
        columns = dict(zip(table.keys or [text.en for text in table.header], table.header, strict=True))
        rows = [dict(zip(columns, row, strict=True)) for row in table.rows]
        if output == "table":
            if not table.rows:
                continue
            click.echo(f"\n{table.title.in_(lang)}")
        show_rows(rows, columns, output, lang)


def _say(text: Text, lang: Language) -> None:
    click.echo(text.in_(lang))
