"""ANDF's adapter: what the kit needs to know to serve it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from adapters.land import dossier_service, events, identity_step, service, services, title_requests
from adapters.land.inscriptions import INSCRIPTIONS
from adapters.land.seed import seed
from adapters.land.tables import KIT
from adapters.land.title_states import TitleStateProcedure
from adapters.land.transfers import TransferProcedure
from bj.land.v1 import events_pb2_grpc, parcel_pb2_grpc, transfer_pb2_grpc

_HERE: Final = Path(__file__).parent


def _build(desk: Desk) -> Sequence[Served]:
    return (
        (parcel_pb2_grpc.add_LandServiceServicer_to_server, service.LandService(desk)),
        (
            transfer_pb2_grpc.add_LandDossierServiceServicer_to_server,
            dossier_service.LandDossierService(desk),
        ),
        (events_pb2_grpc.add_ParcelEventServiceServicer_to_server, events.ParcelEventService(desk)),
    )


MINISTRY: Final = Ministry(
    name="land",
    services=(service.SERVICE_NAME, dossier_service.SERVICE_NAME, events.SERVICE_NAME),
    migrations=_HERE / "migrations",
    tables=KIT,
    catalogue=_HERE / "catalogue.toml",
    build=_build,
    procedures={
        services.TITLE_STATE: TitleStateProcedure(),
        services.TRANSFER: TransferProcedure(),
        services.TITLE_REQUEST: title_requests.TitleRequestProcedure(),
    },
    tasks={
        identity_step.KIND: identity_step.check_identity,
        title_requests.CLOSE_NOTICE: title_requests.close_notice,
    },
    seed=seed,
    inscriptions=INSCRIPTIONS,
)
