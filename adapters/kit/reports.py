"""The task by which a consumer is told of its dossier: ``DecisionService.ReportDecision``, as a call on the road.

A report says how the dossier stands when it is sent, so one that was put off tells the newest state, and those behind it
have nothing left to say. It is repeated until it was answered: a lost answer costs a second call, which the consumer
takes for no news. Whom it never reaches has ``DossierService.GetDossier``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog

from adapters.kit.road import Away, Refused
from adapters.kit.tasks import Finish, Task
from adapters.kit.times import timestamp
from bj.common.v1 import decision_service_pb2, decision_service_pb2_grpc

if TYPE_CHECKING:
    from adapters.kit.desk import Desk
    from adapters.kit.dossier import Dossier

_SERVICE: Final = "bj.common.v1.DecisionService"

_log = structlog.get_logger("adapter")


def report_decision(desk: Desk, task: Task) -> Finish | None:
    """Tell the consumer how a dossier stands, if it has not confirmed that it knows.

    Raises:
        Away: The consumer, or the road to it, does not answer, or the layer does not let the call through yet.
    """
    with desk.store.reading() as tx:
        dossier = desk.dossiers.get(tx, task.reference)
        request = _report(desk, tx, dossier)
    if not dossier.response_token or dossier.version <= dossier.reported_version:
        return None
    stub = desk.road.stub(decision_service_pb2_grpc.DecisionServiceStub, dossier.client)
    said = desk.road.metadata(min(dossier.purposes, default=""), dossier.case)
    try:
        stub.ReportDecision(request, metadata=said)
    except Refused as refused:
        if refused.domain != f"{dossier.client}/{_SERVICE}":
            # No agreement yet, a certificate that has expired: their administrators mend it, and then it is told.
            raise Away(refused.reason or refused.code.name) from None
        # It has no such application: to repeat it would not make it have one.
        _log.warning("report_refused", reference=dossier.reference, reason=refused.reason)
        return None

    def finish(tx: sa.Connection) -> None:
        desk.dossiers.confirm_report(tx, dossier.reference, dossier.version)

    return finish


def _report(desk: Desk, tx: sa.Connection, dossier: Dossier) -> decision_service_pb2.ReportDecisionRequest:
    request = decision_service_pb2.ReportDecisionRequest(
        application_id=dossier.application_id,
        response_token=dossier.response_token,
        reference=dossier.reference,
        status=int(dossier.state),  # type: ignore[arg-type]  # the same numbers
        decided_at=timestamp(dossier.changed_at),
        version=dossier.version,
        message=dossier.reason,
    )
    documents = desk.documents.of(tx, dossier.reference)
    if documents:
        request.document.CopyFrom(documents[0])
    return request
