"""``passerelle call``: any registered method from the shell, as an ordinary program of a ministry."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from core.identifiers import MethodName, SubsystemId
from core.language import Language, Text
from core.reasons import ExchangeError, Reason
from gateway.hints import HINTS_FILE, ProgramHints
from rpc.commandline import Output, fail, lang_option, output_option
from rpc.identity import CHAIN_FILE, KEY_FILE
from rpc.remote import RemoteError
from rpc.settings import load_settings

if TYPE_CHECKING:
    from google.protobuf.message import Message

_MAX_TIMEOUT_S = 3600.0
# What became of the request at the provider's program.
_DELIVERY: Final = {
    "not_sent": Text("demande non remise (not_sent)", "request not delivered (not_sent)"),
    "delivered": Text("demande remise (delivered)", "request delivered (delivered)"),
    "unknown": Text("nul ne sait si la demande fut remise (unknown)", "delivery of the request unknown"),
}


@click.command()
@click.argument("method", metavar="bj.identity.v1.IdentityService/GetPerson")
@click.option(
    "--as",
    "client",
    metavar="BJ/GOV/PNS/PORTAIL",
    help="le sous-système qui appelle ; défaut : celui de --identity / who calls; default: that of --identity",
)
@click.option(
    "--service", default="", metavar="BJ/GOV/ANIP/RNPP", help="s'il y en a plusieurs / if several provide it"
)
@click.option(
    "--purpose",
    default="",
    metavar="P01",
    help="finalité [requise si la convention l'exige] / purpose [required where the agreement demands it]",
)
@click.option(
    "--issue",
    default="",
    metavar="ACT-202611-0001",
    help="dossier [requis si la convention l'exige] / issue [required where the agreement demands it]",
)
@click.option("--user", default="", help="qui agit, référence opaque / who acts, an opaque handle")
@click.option("--reference", default="", help="référence du programme / the program's own reference")
@click.option("--represented", default="", metavar="BJ/GOV/MTFP", help="pour le compte de / on behalf of")
@click.option(
    "--data",
    default="{}",
    show_default=True,
    help="la demande en JSON, @fichier, ou - ; d'un flux, une par ligne / the request as JSON, @file, or -; of a stream, "
    "one per line",
)
@click.option(
    "--identity",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="répertoire écrit par « program add » / directory written by 'program add'",
)
@click.option(
    "--gateway",
    "address",
    metavar="HOST:PORT",
    help="port des programmes ; défaut : selon --identity / programs' port; default: as --identity says",
)
@click.option(
    "--directory",
    metavar="HOST:PORT",
    help="port d'administration ; défaut : selon --identity / admin port; default: as --identity says",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.001, _MAX_TIMEOUT_S),
    default=10.0,
    show_default=True,
    help="délai en secondes ; un flux sans fin dure jusque-là / seconds; a stream without end lasts that long",
)
@output_option
@lang_option
@click.pass_context
def call(
    context: click.Context,
    method: str,
    client: str | None,
    service: str,
    purpose: str,
    issue: str,
    user: str,
    reference: str,
    represented: str,
    data: str,
    identity: Path,
    address: str | None,
    directory: str | None,
    timeout: float,
    output: Output,
    lang: Language,
) -> None:
    """Appeler une méthode enregistrée / call a registered method.

    Les quatre genres de méthodes : si elle prend un flux, chaque ligne de --data est un message, envoyé dès qu'il vient
    (--data - : de l'entrée standard, sa fin est la demi-clôture) ; si elle en rend un, chaque réponse est une ligne, dès
    qu'elle vient. --output json attend la fin et donne tout à la fois.

    All four kinds of methods: of one that takes a stream, each line of --data is a message, sent as it comes (--data -:
    from standard input, whose end is the half-close); of one that returns a stream, each response is a line, as it comes.
    --output json waits for the end and gives all at once.
    """
    from cli.program import CallContext, Program
    from rpc.identity import Identity

    hints = _hints(identity, client, address, directory)
    called = CallContext(
        client=str(SubsystemId.parse(client or hints.subsystem)),
        service=service,
        purpose=purpose,
        issue=issue,
        user=user,
        reference=reference,
        represented=represented,
    )
    _require_certificate(identity, hints)
    program = Program(Identity.read(identity), hints)
    responses: list[str] = []
    on_response = responses.append if output == "json" else _show_response
    try:
        described = program.describe(MethodName.parse(method), service)
        texts = _requests(data, many=described.client_streaming)
        requests: Iterator[Message] = map(described.parse_request, texts)
        if not described.client_streaming:
            # Before anything is sent.
            requests = iter([next(requests)])
        result = program.call(described, requests, called, timeout_s=timeout, on_response=on_response)
    except (ExchangeError, RemoteError) as error:
        _tell_failure(error, output, lang, responses)
        context.exit(1)
    if output == "json":
        document = {
            "responses": [json.loads(text) for text in responses],
            "exchange_id": result.exchange_id,
            "sealed": result.is_sealed,
            "ms": round(result.elapsed_ms, 1),
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    sealed = (
        Text("scellé, 2 journaux", "sealed, 2 logs") if result.is_sealed else Text("non scellé", "not sealed")
    )
    told = Text(
        f"échange {result.exchange_id or '?'} · {sealed.fr} · {result.elapsed_ms:.0f} ms",
        f"exchange {result.exchange_id or '?'} · {sealed.en} · {result.elapsed_ms:.0f} ms",
    )
    # Beside the answer, so that the answer alone goes into a pipe.
    click.echo(told.in_(lang), err=True)


def _hints(identity: Path, client: str | None, address: str | None, directory: str | None) -> ProgramHints:
    """Where the gateway is: options first, then what ``program add`` wrote beside the identity."""
    path = identity / HINTS_FILE
    if path.exists():
        found = load_settings(path, ProgramHints)
    elif client and address and directory:
        found = ProgramHints(subsystem=client, gateway_id="", gateway=address, directory=directory)
    else:
        raise click.UsageError(
            f"{path} manque : donner --as, --gateway et --directory / is missing: give --as, --gateway and --directory"
        )
    return ProgramHints(
        subsystem=found.subsystem,
        gateway_id=found.gateway_id,
        gateway=address or found.gateway,
        directory=directory or found.directory,
    )


def _require_certificate(identity: Path, hints: ProgramHints) -> None:
    """The directory of a program that calls with tokens has neither key nor certificate: say so, not that one is lost."""
    if (identity / KEY_FILE).exists() or (identity / CHAIN_FILE).exists():
        return
    command = f"passerelle program add {hints.subsystem}"
    raise ExchangeError(
        Reason.KEY_UNREADABLE,
        f"{identity} is the directory of a program that calls with tokens; 'call' shows a certificate",
        remedy=Text(
            f"pour essayer avec un certificat : {command} NOM --out RÉPERTOIRE ; le jeton, lui, va à un client gRPC : "
            "passerelle program token",
            f"to try with a certificate: {command} NAME --out DIRECTORY; the token is for a gRPC client: "
            "passerelle program token",
        ),
    )


def _show_response(text: str) -> None:
    """At once, whoever reads it: the next one of a stream may be hours away."""
    click.echo(text)
    sys.stdout.flush()


def _requests(data: str, *, many: bool) -> Iterator[str]:
    """The texts of the requests: one, or one per line, as it comes, where the method takes a stream."""
    if data == "-":
        yield from _messages(sys.stdin, many=many)
    elif data.startswith("@"):
        try:
            with Path(data[1:]).open(encoding="utf-8") as file:
                yield from _messages(file, many=many)
        except OSError as error:
            raise ExchangeError(Reason.NOT_FOUND, f"{data[1:]}: {error.strerror}") from error
    else:
        yield from _messages(StringIO(data), many=many)


def _messages(file: TextIO, *, many: bool) -> Iterator[str]:
    try:
        if many:
            yield from (line for line in file if line.strip())
        else:
            yield file.read()
    except UnicodeDecodeError as error:
        # Raised here, so that gRPC's own thread does not end the call without a word of why.
        text = f"the data is not UTF-8: {error.reason} at byte {error.start}"
        raise ExchangeError(Reason.DOCUMENT_INVALID, text) from None


def _tell_failure(
    error: ExchangeError | RemoteError, output: Output, lang: Language, responses: list[str]
) -> None:
    facts: dict[str, object] = {**error.metadata} if isinstance(error, RemoteError) else {}
    violations = error.violations if isinstance(error, RemoteError) else ()
    refused = {"violations": [asdict(one) for one in violations]} if violations else {}
    if output == "json":
        reason = error.reason if isinstance(error, ExchangeError) else error.reason or error.code.name
        came = {"responses": [json.loads(text) for text in responses]} if responses else {}
        document = {"reason": str(reason), "message": str(error), **facts, **refused, **came}
        click.echo(json.dumps(document, ensure_ascii=False))
    fail(error, lang)
    for one in violations:
        click.echo(f"  {one.field or '–'}: {one.description}", err=True)
    if facts.get("exchange_id"):
        exchange = Text("échange", "exchange").in_(lang)
        delivery = _DELIVERY.get(str(facts.get("delivery")), _DELIVERY["unknown"]).in_(lang)
        click.echo(f"{exchange} {facts['exchange_id']} · {delivery}", err=True)
