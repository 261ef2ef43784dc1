"""Dossiers of the fictitious contracts that nobody has decided on yet: an officer of the sandbox can. And tasks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import due_at_ms
from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.labour.contract import ContractKind
from adapters.labour.days import parse_day, start_of
from adapters.labour.prestations import visa_code
from adapters.labour.ruleset import rules_of
from adapters.labour.seed_rows import FIRST_ID, PORTAL, Row
from adapters.labour.tables import KIT
from adapters.labour.visa import EMPLOYER, IDENTITY, TELL_OVERDUE, TELL_PERMIT, WARNINGS
from adapters.world.records.labour import Contract, ContractState
from adapters.world.work import Hiring
from bj.common.v1 import dossier_pb2

_STATES: Final = {
    ContractState.UNDER_REVIEW: State.UNDER_REVIEW,
    ContractState.CORRECTION_REQUESTED: State.CORRECTION_REQUESTED,
    ContractState.INTERVIEW_REQUIRED: State.INTERVIEW_REQUIRED,
}
_REASONS: Final = {
    State.CORRECTION_REQUESTED: "Le contrat n'indique pas la durée du travail.",
    State.INTERVIEW_REQUIRED: "Le travailleur est attendu à l'inspection, muni de sa carte.",
}
_OFFICER: Final = "agent-dgt-1"


def is_undecided(one: Contract) -> bool:
    """Whether an officer may still decide on it."""
    return one.state in _STATES


def dossiers(desk: Desk, undecided: Sequence[Contract]) -> Iterator[tuple[sa.Table, Iterator[Row]]]:
    """Their rows, table by table; ANIP and APIEx have been asked, the world being one."""
    yield KIT.dossier, (_dossier(desk, one) for one in undecided)
    yield KIT.step, (step for one in undecided for step in _steps(one))
    yield KIT.task, (_task(TELL_OVERDUE, one.reference, _due_at(desk, one)) for one in undecided)


def permit_tasks(desk: Desk, batch: Iterable[Hiring], day: date) -> Iterator[Row]:
    """Permits that do not run out soon are looked at when they do; of the others it is told already."""
    early = timedelta(rules_of(desk).foreigners.expiring_days)
    for one in batch:
        contract = one.contract
        if one.permits and contract.state is ContractState.GRANTED and not contract.left_on:
            first_day = parse_day(one.permits[-1].valid_until) - early
            if first_day > day:
                yield _task(TELL_PERMIT, contract.reference, start_of(first_day))


def _dossier(desk: Desk, one: Contract) -> Row:
    state, filed_at = _STATES[one.state], _filed_at(one)
    return {
        "reference": one.reference,
        "client": PORTAL,
        "purposes": "P02",
        "issue": "",
        "service_code": _code(one),
        "application_id": f"APP-{one.reference}",
        "response_token": "",
        "applicant_npi": "",
        "channel": dossier_pb2.DOSSIER_CHANNEL_ONLINE,
        "phone": "",
        "email": "",
        "subject": f"employer:{FIRST_ID + one.employer}",
        "details": b"",
        "state": int(state),
        "version": 1,
        "reported_version": 0,
        "reason": _REASONS.get(state, ""),
        "officer_ref": _OFFICER,
        "fee_xof": 0,
        "payment_ref": "",
        "opened_at": filed_at,
        "changed_at": filed_at,
        "filed_at": filed_at,
        "due_at": _due_at(desk, one),
        "paused_at": 0,
        "expires_at": 0,
        "notice_ends_at": 0,
    }


def _steps(one: Contract) -> Iterator[Row]:
    for rank, name in enumerate((IDENTITY, EMPLOYER, WARNINGS)):
        yield {
            "reference": one.reference,
            "name": name,
            "rank": rank,
            "state": dossier_pb2.STEP_STATE_DONE,
            "changed_at": _filed_at(one),
            "detail": "",
        }


def _task(kind: str, reference: str, due_at: int) -> Row:
    return {
        "id": secrets.token_hex(16),
        "kind": kind,
        "reference": reference,
        "due_at": due_at,
        "attempts": 0,
        "payload": b"",
        "last_error": "",
    }


def _code(one: Contract) -> str:
    return visa_code(ContractKind(one.type.lower()))


def _filed_at(one: Contract) -> int:
    return start_of(parse_day(one.filed_on))


def _due_at(desk: Desk, one: Contract) -> int:
    return due_at_ms(_filed_at(one), desk.catalogue[_code(one)], desk.calendar)
