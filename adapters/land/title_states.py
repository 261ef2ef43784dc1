"""The state of a title (état descriptif): asked for and paid as a dossier, signed once, read as often as needed.

What is read is what was signed: fields of the answer and the PDF never differ, whatever the book says later. Who may ask
is a holder, a notary, or somebody with a holder's consent; the last sees neither how the title came to be nor disputes.
A title that somebody may not see and one that does not exist look the same, before anybody pays.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.consents import find_consenter
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.procedure import Procedure
from adapters.kit.purposes import SERVICE_DELIVERY, Profile, trim
from adapters.land.book import TitleState, read_title_state
from adapters.land.entitlements import is_notary_person
from adapters.land.papers import title_state_lines
from adapters.land.parcels import timestamp
from adapters.land.parties import Party, PartyKind
from adapters.land.rights import consenting_party, current_rights, party_of, standing_party
from adapters.land.services import TITLE_STATE, require_service
from adapters.land.tables import CONSENTS, PARCELS, TITLE_STATES, TITLES
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import document_pb2
from bj.land.v1 import parcel_pb2, transfer_pb2
from core.language import Text


class Quality(Enum):
    """As what somebody may see a title."""

    HOLDER = auto()
    NOTARY = auto()
    CONSENT = auto()


_ALL: Final[Profile] = frozenset(parcel_pb2.GetTitleResponse.DESCRIPTOR.fields_by_name)
_PROFILES: Final[dict[Quality, Profile]] = {
    Quality.HOLDER: _ALL,
    Quality.NOTARY: _ALL,
    Quality.CONSENT: _ALL - {"origin", "disputes"},
}
_NOT_ENTITLED: Final = "le demandeur n'est plus habilité à consulter ce titre"


def request_title_state(
    desk: Desk,
    tx: sa.Connection,
    caller: CallerContext,
    request: transfer_pb2.RequestTitleStateRequest,
) -> Dossier:
    """Open the dossier of a state of a title.

    Raises:
        ProviderError: There is no such title, or the applicant may not see it (NOT_FOUND).
        InvalidFieldsError: It is another service's code, or nobody asks.
    """
    application = request.application
    require_service(application, TITLE_STATE)
    if not application.applicant_npi:
        raise InvalidFieldsError({"application.applicant_npi": "needed: who asks"})
    client, npi, consent_ref = str(caller.client), application.applicant_npi, request.consent_ref
    title = _find_title(tx, request)
    quality = _quality(desk, tx, title.parcel_id, client, npi, consent_ref) if title else None
    if title is None or quality is None:
        raise ProviderError(ProviderReason.NOT_FOUND)

    def prepare(tx: sa.Connection, dossier: Dossier) -> None:
        tx.execute(
            TITLE_STATES.insert().values(
                reference=dossier.reference,
                title_no=title.title_no,
                requester_npi=npi,
                consent_ref=consent_ref if quality is Quality.CONSENT else "",
                answer=b"",
            )
        )

    return desk.dossiers.open(tx, caller, application, subject=f"title:{title.title_no}", prepare=prepare)


def read_title(
    desk: Desk, request: parcel_pb2.GetTitleRequest, caller: CallerContext, issue: str
) -> parcel_pb2.GetTitleResponse:
    """What was signed for the dossier ``issue``.

    Raises:
        ProviderError: No such dossier of this client, title and requester, or the consent was taken back (NOT_FOUND); it
            is not paid (PAYMENT_REQUIRED), or was not granted (STATE_CONFLICT).
    """
    with desk.store.reading() as tx:
        row = _find_state(tx, issue)
        if row is None or not _is_asked_for(row, request):
            raise ProviderError(ProviderReason.NOT_FOUND)
        dossier = desk.dossiers.follow(tx, issue, caller, lock=False)
        client, npi = str(caller.client), row.requester_npi
        if row.consent_ref and not _quality(desk, tx, row.parcel_id, client, npi, row.consent_ref):
            raise ProviderError(ProviderReason.NOT_FOUND)
        desk.payments.require_paid(tx, dossier)
    if dossier.state is not State.GRANTED:
        raise ProviderError(ProviderReason.STATE_CONFLICT)
    return parcel_pb2.GetTitleResponse.FromString(row.answer)


class TitleStateProcedure(Procedure):
    """Paid, it is signed at once: the book is at hand."""

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Sign, unless the right to see the title was lost since it was asked for."""
        if _quality_of(desk, tx, dossier) is None:
            desk.dossiers.reject(tx, dossier.reference, "", _NOT_ENTITLED)
        else:
            desk.dossiers.grant(tx, dossier.reference)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Keep the answer as it is signed now, cut to what the applicant may see."""
        quality = _quality_of(desk, tx, dossier)
        row = _find_state(tx, dossier.reference)
        if quality is None or row is None:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        state = read_title_state(tx, row.title_no)
        trim(state.answer, _PROFILES[quality])
        state.answer.issued_at.CopyFrom(timestamp(desk.clock.now_ms()))
        state.answer.document.CopyFrom(_sign(desk, tx, dossier, state))
        tx.execute(
            TITLE_STATES.update()
            .where(TITLE_STATES.c.reference == dossier.reference)
            .values(answer=state.answer.SerializeToString())
        )


def _sign(desk: Desk, tx: sa.Connection, dossier: Dossier, state: TitleState) -> document_pb2.Document:
    return desk.documents.issue(
        tx,
        dossier.reference,
        document_pb2.DOCUMENT_TYPE_TITLE_STATE,
        title=Text("État descriptif", "State of a land title"),
        lines=title_state_lines(state),
        holder_names=state.names,
    )


def _find_title(tx: sa.Connection, request: transfer_pb2.RequestTitleStateRequest) -> sa.Row[Any] | None:
    query = sa.select(TITLES).select_from(TITLES.join(PARCELS))
    if request.WhichOneof("title") == "title_no":
        return tx.execute(query.where(TITLES.c.title_no == request.title_no)).first()
    return tx.execute(query.where(PARCELS.c.nup == request.nup)).first()


def _find_state(tx: sa.Connection, reference: str) -> sa.Row[Any] | None:
    query = (
        sa.select(TITLE_STATES, TITLES.c.parcel_id, PARCELS.c.nup)
        .select_from(TITLE_STATES.join(TITLES).join(PARCELS))
        .where(TITLE_STATES.c.reference == reference)
    )
    return tx.execute(query).first()


def _is_asked_for(row: sa.Row[Any], request: parcel_pb2.GetTitleRequest) -> bool:
    by_number = request.WhichOneof("title") == "title_no"
    is_title = row.title_no == request.title_no if by_number else row.nup == request.nup
    return is_title and bool(row.requester_npi == request.requester_npi)


def _quality_of(desk: Desk, tx: sa.Connection, dossier: Dossier) -> Quality | None:
    """As what the applicant of a dossier may see its title today."""
    row = _find_state(tx, dossier.reference)
    if row is None:
        return None
    return _quality(desk, tx, row.parcel_id, dossier.client, row.requester_npi, row.consent_ref)


def _quality(
    desk: Desk, tx: sa.Connection, parcel_id: int, client: str, npi: str, consent_ref: str
) -> Quality | None:
    """As what ``npi``, for whom ``client`` asks, may see the title of a parcel; None if not at all."""
    holders = [party_of(row) for row in current_rights(tx, parcel_id)]
    if standing_party(tx, Party(PartyKind.PERSON, npi)) in holders:
        return Quality.HOLDER
    if is_notary_person(tx, npi):
        return Quality.NOTARY
    consenter = find_consenter(
        tx, CONSENTS, consent_ref, client=client, purpose=SERVICE_DELIVERY, now_ms=desk.clock.now_ms()
    )
    return Quality.CONSENT if consenter and consenting_party(tx, consenter) in holders else None
