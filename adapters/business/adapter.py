"""APIEx's adapter, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.business import events_service, seed, service
from adapters.business.tables import KIT, MIGRATIONS
from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from bj.business.v1 import business_pb2_grpc, events_pb2_grpc


def _build(desk: Desk) -> Sequence[Served]:
    return (
        (business_pb2_grpc.add_BusinessServiceServicer_to_server, service.BusinessService(desk)),
        (
            events_pb2_grpc.add_RegistryEventServiceServicer_to_server,
            events_service.RegistryEventService(desk),
        ),
    )


MINISTRY: Final = Ministry(
    name="business",
    services=(service.SERVICE_NAME, events_service.SERVICE_NAME),
    migrations=MIGRATIONS,
    tables=KIT,
    catalogue=Path(__file__).with_name("catalogue.toml"),
    build=_build,
    seed=seed.seed,
)
