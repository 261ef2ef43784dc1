"""ANIP's adapter: what the kit needs to know to serve it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from adapters.identity import act_service
from adapters.identity.acts import CODES, Act
from adapters.identity.service import SERVICE_NAME, IdentityService
from adapters.identity.store import KIT, MIGRATIONS, PersonStore
from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from adapters.world.sizes import Sizes
from adapters.world.world import World
from bj.identity.v1 import acts_pb2_grpc, identity_pb2_grpc


def _build(desk: Desk) -> Sequence[Served]:
    service = IdentityService(PersonStore(desk.store), desk.clock)
    return (
        (identity_pb2_grpc.add_IdentityServiceServicer_to_server, service),
        (acts_pb2_grpc.add_ActServiceServicer_to_server, act_service.ActService(desk)),  # type: ignore[abstract]  # corrections: next
    )


def _seed(desk: Desk, persons: int, seed: int, written: Callable[[int], None]) -> int:
    world = World(seed, Sizes.of(persons))
    return PersonStore(desk.store).replace_rows(world.persons_by_number(), written)


MINISTRY: Final = Ministry(
    name="identity",
    services=(SERVICE_NAME, act_service.SERVICE_NAME),
    migrations=MIGRATIONS,
    tables=KIT,
    catalogue=Path(__file__).parent / "catalogue.toml",
    build=_build,
    procedures={code: Act() for code in CODES.values()},
    seed=_seed,
)
