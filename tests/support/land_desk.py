"""What notaries, citizens and officers do at ANDF's desk, for tests: each in a transaction of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from adapters.context import serving
from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.kit.dossier_service import DossierService
from adapters.kit.tasks import TaskRunner
from adapters.land.dossier_service import LandDossierService
from adapters.land.events import ParcelEventService
from adapters.land.parties import Party, party_message
from adapters.land.service import LandService
from bj.common.v1 import dossier_pb2, dossier_service_pb2, payment_pb2
from bj.land.v1 import events_pb2, parcel_pb2, transfer_pb2
from tests.support.callers import NO_CONTEXT, caller
from tests.support.land_book import NOTARY

OFFICER = "AGENT-0007"
HASH = "ab" * 32


@dataclass
class LandDesk:
    """One desk, and its servicers as the adapter serves them."""

    desk: Desk
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.land = LandService(self.desk)
        self.opens = LandDossierService(self.desk)
        self.follows = DossierService(self.desk)

    def key(self) -> str:
        """A fresh idempotency key."""
        return f"key-of-a-filing-{next(self._count):06d}"

    # --- who files ---------------------------------------------------------------------------------------------------

    def transfer(
        self,
        nup: str,
        seller: Party,
        buyer: Party,
        *,
        price_xof: int = 8_000_000,
        share: tuple[int, int] | None = None,
        key: str = "",
        notary_ref: str = NOTARY,
        service_code: str = "PS01427",
        applicant_npi: str = "",
        **call: Any,
    ) -> dossier_pb2.Dossier:
        """A notary files a sale."""
        request = transfer_pb2.FileTransferRequest(
            application=self._application(service_code, key, applicant_npi),
            notary_ref=notary_ref,
            nup=nup,
            seller=party_message(seller),
            buyer=party_message(buyer),
            share=parcel_pb2.Share(numerator=share[0], denominator=share[1]) if share else None,
            price_xof=price_xof,
            deed_sha256=HASH,
        )
        with serving(caller(**{"purpose": "P02", **call})):
            return self.opens.FileTransfer(request, NO_CONTEXT).dossier

    def title_request(
        self,
        nup: str,
        holder: Party,
        *,
        key: str = "",
        service_code: str = "PS00124",
        **call: Any,
    ) -> dossier_pb2.Dossier:
        """Somebody asks for a title."""
        request = transfer_pb2.FileTitleRequestRequest(
            application=self._application(service_code, key, holder.number if holder.is_person else ""),
            nup=nup,
            deed=transfer_pb2.PRESUMPTIVE_DEED_SALE,
            deed_sha256=HASH,
            survey_plan_sha256=HASH,
            surveyor_ref="GEO-0001",
            holder=party_message(holder),
        )
        with serving(caller(**{"purpose": "P02", **call})):
            return self.opens.FileTitleRequest(request, NO_CONTEXT).dossier

    def title_state(
        self,
        requester_npi: str,
        *,
        title_no: str = "",
        nup: str = "",
        consent_ref: str = "",
        key: str = "",
        service_code: str = "PS90201",
        **call: Any,
    ) -> dossier_pb2.Dossier:
        """Somebody asks for an état descriptif."""
        request = transfer_pb2.RequestTitleStateRequest(
            application=self._application(service_code, key, requester_npi), consent_ref=consent_ref
        )
        if title_no:
            request.title_no = title_no
        else:
            request.nup = nup
        with serving(caller(**{"purpose": "P01", **call})):
            return self.opens.RequestTitleState(request, NO_CONTEXT).dossier

    def oppose(
        self, nup: str, opponent: Party, *, key: str = "", ground: str = "les limites empiètent", **call: Any
    ) -> transfer_pb2.LodgeOppositionResponse:
        """Somebody opposes a title."""
        request = transfer_pb2.LodgeOppositionRequest(
            idempotency_key=key or self.key(),
            nup=nup,
            opponent=party_message(opponent),
            ground=ground,
            evidence_sha256=[HASH],
        )
        with serving(caller(**{"purpose": "P01", **call})):
            return self.opens.LodgeOpposition(request, NO_CONTEXT)

    def pay(self, dossier: dossier_pb2.Dossier, *, purpose: str, **call: Any) -> dossier_pb2.Dossier:
        """The fee is received."""
        number = next(self._count)
        request = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=self.key(),
            reference=dossier.reference,
            payment=payment_pb2.Payment(
                payment_ref=f"PAY-{number:06d}",
                channel=payment_pb2.PAYMENT_CHANNEL_MTN_MOMO,
                state=payment_pb2.PAYMENT_STATE_CONFIRMED,
                amount_xof=dossier.fee.amount_xof,
                receipt_no=f"QUI-{number:06d}",
            ),
        )
        with serving(caller(purpose=purpose, issue=dossier.reference, **call)):
            return self.follows.ReportPayment(request, NO_CONTEXT).dossier

    def cancel(self, reference: str, *, purpose: str = "P02") -> dossier_pb2.Dossier:
        """Who filed gives up."""
        request = dossier_service_pb2.CancelDossierRequest(idempotency_key=self.key(), reference=reference)
        with serving(caller(purpose=purpose, issue=reference)):
            return self.follows.CancelDossier(request, NO_CONTEXT).dossier

    def title(self, requester_npi: str, issue: str | None, **asked: Any) -> parcel_pb2.GetTitleResponse:
        """GetTitle, for a dossier."""
        call = {key: asked.pop(key) for key in ("purpose", "client") if key in asked}
        request = parcel_pb2.GetTitleRequest(requester_npi=requester_npi, **asked)
        with serving(caller(issue=issue, **call)):
            return self.land.GetTitle(request, NO_CONTEXT)

    def owns(self, nup: str, party: Party) -> parcel_pb2.CheckOwnershipResponse:
        """CheckOwnership."""
        request = parcel_pb2.CheckOwnershipRequest(nup=nup, party=party_message(party))
        with serving(caller()):
            return self.land.CheckOwnership(request, NO_CONTEXT)

    # --- who works at ANDF -------------------------------------------------------------------------------------------

    def act(self, name: str, *arguments: Any) -> Any:
        """One function of ``desk.dossiers`` in a transaction."""
        function: Callable[..., Any] = getattr(self.desk.dossiers, name)
        return self.desk.store.write(lambda tx: function(tx, *arguments))

    def review(self, reference: str) -> None:
        """An officer takes a dossier up."""
        self.act("review", reference, OFFICER)

    def grant(self, reference: str) -> None:
        """An officer grants it."""
        self.act("grant", reference, OFFICER)

    def reject(self, reference: str, reason: str = "acte non conforme") -> None:
        """An officer rejects it."""
        self.act("reject", reference, OFFICER, reason)

    def survey(self, reference: str) -> None:
        """An officer says that the survey is done."""
        self.act("finish_step", reference, "survey", OFFICER)

    def run_due(self) -> int:
        """Run the tasks that are due, as the adapter's thread does."""
        handlers = {**self.desk.ministry.tasks, "expire": lambda desk, task: None}
        return TaskRunner(self.desk, {**handlers, "report_decision": lambda desk, task: None}).run_due()

    # --- what there is -----------------------------------------------------------------------------------------------

    def read(self, reference: str) -> dossier_pb2.Dossier:
        """A dossier as it stands."""
        with self.desk.store.reading() as tx:
            return self.desk.dossiers.message(tx, reference)

    def state(self, reference: str) -> State:
        """How far it is."""
        return State(self.read(reference).state)

    def steps(self, reference: str) -> dict[str, str]:
        """How far its steps are."""
        return {
            step.name: dossier_pb2.StepState.Name(step.state).removeprefix("STEP_STATE_")
            for step in self.read(reference).steps
        }

    def events(self) -> list[events_pb2.ParcelEvent]:
        """All that was told, page by page."""
        found: list[events_pb2.ParcelEvent] = []
        request = events_pb2.ListParcelChangesRequest()
        with serving(caller(purpose=None, issue=None)):
            while True:
                page = ParcelEventService(self.desk).ListParcelChanges(request, NO_CONTEXT)
                found += page.events
                if not page.has_more:
                    return found
                request.page.since_cursor = page.next_cursor

    def told(self) -> list[tuple[str, str]]:
        """Kind and parcel of each event."""
        kinds = events_pb2.ParcelEventType
        return [(kinds.Name(one.type).removeprefix("PARCEL_EVENT_TYPE_"), one.nup) for one in self.events()]

    def rows(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        """What stands in the register."""
        with self.desk.store.reading() as tx:
            return list(tx.execute(query))

    def _application(self, service_code: str, key: str, applicant_npi: str) -> dossier_pb2.Application:
        return dossier_pb2.Application(
            idempotency_key=key or self.key(),
            application_id="APP-1",
            service_code=service_code,
            applicant_npi=applicant_npi,
            channel=dossier_pb2.DOSSIER_CHANNEL_ONLINE,
        )
