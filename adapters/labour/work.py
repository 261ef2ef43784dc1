"""What the adapter does by itself: asks ANIP and APIEx for a dossier, tells what is overdue and which permits run out.

Each runs at least once and bears it: it looks at how the dossier stands before it writes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away
from adapters.kit.tasks import Finish, Handler, Task
from adapters.labour.business import firm_of, is_registered_elsewhere
from adapters.labour.contracts import (
    FILED,
    VISED,
    FiledContract,
    change_contract,
    contract_of,
    last_permit_day,
)
from adapters.labour.days import start_of
from adapters.labour.employers import employer_of
from adapters.labour.identity import Person, identify
from adapters.labour.ruleset import rules_of
from adapters.labour.telling import tell
from adapters.labour.visa import (
    ASK_EMPLOYER,
    ASK_IDENTITY,
    EMPLOYER,
    IDENTITY,
    TELL_OVERDUE,
    TELL_PERMIT,
    worker_faults,
)
from adapters.labour.workers import follow, numbers_of, permit_npi
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import events_pb2

_WAITS: Final = "{} ne répond pas ; la demande est renouvelée"
_REASONS: Final = {
    ProviderReason.IDENTITY_MISMATCH: "L'ANIP ne connaît pas le travailleur sous ce numéro.",
    ProviderReason.DECEASED: "L'ANIP a enregistré le décès du travailleur.",
    ProviderReason.RECORD_LOCKED: "La fiche du travailleur est verrouillée par l'ANIP ; il doit s'y présenter.",
}
_FAULTS: Final = {
    "worker_npi": "L'apprenti n'a pas l'âge requis au début du contrat.",
    "work_permit_no": "Le travailleur étranger n'a pas de permis de travail en vigueur au début du contrat.",
    "end_date": "Un étranger ne peut avoir que des contrats à durée déterminée pendant ses premières années.",
}
_INACTIVE: Final = "L'entreprise n'est pas en activité au registre du commerce."
_DAY_MS: Final = 86_400_000


def _ask_identity(desk: Desk, task: Task) -> Finish | None:
    """ANIP says who the worker is."""
    filed = _waiting(desk, task)
    if filed is None:
        return None
    case = _case(desk, task)
    try:
        person = identify(desk.road, filed.worker_npi, REGISTRATION_DUTY, case)
        on_permit = permit_npi(desk, filed.work_permit_no, person, case)
    except Away:
        _note(desk, task, IDENTITY, _WAITS.format("l'ANIP"))
        raise
    except ProviderError as refused:
        return _rejection(desk, task, IDENTITY, _REASONS[refused.reason])
    return lambda tx: _identified(desk, tx, task, person, on_permit)


def _identified(desk: Desk, tx: sa.Connection, task: Task, person: Person, on_permit: str) -> None:
    filed = _still_filed(desk, tx, task)
    if filed is None:
        return
    npis = follow(tx, person, filed.worker_npi, on_permit)
    faults = worker_faults(tx, filed, npis, person, rules_of(desk))
    if faults:
        _reject(desk, tx, task.reference, IDENTITY, _FAULTS[next(iter(faults))])
        return
    now_ms = desk.clock.now_ms()
    change_contract(tx, task.reference, now_ms, worker_npi=person.npi, worker_name=person.name)
    desk.dossiers.set_step(tx, task.reference, IDENTITY, dossier_pb2.STEP_STATE_DONE)


def _ask_employer(desk: Desk, task: Task) -> Finish | None:
    """APIEx says whether the employer's firm is active."""
    filed = _waiting(desk, task)
    if filed is None:
        return None
    with desk.store.reading() as tx:
        ifu = employer_of(tx, filed.employer_id).ifu
    if is_registered_elsewhere(ifu):
        detail = "l'employeur n'est pas de ceux qu'inscrit le registre du commerce"
        return lambda tx: _done(desk, tx, task, EMPLOYER, detail)
    try:
        firm = firm_of(desk.road, ifu, _case(desk, task))
    except Away:
        _note(desk, task, EMPLOYER, _WAITS.format("l'APIEx"))
        raise
    if firm is None or not firm.is_active:
        return _rejection(desk, task, EMPLOYER, _INACTIVE)
    return lambda tx: _done(desk, tx, task, EMPLOYER)


def _tell_overdue(desk: Desk, task: Task) -> Finish | None:
    """The promised day has passed: said once, unless time stands still or more of it was given."""

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, task.reference)
        now_ms = desk.clock.now_ms()
        if dossier.state.is_final:
            return
        if dossier.paused_at or dossier.due_at > now_ms:
            again = now_ms + _DAY_MS if dossier.paused_at else dossier.due_at
            desk.tasks.add(tx, TELL_OVERDUE, task.reference, due_at_ms=again)
            return
        tell(desk, tx, contract_of(tx, task.reference), events_pb2.VISA_EVENT_TYPE_OVERDUE, "due_at")

    return finish


def _tell_permit(desk: Desk, task: Task) -> Finish | None:
    """The worker's permit ends soon: said once for each, and looked at again when it has ended or was renewed."""

    def finish(tx: sa.Connection) -> None:
        vised = contract_of(tx, task.reference)
        last_day = last_permit_day(tx, numbers_of(tx, vised.worker_npi))
        today = day_of(desk.clock.now_ms())
        end = vised.contract.term.end
        is_over = vised.state != VISED or vised.left_on or (end is not None and end < today)
        if is_over or last_day is None or last_day < today:
            return
        first_day = last_day - timedelta(rules_of(desk).foreigners.expiring_days)
        again = first_day if today < first_day else last_day + timedelta(1)
        desk.tasks.add(tx, TELL_PERMIT, task.reference, due_at_ms=start_of(again))
        if today >= first_day:
            tell(desk, tx, vised, events_pb2.VISA_EVENT_TYPE_PERMIT_EXPIRING, "work_permit_no")

    return finish


def _waiting(desk: Desk, task: Task) -> FiledContract | None:
    """The contract of the task, if it still waits for its visa."""
    with desk.store.reading() as tx:
        filed = contract_of(tx, task.reference)
    return filed if filed.state == FILED else None


def _case(desk: Desk, task: Task) -> str:
    """Under which reference others are asked for this dossier."""
    with desk.store.reading() as tx:
        return desk.dossiers.get(tx, task.reference).case


def _still_filed(desk: Desk, tx: sa.Connection, task: Task) -> FiledContract | None:
    """The same, with the dossier locked: nobody decides on it meanwhile."""
    desk.dossiers.get(tx, task.reference)
    filed = contract_of(tx, task.reference)
    return filed if filed.state == FILED else None


def _note(desk: Desk, task: Task, step: str, detail: str) -> None:
    """Tell the applicant that it is tried again, if he still waits."""

    def work(tx: sa.Connection) -> None:
        if _still_filed(desk, tx, task):
            desk.dossiers.show_trying(tx, task.reference, step, detail)

    desk.store.write(work)


def _done(desk: Desk, tx: sa.Connection, task: Task, step: str, detail: str = "") -> None:
    if _still_filed(desk, tx, task):
        desk.dossiers.set_step(tx, task.reference, step, dossier_pb2.STEP_STATE_DONE, detail)


def _rejection(desk: Desk, task: Task, step: str, reason: str) -> Finish:
    def finish(tx: sa.Connection) -> None:
        if _still_filed(desk, tx, task):
            _reject(desk, tx, task.reference, step, reason)

    return finish


def _reject(desk: Desk, tx: sa.Connection, reference: str, step: str, reason: str) -> None:
    """Reject it without an officer: what ANIP and APIEx say is not for him to weigh."""
    desk.dossiers.set_step(tx, reference, step, dossier_pb2.STEP_STATE_FAILED, reason)
    desk.dossiers.reject(tx, reference, "", reason)


TASKS: Final[dict[str, Handler]] = {
    ASK_IDENTITY: _ask_identity,
    ASK_EMPLOYER: _ask_employer,
    TELL_OVERDUE: _tell_overdue,
    TELL_PERMIT: _tell_permit,
}
