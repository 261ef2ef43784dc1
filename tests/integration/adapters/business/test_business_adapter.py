"""APIEx's adapter over real mTLS, called as its own gateway calls it, with ANIP's adapter behind the road."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from adapters.business.adapter import MINISTRY
from adapters.business.tables import KIT
from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.kit.dossier_service import DossierService
from adapters.kit.expiry import expire
from adapters.kit.store import open_store
from adapters.kit.tasks import TaskRunner
from adapters.server import make_server, start
from adapters.settings import AdapterSettings, EventSettings, ProgramSettings
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import business_pb2_grpc, events_pb2, events_pb2_grpc, formality_pb2, formality_pb2_grpc
from bj.common.v1 import dossier_pb2, dossier_service_pb2, dossier_service_pb2_grpc, payment_pb2, person_pb2
from core.clock import SystemClock
from pki.keys import certificate_key, load_chain
from tests.support.adapter_country import AdapterCountry, Metadata, metadata, now_ms
from tests.support.business import FIRMS, KOFFI, ROSINE, SARL, enter, share
from tests.support.labour.office import Refusal
from tests.support.neighbours import Neighbourhood, StandInGateway
from tests.support.registers import make_register
from tests.support.waiting import until

ANIP = "BJ/GOV/ANIP/RNPP"
DOMAIN = "BJ/GOV/APIEX/RCCM/bj.business.v1."


class Adapter:
    """The adapter, running: its server, the thread of its tasks, and stubs of a stock client."""

    def __init__(self, database: str, directory: Path, anip: grpc.Channel) -> None:
        side = Neighbourhood(directory, "BJ/GOV/APIEX/RCCM")
        self.gateway = StandInGateway(side, {ANIP: anip})
        port = self.gateway.start()
        side.write_document_key(now_ms())
        self.settings = AdapterSettings(
            adapter="business",
            subsystem="BJ/GOV/APIEX/RCCM",
            gateways=(side.gateway,),
            database=database,
            listen="127.0.0.1:0",
            anchor=str(directory / "anchor.pem"),
            key=str(directory / "identity.key"),
            certificate=str(directory / "identity.crt"),
            document_key=str(directory / "document.key"),
            document_certificate=str(directory / "document.crt"),
            events=EventSettings(heartbeat_s=0.2),
            program=ProgramSettings(gateway=f"127.0.0.1:{port}", directory=str(directory / "program")),
        )
        make_register(database, MINISTRY.migrations)
        self.desk = Desk(MINISTRY, self.settings, open_store(database, MINISTRY.migrations), SystemClock())
        enter(self.desk, FIRMS)
        self._server = make_server(self.settings, SystemClock())
        for add, servicer in MINISTRY.build(self.desk):
            add(servicer, self._server.grpc)
        dossier_service_pb2_grpc.add_DossierServiceServicer_to_server(
            DossierService(self.desk), self._server.grpc
        )
        self._channel = side.channel(start(self._server, self.settings, MINISTRY.services))
        handlers = {**MINISTRY.tasks, "expire": expire, "report_decision": lambda desk, task: None}
        self._runner = TaskRunner(self.desk, handlers)
        self._runner.start()
        self.business = business_pb2_grpc.BusinessServiceStub(self._channel)
        self.formalities = formality_pb2_grpc.FormalityServiceStub(self._channel)
        self.events = events_pb2_grpc.RegistryEventServiceStub(self._channel)
        self.dossiers = dossier_service_pb2_grpc.DossierServiceStub(self._channel)

    def close(self) -> None:
        """Stop all of it."""
        self._runner.stop()
        self._channel.close()
        self.desk.events.stop()
        self._server.stop(0)
        self.desk.close()
        self.gateway.stop()

    def call(self, method: Any, request: Any, purpose: str | None = "P02") -> Any:
        """Call as the portal does."""
        return method(request, metadata=said(purpose), timeout=20)

    def refused(self, method: Any, request: Any, purpose: str | None = "P02") -> Refusal:
        """Make a call that must be refused."""
        with pytest.raises(grpc.RpcError) as failed:
            self.call(method, request, purpose)
        return Refusal.of(failed.value)

    def dossier(self, reference: str) -> dossier_pb2.Dossier:
        """A dossier as the portal reads it."""
        request = dossier_service_pb2.GetDossierRequest(reference=reference)
        found: dossier_pb2.Dossier = self.call(self.dossiers.GetDossier, request).dossier
        return found

    def create(self, name: str) -> str:
        """Keep a name, file, pay; the reference."""
        kept = self.call(self.business.ReserveName, reservation(name))
        filed = self.call(self.formalities.SubmitFormality, creation(kept.name_token)).dossier
        payment = payment_pb2.Payment(
            payment_ref=f"MOMO-{filed.reference}",
            channel=payment_pb2.PAYMENT_CHANNEL_MOOV,
            state=payment_pb2.PAYMENT_STATE_CONFIRMED,
            amount_xof=filed.fee.amount_xof,
            receipt_no="RECU-000001",
        )
        report = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=key(), reference=filed.reference, payment=payment
        )
        return str(self.call(self.dossiers.ReportPayment, report).dossier.reference)


def said(purpose: str | None) -> Metadata:
    """What the gateway writes beside a call."""
    return metadata(x_road_service="BJ/GOV/APIEX/RCCM", x_road_purpose=purpose)


def key() -> str:
    """A fresh idempotency key."""
    return uuid.uuid4().hex


def reservation(name: str) -> pb.ReserveNameRequest:
    """A name for Koffi."""
    return pb.ReserveNameRequest(
        idempotency_key=key(), name=name, legal_form=pb.LEGAL_FORM_SARL, applicant_npi=KOFFI
    )


def creation(token: str, **changes: Any) -> formality_pb2.SubmitFormalityRequest:
    """Koffi and Rosine found a company."""
    application = dossier_pb2.Application(
        idempotency_key=key(), application_id="APP-1", service_code="PS90301", applicant_npi=KOFFI
    )
    asked = {
        "application": application,
        "kind": formality_pb2.FORMALITY_KIND_CREATE,
        "legal_form": pb.LEGAL_FORM_SARL,
        "name_token": token,
        "capital_xof": 1_000_000,
        "partners": [share(KOFFI, 600_000), share(ROSINE, 400_000)],
        "managers": [formality_pb2.ManagerRef(npi=KOFFI)],
        "seat": person_pb2.AdministrativeUnit(code="LI-COT-05"),
        "activity": "Transit",
        **changes,
    }
    return formality_pb2.SubmitFormalityRequest(**asked)


@pytest.fixture(scope="session")
def anip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """ANIP's adapter with the personas, as its own gateway reaches it."""
    country = AdapterCountry(tmp_path_factory.mktemp("anip"))
    country.seed(50)
    server, port = country.serve()
    with country.channel(port, country.identity()) as channel:
        yield channel
    server.stop(0)


@pytest.fixture
def adapter(database: str, tmp_path: Path, anip: grpc.Channel) -> Iterator[Adapter]:
    """APIEx's adapter, running."""
    adapter = Adapter(database, tmp_path, anip)
    yield adapter
    adapter.close()


def test_a_company_is_created_over_the_wire(adapter: Adapter) -> None:
    """From the name to the firm that everybody reads; ANIP is asked for P02 and this dossier."""
    reference = adapter.create("Fifamè Transit")
    until(lambda: adapter.dossier(reference).state == State.GRANTED.value)

    (rccm,) = [one.value for one in adapter.dossier(reference).issued if one.value.startswith("RB/")]
    firm = adapter.call(adapter.business.GetBusiness, pb.GetBusinessRequest(rccm=rccm), None)
    assert (firm.name, len(firm.ifu)) == ("Fifamè Transit", 13)
    assert sorted(adapter.gateway.heard) == [(ANIP, "GetPerson", "P02", "ACT-202611-0001")] * 2


def test_what_is_granted_is_signed_and_says_what_the_register_says(adapter: Adapter) -> None:
    """Extract, certificates and card: PDFs whose bytes the ministry's key signed, without a number of a person."""
    reference = adapter.create("Fifamè Transit")
    until(lambda: adapter.dossier(reference).state == State.GRANTED.value)
    chain = load_chain(Path(adapter.settings.document_certificate).read_bytes())

    documents = adapter.dossier(reference).documents

    assert sorted(one.type for one in documents) == [40, 41, 42, 43]
    for one in documents:
        request = dossier_service_pb2.GetDocumentRequest(reference=reference, doc_id=one.doc_id)
        found = adapter.call(adapter.dossiers.GetDocument, request)
        assert found.media_type == "application/pdf"
        assert hashlib.sha256(found.content).hexdigest() == one.sha256
        certificate_key(chain[0]).verify(one.signature, found.content, ec.ECDSA(hashes.SHA256()))
        assert KOFFI not in one.qr_jwt
        assert KOFFI.encode() not in found.content


def test_while_anip_is_away_a_dossier_waits_over_the_wire(adapter: Adapter) -> None:
    """And goes on when it is back."""
    adapter.gateway.away.add(ANIP)
    reference = adapter.create("Fifamè Transit")
    until(lambda: "ANIP" in adapter.dossier(reference).steps[0].detail)
    assert State(adapter.dossier(reference).state) is State.UNDER_REVIEW

    adapter.gateway.away.clear()
    # As if the pause had passed.
    adapter.desk.store.write(lambda tx: tx.execute(KIT.task.update().values(due_at=0)))

    until(lambda: adapter.dossier(reference).state == State.GRANTED.value)


def test_events_are_streamed_and_listed_by_the_same_cursors(adapter: Adapter) -> None:
    """A consumer that broke off goes on with its cursor; filters hold for both."""
    watch = events_pb2.WatchRegistryEventsRequest(
        filter=events_pb2.RegistryEventFilter(forms=[pb.LEGAL_FORM_SARL], commune_codes=["LI-COT"])
    )
    stream = adapter.events.WatchRegistryEvents(watch, metadata=said(None), timeout=60)
    assert next(stream).WhichOneof("message") == "heartbeat"
    reference = adapter.create("Fifamè Transit")
    until(lambda: adapter.dossier(reference).state == State.GRANTED.value)

    told: list[events_pb2.RegistryEvent] = []
    while len(told) < 3:
        message = next(stream)
        if message.HasField("event"):
            told.append(message.event)
    stream.cancel()

    assert told[0].type == events_pb2.REGISTRY_EVENT_TYPE_REGISTERED
    assert (told[0].legal_form, told[0].commune_code) == (pb.LEGAL_FORM_SARL, "LI-COT")
    assert {*told[1].header.changed_fields, *told[2].header.changed_fields} == {"ifu", "cnss_employer_no"}
    page: Any = {"page": {"since_cursor": told[0].header.cursor}}
    listed = adapter.call(
        adapter.events.ListRegistryChanges, events_pb2.ListRegistryChangesRequest(**page), None
    )
    assert list(listed.events) == told[1:]
    for other in ({"forms": [pb.LEGAL_FORM_EI]}, {"commune_codes": ["OU-PNO"]}, {"types": [4]}):
        narrow: Any = {"filter": other}
        request = events_pb2.ListRegistryChangesRequest(**narrow)
        assert not adapter.call(adapter.events.ListRegistryChanges, request, None).events


@pytest.mark.parametrize(
    "condition", [{"types": [0]}, {"forms": [0]}, {"commune_codes": ["LI"]}, {"commune_codes": ["LI-COT-05"]}]
)
def test_a_filter_that_would_never_be_met_is_refused(adapter: Adapter, condition: dict[str, Any]) -> None:
    """By list and stream."""
    request = events_pb2.ListRegistryChangesRequest(filter=events_pb2.RegistryEventFilter(**condition))

    refused = adapter.refused(adapter.events.ListRegistryChanges, request, None)

    assert (refused.reason, refused.fields) == ("FORMAT_INVALID", {f"filter.{next(iter(condition))}"})


def test_refusals_carry_reason_status_and_domain(adapter: Adapter) -> None:
    """Each as the protos promise; none names anybody."""
    get, reserve = adapter.business.GetBusiness, adapter.business.ReserveName
    submit = adapter.formalities.SubmitFormality
    taken = reservation("Sènan Services")
    unkept = creation("never-given")
    uneven = creation("never-given", capital_xof=1)
    by_bank = pb.ListByPersonRequest(npi=KOFFI)
    codes = grpc.StatusCode
    expected = [
        (get, pb.GetBusinessRequest(rccm="RB/COT/25 B 900099"), None, codes.NOT_FOUND, "NOT_FOUND"),
        (get, pb.GetBusinessRequest(rccm="no number"), None, codes.INVALID_ARGUMENT, "FORMAT_INVALID"),
        (get, pb.GetBusinessRequest(), None, codes.INVALID_ARGUMENT, "FORMAT_INVALID"),
        (reserve, taken, "P02", codes.ABORTED, "STATE_CONFLICT"),
        (reserve, taken, "P01", codes.PERMISSION_DENIED, "PURPOSE_NOT_ALLOWED"),
        (submit, unkept, "P02", codes.ABORTED, "STATE_CONFLICT"),
        (submit, uneven, "P02", codes.INVALID_ARGUMENT, "FORMAT_INVALID"),
        (adapter.business.ListByPerson, by_bank, "P03", codes.PERMISSION_DENIED, "CONSENT_REQUIRED"),
        (adapter.business.ListByPerson, by_bank, "P01", codes.PERMISSION_DENIED, "PURPOSE_NOT_ALLOWED"),
    ]
    with capture_logs() as logged:
        for method, request, purpose, code, reason in expected:
            refused = adapter.refused(method, request, purpose)
            assert (refused.code, refused.reason) == (code, reason)
            assert refused.domain.startswith(DOMAIN)
    assert KOFFI not in str(logged)
    assert SARL.name not in str(logged)
