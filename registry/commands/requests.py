"""``passerelle request``: what two operators approve, or one refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from core.language import Language, Text
from registry.commands.asking import Connection, connected, reason_option, say, shows
from rpc.commandline import Row, lang_option
from rpc.figures import utc_time
from rpc.words import coded

if TYPE_CHECKING:
    from passerelle.registry.v1 import requests_pb2
    from registry.client import RegistryClient

_COLUMNS: Final = {
    "number": Text("n°", "no."),
    "kind": Text("objet", "kind"),
    "subject": Text("sujet", "subject"),
    "state": Text("état", "state"),
    "submitted_by": Text("déposée par", "submitted by"),
    "submitted_at": Text("le", "at"),
    "given": Text("avis", "approvals"),
    "needed": Text("sur", "of"),
    "approvals": Text("donnés par", "given by"),
    "refusal_reason": Text("motif du refus", "refused because"),
}


@click.group()
def request() -> None:
    """Les demandes que deux opérateurs approuvent / requests that two operators approve."""


@request.command("list")
@click.option("--all", "everything", is_flag=True, help="aussi les demandes closes / closed ones too")
@shows(_COLUMNS)
def list_requests(client: RegistryClient, everything: bool) -> list[Row]:
    """Lister les demandes / list requests."""
    from passerelle.registry.v1 import requests_pb2

    state = requests_pb2.REQUEST_STATE_UNSPECIFIED if everything else requests_pb2.REQUEST_STATE_PENDING
    return [_row(one) for one in client.list_requests(state)]


@request.command("show")
@click.argument("number", type=click.IntRange(1))
@shows({**_COLUMNS, "document": Text("document", "document")})
def show_request(client: RegistryClient, number: int) -> Row:
    """Montrer une demande et ce qu'elle porte / show a request and what it carries."""
    found = client.get_request(number)
    return {**_row(found.request), "document": found.document.decode("utf-8")}


@request.command()
@click.argument("number", type=click.IntRange(1))
@connected
@lang_option
def approve(number: int, connection: Connection, lang: Language) -> None:
    """Approuver une demande ; deux opérateurs sont nécessaires / approve a request; two operators are needed."""
    with connection.open() as client:
        answer = client.approve(number)
    given, needed = len(answer.request.approvals), answer.request.approvals_needed
    told = Text(f"{given} avis sur {needed}", f"{given} of {needed} approvals")
    if answer.version:
        told = Text(f"{told.fr} · publié v{answer.version}", f"{told.en} · published v{answer.version}")
    say(told, lang)


@request.command()
@click.argument("number", type=click.IntRange(1))
@reason_option
@connected
@lang_option
def refuse(number: int, reason: str, connection: Connection, lang: Language) -> None:
    """Refuser une demande ; un opérateur suffit / refuse a request; one operator is enough."""
    with connection.open() as client:
        client.refuse(number, reason)
    say(Text(f"Demande n° {number} refusée.", f"Request no. {number} refused."), lang)


def _row(found: requests_pb2.Request) -> Row:
    from passerelle.registry.v1 import requests_pb2

    kind = requests_pb2.RequestKind.Name(found.kind).removeprefix("REQUEST_KIND_")
    state = requests_pb2.RequestState.Name(found.state).removeprefix("REQUEST_STATE_")
    return {
        "number": found.number,
        "kind": coded(kind.lower().replace("_", "-")),
        "subject": found.subject,
        "state": coded(state.lower()),
        "submitted_by": found.submitted_by,
        "submitted_at": utc_time(found.submitted_at_ms),
        "given": len(found.approvals),
        "needed": found.approvals_needed,
        "approvals": [one.operator for one in found.approvals],
        "refusal_reason": found.refusal_reason,
    }
