"""ANDF's adapter as a server: called over mTLS by its gateway, calling ANIP through a stand-in of that gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from adapters.kit.desk import open_desk
from adapters.kit.dossier_service import DOSSIER_SERVICE, DossierService
from adapters.land.adapter import MINISTRY
from adapters.server import make_server, start
from adapters.settings import AdapterSettings, ProgramSettings
from bj.common.v1 import dossier_service_pb2_grpc
from bj.land.v1 import events_pb2_grpc, parcel_pb2_grpc, transfer_pb2_grpc
from core.clock import ManualClock, SystemClock
from tests.support.adapter_country import Metadata, metadata
from tests.support.land_book import LandBook
from tests.support.land_desk import LandDesk
from tests.support.neighbours import Neighbourhood, StandInGateway
from tests.support.registers import make_register

SUBSYSTEM = "BJ/GOV/ANDF/CADASTRE"
# Thursday, 12 November 2026, 10:00 in Porto-Novo.
NOW_MS = 1_794_474_000_000


@dataclass
class ServedLand:
    """The adapter, listening; ``close`` it.

    Attributes:
        database: URL of an empty database.
        directory: For its files.
        anip: A channel to ANIP's adapter.
        clock: What time it is at ANDF.
    """

    database: str
    directory: Path
    anip: grpc.Channel
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))

    def __post_init__(self) -> None:
        self.side = Neighbourhood(self.directory, SUBSYSTEM)
        self.gateway = StandInGateway(self.side, {"BJ/GOV/ANIP/RNPP": self.anip})
        door = self.gateway.start()
        settings = AdapterSettings(
            adapter="land",
            subsystem=SUBSYSTEM,
            gateways=(self.side.gateway,),
            database=self.database,
            listen="127.0.0.1:0",
            anchor=str(self.directory / "anchor.pem"),
            key=str(self.directory / "identity.key"),
            certificate=str(self.directory / "identity.crt"),
            document_key=str(self.directory / "document.key"),
            document_certificate=str(self.directory / "document.crt"),
            program=ProgramSettings(gateway=f"127.0.0.1:{door}", directory=str(self.directory / "program")),
        )
        make_register(self.database, MINISTRY.migrations)
        self.desk = open_desk(MINISTRY, settings, self.clock)
        # Certificates are judged by the machine's clock, all else by ANDF's.
        self._server = make_server(settings, SystemClock())
        for add, servicer in MINISTRY.build(self.desk):
            add(servicer, self._server.grpc)
        dossier_service_pb2_grpc.add_DossierServiceServicer_to_server(
            DossierService(self.desk), self._server.grpc
        )
        self._channel = self.side.channel(
            start(self._server, settings, (*MINISTRY.services, DOSSIER_SERVICE))
        )
        self.land = parcel_pb2_grpc.LandServiceStub(self._channel)
        self.opens = transfer_pb2_grpc.LandDossierServiceStub(self._channel)
        self.events = events_pb2_grpc.ParcelEventServiceStub(self._channel)
        self.book = LandBook(self.desk.store)
        self.book.notaries()
        self.office = LandDesk(self.desk)

    def close(self) -> None:
        """Stop all of it."""
        self._channel.close()
        self.desk.events.stop()
        self._server.stop(0)
        self.desk.close()
        self.gateway.stop()

    def said(self, purpose: str | None = None, **said: str | None) -> Metadata:
        """What the gateway writes beside a call; without purpose neither purpose nor dossier."""
        named = {"x_road_issue": None, **said} if purpose is None else said
        return metadata(x_road_service=SUBSYSTEM, x_road_purpose=purpose, **named)

    def call(self, method: Any, request: Any, purpose: str | None = None, **said: str | None) -> Any:
        """Call as the portal does."""
        return method(request, metadata=self.said(purpose, **said), timeout=20)
