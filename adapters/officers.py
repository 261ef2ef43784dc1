"""``passerelle adapter dossier …``: what an officer of the ministry does with dossiers, while the adapter serves.

The commands write to the register's database by the very functions that the adapter uses; the adapter tells the consumer.
Who may run them is who may read ``adapter.toml``: an office has its own program for this, and this is how it begins.
"""

from __future__ import annotations

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
    "fee_xof": Text("frais (F)", "fee (F)"),
    "reason": Text("motif", "reason"),
    "steps": Text("étapes", "steps"),
    "version": Text("version", "version"),
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
    help="ces états ; sinon, tous ceux qui attendent un agent / these; else all that wait for an officer",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_option
@lang_option
def list_(config: Path, states: tuple[str, ...], limit: int, output: Output, lang: Language) -> None:
    """Ceux qui attendent, l'échéance la plus proche d'abord / those that wait, who is due first comes first."""
    from adapters.kit.dossier import FINAL, State

    wanted = frozenset(State[one] for one in states) or frozenset(State) - FINAL
    with closing(desk_of(config)) as desk:
        with desk.store.reading() as tx:
            found = desk.dossiers.in_states(tx, wanted, limit)
        show_rows([_row(desk, one, lang) for one in found], _COLUMNS, output, lang)


@dossier.command()
@_reference
@config_option
@output_option
@lang_option
def show(reference: str, config: Path, output: Output, lang: Language) -> None:
    """Un dossier, avec ses étapes / one dossier, with its steps."""
    from bj.common.v1 import dossier_pb2

    with closing(desk_of(config)) as desk:

        def read() -> dict[str, object]:
            with desk.store.reading() as tx:
                return whole(tx)

        def whole(tx: sa.Connection) -> dict[str, object]:
            found = desk.dossiers.get(tx, reference)
            steps = [
                f"{one.name} {dossier_pb2.StepState.Name(one.state).removeprefix('STEP_STATE_')}"
                for one in desk.dossiers.steps(tx, reference)
            ]
            more = {
                "issue": found.issue,
                "fee_xof": found.fee_xof,
                "reason": found.reason,
                "steps": steps,
                "version": found.version,
            }
            return _row(desk, found, lang) | more

        show_one(told(read, lang), _DETAILS, output, lang)


@dossier.command()
@_reference
@config_option
@officer_option
@lang_option
def review(reference: str, config: Path, officer: str, lang: Language) -> None:
    """Le prendre en charge / take it up."""
    _act(config, lang, lambda desk, tx: desk.dossiers.review(tx, reference, officer))


@dossier.command()
@_reference
@click.argument("step")
@config_option
@officer_option
@lang_option
def finish(reference: str, step: str, config: Path, officer: str, lang: Language) -> None:
    """Dire qu'une étape est faite (`survey`) / say that a step is done."""
    _act(config, lang, lambda desk, tx: desk.dossiers.finish_step(tx, reference, step, officer))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def correct(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Demander une correction / ask for a correction."""
    _act(config, lang, lambda desk, tx: desk.dossiers.ask_correction(tx, reference, officer, reason))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def interview(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Convoquer le demandeur / ask the applicant to come."""
    _act(config, lang, lambda desk, tx: desk.dossiers.ask_interview(tx, reference, officer, reason))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def arbitrate(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """L'envoyer en arbitrage : l'échéance s'arrête / send it to arbitration: its clock stands still."""
    _act(config, lang, lambda desk, tx: desk.dossiers.arbitrate(tx, reference, officer, reason))


@dossier.command()
@_reference
@config_option
@officer_option
@lang_option
def resume(reference: str, config: Path, officer: str, lang: Language) -> None:
    """Le reprendre après un arbitrage / go on after an arbitration."""
    _act(config, lang, lambda desk, tx: desk.dossiers.resume(tx, reference, officer))


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
    _act(config, lang, lambda desk, tx: desk.dossiers.grant(tx, reference, officer))


@dossier.command()
@_reference
@config_option
@officer_option
@_reason
@lang_option
def reject(reference: str, config: Path, officer: str, reason: str, lang: Language) -> None:
    """Le rejeter, avec un motif de cinq signes au moins / reject it, with a reason of five characters or more."""
    _act(config, lang, lambda desk, tx: desk.dossiers.reject(tx, reference, officer, reason))


def _act(config: Path, lang: Language, move: Callable[[Desk, sa.Connection], Dossier]) -> None:
    with closing(desk_of(config)) as desk:
        moved = told(lambda: desk.store.write(lambda tx: move(desk, tx)), lang)
    click.echo(f"{moved.reference} {moved.state.name}")


def told(work: Callable[[], Any], lang: Language) -> Any:
    """Do it; a refusal is told as the register's own."""
    from adapters.reasons import InvalidFieldsError, ProviderError

    try:
        return work()
    except InvalidFieldsError as error:
        fields = ", ".join(f"{field}: {must}" for field, must in error.told(lang).items())
        raise click.ClickException(f"{error.reason}: {fields}") from None
    except ProviderError as error:
        entry = error.reason.entry
        raise click.ClickException(
            f"{error.reason}: {entry.text.in_(lang)} · {entry.remedy.in_(lang)}"
        ) from None


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
