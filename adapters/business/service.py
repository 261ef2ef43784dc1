"""``bj.business.v1.BusinessService``: what everybody may read of the register, and names that are kept.

The register is public; the numbers of the people in it are not, and where somebody has a role is told to himself, a
court, the tax office and a bank with his consent. Numbers of persons stand in messages only.
"""

from __future__ import annotations

from typing import Final

import grpc
from sqlalchemy import Connection

from adapters.business import answers, namebook
from adapters.business.namebook import Wish
from adapters.business.names import name_rules
from adapters.business.numbers import canonical_rccm
from adapters.business.register import firm_by_ifu, firm_by_rccm, relations_of, relations_of_person
from adapters.business.tables import ALIASES, CONSENTS
from adapters.context import CallerContext, current_caller
from adapters.kit.aliases import numbers_of
from adapters.kit.consents import require_consenter
from adapters.kit.desk import Desk
from adapters.kit.purposes import (
    JUDICIAL,
    PRIVATE_KYC,
    REGISTRATION_DUTY,
    SERVICE_DELIVERY,
    SUBJECT_ACCESS,
    require_purpose,
)
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import business_pb2_grpc

SERVICE_NAME: Final = "bj.business.v1.BusinessService"

_SEES_NUMBERS: Final = frozenset({REGISTRATION_DUTY, JUDICIAL})
_MAY_LIST_RELATIONS: Final = frozenset({SERVICE_DELIVERY, REGISTRATION_DUTY, JUDICIAL})
_MAY_LIST_BY_PERSON: Final = frozenset({SUBJECT_ACCESS, JUDICIAL, PRIVATE_KYC})
_MAY_RESERVE: Final = frozenset({REGISTRATION_DUTY})


class BusinessService(business_pb2_grpc.BusinessServiceServicer):
    """Answers from one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetBusiness(
        self, request: pb.GetBusinessRequest, context: grpc.ServicerContext
    ) -> pb.GetBusinessResponse:
        """One firm, public but for the birth data of a sole trader."""
        with self._desk.store.reading() as tx:
            if request.WhichOneof("business") == "ifu":
                firm = firm_by_ifu(tx, request.ifu)
            else:
                firm = firm_by_rccm(tx, canonical_rccm(request.rccm))
        if firm is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return answers.business(firm, with_birth_data=current_caller().purpose in _SEES_NUMBERS)

    def ListRelations(
        self, request: pb.ListRelationsRequest, context: grpc.ServicerContext
    ) -> pb.ListRelationsResponse:
        """Who is behind a firm, by name; by number for a duty to register and for a court."""
        purpose = require_purpose(_MAY_LIST_RELATIONS)
        rccm = canonical_rccm(request.rccm)
        with self._desk.store.reading() as tx:
            if firm_by_rccm(tx, rccm) is None:
                raise ProviderError(ProviderReason.NOT_FOUND)
            found = relations_of(tx, rccm, with_former=request.with_former)
        with_number = purpose in _SEES_NUMBERS
        return pb.ListRelationsResponse(
            relations=[answers.relation(one, with_number=with_number) for one in found]
        )

    def CheckName(self, request: pb.CheckNameRequest, context: grpc.ServicerContext) -> pb.CheckNameResponse:
        """Whether a name is free now."""
        now_ms = self._desk.clock.now_ms()
        with self._desk.store.reading() as tx:
            verdict = namebook.judge(tx, name_rules(), request.name, request.legal_form, now_ms)
        return pb.CheckNameResponse(availability=verdict.availability, similar=verdict.similar)

    def ReserveName(
        self, request: pb.ReserveNameRequest, context: grpc.ServicerContext
    ) -> pb.ReserveNameResponse:
        """Keep a name for 30 days for one applicant of one consumer."""
        require_purpose(_MAY_RESERVE)

        def respond(tx: Connection, caller: CallerContext) -> pb.ReserveNameResponse:
            wish = Wish(request.name, request.legal_form, request.applicant_npi, str(caller.client))
            kept = namebook.reserve(tx, name_rules(), wish, self._desk.clock.now_ms())
            return pb.ReserveNameResponse(name_token=kept.token, reserved_until=kept.last_day)

        return self._desk.once(request.idempotency_key, request, respond)

    def ListByPerson(
        self, request: pb.ListByPersonRequest, context: grpc.ServicerContext
    ) -> pb.ListByPersonResponse:
        """Where somebody has or had a role. Nobody of that number and no firm of his are the same empty list."""
        purpose = require_purpose(_MAY_LIST_BY_PERSON)
        if purpose == JUDICIAL and not request.order_ref:
            raise InvalidFieldsError({"order_ref": "needed for P05"})
        now_ms = self._desk.clock.now_ms()
        with self._desk.store.reading() as tx:
            if purpose == PRIVATE_KYC:
                consenter = require_consenter(tx, CONSENTS, request.consent_ref, now_ms)
                if consenter.number not in numbers_of(tx, ALIASES, request.npi):
                    raise ProviderError(ProviderReason.CONSENT_REQUIRED)
            found = relations_of_person(tx, request.npi)
        return pb.ListByPersonResponse(
            registrations=[answers.registration(relation, firm) for relation, firm in found]
        )
