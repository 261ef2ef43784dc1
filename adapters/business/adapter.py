"""APIEx's adapter, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.business import events_service, filing, namebook, numbering, people, seed, service, steps, work
from adapters.business.procedures import ExtractProcedure, FormalityProcedure
from adapters.business.register import follow_merger
from adapters.business.tables import CONSENTS, KIT, MIGRATIONS, TRAIL
from adapters.kit.aliases import merger_inscription
from adapters.kit.consents import consent_inscriptions
from adapters.kit.desk import Desk
from adapters.kit.inscriptions import Inscriptions
from adapters.kit.ministry import Ministry, Served
from bj.business.v1 import business_pb2_grpc, events_pb2_grpc, formality_pb2_grpc


def _build(desk: Desk) -> Sequence[Served]:
    return (
        (business_pb2_grpc.add_BusinessServiceServicer_to_server, service.BusinessService(desk)),
        (formality_pb2_grpc.add_FormalityServiceServicer_to_server, filing.FormalityService(desk)),
        (
            events_pb2_grpc.add_RegistryEventServiceServicer_to_server,
            events_service.RegistryEventService(desk),
        ),
    )


_FORMALITY: Final = FormalityProcedure()

MINISTRY: Final = Ministry(
    name="business",
    services=(service.SERVICE_NAME, filing.SERVICE_NAME, events_service.SERVICE_NAME),
    migrations=MIGRATIONS,
    tables=KIT,
    catalogue=Path(__file__).with_name("catalogue.toml"),
    build=_build,
    procedures={
        filing.CREATE_COMPANY: _FORMALITY,
        filing.CREATE_TRADE: _FORMALITY,
        filing.MODIFY: _FORMALITY,
        filing.STRIKE_OFF: _FORMALITY,
        filing.EXTRACT: ExtractProcedure(),
    },
    tasks={
        steps.ASK_IDENTITY: work.ask_identity,
        steps.REGISTER: work.register,
        steps.TAKE_TAX_NO: numbering.take_tax_number,
        steps.TAKE_EMPLOYER_NO: numbering.take_employer_number,
        steps.SETTLE: numbering.settle,
        steps.GIVE_BACK_TAX_NO: numbering.give_back_tax_number,
        steps.GIVE_BACK_EMPLOYER_NO: numbering.give_back_employer_number,
    },
    chores=(people.forget_people, namebook.forget_ended),
    seed=seed.seed,
    inscriptions=Inscriptions(TRAIL, merger_inscription(follow_merger), *consent_inscriptions(CONSENTS)),
)
