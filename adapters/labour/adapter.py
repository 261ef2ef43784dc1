"""MTFP's adapter, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from adapters.kit.procedure import Procedure
from adapters.labour import events, filings, service
from adapters.labour.attestation import Attestation
from adapters.labour.inscriptions import INSCRIPTIONS
from adapters.labour.prestations import APPRENTICESHIP_VISA, ATTESTATION_CODES, CONTRACT_VISA
from adapters.labour.ruleset import rules_of
from adapters.labour.seed import seed
from adapters.labour.tables import KIT
from adapters.labour.visa import ContractVisa
from adapters.labour.work import TASKS
from bj.labour.v1 import events_pb2_grpc, labour_pb2_grpc, visa_pb2_grpc

_HERE: Final = Path(__file__).parent


def _build(desk: Desk) -> Sequence[Served]:
    # Rules that cannot be meant end the start, not the first contract.
    rules_of(desk)
    return (
        (labour_pb2_grpc.add_LabourServiceServicer_to_server, service.LabourService(desk)),
        (visa_pb2_grpc.add_LabourDossierServiceServicer_to_server, filings.LabourDossierService(desk)),
        (events_pb2_grpc.add_VisaEventServiceServicer_to_server, events.VisaEventService(desk)),
    )


_PROCEDURES: Final[dict[str, Procedure]] = {
    CONTRACT_VISA: ContractVisa(),
    APPRENTICESHIP_VISA: ContractVisa(),
    **{code: Attestation(kind) for kind, code in ATTESTATION_CODES.items()},
}

MINISTRY: Final = Ministry(
    name="labour",
    services=(service.SERVICE_NAME, filings.SERVICE_NAME, events.SERVICE_NAME),
    migrations=_HERE / "migrations",
    tables=KIT,
    catalogue=_HERE / "catalogue.toml",
    build=_build,
    procedures=_PROCEDURES,
    tasks=TASKS,
    seed=seed,
    inscriptions=INSCRIPTIONS,
)
