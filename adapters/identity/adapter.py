"""ANIP's adapter: what the kit needs to know to serve it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.identity import act_service, credential_service, event_service
from adapters.identity.acts import CODES, Act
from adapters.identity.corrections import CORRECTION, Correction
from adapters.identity.founding import seed
from adapters.identity.inscriptions import INSCRIPTIONS
from adapters.identity.service import SERVICE_NAME, IdentityService
from adapters.identity.store import KIT, MIGRATIONS, PersonStore
from adapters.identity.tables import CONSENTS
from adapters.kit.consents import require_consenter
from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry, Served
from bj.identity.v1 import acts_pb2_grpc, credentials_pb2_grpc, events_pb2_grpc, identity_pb2_grpc


def _build(desk: Desk) -> Sequence[Served]:
    def consenter(consent_ref: str) -> str:
        with desk.store.reading() as tx:
            return require_consenter(tx, CONSENTS, consent_ref, desk.clock.now_ms()).number

    service = IdentityService(PersonStore(desk.store), desk.clock, consenter)
    return (
        (identity_pb2_grpc.add_IdentityServiceServicer_to_server, service),
        (acts_pb2_grpc.add_ActServiceServicer_to_server, act_service.ActService(desk)),
        (
            events_pb2_grpc.add_PersonEventServiceServicer_to_server,
            event_service.PersonEventService(desk),
        ),
        (
            credentials_pb2_grpc.add_CredentialServiceServicer_to_server,
            credential_service.CredentialService(desk),
        ),
    )


MINISTRY: Final = Ministry(
    name="identity",
    services=(
        SERVICE_NAME,
        act_service.SERVICE_NAME,
        event_service.SERVICE_NAME,
        credential_service.SERVICE_NAME,
    ),
    migrations=MIGRATIONS,
    tables=KIT,
    catalogue=Path(__file__).parent / "catalogue.toml",
    build=_build,
    procedures={**{code: Act() for code in CODES.values()}, CORRECTION: Correction()},
    seed=seed,
    inscriptions=INSCRIPTIONS,
)
