"""``bj.land.v1.LandService``: a plain servicer over the cadastre and the land book.

GetParcel is public and reads no row of a holder but to tell whether there is one. The others ask for a purpose before
the register is read. Identity of the gateway, form of the request and status on the wire are ``adapters.server``'s.
"""

from __future__ import annotations

from typing import Final

import grpc

from adapters.context import current_caller
from adapters.kit.calendar import day_of
from adapters.kit.consents import require_consenter
from adapters.kit.desk import Desk
from adapters.kit.purposes import (
    JUDICIAL,
    PRIVATE_KYC,
    SERVICE_DELIVERY,
    SUBJECT_ACCESS,
    require_issue,
    require_purpose,
)
from adapters.land.blocking import Ownership, blocking_reasons, ownership
from adapters.land.listing import DEFAULT_PAGE, list_holdings
from adapters.land.parcels import find_legacy, find_parcel, parcel_message
from adapters.land.parties import read_party
from adapters.land.rights import consenting_party, current_rights, holdings, read_standing, standing_party
from adapters.land.tables import CONSENTS
from adapters.land.title_states import read_title
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.land.v1 import parcel_pb2, parcel_pb2_grpc

SERVICE_NAME: Final = "bj.land.v1.LandService"

_MAY_READ_A_TITLE: Final = frozenset({SERVICE_DELIVERY})
_MAY_CHECK: Final = frozenset({SERVICE_DELIVERY, PRIVATE_KYC})
_MAY_LIST: Final = frozenset({JUDICIAL, SUBJECT_ACCESS})


class LandService(parcel_pb2_grpc.LandServiceServicer):
    """Answers from one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetParcel(
        self, request: parcel_pb2.GetParcelRequest, context: grpc.ServicerContext
    ) -> parcel_pb2.GetParcelResponse:
        """What everybody may know of a parcel."""
        with self._desk.store.reading() as tx:
            if request.HasField("legacy"):
                found = find_legacy(tx, _require_some(request.legacy), 2)
            else:
                row = find_parcel(tx, request.nup)
                found = [row] if row else []
            if len(found) > 1:
                raise ProviderError(ProviderReason.AMBIGUOUS)
            if not found:
                raise ProviderError(ProviderReason.NOT_FOUND)
            return parcel_message(tx, found[0], with_polygon=request.with_polygon)

    def GetTitle(
        self, request: parcel_pb2.GetTitleRequest, context: grpc.ServicerContext
    ) -> parcel_pb2.GetTitleResponse:
        """The state of a title as it was signed for the dossier of this call."""
        require_purpose(_MAY_READ_A_TITLE)
        return read_title(self._desk, request, current_caller(), require_issue())

    def CheckOwnership(
        self, request: parcel_pb2.CheckOwnershipRequest, context: grpc.ServicerContext
    ) -> parcel_pb2.CheckOwnershipResponse:
        """What the register says to a claim; what burdens a parcel is not told of a stranger's."""
        purpose = require_purpose(_MAY_CHECK)
        now_ms = self._desk.clock.now_ms()
        with self._desk.store.reading() as tx:
            party = standing_party(tx, read_party(request.party))
            if purpose == PRIVATE_KYC:
                consenter = require_consenter(tx, CONSENTS, request.consent_ref, now_ms)
                if consenting_party(tx, consenter) != party:
                    raise ProviderError(ProviderReason.CONSENT_REQUIRED)
            parcel = find_parcel(tx, request.nup)
            if parcel is None:
                raise ProviderError(ProviderReason.NOT_FOUND)
            result = ownership(holdings(current_rights(tx, parcel.parcel_id)), party)
            standing = read_standing(tx, parcel.parcel_id, day_of(now_ms).isoformat())
        reasons = () if result is Ownership.NO else blocking_reasons(standing)
        return parcel_pb2.CheckOwnershipResponse(
            result=parcel_pb2.OwnershipResult.Value(f"OWNERSHIP_RESULT_{result}"),
            can_sell=result in (Ownership.YES, Ownership.CO_OWNER) and not reasons,
            blocking_reasons=[parcel_pb2.BlockingReason.Value(f"BLOCKING_REASON_{one}") for one in reasons],
        )

    def ListHoldings(
        self, request: parcel_pb2.ListHoldingsRequest, context: grpc.ServicerContext
    ) -> parcel_pb2.ListHoldingsResponse:
        """What somebody holds; for himself, a court or the tax office."""
        purpose = require_purpose(_MAY_LIST)
        if purpose == JUDICIAL and not request.order_ref:
            raise InvalidFieldsError({"order_ref": "needed for P05"})
        with self._desk.store.reading() as tx:
            party = standing_party(tx, read_party(request.party))
            found, token = list_holdings(tx, party, request.page_size or DEFAULT_PAGE, request.page_token)
        return parcel_pb2.ListHoldingsResponse(holdings=found, next_page_token=token)


def _require_some(reference: parcel_pb2.LegacyParcelRef) -> parcel_pb2.LegacyParcelRef:
    """A reference that names more than a commune: GetParcel finds a parcel, it does not list a commune."""
    if not (reference.lotissement.strip() or reference.ilot.strip()) or not (
        reference.parcelle.strip() or reference.lot.strip()
    ):
        raise InvalidFieldsError(
            {"legacy": "needs lotissement or ilot, and parcelle or lot, beside the commune"}
        )
    return reference
