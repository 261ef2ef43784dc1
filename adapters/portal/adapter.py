"""The portal's adapter: what the kit needs to know to serve it. Nothing can be asked of it, so it has no catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from adapters.portal.applications import MIGRATIONS, Applications
from adapters.portal.service import SERVICE_NAME, DecisionService
from adapters.portal.tables import KIT
from bj.common.v1 import decision_service_pb2_grpc


def _build(desk: Desk) -> Sequence[Served]:
    service = DecisionService(Applications(desk.store, desk.clock))
    return ((decision_service_pb2_grpc.add_DecisionServiceServicer_to_server, service),)


MINISTRY: Final = Ministry(
    name="portal",
    services=(SERVICE_NAME,),
    migrations=MIGRATIONS,
    tables=KIT,
    catalogue=None,
    build=_build,
)
