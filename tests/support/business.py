"""APIEx's desk over a fresh database, with a few firms, people and a clock that obeys."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import grpc
import sqlalchemy as sa

from adapters.business.adapter import MINISTRY
from adapters.business.filing import FormalityService
from adapters.business.namebook import trace_rows
from adapters.business.names import name_rules
from adapters.business.offices import OfficeState, declare_office
from adapters.business.records import Firm, Relation, Seat
from adapters.business.register import enter_firm
from adapters.business.service import BusinessService
from adapters.business.tables import NAME_TRACE
from adapters.context import CallerContext, serving
from adapters.kit.desk import Desk
from adapters.kit.documents import Documents, Line
from adapters.kit.dossier import State
from adapters.kit.dossier_service import DossierService
from adapters.kit.events import Wanted
from adapters.kit.expiry import expire
from adapters.kit.numbers import next_number
from adapters.kit.road import Road
from adapters.kit.store import open_store
from adapters.kit.tasks import TaskRunner
from adapters.reasons import ProviderError
from adapters.settings import AdapterSettings
from adapters.validation import require_valid
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import events_pb2, formality_pb2
from bj.common.v1 import document_pb2, dossier_pb2, dossier_service_pb2, payment_pb2, person_pb2
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId
from core.language import Text
from tests.support.next_door import AnipNextDoor
from tests.support.registers import make_register

# Saturday, 28 November 2026, 09:00 in Porto-Novo.
NOW_MS: Final = 1_795_852_800_000
KOFFI, AFI, ROSINE = "0000000001", "0000000021", "0000000007"
NO_CONTEXT: Final = cast(grpc.ServicerContext, None)
CALLER: Final = CallerContext(
    gateway=GatewayId.parse("BJ/GOV/APIEX/gw1"),
    client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
    service=SubsystemId.parse("BJ/GOV/APIEX/RCCM"),
    exchange_id="01920000-0000-7000-8000-000000000000",
    request_hash="0" * 64,
    agreement="CV-0042/1",
    issued_at_ms=NOW_MS,
    purpose="P02",
)
COTONOU: Final = Seat("LI-COT-05-012", "Littoral", "Cotonou", "5ème arrondissement", "Zongo")
SARL: Final = Firm(
    rccm="RB/COT/25 B 900001",
    name="Sènan Services SARL",
    legal_form=pb.LEGAL_FORM_SARL,
    registered_on="2025-03-04",
    court="COT",
    capital_xof=1_000_000,
    activity="Commerce général",
    seat=COTONOU,
    ifu="3202590000117",
    cnss_employer_no="9000001",
)
TRADE: Final = Firm(
    rccm="RB/COT/19 A 900002",
    name="ADJOVI Koffi",
    trade_name="Chez Koffi Couture",
    legal_form=pb.LEGAL_FORM_EI,
    registered_on="2013-05-06",
    court="COT",
    activity="Couture",
    seat=Seat("AQ-CAL-02", "Atlantique", "Abomey-Calavi", "Godomey"),
    ifu="1201390000200",
    on_paper=True,
    owner_birth_date="1987-04-12",
    owner_birth_place="COTONOU",
)


def relation(firm: Firm, role: pb.RelationRole.ValueType, npi: str, **more: Any) -> Relation:
    """A role of a person."""
    known = {"last_name": "ADJOVI", "first_names": "Koffi", "from_date": firm.registered_on}
    return Relation(rccm=firm.rccm, role=role, npi=npi, **{**known, **more})


FIRMS: Final = (
    (
        SARL,
        (
            relation(SARL, pb.RELATION_ROLE_MANAGER, KOFFI),
            relation(SARL, pb.RELATION_ROLE_PARTNER, KOFFI, share_xof=600_000),
            relation(SARL, pb.RELATION_ROLE_PARTNER, AFI, share_xof=400_000, first_names="Afi"),
            relation(SARL, pb.RELATION_ROLE_MANAGER, ROSINE, from_date="2025-03-04", to_date="2025-09-01"),
        ),
    ),
    (TRADE, (relation(TRADE, pb.RELATION_ROLE_OWNER, KOFFI),)),
)


def business_settings(database: str, directory: Path) -> AdapterSettings:
    """``adapter.toml`` of APIEx."""
    return AdapterSettings(
        adapter="business",
        subsystem="BJ/GOV/APIEX/RCCM",
        gateways=("BJ/GOV/APIEX/gw1",),
        database=database,
        document_key=str(directory / "document.key"),
        document_certificate=str(directory / "document.crt"),
    )


class UnsignedDocuments(Documents):
    """Notes what is issued, line by line, in the place of a signed PDF: signing has tests of its own."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._tables = desk.ministry.tables
        self._clock = desk.clock
        self.pages: dict[str, list[tuple[str, str]]] = {}

    def issue(
        self,
        tx: sa.Connection,
        reference: str,
        kind: document_pb2.DocumentType.ValueType,
        *,
        title: Text,
        lines: Sequence[Line],
        holder_names: Sequence[str] = (),
        valid_until_ms: int = 0,
    ) -> document_pb2.Document:
        """As ``Documents``."""
        doc_id = f"APIEX-RCCM-2026-{next_number(tx, 'documents'):08d}"
        self.pages[doc_id] = [(line.label.fr, line.value) for line in lines]
        tx.execute(
            self._tables.document.insert().values(
                doc_id=doc_id,
                reference=reference,
                type=kind,
                issued_at=self._clock.now_ms(),
                valid_until=valid_until_ms,
                sha256="0" * 64,
                signature=b"",
                qr_jwt=" ".join(holder_names),
                media_type="application/pdf",
                content=title.fr.encode(),
            )
        )
        return document_pb2.Document(doc_id=doc_id, type=kind)


@dataclass
class Apiex:
    """One desk over one database."""

    database: str
    directory: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))

    def __post_init__(self) -> None:
        make_register(self.database, MINISTRY.migrations)
        settings = business_settings(self.database, self.directory)
        self.desk = Desk(MINISTRY, settings, open_store(self.database, MINISTRY.migrations), self.clock)
        self.documents = self.desk.documents = UnsignedDocuments(self.desk)
        self.business = BusinessService(self.desk)
        self.formalities = FormalityService(self.desk)
        self.dossiers = DossierService(self.desk)
        self.runner = TaskRunner(
            self.desk, {**MINISTRY.tasks, "expire": expire, "report_decision": lambda desk, task: None}
        )

    def open_anip(self) -> AnipNextDoor:
        """ANIP, next door."""
        anip = AnipNextDoor(self.directory, self.clock, CALLER)
        self.desk.road = cast("Road", anip)
        return anip

    def reserve(
        self, name: str, legal_form: pb.LegalForm.ValueType = pb.LEGAL_FORM_SARL, npi: str = KOFFI
    ) -> str:
        """The token of a name that is kept for somebody."""
        request = pb.ReserveNameRequest(
            idempotency_key=self.key(), name=name, legal_form=legal_form, applicant_npi=npi
        )
        with serving(caller()):
            return self.business.ReserveName(request, NO_CONTEXT).name_token

    def creation(self, name: str = "Fifamè Transit", **changes: Any) -> formality_pb2.SubmitFormalityRequest:
        """Koffi and Rosine found a company that Koffi runs; its name is kept for Koffi."""
        founders = {
            "kind": formality_pb2.FORMALITY_KIND_CREATE,
            "application": self.application("PS90301"),
            "legal_form": pb.LEGAL_FORM_SARL,
            "capital_xof": 1_000_000,
            "partners": [share(KOFFI, 600_000), share(ROSINE, 400_000)],
            "managers": [formality_pb2.ManagerRef(npi=KOFFI)],
            "seat": person_pb2.AdministrativeUnit(code="LI-COT-05", department="Littoral", commune="Cotonou"),
            "activity": "Transit",
            **changes,
        }
        if "name_token" not in founders:
            founders["name_token"] = self.reserve(name, founders["legal_form"])
        return formality_pb2.SubmitFormalityRequest(**founders)

    def change(self, firm: Firm, **changes: Any) -> formality_pb2.SubmitFormalityRequest:
        """A change of a firm, or its end."""
        asked = {
            "kind": formality_pb2.FORMALITY_KIND_MODIFY,
            "application": self.application("PS90303"),
            "rccm": firm.rccm,
            **changes,
        }
        return formality_pb2.SubmitFormalityRequest(**asked)

    def application(self, code: str, npi: str = KOFFI, key: str = "") -> dossier_pb2.Application:
        """What every filing has."""
        return dossier_pb2.Application(
            idempotency_key=key or self.key(), application_id="APP-1", service_code=code, applicant_npi=npi
        )

    def key(self) -> str:
        """A fresh idempotency key."""
        return uuid.uuid4().hex

    def submit(
        self, request: formality_pb2.SubmitFormalityRequest, purpose: str = "P02"
    ) -> dossier_pb2.Dossier:
        """File a formality."""
        require_valid(request)
        with serving(caller(purpose)):
            return self.formalities.SubmitFormality(request, NO_CONTEXT).dossier

    def extract(self, rccm: str, purpose: str = "P01", code: str = "PS00024") -> dossier_pb2.Dossier:
        """Ask for an extract."""
        request = formality_pb2.IssueExtractRequest(application=self.application(code), rccm=rccm)
        with serving(caller(purpose)):
            return self.formalities.IssueExtract(request, NO_CONTEXT).dossier

    def pay(self, dossier: dossier_pb2.Dossier) -> dossier_pb2.Dossier:
        """Report the fee as received."""
        payment = payment_pb2.Payment(
            payment_ref=f"MOMO-{dossier.reference}",
            channel=payment_pb2.PAYMENT_CHANNEL_MTN_MOMO,
            state=payment_pb2.PAYMENT_STATE_CONFIRMED,
            amount_xof=dossier.fee.amount_xof,
            receipt_no="RECU-000001",
        )
        request = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=self.key(), reference=dossier.reference, payment=payment
        )
        purpose = "P01" if dossier.service_code == "PS00024" else "P02"
        with serving(caller(purpose)):
            return self.dossiers.ReportPayment(request, NO_CONTEXT).dossier

    def paid(self, request: formality_pb2.SubmitFormalityRequest) -> str:
        """The reference of a formality that was filed and paid."""
        return self.pay(self.submit(request)).reference

    def read(self, reference: str) -> dossier_pb2.Dossier:
        """The dossier as it stands."""
        with self.desk.store.reading() as tx:
            return self.desk.dossiers.message(tx, reference)

    def state(self, reference: str) -> State:
        """How far the dossier is."""
        return State(self.read(reference).state)

    def steps(self, reference: str) -> dict[str, str]:
        """Its steps and their states, ``{"rccm": "DONE"}``."""
        states = dossier_pb2.StepState
        return {
            step.name: states.Name(step.state).removeprefix("STEP_STATE_")
            for step in self.read(reference).steps
        }

    def numbers(self, reference: str) -> dict[str, str]:
        """The numbers that it gave."""
        kinds = dossier_pb2.IssuedNumberType
        return {
            kinds.Name(one.type).removeprefix("ISSUED_NUMBER_TYPE_"): one.value
            for one in self.read(reference).issued
        }

    def events(self) -> list[tuple[str, str]]:
        """What the register told, ``("REGISTERED", rccm)``."""
        kinds = events_pb2.RegistryEventType
        with self.desk.store.reading() as tx:
            page = self.desk.events.page(tx, "", 1000, Wanted())
        return [
            (kinds.Name(kinds.ValueType(one.kind)).removeprefix("REGISTRY_EVENT_TYPE_"), one.subject)
            for one in page.events
        ]

    def declare(self, office: str, state: OfficeState, reason: str = "") -> None:
        """Say how DGI or the CNSS stands."""
        self.desk.store.write(lambda tx: declare_office(tx, office, state, reason))

    def run(self) -> None:
        """Run what is due, and what that makes due."""
        while self.runner.run_due():
            pass

    def firm(self, rccm: str) -> pb.GetBusinessResponse:
        """A firm, as everybody reads it."""
        with serving(caller(None)):
            return self.business.GetBusiness(pb.GetBusinessRequest(rccm=rccm), NO_CONTEXT)

    def enter(self, firms: Sequence[tuple[Firm, Sequence[Relation]]] = FIRMS) -> None:
        """Write firms, as a seed does."""
        enter(self.desk, firms)

    def row(self, table: sa.Table, **where: object) -> Any:
        """The one row of ``table`` with these values."""
        with self.desk.store.reading() as tx:
            return tx.execute(sa.select(table).filter_by(**where)).one()

    def race(self, *acts: Callable[[], Any]) -> list[Any]:
        """Do all at once, each in a thread; what each returned, or the reason for which it was refused."""
        ready = threading.Barrier(len(acts))

        def run(act: Callable[[], Any]) -> Any:
            ready.wait()
            try:
                return act()
            except ProviderError as refused:
                return refused.reason

        with futures.ThreadPoolExecutor(len(acts)) as pool:
            return list(pool.map(run, acts))


def enter(desk: Desk, firms: Sequence[tuple[Firm, Sequence[Relation]]]) -> None:
    """Write firms into a register."""
    with desk.store.writing() as tx:
        for firm, relations in firms:
            enter_firm(tx, firm, relations)
            tx.execute(NAME_TRACE.insert(), trace_rows(name_rules(), firm))


def share(npi: str, amount_xof: int) -> formality_pb2.PartnerShare:
    """What a person brings in."""
    return formality_pb2.PartnerShare(party=person_pb2.Party(npi=npi), share_xof=amount_xof)


def caller(purpose: str | None = "P02", client: str = "BJ/GOV/PNS/PORTAIL") -> CallerContext:
    """Who calls, for what."""
    return replace(CALLER, purpose=purpose, client=SubsystemId.parse(client))
