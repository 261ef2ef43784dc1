"""What APIEx says of an employer over the road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away, Refused, Road
from bj.business.v1 import business_pb2
from bj.business.v1.business_pb2_grpc import BusinessServiceStub

APIEX: Final = "BJ/GOV/APIEX/RCCM"

# First digit of the tax numbers of those whom the trade register does not hold: State, organisations, associations.
_ELSEWHERE: Final = frozenset("456")


@dataclass(frozen=True, slots=True)
class Firm:
    """One firm of the trade register; what it does not have is empty."""

    name: str
    ifu: str
    rccm: str
    cnss_employer_no: str
    activity: str
    department_code: str
    registered_on: str
    is_active: bool

    def __repr__(self) -> str:
        return f"Firm({self.rccm})"  # the name of a sole trade is a person's


def is_registered_elsewhere(ifu: str) -> bool:
    """Whether the trade register holds no such employer, by the kind of its tax number."""
    return ifu[:1] in _ELSEWHERE


def firm_of(road: Road, ifu: str, issue: str) -> Firm | None:
    """Ask APIEx; never inside a transaction. None: it has no such firm.

    Raises:
        Away: APIEx, or the road to it, does not answer; or the layer does not let the question through.
    """
    stub = road.stub(BusinessServiceStub, APIEX)
    try:
        found = stub.GetBusiness(
            business_pb2.GetBusinessRequest(ifu=ifu), metadata=road.metadata(REGISTRATION_DUTY, issue)
        )
    except Refused as refused:
        if refused.domain.startswith(APIEX) and refused.reason == "NOT_FOUND":
            return None
        raise Away(f"APIEx: {refused.reason or refused.code.name}") from None
    return Firm(
        name=found.name,
        ifu=found.ifu or ifu,
        rccm=found.rccm,
        cnss_employer_no=found.cnss_employer_no,
        activity=found.activity,
        department_code=found.seat.code[:2],
        registered_on=found.registered_on,
        is_active=found.status == business_pb2.BUSINESS_STATUS_ACTIVE,
    )
