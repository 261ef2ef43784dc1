"""``bj.labour.v1.LabourDossierService``: contracts for their visa, notices, attestations."""

from __future__ import annotations

from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.kit.purposes import REGISTRATION_DUTY, SERVICE_DELIVERY, require_purpose
from adapters.labour.attestation import enter_attestation, require_evidence
from adapters.labour.days import read_day
from adapters.labour.employers import Employer, find_by_cnss, find_by_ifu
from adapters.labour.intake import enter, take_in
from adapters.labour.notices import affiliate, hire, is_late, leave
from adapters.labour.prestations import ATTESTATION_CODES
from adapters.labour.ruleset import rules_of
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.labour.v1 import visa_pb2 as pb
from bj.labour.v1 import visa_pb2_grpc

SERVICE_NAME: Final = "bj.labour.v1.LabourDossierService"

_EMPLOYERS_DUTY: Final = frozenset({REGISTRATION_DUTY})
_ASKED_FOR: Final = frozenset({SERVICE_DELIVERY})


class LabourDossierService(visa_pb2_grpc.LabourDossierServiceServicer):
    """Opens dossiers and takes notices."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def SubmitContractVisa(
        self, request: pb.SubmitContractVisaRequest, context: grpc.ServicerContext
    ) -> pb.SubmitContractVisaResponse:
        """A contract that keeps the rules becomes a dossier; the road is asked before the transaction."""
        require_purpose(_EMPLOYERS_DUTY)
        key = request.application.idempotency_key
        known = self._desk.answered_before(key, request, pb.SubmitContractVisaResponse)
        if known is not None:
            return known
        intake = take_in(self._desk, request)
        return self._desk.once(
            key, request, lambda tx, caller: enter(self._desk, tx, caller, request, intake)
        )

    def SubmitNoticeHire(
        self, request: pb.SubmitNoticeHireRequest, context: grpc.ServicerContext
    ) -> pb.SubmitNoticeHireResponse:
        """Somebody was hired."""
        require_purpose(_EMPLOYERS_DUTY)
        day = read_day("hired_on", request.hired_on)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.SubmitNoticeHireResponse:
            employer = _known(find_by_cnss(tx, request.cnss_employer_no))
            if request.cnss_worker_no:
                affiliate(tx, request.cnss_worker_no, request.npi)
            now_ms = self._desk.clock.now_ms()
            late = is_late(day, now_ms, self._desk.calendar, rules_of(self._desk))
            accepted = hire(
                tx,
                employer_id=employer.id,
                npi=request.npi,
                cnss_worker_no=request.cnss_worker_no,
                day=day,
                late=late,
                now_ms=now_ms,
            )
            return pb.SubmitNoticeHireResponse(accepted=accepted, late=late)

        return self._desk.once(request.idempotency_key, request, respond)

    def SubmitNoticeLeave(
        self, request: pb.SubmitNoticeLeaveRequest, context: grpc.ServicerContext
    ) -> pb.SubmitNoticeLeaveResponse:
        """Somebody left."""
        require_purpose(_EMPLOYERS_DUTY)
        day = read_day("left_on", request.left_on)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.SubmitNoticeLeaveResponse:
            employer = _known(find_by_cnss(tx, request.cnss_employer_no))
            if request.cnss_worker_no:
                affiliate(tx, request.cnss_worker_no, request.npi)
            now_ms = self._desk.clock.now_ms()
            late = is_late(day, now_ms, self._desk.calendar, rules_of(self._desk))
            leave(tx, employer_id=employer.id, npi=request.npi, day=day, late=late, now_ms=now_ms)
            return pb.SubmitNoticeLeaveResponse(accepted=True, late=late)

        return self._desk.once(request.idempotency_key, request, respond)

    def RequestAttestation(
        self, request: pb.RequestAttestationRequest, context: grpc.ServicerContext
    ) -> pb.RequestAttestationResponse:
        """Something that an officer attests, vises or allows."""
        require_purpose(_ASKED_FOR)
        code = ATTESTATION_CODES[request.kind]
        if request.application.service_code != code:
            raise InvalidFieldsError({"application.service_code": f"must be {code} for this kind"})
        require_evidence(request.kind, request.evidence_sha256)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.RequestAttestationResponse:
            employer = _known(find_by_ifu(tx, request.employer_ifu))

            def prepare(tx: sa.Connection, dossier: Dossier) -> None:
                enter_attestation(tx, dossier.reference, request.kind, employer.id, request.evidence_sha256)

            opened = self._desk.dossiers.open(
                tx, caller, request.application, subject=f"employer:{employer.id}", prepare=prepare
            )
            message = self._desk.dossiers.message(tx, opened.reference)
            return pb.RequestAttestationResponse(dossier=message)

        return self._desk.once(request.application.idempotency_key, request, respond)


def _known(employer: Employer | None) -> Employer:
    if employer is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    return employer
