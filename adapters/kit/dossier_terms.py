"""On what terms a dossier is opened, and what goes with a move of it: reference, fee, due date, officer, reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit import forms
from adapters.kit.calendar import due_at_ms, month_of
from adapters.kit.dossier import Dossier, State
from adapters.kit.numbers import next_number
from adapters.reasons import InvalidFieldsError
from bj.common.v1 import dossier_pb2
from core.language import Text

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

DAY_MS: Final = 24 * 3600 * 1000

_MIN_REASON: Final = 5
_MAX_REASON: Final = 1000


def new_dossier(
    desk: Desk,
    tx: sa.Connection,
    caller: CallerContext,
    application: dossier_pb2.Application,
    *,
    fee_xof: int | None,
    subject: str,
    details: bytes,
    purposes: frozenset[str],
) -> Dossier:
    """A dossier with the next reference of its prefix and month; not written yet. Arguments: ``Dossiers.open``."""
    prestation = desk.catalogue[application.service_code]
    fee = prestation.fee_xof if fee_xof is None else fee_xof
    if fee is None:
        raise ValueError(f"the fee of {prestation.code} is by scale: fee_xof is needed")
    now = desk.clock.now_ms()
    series = f"{prestation.prefix}-{month_of(now)}"
    waits = fee > 0
    return Dossier(
        reference=f"{series}-{next_number(tx, series):04d}",
        client=str(caller.client),
        purposes=purposes or frozenset({caller.purpose} if caller.purpose else ()),
        issue=caller.issue or "",
        service_code=prestation.code,
        application_id=application.application_id,
        response_token=application.response_token,
        applicant_npi=application.applicant_npi,
        channel=application.channel or dossier_pb2.DOSSIER_CHANNEL_ONLINE,
        phone=application.contact.phone,
        email=application.contact.email,
        subject=subject,
        details=details,
        state=State.AWAITING_PAYMENT if waits else State.FILED,
        version=1,
        reported_version=0,
        reason="",
        officer_ref="",
        fee_xof=fee,
        payment_ref="",
        opened_at=now,
        changed_at=now,
        filed_at=0 if waits else now,
        due_at=0 if waits else due_at_ms(now, prestation, desk.calendar),
        paused_at=0,
        expires_at=now + desk.settings.dossiers.payment_days * DAY_MS if waits else 0,
        notice_ends_at=0,
    )


def due_after_pause(desk: Desk, dossier: Dossier, now_ms: int) -> int:
    """When the decision is due after an arbitration: as much time is left as was when it began."""
    if dossier.due_at <= dossier.paused_at:
        return dossier.due_at
    prestation = desk.catalogue.find(dossier.service_code)
    if prestation is None or prestation.delay_days:
        return dossier.due_at + now_ms - dossier.paused_at
    left: timedelta = desk.calendar.working_time(dossier.paused_at, dossier.due_at)
    return desk.calendar.add_working_time(now_ms, left)


def require_officer(officer: str) -> str:
    """The officer's handle, which is shown and logged; empty for none.

    Raises:
        InvalidFieldsError: It is no handle, or holds a personal number.
    """
    try:
        return officer and forms.handle(officer)
    except forms.FormError as error:
        raise InvalidFieldsError({"officer_ref": error.must}) from None


def require_reason(reason: str) -> str:
    """What the applicant is told, without blanks around it.

    Raises:
        InvalidFieldsError: It is too short to tell anything, or too long.
    """
    told = reason.strip()
    if not _MIN_REASON <= len(told) <= _MAX_REASON:
        must = Text(
            f"doit avoir {_MIN_REASON} à {_MAX_REASON} caractères",
            f"must have {_MIN_REASON} to {_MAX_REASON} characters",
        )
        raise InvalidFieldsError({"reason": must})
    return told
