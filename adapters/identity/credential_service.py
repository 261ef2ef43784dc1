"""``bj.identity.v1.CredentialService``: documents checked, photographs shown."""

from __future__ import annotations

from functools import partial
from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import current_caller
from adapters.identity.credentials import find_by_jwt, find_by_number, read_photo
from adapters.identity.person import RecordState
from adapters.identity.records import are_one, find_record, standing_record
from adapters.identity.tables import CONSENTS
from adapters.kit.calendar import day_of
from adapters.kit.consents import require_consenter
from adapters.kit.desk import Desk
from adapters.kit.npi import mask_npi
from adapters.kit.purposes import (
    JUDICIAL,
    PRIVATE_KYC,
    REGISTRATION_DUTY,
    SERVICE_DELIVERY,
    require_issue,
    require_purpose,
)
from adapters.reasons import ProviderError, ProviderReason
from bj.identity.v1 import credentials_pb2 as pb
from bj.identity.v1 import credentials_pb2_grpc

SERVICE_NAME: Final = "bj.identity.v1.CredentialService"

_MAY_CHECK: Final = frozenset({SERVICE_DELIVERY, REGISTRATION_DUTY, PRIVATE_KYC})
_MAY_SEE: Final = frozenset({REGISTRATION_DUTY, JUDICIAL})


class CredentialService(credentials_pb2_grpc.CredentialServiceServicer):
    """Answers from one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def VerifyDocument(
        self, request: pb.VerifyDocumentRequest, context: grpc.ServicerContext
    ) -> pb.VerifyDocumentResponse:
        """Whether it is ANIP's, and holds."""
        purpose = require_purpose(_MAY_CHECK)
        now_ms = self._desk.clock.now_ms()
        with self._desk.store.reading() as tx:
            consenter = (
                require_consenter(tx, CONSENTS, request.consent_ref, now_ms)
                if purpose == PRIVATE_KYC
                else None
            )
            found = (
                find_by_number(tx, request.doc_no)
                if request.WhichOneof("document") == "doc_no"
                else find_by_jwt(tx, request.qr_jwt)
            )
            # A document of somebody else looks like none: with one customer's consent nobody learns of others.
            if found and consenter and not are_one(partial(find_record, tx), found.npi, consenter.number):
                found = None
        if found is None:
            return pb.VerifyDocumentResponse(authentic=False)
        return pb.VerifyDocumentResponse(
            authentic=True,
            type=found.kind,
            npi_masked=mask_npi(found.npi),
            valid_until=day_of(found.valid_until).isoformat() if found.valid_until else "",
            revoked=found.revoked,
        )

    def GetPhoto(self, request: pb.GetPhotoRequest, context: grpc.ServicerContext) -> pb.GetPhotoResponse:
        """The photograph, once for a dossier; what is refused does not count."""
        purpose = require_purpose(_MAY_SEE)
        issue, client = require_issue(), str(current_caller().client)

        def work(tx: sa.Connection) -> pb.GetPhotoResponse:
            person = standing_record(tx, request.npi)
            if person.state == RecordState.LOCKED and purpose != JUDICIAL:
                raise ProviderError(ProviderReason.RECORD_LOCKED)
            now_ms = self._desk.clock.now_ms()
            jpeg, taken_on = read_photo(tx, person.npi, client=client, issue=issue, now_ms=now_ms)
            return pb.GetPhotoResponse(jpeg=jpeg, capture_date=taken_on)

        return self._desk.store.write(work)
