"""The services of the national catalogue that this ministry gives, by their codes in ``catalogue.toml``."""

from __future__ import annotations

from typing import Final

from adapters.labour.contract import ContractKind
from bj.common.v1 import document_pb2
from bj.labour.v1 import visa_pb2

CONTRACT_VISA: Final = "PS90401"
APPRENTICESHIP_VISA: Final = "PS90402"

ATTESTATION_CODES: Final = {
    visa_pb2.ATTESTATION_KIND_NON_LITIGE: "PS90411",
    visa_pb2.ATTESTATION_KIND_SERVICE_FAIT: "PS90412",
    visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR: "PS90413",
    visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO: "PS90414",
}
ATTESTATION_DOCUMENTS: Final = {
    visa_pb2.ATTESTATION_KIND_NON_LITIGE: document_pb2.DOCUMENT_TYPE_NO_DISPUTE,
    visa_pb2.ATTESTATION_KIND_SERVICE_FAIT: document_pb2.DOCUMENT_TYPE_SERVICE_DONE,
    visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR: document_pb2.DOCUMENT_TYPE_INTERNAL_RULES,
    visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO: document_pb2.DOCUMENT_TYPE_ECONOMIC_DISMISSAL,
}


def visa_code(kind: ContractKind) -> str:
    """Under which code a contract of that kind is handed in."""
    return APPRENTICESHIP_VISA if kind is ContractKind.APPRENTICESHIP else CONTRACT_VISA
