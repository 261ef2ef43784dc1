"""Title requests: filed, identified, surveyed, put up for oppositions, decided.

An officer says that the survey is done; from then on a notice is open for fifteen days. Whoever opposes sends the dossier
into arbitration, where its clock stands still; the notice runs on, for others. Without identity, survey and a closed
notice no title is granted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.tasks import Finish, Task
from adapters.land.book import write_title
from adapters.land.claims import TITLE_REQUEST as TITLE_REQUEST_CLAIM
from adapters.land.claims import claim_parcel, release_parcel
from adapters.land.events import tell
from adapters.land.identity_step import STEP as IDENTITY
from adapters.land.identity_step import IdentifiedProcedure, require_done
from adapters.land.parcels import find_parcel, lock_parcel, parcel_of
from adapters.land.parties import read_party
from adapters.land.rights import nature_of, standing_party, write_holdings
from adapters.land.services import TITLE_REQUEST, require_service
from adapters.land.shares import WHOLE, Capacity, Holding
from adapters.land.tables import PARCELS, TITLE_REQUESTS
from adapters.land.transfers import sign_title
from adapters.reasons import ContendedError, ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.land.v1 import events_pb2, transfer_pb2

SURVEY: Final = "survey"
NOTICE: Final = "notice"
CLOSE_NOTICE: Final = "close_notice"
# DOMAIN 1.3, B.
NOTICE_PERIOD: Final = timedelta(days=15)

_ORIGIN: Final = {
    "SALE": "convention de vente affirmée",
    "CUSTOMARY_HOLDING": "attestation de détention coutumière",
    "RESETTLEMENT": "attestation de recasement",
    "RURAL_CERTIFICATE": "certificat foncier rural",
    "HABITATION_PERMIT": "permis d'habiter",
    "COURT_DECISION": "décision de justice",
}


def file_title_request(
    desk: Desk, tx: sa.Connection, caller: CallerContext, request: transfer_pb2.FileTitleRequestRequest
) -> Dossier:
    """Open the dossier of a title request, with the parcel taken for it.

    Raises:
        ProviderError: No such parcel (NOT_FOUND).
        ContendedError: It is titled or the State's, its number was given up, or something is under way on it.
        InvalidFieldsError: It is another service's code.
    """
    require_service(request.application, TITLE_REQUEST)
    parcel = find_parcel(tx, request.nup)
    if parcel is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    if parcel.title_no or parcel.right_type == "STATE" or parcel.valid_to_ms is not None:
        raise ContendedError
    holder = standing_party(tx, read_party(request.holder))
    deed = transfer_pb2.PresumptiveDeed.Name(request.deed).removeprefix("PRESUMPTIVE_DEED_")

    def prepare(tx: sa.Connection, dossier: Dossier) -> None:
        claim_parcel(tx, parcel.parcel_id, dossier.reference, TITLE_REQUEST_CLAIM)
        tx.execute(
            TITLE_REQUESTS.insert().values(
                reference=dossier.reference,
                parcel_id=parcel.parcel_id,
                holder_kind=holder.kind,
                holder_number=holder.number,
                holder_name="",
                deed=deed,
                deed_sha256=request.deed_sha256,
                survey_plan_sha256=request.survey_plan_sha256,
                surveyor_ref=request.surveyor_ref,
            )
        )
        for step in (IDENTITY, SURVEY, NOTICE):
            desk.dossiers.set_step(tx, dossier.reference, step, dossier_pb2.STEP_STATE_PENDING)

    return desk.dossiers.open(tx, caller, request.application, subject=f"nup:{request.nup}", prepare=prepare)


class TitleRequestProcedure(IdentifiedProcedure):
    """A title is written when an officer grants it, after identity, survey and notice."""

    table = TITLE_REQUESTS
    roles = ("holder",)
    officer_steps = frozenset({SURVEY})

    def identified(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The surveyor may go."""
        desk.dossiers.set_step(tx, dossier.reference, SURVEY, dossier_pb2.STEP_STATE_RUNNING)

    def step_done(self, desk: Desk, tx: sa.Connection, dossier: Dossier, name: str) -> None:
        """An officer says that the survey is done: the notice opens."""
        if name != SURVEY:
            return
        row = self.row(tx, dossier.reference)
        opened_ms = desk.clock.now_ms()
        until_ms = opened_ms + NOTICE_PERIOD // timedelta(milliseconds=1)
        self._note(tx, dossier.reference, notice_opened_ms=opened_ms, notice_until_ms=until_ms)
        desk.dossiers.set_step(tx, dossier.reference, NOTICE, dossier_pb2.STEP_STATE_RUNNING)
        desk.dossiers.open_notice(tx, dossier.reference, until_ms)
        desk.tasks.add(tx, CLOSE_NOTICE, dossier.reference, due_at_ms=until_ms)
        parcel = parcel_of(tx, row.parcel_id)
        tell(desk, tx, events_pb2.PARCEL_EVENT_TYPE_NOTICE_OPENED, parcel)

    def close_notice(self, desk: Desk, tx: sa.Connection, reference: str) -> None:
        """The notice ends on its day, once; a dossier that nobody opposed goes on to its decision."""
        dossier = desk.dossiers.get(tx, reference)
        row = self.row(tx, reference)
        if row.notice_closed_ms is not None or desk.clock.now_ms() < row.notice_until_ms:
            return
        desk.dossiers.set_step(tx, reference, NOTICE, dossier_pb2.STEP_STATE_DONE)
        if dossier.state is State.OPPOSITION_PERIOD:
            desk.dossiers.resume(tx, reference)
        self._tell_closed(desk, tx, row)

    def ended(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Give the parcel back; a notice that is open ends with the request."""
        super().ended(desk, tx, dossier)
        row = self.row(tx, dossier.reference)
        if row.notice_opened_ms is not None and row.notice_closed_ms is None:
            desk.tasks.cancel(tx, CLOSE_NOTICE, dossier.reference)
            self._tell_closed(desk, tx, row)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Write the title and its holder into the land book, sign it, tell the event, give the parcel back."""
        require_done(desk, tx, dossier.reference, IDENTITY, SURVEY, NOTICE)
        row = self.row(tx, dossier.reference)
        lock_parcel(tx, row.parcel_id)
        parcel = parcel_of(tx, row.parcel_id)
        if parcel.title_no or parcel.valid_to_ms is not None:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        now_ms = desk.clock.now_ms()
        holder = standing_party(tx, self.party(row, "holder"))
        after = (Holding(holder, WHOLE, Capacity.OWNER),)
        title_no = write_title(tx, parcel, origin=_origin(row), day=day_of(now_ms).isoformat())
        write_holdings(
            tx,
            row.parcel_id,
            after,
            {holder: row.holder_name},
            at_ms=now_ms,
            reference=dossier.reference,
        )
        tx.execute(
            PARCELS.update()
            .where(PARCELS.c.parcel_id == row.parcel_id)
            .values(nature=nature_of(after), valid_from_ms=now_ms)
        )
        sign_title(desk, tx, dossier, parcel, title_no)
        release_parcel(tx, dossier.reference)
        changed = ("right_type", "register_type", "title_no", "holders")
        tell(desk, tx, events_pb2.PARCEL_EVENT_TYPE_TITLE_ISSUED, parcel, changed, title_no=title_no)

    def _tell_closed(self, desk: Desk, tx: sa.Connection, row: sa.Row[Any]) -> None:
        self._note(tx, row.reference, notice_closed_ms=desk.clock.now_ms())
        tell(desk, tx, events_pb2.PARCEL_EVENT_TYPE_NOTICE_CLOSED, parcel_of(tx, row.parcel_id))

    def _note(self, tx: sa.Connection, reference: str, **values: int) -> None:
        tx.execute(TITLE_REQUESTS.update().where(TITLE_REQUESTS.c.reference == reference).values(values))


def close_notice(desk: Desk, task: Task) -> Finish:
    """Handler of the task that ends a notice on its day."""
    procedure = desk.procedure(TITLE_REQUEST)
    if not isinstance(procedure, TitleRequestProcedure):
        raise TypeError(f"{TITLE_REQUEST} has no notice")
    return lambda tx: procedure.close_notice(desk, tx, task.reference)


def _origin(row: sa.Row[Any]) -> str:
    return f"Immatriculation sur {_ORIGIN[row.deed]}, dossier {row.reference}"
