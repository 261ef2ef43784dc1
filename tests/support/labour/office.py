"""MTFP's adapter over a fresh database, called as its gateway calls it, with ANIP and APIEx behind the road."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import sqlalchemy as sa
from google.rpc import error_details_pb2, status_pb2

from adapters.kit.desk import Desk
from adapters.kit.dossier_service import DossierService
from adapters.kit.store import open_store
from adapters.kit.tasks import TaskRunner
from adapters.labour.adapter import MINISTRY
from adapters.labour.employers import Employer, add_employer
from adapters.labour.tables import CONTRACTS, KIT, PERMITS
from adapters.reasons import ProviderError, ProviderReason
from adapters.refusals import Refusals
from adapters.server import make_server, start
from adapters.settings import AdapterSettings, ProgramSettings
from bj.business.v1 import business_pb2, business_pb2_grpc
from bj.common.v1 import dossier_pb2, dossier_service_pb2, dossier_service_pb2_grpc, person_pb2
from bj.labour.v1 import events_pb2, events_pb2_grpc, labour_pb2_grpc, visa_pb2, visa_pb2_grpc
from core.clock import ManualClock, SystemClock
from core.identifiers import SubsystemId
from rpc.status import DETAILS_KEY
from tests.support.adapter_country import EXCHANGE, Metadata, metadata
from tests.support.neighbours import Neighbourhood, StandInGateway
from tests.support.registers import make_register

# Monday, 23 November 2026, 09:00 in Porto-Novo.
MONDAY_MS: Final = 1_795_420_800_000
KOFFI, MINOR, FOREIGNER = "0000000001", "0000000015", "0000000016"
ANIP, APIEX = "BJ/GOV/ANIP/RNPP", "BJ/GOV/APIEX/RCCM"
IFU, CNSS_NO = "3202590000112", "9000001"


@dataclass
class Refusal:
    """Why a call was refused: reason, whose it is, and the fields at fault."""

    reason: str
    domain: str
    code: grpc.StatusCode
    fields: set[str]

    @classmethod
    def of(cls, error: Any) -> Refusal:
        """Read from what a client gets."""
        info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        trailers = dict(error.trailing_metadata())
        for detail in status_pb2.Status.FromString(trailers.get(DETAILS_KEY, b"")).details:
            detail.Unpack(info)
            detail.Unpack(fields)
        return cls(info.reason, info.domain, error.code(), {one.field for one in fields.field_violations})


class Apiex(business_pb2_grpc.BusinessServiceServicer):
    """The trade register as far as labour asks it: firms by tax number."""

    def __init__(self) -> None:
        self.firms: dict[str, business_pb2.GetBusinessResponse] = {}
        self._refuse = Refusals(SubsystemId.parse(APIEX), "fr")

    def GetBusiness(
        self, request: business_pb2.GetBusinessRequest, context: grpc.ServicerContext
    ) -> business_pb2.GetBusinessResponse:
        """A firm, or NOT_FOUND as the real one says it."""
        if request.ifu not in self.firms:
            method = "/bj.business.v1.BusinessService/GetBusiness"
            self._refuse(context, ProviderError(ProviderReason.NOT_FOUND), method, EXCHANGE)
        return self.firms[request.ifu]

    def enter(
        self,
        ifu: str,
        status: business_pb2.BusinessStatus.ValueType = business_pb2.BUSINESS_STATUS_ACTIVE,
    ) -> None:
        """Enter a firm, or change its status."""
        self.firms[ifu] = business_pb2.GetBusinessResponse(
            rccm=f"RB/COT/26 B 9{ifu[8:]}",
            name=f"Firme {ifu[-4:]} SARL",
            ifu=ifu,
            cnss_employer_no=f"9{ifu[-6:]}",
            activity="Commerce de détail",
            seat=person_pb2.AdministrativeUnit(code="AQ-CAL-01"),
            registered_on="2026-11-20",
            status=status,
        )


def serve_apiex(apiex: Apiex) -> tuple[grpc.Server, grpc.Channel]:
    """APIEx on a free port, and a channel to it."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    business_pb2_grpc.add_BusinessServiceServicer_to_server(apiex, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, grpc.insecure_channel(f"127.0.0.1:{port}")


@dataclass
class LabourOffice:
    """The adapter, listening; ``close`` it.

    Attributes:
        database: URL of an empty database.
        directory: For its files.
        anip: A channel to ANIP's adapter.
        clock: What time it is at the ministry.
        catalogue: A catalogue in place of the ministry's own.
    """

    database: str
    directory: Path
    anip: grpc.Channel
    clock: ManualClock = field(default_factory=lambda: ManualClock(MONDAY_MS))
    catalogue: str = ""

    def __post_init__(self) -> None:
        side = self.side = Neighbourhood(self.directory, "BJ/GOV/MTFP/TRAVAIL")
        self.apiex = Apiex()  # type: ignore[abstract]  # the other methods answer UNIMPLEMENTED
        self._apiex_server, apiex_channel = serve_apiex(self.apiex)
        self.gateway = StandInGateway(side, {ANIP: self.anip, APIEX: apiex_channel})
        port = self.gateway.start()
        self.settings = AdapterSettings(
            adapter="labour",
            subsystem="BJ/GOV/MTFP/TRAVAIL",
            gateways=(side.gateway,),
            database=self.database,
            listen="127.0.0.1:0",
            anchor=str(self.directory / "anchor.pem"),
            key=str(self.directory / "identity.key"),
            certificate=str(self.directory / "identity.crt"),
            catalogue=self.catalogue,
            document_key=str(self.directory / "document.key"),
            document_certificate=str(self.directory / "document.crt"),
            program=ProgramSettings(gateway=f"127.0.0.1:{port}", directory=str(self.directory / "program")),
        )
        make_register(self.database, MINISTRY.migrations)
        self.desk = Desk(MINISTRY, self.settings, open_store(self.database, MINISTRY.migrations), self.clock)
        # Certificates are judged by the machine's clock, all else by the ministry's.
        self._server = make_server(self.settings, SystemClock())
        for add, servicer in MINISTRY.build(self.desk):
            add(servicer, self._server.grpc)
        follow = DossierService(self.desk)
        dossier_service_pb2_grpc.add_DossierServiceServicer_to_server(follow, self._server.grpc)
        self._channel = side.channel(start(self._server, self.settings, MINISTRY.services))
        self.labour = labour_pb2_grpc.LabourServiceStub(self._channel)
        self.filings = visa_pb2_grpc.LabourDossierServiceStub(self._channel)
        self.events = events_pb2_grpc.VisaEventServiceStub(self._channel)
        self.follow = dossier_service_pb2_grpc.DossierServiceStub(self._channel)
        self.apiex.enter(IFU)
        self.employer = self.desk.store.write(_enter_employer)

    def close(self) -> None:
        """Stop all of it."""
        self._channel.close()
        self.desk.events.stop()
        self._server.stop(0)
        self.desk.close()
        self.gateway.stop()
        self._apiex_server.stop(None).wait()

    def call(self, method: Any, request: Any, purpose: str | None = "P02", **said: str) -> Any:
        """Call as the portal does, for a purpose."""
        return method(request, metadata=self.said(purpose, **said), timeout=20)

    def said(self, purpose: str | None = "P02", **said: str) -> Metadata:
        """What the gateway writes beside a call."""
        return metadata(x_road_service="BJ/GOV/MTFP/TRAVAIL", x_road_purpose=purpose, **said)

    def refused(self, method: Any, request: Any, purpose: str | None = "P02", **said: str) -> Refusal:
        """Make a call that must be refused."""
        try:
            self.call(method, request, purpose, **said)
        except grpc.RpcError as error:
            return Refusal.of(error)
        raise AssertionError("was not refused")

    def file(self, **changes: Any) -> visa_pb2.SubmitContractVisaResponse:
        """Hand a contract in."""
        answer: visa_pb2.SubmitContractVisaResponse = self.call(
            self.filings.SubmitContractVisa, contract_request(**changes)
        )
        return answer

    def dossier(self, reference: str, purpose: str = "P02") -> dossier_pb2.Dossier:
        """A dossier as the portal reads it."""
        request = dossier_service_pb2.GetDossierRequest(reference=reference)
        found: dossier_pb2.Dossier = self.call(self.follow.GetDossier, request, purpose).dossier
        return found

    def steps(self, reference: str) -> dict[str, str]:
        """Its steps and how far each is."""
        return {
            step.name: dossier_pb2.StepState.Name(step.state).removeprefix("STEP_STATE_")
            for step in self.dossier(reference).steps
        }

    def told(self) -> list[tuple[str, str]]:
        """Type and dossier of all events that the portal may hear."""
        answer = self.call(self.events.ListVisaChanges, events_pb2.ListVisaChangesRequest())
        kind = events_pb2.VisaEventType.Name
        return [(kind(one.type).removeprefix("VISA_EVENT_TYPE_"), one.reference) for one in answer.events]

    def contracts(self) -> list[Any]:
        """The contracts in the register."""
        with self.desk.store.reading() as tx:
            return list(tx.execute(sa.select(CONTRACTS).order_by(CONTRACTS.c.reference)))

    def decide(self, move: str, reference: str, *said: str) -> None:
        """What an officer does: ``decide("ask_correction", reference, "Motif…")``."""
        act = getattr(self.desk.dossiers, move)
        self.desk.store.write(lambda tx: act(tx, reference, "agent-7", *said))

    def run_due(self) -> int:
        """Run the tasks that are due, as the adapter's thread does."""
        handlers = {
            **MINISTRY.tasks,
            "expire": lambda desk, task: None,
            "report_decision": lambda desk, task: None,
        }
        return TaskRunner(self.desk, handlers).run_due()

    def tasks(self) -> set[tuple[str, str]]:
        """Kind and reference of what is to be done."""
        with self.desk.store.reading() as tx:
            return {(row.kind, row.reference) for row in tx.execute(sa.select(KIT.task))}

    def enter_permit(self, permit_no: str, npi: str, first: str, last: str) -> None:
        """Give a work permit."""
        values = {"permit_no": permit_no, "npi": npi, "valid_from": first, "valid_until": last}
        self.desk.store.write(lambda tx: tx.execute(PERMITS.insert(), values))

    def race(self, *acts: Callable[[], Any]) -> list[Any]:
        """Do all at once, each in a thread; what each returned, or the reason for which it was refused."""
        ready = threading.Barrier(len(acts))

        def run(act: Callable[[], Any]) -> Any:
            ready.wait()
            try:
                return act()
            except grpc.RpcError as error:
                return Refusal.of(error).reason

        with futures.ThreadPoolExecutor(len(acts)) as pool:
            return list(pool.map(run, acts))


def contract_request(**changes: Any) -> visa_pb2.SubmitContractVisaRequest:
    """A sound contract of Koffi, for a year; ``key`` and ``service_code`` change its application."""
    application = dossier_pb2.Application(
        idempotency_key=changes.pop("key", "key-of-a-contract-0001"),
        application_id="APP-1",
        service_code=changes.pop("service_code", "PS90401"),
    )
    values: dict[str, Any] = {
        "employer_ifu": IFU,
        "worker_npi": KOFFI,
        "type": visa_pb2.CONTRACT_TYPE_CDD,
        "post": "Comptable",
        "signed_on": "2026-11-20",
        "start_date": "2026-12-01",
        "end_date": "2027-11-30",
        "salary_xof": 987_654,
        "medical_fit": True,
        "contract_sha256": "ab" * 32,
        **changes,
    }
    return visa_pb2.SubmitContractVisaRequest(application=application, **values)


def _enter_employer(tx: sa.Connection) -> Employer:
    return add_employer(
        tx,
        name="Zinsou & fils SARL",
        ifu=IFU,
        rccm="RB/COT/25 B 900001",
        cnss_employer_no=CNSS_NO,
        sector="Commerce",
        inspectorate_code="LI",
        registered_on="2025-03-01",
    )
