"""``passerelle adapter dossier …``: what an officer of the ministry does with dossiers, while the adapter serves.

The commands write to the register's database by the very functions that the adapter uses; the adapter tells the consumer.
Who may run them is who may read ``adapter.toml``: an office has its own program for this, and this is how it begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.language import Language, Text
from rpc.commandline import Output, lang_option, output_option, show_one, show_rows
from rpc.figures import local_time

if TYPE_CHECKING:
    import sqlalchemy as sa

    from adapters.kit.desk import Desk
    from adapters.kit.dossier import Dossier
    from adapters.reasons import ProviderError

_COLUMNS: Final = {
    "reference": Text("dossier", "dossier"),
    "service": Text("prestation", "service"),
    "client": Text("consommateur", "consumer"),
    "state": Text("état", "state"),
    "filed_at": Text("déposé le", "filed on"),
    "due_at": Text("échéance", "due on"),
    "officer": Text("agent", "officer"),
}
_DETAILS: Final = {
    **_COLUMNS,
    "issue": Text("référence du consommateur", "consumer's reference"),
    "subject": Text("objet", "subject"),
    "fee_xof": Text("frais (F)", "fee (F)"),
    "payments": Text("paiements", "payments"),
    "reason": Text("motif", "reason"),
    "steps": Text("étapes", "steps"),
    "documents": Text("documents", "documents"),
    "numbers": Text("numéros délivrés", "numbers given"),
    "version": Text("version", "version"),
}
# Why a payment is to be given back (``adapters.kit.payments.Refund``).
_REFUNDS: Final = {
    "amount": Text("à rendre : ce n'est pas le montant des frais", "to give back: not the amount of the fee"),
    "twice": Text("à rendre : déjà réglé", "to give back: paid already"),
    "ended": Text("à rendre : le dossier était clos", "to give back: the dossier had ended"),
    "free": Text("à rendre : rien n'était dû", "to give back: nothing was due"),
}
# NPI, and IFU: that of a sole trader is his.
_PERSONAL: Final = re.compile(r"(?<![0-9])(?:[0-9]{10}|[1-6]20[0-9]{10})(?![0-9])")
_PARTS: Final = ("payments", "steps", "documents", "numbers")
_NO_DOSSIER: Final = Text(
    "vérifier la référence, celle du ministère : `adapter dossier list`",
    "check the reference, the ministry's own: `adapter dossier list`",
)
# Where each command leads, among ``adapters.kit.dossier.MOVES``; ``resume`` is one more way back to review.
_LEADS_TO: Final = {
    "review": "UNDER_REVIEW",
    "correct": "CORRECTION_REQUESTED",
    "interview": "INTERVIEW_REQUIRED",
    "arbitrate": "ARBITRATION",
    "grant": "GRANTED",
    "reject": "REJECTED",
}
_STATES: Final = (
    "AWAITING_PAYMENT",
    "FILED",
    "UNDER_REVIEW",
    "CORRECTION_REQUESTED",
    "INTERVIEW_REQUIRED",
    "OPPOSITION_PERIOD",
    "ARBITRATION",
    "GRANTED",
    "REJECTED",
    "CANCELLED",
    "EXPIRED",
)

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path("adapter.toml"),
    show_default=True,
    help="réglages de l'adaptateur / the adapter's settings",
)
officer_option = click.option(
    "--officer", required=True, help="désignation opaque de l'agent / the officer, an opaque handle"
)
_reason = click.option("--reason", required=True, help="motif, lu par le demandeur / read by the applicant")
_reference = click.argument("reference")


@click.group()
def dossier() -> None:
    """Traiter les dossiers / work on dossiers."""


@dossier.command("list")
@config_option
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES),
    multiple=True,
    help="ces états ; sinon, tous ceux qui ne sont pas décidés / these; else all that are not decided",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_option
@lang_option
def list_(config: Path, states: tuple[str, ...], limit: int, output: Output, lang: Language) -> None:
    """Ceux qui attendent un agent, un paiement ou une réponse, l'échéance la plus proche d'abord / those not decided.

    Au-delà de `--limit`, le dit. / Says so if there are more than `--limit`.
    """
    from adapters.kit.dossier import FINAL, State

    wanted = frozenset(State[one] for one in states) or frozenset(State) - FINAL
    with closing(desk_of(config)) as desk:
        with desk.store.reading() as tx:
            found = desk.dossiers.in_states(tx, wanted, limit + 1)
        show_rows([_row(desk, one, lang) for one in found[:limit]], _COLUMNS, output, lang)
    if len(found) > limit:
        more = Text(
            f"{limit} montrés ; il y en a d'autres : --limit", f"{limit} shown; there are more: --limit"
        )
        click.echo(more.in_(lang), err=True)


@dossier.command()
@_reference
@config_option
@output_option
@lang_option
def show(reference: str, config: Path, output: Output, lang: Language) -> None:
    """Un dossier : objet, paiements, étapes, documents / one dossier: subject, payments, steps, documents."""
    with closing(desk_of(config)) as desk:

        def read() -> dict[str, object]:
            with desk.store.reading() as tx:
                return _whole(desk, tx, reference, lang)

        found = told(read, lang, lambda _error: _NO_DOSSIER)
    if output != "json":
        found |= {name: [_in_words(one, lang) for one in found[name]] for name in _PARTS}
    show_one(found, _DETAILS, output, lang)


def _whole(desk: Desk, tx: sa.Connection, reference: str, lang: Language) -> dict[str, Any]:
    """All that an officer needs of a dossier; no personal number, as it stands in the register and in no listing."""
    from bj.common.v1 import document_pb2, dossier_pb2, payment_pb2

    found = desk.dossiers.get(tx, reference)
    message = desk.dossiers.message(tx, reference)
    return _row(desk, found, lang) | {
        "issue": found.issue,
        "subject": _masked(found.subject),
        "fee_xof": found.fee_xof,
        "payments": [
            {
                "payment_ref": one.payment_ref,
                "state": payment_pb2.PaymentState.Name(one.state).removeprefix("PAYMENT_STATE_"),
                "amount_xof": one.amount_xof,
                "refund": one.refund,
            }
            for one in desk.payments.of(tx, reference)
        ],
        "reason": _masked(found.reason),
        "steps": [
            {
                "name": one.name,
                "state": dossier_pb2.StepState.Name(one.state).removeprefix("STEP_STATE_"),
                "detail": _masked(one.detail),
            }
            for one in message.steps
        ],
        "documents": [
            {
                "type": document_pb2.DocumentType.Name(one.type).removeprefix("DOCUMENT_TYPE_"),
                "doc_id": one.doc_id,
            }
            for one in message.documents
        ],
        "numbers": [
            {
                "type": dossier_pb2.IssuedNumberType.Name(one.type).removeprefix("ISSUED_NUMBER_TYPE_"),
                "value": one.value,
            }
            for one in message.issued
        ],
        "version": found.version,
    }


def _masked(text: str) -> str:
    """``text`` with a dot for each digit of what looks like the number of a person."""
    return _PERSONAL.sub(lambda found: "•" * len(found[0]), text)


def _in_words(part: dict[str, Any], lang: Language) -> str:
    """One payment, step, document or number, for a line of text: ``visit DONE``."""
    refund = _REFUNDS[part["refund"]].in_(lang) if part.get("refund") else ""
    amount = f"{part['amount_xof']} F" if "amount_xof" in part else ""
    beside = refund or part.get("detail", "")
    words = [value for name, value in part.items() if name not in ("amount_xof", "refund", "detail")]
    return " ".join([*words, *([amount] if amount else []), *([f"({beside})"] if beside else [])])


@dossier.command()
@_reference
@config_option
@officer_option
@lang_option
def review(reference: str, config: Path, officer: str, lang: Language) -> None:
    """Le prendre en charge / take it up."""
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.review(tx, reference, officer))


@dossier.command()
@_reference
@click.argument("step")
@config_option
@officer_option
@lang_option
def finish(reference: str, step: str, config: Path, officer: str, lang: Language) -> None:
    """Dire qu'une étape est faite (`survey`) / say that a step is done."""
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.finish_step(tx, reference, step, officer))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def correct(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Demander une correction / ask for a correction."""
    _act(
        config, reference, lang, lambda desk, tx: desk.dossiers.ask_correction(tx, reference, officer, reason)
    )


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def interview(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Convoquer le demandeur / ask the applicant to come."""
    _act(
        config, reference, lang, lambda desk, tx: desk.dossiers.ask_interview(tx, reference, officer, reason)
    )


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def arbitrate(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """L'envoyer en arbitrage : l'échéance s'arrête / send it to arbitration: its clock stands still."""
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.arbitrate(tx, reference, officer, reason))


@dossier.command()
@_reference
@config_option
@officer_option
@lang_option
def resume(reference: str, config: Path, officer: str, lang: Language) -> None:
    """Le reprendre après un arbitrage / go on after an arbitration."""
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.resume(tx, reference, officer))


@dossier.command()
@_reference
@config_option
@officer_option
@lang_option
def grant(reference: str, config: Path, officer: str, lang: Language) -> None:
    """L'accorder : le registre change, ses documents sont signés / grant it: the register changes."""
    with closing(desk_of(config)) as desk:
        if any(one.documents for one in desk.catalogue):
            desk.documents.require_key()
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.grant(tx, reference, officer))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def reject(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Le rejeter, avec un motif de cinq signes au moins / reject it, with a reason of five characters or more."""
    _act(config, reference, lang, lambda desk, tx: desk.dossiers.reject(tx, reference, officer, reason))


def _act(
    config: Path, reference: str, lang: Language, move: Callable[[Desk, sa.Connection], Dossier]
) -> None:
    typed = click.get_current_context().info_name or ""
    with closing(desk_of(config)) as desk:
        moved = told(
            lambda: desk.store.write(lambda tx: move(desk, tx)),
            lang,
            lambda error: _advice(desk, reference, typed, error),
        )
    click.echo(f"{moved.reference} {moved.state.name}")


def _advice(desk: Desk, reference: str, typed: str, error: ProviderError) -> Text | None:
    """What an officer can do now whose command was refused; None if the reason's own remedy says it."""
    from adapters.kit.dossier import MOVES, State
    from adapters.reasons import ContendedError, ProviderReason

    if error.reason is ProviderReason.NOT_FOUND:
        return _NO_DOSSIER
    if error.reason is not ProviderReason.STATE_CONFLICT or isinstance(error, ContendedError):
        return None
    with desk.store.reading() as tx:
        found = desk.dossiers.get(tx, reference)
    state = found.state
    allowed = [command for command, to in _LEADS_TO.items() if State[to] in MOVES[state]]
    if found.notice_ends_at > desk.clock.now_ms():
        allowed = [command for command in allowed if command not in ("review", "grant")]
    if typed in allowed:
        # The dossier might move so: something else forbids it, and the dossier shows what.
        return Text(
            f"le dossier est {state.name} ; le registre ou une étape ne le permet pas : "
            f"`adapter dossier show {found.reference}`",
            f"the dossier is {state.name}; the register or a step does not allow it: "
            f"`adapter dossier show {found.reference}`",
        )
    possible = ", ".join(allowed)
    return Text(
        f"le dossier est {state.name} ; possible : {possible or 'rien'} · `adapter dossier show {found.reference}`",
        f"the dossier is {state.name}; possible: {possible or 'nothing'} · `adapter dossier show {found.reference}`",
    )


def told(
    work: Callable[[], Any],
    lang: Language,
    advice: Callable[[ProviderError], Text | None] = lambda _error: None,
) -> Any:
    """Do it; a refusal is told as the register's own, with what ``advice`` says in the place of the reason's remedy."""
    from adapters.reasons import InvalidFieldsError, ProviderError

    try:
        return work()
    except InvalidFieldsError as error:
        fields = ", ".join(f"{field}: {must}" for field, must in error.told(lang).items())
        raise click.ClickException(f"{error.reason}: {fields}") from None
    except ProviderError as error:
        entry = error.reason.entry
        remedy = advice(error) or entry.remedy
        raise click.ClickException(f"{error.reason}: {entry.text.in_(lang)} · {remedy.in_(lang)}") from None


def _row(desk: Desk, found: Dossier, lang: Language) -> dict[str, object]:
    prestation = desk.catalogue.find(found.service_code)
    return {
        "reference": found.reference,
        "service": prestation.name.in_(lang) if prestation else found.service_code,
        "client": found.client,
        "state": found.state.name,
        "filed_at": local_time(found.filed_at) if found.filed_at else None,
        "due_at": local_time(found.due_at) if found.due_at else None,
        "officer": found.officer_ref,
    }


def desk_of(config: Path) -> Desk:
    """The desk of ``adapter.toml``; close it."""
    from adapters.kit.adapter import load_ministry
    from adapters.kit.desk import open_desk
    from adapters.settings import load_adapter_settings
    from core.clock import SystemClock

    settings = load_adapter_settings(config)
    return open_desk(load_ministry(settings.adapter), settings, SystemClock())
