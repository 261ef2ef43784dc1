"""``AgreementsService``: agreements."""

from __future__ import annotations

from grpc import ServicerContext as Context
from sqlalchemy import select, tuple_

from core.agreements import parse_agreement
from core.identifiers import MemberId
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import agreements_pb2 as pb
from passerelle.registry.v1.agreements_pb2_grpc import AgreementsServiceServicer
from registry import models
from registry.checks import newest_version
from registry.server.desk import STATES, Desk, parse_number, read_page, require_bounded


class AgreementsServer(Desk, AgreementsServiceServicer):
    """Agreements."""

    def ConcludeAgreement(
        self, request: pb.ConcludeAgreementRequest, context: Context
    ) -> pb.ConcludeAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.conclude_agreement(
            actor,
            require_bounded(request.consumer_jws, 128 * 1024, "the consumer's document"),
            require_bounded(request.provider_jws, 128 * 1024, "the provider's document"),
            dry_run=request.dry_run,
        )
        return pb.ConcludeAgreementResponse(request=0 if request.dry_run else number)

    def ListAgreements(
        self, request: pb.ListAgreementsRequest, context: Context
    ) -> pb.ListAgreementsResponse:
        """See the proto."""
        self._door.enter(context)
        key = tuple_(models.Agreement.id, models.Agreement.version)
        rows = select(models.Agreement)
        if request.member:
            own = select(models.Subsystem.id).where(
                models.Subsystem.member_id == str(MemberId.parse(request.member))
            )
            rows = rows.where(models.Agreement.consumer_id.in_(own) | models.Agreement.provider_id.in_(own))
        if request.page_token:
            name, _, version = request.page_token.partition(" ")
            rows = rows.where(key > (_name(name), parse_number(version)))
        rows = rows.order_by(models.Agreement.id, models.Agreement.version)
        with self._office.sessions() as session:
            found, more = read_page(session, rows, request.page_size, lambda row: f"{row.id} {row.version}")
            listed = [_agreement(row) for row in found]
            return pb.ListAgreementsResponse(agreements=listed, next_page_token=more)

    def GetAgreement(self, request: pb.GetAgreementRequest, context: Context) -> pb.GetAgreementResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            if request.version:
                row = session.get(models.Agreement, (_name(request.id), request.version))
            else:
                row = newest_version(session, _name(request.id))
            if row is None:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no agreement {request.id[:64]!a}")
            return pb.GetAgreementResponse(agreement=_agreement(row))

    def SuspendAgreement(
        self, request: pb.SuspendAgreementRequest, context: Context
    ) -> pb.SuspendAgreementResponse:
        """See the proto."""
        actor, dry_run = self._door.enter(context), request.dry_run
        self._office.stop_agreement(actor, request.id, request.reason, for_good=False, dry_run=dry_run)
        return pb.SuspendAgreementResponse(version=self._version(dry_run))

    def ResumeAgreement(
        self, request: pb.ResumeAgreementRequest, context: Context
    ) -> pb.ResumeAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_agreement(actor, request.id, dry_run=request.dry_run)
        return pb.ResumeAgreementResponse(request=0 if request.dry_run else number)

    def RevokeAgreement(
        self, request: pb.RevokeAgreementRequest, context: Context
    ) -> pb.RevokeAgreementResponse:
        """See the proto."""
        actor, dry_run = self._door.enter(context), request.dry_run
        self._office.stop_agreement(actor, request.id, request.reason, for_good=True, dry_run=dry_run)
        return pb.RevokeAgreementResponse(version=self._version(dry_run))


def _name(text: str) -> str:
    """An agreement's id as databases take it: some know no NUL, none need a control character."""
    if len(text) > 64 or not text.isascii() or not text.isprintable():
        raise ExchangeError(Reason.NOT_FOUND, "there is no such agreement")
    return text


def _agreement(row: models.Agreement) -> pb.Agreement:
    terms = parse_agreement(row.payload)
    return pb.Agreement(
        id=row.id,
        version=row.version,
        state=STATES[row.state],
        consumer=row.consumer_id,
        provider=row.provider_id,
        service=row.service,
        methods=terms.methods,
        purposes=terms.purposes,
        digest=row.digest,
        consumer_jws=row.consumer_jws,
        provider_jws=row.provider_jws,
        changed_at_ms=row.changed_at,
        reason=row.reason,
    )
