"""ANIP's adapter over a fresh database with the personas in it, called as its gateway calls it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import sqlalchemy as sa

from adapters.identity import store as register
from adapters.identity.adapter import MINISTRY
from adapters.identity.inscriptions import INSCRIPTIONS
from adapters.kit.desk import Desk
from adapters.kit.dossier_service import DossierService
from adapters.kit.store import open_store
from adapters.server import make_server, start
from adapters.settings import AdapterSettings
from bj.common.v1 import document_pb2, dossier_pb2, dossier_service_pb2, dossier_service_pb2_grpc, payment_pb2
from bj.identity.v1 import (
    acts_pb2,
    acts_pb2_grpc,
    credentials_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    identity_pb2_grpc,
)
from core.clock import ManualClock, SystemClock
from tests.support.adapter_country import Metadata, metadata
from tests.support.labour.office import Refusal
from tests.support.neighbours import Neighbourhood
from tests.support.registers import make_register

# Monday, 23 November 2026, 09:00 in Porto-Novo.
MONDAY_MS: Final = 1_795_420_800_000
KOFFI, AFI, NOBODY, CHANTALE, CHANTAL, BIO, SENAN = (f"{n:010d}" for n in (1, 2, 3, 10, 11, 12, 13))


@dataclass
class IdentityOffice:
    """The adapter, listening; ``close`` it.

    Attributes:
        database: URL of an empty database.
        directory: For its files.
    """

    database: str
    directory: Path

    def __post_init__(self) -> None:
        side = Neighbourhood(self.directory, "BJ/GOV/ANIP/RNPP")
        side.write_document_key(MONDAY_MS)
        self.clock = ManualClock(MONDAY_MS)
        settings = AdapterSettings(
            adapter="identity",
            subsystem="BJ/GOV/ANIP/RNPP",
            gateways=(side.gateway,),
            database=self.database,
            listen="127.0.0.1:0",
            anchor=str(self.directory / "anchor.pem"),
            key=str(self.directory / "identity.key"),
            certificate=str(self.directory / "identity.crt"),
            document_key=str(self.directory / "document.key"),
            document_certificate=str(self.directory / "document.crt"),
        )
        make_register(self.database, MINISTRY.migrations)
        self.desk = Desk(MINISTRY, settings, open_store(self.database, MINISTRY.migrations), self.clock)
        assert MINISTRY.seed is not None
        MINISTRY.seed(self.desk, 20, 1, lambda _: None)
        # Certificates are judged by the machine's clock, all else by the ministry's.
        self._server = make_server(settings, SystemClock())
        for add, servicer in MINISTRY.build(self.desk):
            add(servicer, self._server.grpc)
        dossier_service_pb2_grpc.add_DossierServiceServicer_to_server(
            DossierService(self.desk), self._server.grpc
        )
        self._channel = side.channel(start(self._server, settings, MINISTRY.services))
        self.identity = identity_pb2_grpc.IdentityServiceStub(self._channel)
        self.acts = acts_pb2_grpc.ActServiceStub(self._channel)
        self.credentials = credentials_pb2_grpc.CredentialServiceStub(self._channel)
        self.events = events_pb2_grpc.PersonEventServiceStub(self._channel)
        self.follow = dossier_service_pb2_grpc.DossierServiceStub(self._channel)

    def close(self) -> None:
        """Stop all of it."""
        self._channel.close()
        self.desk.events.stop()
        self._server.stop(0)
        self.desk.close()

    def call(self, method: Any, request: Any, purpose: str | None = "P01", **said: str) -> Any:
        """Call as the portal does, for a purpose."""
        return method(request, metadata=self.said(purpose, **said), timeout=20)

    def said(self, purpose: str | None = "P01", **said: str) -> Metadata:
        """What the gateway writes beside a call."""
        return metadata(x_road_service="BJ/GOV/ANIP/RNPP", x_road_purpose=purpose, **said)

    def refused(self, method: Any, request: Any, purpose: str | None = "P01", **said: str) -> Refusal:
        """Make a call that must be refused."""
        try:
            self.call(method, request, purpose, **said)
        except grpc.RpcError as error:
            return Refusal.of(error)
        raise AssertionError("was not refused")

    def ask(self, **changes: Any) -> dossier_pb2.Dossier:
        """Ask for an act."""
        found: dossier_pb2.Dossier = self.call(self.acts.SubmitActRequest, act_request(**changes)).dossier
        return found

    def pay(self, dossier: dossier_pb2.Dossier) -> dossier_pb2.Dossier:
        """Pay what it costs; how it stands then."""
        payment = payment_pb2.Payment(
            payment_ref=f"PAY-{dossier.reference}",
            channel=payment_pb2.PAYMENT_CHANNEL_MTN_MOMO,
            amount_xof=dossier.fee.amount_xof,
            state=payment_pb2.PAYMENT_STATE_CONFIRMED,
        )
        request = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=f"key-pay-{dossier.reference}", reference=dossier.reference, payment=payment
        )
        self.call(self.follow.ReportPayment, request)
        return self.dossier(dossier.reference)

    def dossier(self, reference: str) -> dossier_pb2.Dossier:
        """A dossier as the portal reads it."""
        request = dossier_service_pb2.GetDossierRequest(reference=reference)
        found: dossier_pb2.Dossier = self.call(self.follow.GetDossier, request).dossier
        return found

    def decide(self, move: str, reference: str, *said: str, officer: str = "agent-7") -> None:
        """What an officer does: ``decide("reject", reference, "Motif…")``."""
        act = getattr(self.desk.dossiers, move)
        self.desk.store.write(lambda tx: act(tx, reference, officer, *said))

    def inscribe(self, name: str, **values: str) -> None:
        """What officers write of their own accord, as many as it takes."""
        kind = INSCRIPTIONS.find(name)
        assert kind is not None
        self.desk.store.write(lambda tx: kind.write(self.desk, tx, values))

    def change(self, npi: str, **values: Any) -> None:
        """Change a record as ANIP does by itself."""
        update = register.PERSONS.update().where(register.PERSONS.c.npi == npi).values(**values)
        self.desk.store.write(lambda tx: tx.execute(update))

    def told(self, *, client: str = "BJ/GOV/PNS/PORTAIL", since: str = "") -> list[events_pb2.PersonEvent]:
        """Events that a subsystem may hear."""
        request = events_pb2.ListPersonChangesRequest()
        request.page.since_cursor = since
        answer = self.call(self.events.ListPersonChanges, request, "P02", x_road_client=client)
        return list(answer.events)

    def rows(self, table: sa.Table) -> list[Any]:
        """All rows of a table."""
        with self.desk.store.reading() as tx:
            return list(tx.execute(sa.select(table)))


def act_request(**changes: Any) -> acts_pb2.SubmitActRequestRequest:
    """Koffi's birth act, one copy; ``key`` and ``service_code`` change its application."""
    application = dossier_pb2.Application(
        idempotency_key=changes.pop("key", "key-of-an-act-00001"),
        application_id="APP-1",
        service_code=changes.pop("service_code", "PS90101"),
    )
    values: dict[str, Any] = {
        "type": document_pb2.DOCUMENT_TYPE_BIRTH_ACT,
        "npi": KOFFI,
        "copies": 1,
        "delivery": acts_pb2.DELIVERY_ELECTRONIC,
        **changes,
    }
    return acts_pb2.SubmitActRequestRequest(application=application, **values)
