"""The registry as a witness: of each log the newest head that its gateway reported, and the heads that went back.

A head is taken on the word of the seal key alone, judged against the registration in force. What is held never gets
smaller. A head that cannot follow becomes an alarm, the first ``MAX_ALARMS`` of a log, on record in the registry's own
log with the digest of the head: nobody, the operator included, can make it unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from cryptography import x509
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import Clock
from core.heads import TreeHead
from core.jws import DocumentKind, parse_document
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import Registration, parse_registration
from pki.heads import VerifiedHead, verify_head
from pki.keys import load_chain
from registry import models
from registry.budget import ChangeBudget
from registry.office import Actor, Office

MAX_REPORTED: Final = 64
REPORTS_PER_HOUR: Final = 600
# Of one log: a gateway that is broken, or mocks us, must not fill the registry.
MAX_ALARMS: Final = 64

_log = structlog.get_logger()


class HeadBook:
    """The newest heads, by log."""

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office = office
        self._clock = clock
        self._budget = ChangeBudget(REPORTS_PER_HOUR, clock)

    def report(self, actor: Actor, heads: Sequence[bytes]) -> list[bytes | Reason]:
        """Take heads of the actor's own logs; returns of each the newest held, durably, or why it was refused.

        Raises:
            ExchangeError: ``NOT_AUTHORISED``, ``LOG_NOT_REGISTERED``: it is no registered gateway.
                ``GATEWAY_SUSPENDED``, ``LIMIT_EXCEEDED``. ``DOCUMENT_INVALID``: more heads than a gateway has logs.
        """
        gateway = _require_gateway(actor)
        if len(heads) > MAX_REPORTED:
            raise ExchangeError(Reason.DOCUMENT_INVALID, f"more than {MAX_REPORTED} heads in one report")
        self._budget.take(actor.urn)
        with self._office.witnessing(actor) as writing:
            session = writing.session
            registration = _registration(session, gateway)
            seals = {one.thumbprint: load_chain(one.chain)[0] for one in registration.seal}
            judged = [_judged(jws, gateway, registration, seals) for jws in heads]
            for one in judged:
                if not isinstance(one, Reason) and (alarm := self._take(session, gateway, one)) is not None:
                    writing.note(self._clock, f"log-{alarm.kind}", alarm.log_id, alarm.shown.encode("ascii"))
            return [one if isinstance(one, Reason) else _held(session, one.head.log) for one in judged]

    def newest(self, actor: Actor) -> list[bytes]:
        """The newest heads held of the actor's own logs."""
        gateway = _require_gateway(actor)
        mine = select(models.NewestHead).where(models.NewestHead.gateway_id == gateway)
        with self._office.sessions() as session:
            rows = session.scalars(mine.order_by(models.NewestHead.log_id))
            return [row.jws.encode("ascii") for row in rows]

    def _take(self, session: Session, gateway: str, verified: VerifiedHead) -> models.HeadAlarm | None:
        """Hold a head if it follows; what it becomes if it does not."""
        head, now = verified.head, self._clock.now_ms()
        held = session.get(models.NewestHead, head.log, with_for_update=True)
        kind = None if held is None else _objection(held, head)
        if held is None:
            held = models.NewestHead(log_id=head.log, gateway_id=gateway)
            session.add(held)
        elif kind is not None:
            return self._new_alarm(session, held, verified, kind, now)
        held.size, held.root, held.iat = head.size, head.root, head.iat
        held.jws, held.reported_at = verified.jws.decode("ascii"), now
        session.flush()
        return None

    def _new_alarm(
        self, session: Session, held: models.NewestHead, verified: VerifiedHead, kind: str, now: int
    ) -> models.HeadAlarm | None:
        """The alarm, unless the same one was raised before, or this log has raised too many."""
        of_log = select(func.count()).where(models.HeadAlarm.log_id == held.log_id)
        head = verified.head
        same = of_log.where(models.HeadAlarm.size == head.size, models.HeadAlarm.root == head.root)
        if session.scalar(same) or (session.scalar(of_log) or 0) >= MAX_ALARMS:
            return None
        alarm = models.HeadAlarm(
            log_id=held.log_id,
            gateway_id=held.gateway_id,
            kind=kind,
            size=head.size,
            root=head.root,
            held=held.jws,
            shown=verified.jws.decode("ascii"),
            at=now,
        )
        session.add(alarm)
        session.flush()
        _log.error("head_alarm", kind=kind, gateway=held.gateway_id, log=held.log_id, size=head.size)
        return alarm


def _objection(held: models.NewestHead, head: TreeHead) -> str | None:
    """Why a head cannot take the place of the one held."""
    if head.size == held.size:
        return None if head.root == held.root else "forked"
    if head.size > held.size:
        return None
    # An old head shown again is an older copy at work, or a replay; one that was signed later is a second log.
    return "forked" if head.iat > held.iat else "behind"


def _require_gateway(actor: Actor) -> str:
    if actor.kind != "gateway":
        raise ExchangeError(Reason.NOT_AUTHORISED, f"{actor.urn} is no gateway")
    return str(actor.identifier)


def _registration(session: Session, gateway: str) -> Registration:
    """The registration in force; raises ``ExchangeError`` if there is none, or it is stopped."""
    row = session.get(models.Gateway, gateway)
    if row is None or not row.registrations:
        raise ExchangeError(Reason.LOG_NOT_REGISTERED, f"{gateway} is not registered")
    newest = row.registrations[-1]
    if newest.state != "active":
        raise ExchangeError(Reason.GATEWAY_SUSPENDED, f"{gateway} is {newest.state}")
    return parse_registration(parse_document(DocumentKind.REGISTRATION, newest.jws).unverified_payload)


def _held(session: Session, log: str) -> bytes:
    return session.get_one(models.NewestHead, log).jws.encode("ascii")


def _judged(
    jws: bytes, gateway: str, registration: Registration, seals: dict[str, x509.Certificate]
) -> VerifiedHead | Reason:
    """The head, if the gateway's member lets it speak for an open log; else why it does not count."""
    try:
        verified = verify_head(jws, seals)
    except MalformedError as error:
        return error.reason
    head = verified.head
    if any(one.id == head.log for one in registration.closed):
        return Reason.LOG_CLOSED
    if head.gateway != gateway or all(one.id != head.log for one in registration.logs):
        return Reason.LOG_NOT_REGISTERED
    return verified
