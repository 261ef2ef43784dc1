"""Transfers: a notary files the sale of a parcel, and once it is granted the register has another holder."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.land.blocking import blocking_reasons
from adapters.land.claims import TRANSFER as TRANSFER_CLAIM
from adapters.land.claims import claim_parcel, release_parcel
from adapters.land.entitlements import is_notary
from adapters.land.events import tell
from adapters.land.identity_step import STEP as IDENTITY
from adapters.land.identity_step import IdentifiedProcedure, require_done
from adapters.land.papers import title_lines
from adapters.land.parcels import find_parcel, lock_parcel, parcel_of
from adapters.land.parties import Party, read_party
from adapters.land.rights import (
    current_rights,
    holdings,
    nature_of,
    read_standing,
    standing_party,
    write_holdings,
)
from adapters.land.services import TRANSFER, require_service
from adapters.land.shares import Holding, NotHeldError, TooFineError, sell
from adapters.land.tables import CERTIFICATES, PARCELS, TRANSFERS
from adapters.reasons import ContendedError, InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2
from bj.land.v1 import events_pb2, transfer_pb2
from core.language import Text

_ROLES: Final = ("seller", "buyer")


def file_transfer(
    desk: Desk, tx: sa.Connection, caller: CallerContext, request: transfer_pb2.FileTransferRequest
) -> Dossier:
    """Open the dossier of a sale, with the parcel taken for it.

    Raises:
        ProviderError: Whoever files is no notary in office (PURPOSE_NOT_ALLOWED); no such parcel (NOT_FOUND); the seller
            does not hold what he sells (IDENTITY_MISMATCH).
        ContendedError: Something stands against a sale, another one included.
        InvalidFieldsError: It is another service's code, or the parties are one, or the shares are too fine.
    """
    application = request.application
    require_service(application, TRANSFER)
    if application.applicant_npi:
        raise InvalidFieldsError({"application.applicant_npi": "must be empty: the notary files"})
    if not is_notary(tx, request.notary_ref):
        raise ProviderError(ProviderReason.PURPOSE_NOT_ALLOWED)
    parcel = find_parcel(tx, request.nup)
    if parcel is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    seller = standing_party(tx, read_party(request.seller))
    buyer = standing_party(tx, read_party(request.buyer))
    share = _share(request)
    _require_held(holdings(current_rights(tx, parcel.parcel_id)), seller, buyer, share)
    if blocking_reasons(read_standing(tx, parcel.parcel_id, day_of(desk.clock.now_ms()).isoformat())):
        raise ContendedError

    def prepare(tx: sa.Connection, dossier: Dossier) -> None:
        claim_parcel(tx, parcel.parcel_id, dossier.reference, TRANSFER_CLAIM)
        tx.execute(
            TRANSFERS.insert().values(
                reference=dossier.reference,
                parcel_id=parcel.parcel_id,
                seller_kind=seller.kind,
                seller_number=seller.number,
                seller_name="",
                buyer_kind=buyer.kind,
                buyer_number=buyer.number,
                buyer_name="",
                numerator=share.numerator if share else 0,
                denominator=share.denominator if share else 0,
                price_xof=request.price_xof,
                deed_sha256=request.deed_sha256,
                notary_ref=request.notary_ref,
            )
        )
        desk.dossiers.set_step(tx, dossier.reference, IDENTITY, dossier_pb2.STEP_STATE_PENDING)

    return desk.dossiers.open(
        tx,
        caller,
        application,
        fee_xof=desk.catalogue[TRANSFER].fee_for(request.price_xof),
        subject=f"nup:{request.nup}",
        prepare=prepare,
    )


class TransferProcedure(IdentifiedProcedure):
    """The sale is written in when an officer grants it, and not before its parties are identified."""

    table = TRANSFERS
    roles = _ROLES

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Write the new holder in, sign the title, tell the event, give the parcel back."""
        require_done(desk, tx, dossier.reference, IDENTITY)
        row = self.row(tx, dossier.reference)
        lock_parcel(tx, row.parcel_id)
        parcel = parcel_of(tx, row.parcel_id)
        after = self._sold(desk, tx, row)
        now_ms = desk.clock.now_ms()
        names = {standing_party(tx, self.party(row, "buyer")): row.buyer_name}
        write_holdings(tx, row.parcel_id, after, names, at_ms=now_ms, reference=dossier.reference)
        tx.execute(
            PARCELS.update()
            .where(PARCELS.c.parcel_id == row.parcel_id)
            .values(nature=nature_of(after), valid_from_ms=now_ms)
        )
        tx.execute(
            CERTIFICATES.update()
            .where(CERTIFICATES.c.parcel_id == row.parcel_id, CERTIFICATES.c.used_by == "")
            .values(used_by=dossier.reference)
        )
        if parcel.title_no:
            sign_title(desk, tx, dossier, parcel, parcel.title_no)
        release_parcel(tx, dossier.reference)
        tell(
            desk,
            tx,
            events_pb2.PARCEL_EVENT_TYPE_TRANSFERRED,
            parcel,
            ("holders",),
            title_no=parcel.title_no,
        )

    def _sold(self, desk: Desk, tx: sa.Connection, row: sa.Row[Any]) -> Sequence[Holding]:
        """Who holds what after the sale, if nothing has come against it since it was filed."""
        today = day_of(desk.clock.now_ms()).isoformat()
        if blocking_reasons(read_standing(tx, row.parcel_id, today, but=row.reference)):
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        seller, buyer = (standing_party(tx, self.party(row, role)) for role in self.roles)
        share = Fraction(row.numerator, row.denominator) if row.numerator else None
        try:
            return sell(holdings(current_rights(tx, row.parcel_id)), seller, buyer, share)
        except (NotHeldError, TooFineError):
            raise ProviderError(ProviderReason.STATE_CONFLICT) from None


def sign_title(desk: Desk, tx: sa.Connection, dossier: Dossier, parcel: sa.Row[Any], title_no: str) -> None:
    """Sign the land title with today's holders, as the outcome of a dossier."""
    rights = current_rights(tx, parcel.parcel_id)
    desk.dossiers.issue_number(tx, dossier.reference, dossier_pb2.ISSUED_NUMBER_TYPE_TITLE_NO, title_no)
    desk.documents.issue(
        tx,
        dossier.reference,
        document_pb2.DOCUMENT_TYPE_LAND_TITLE,
        title=Text("Titre foncier", "Land title"),
        lines=title_lines(title_no, parcel, rights),
        holder_names=[right.party_name for right in rights],
    )


def _share(request: transfer_pb2.FileTransferRequest) -> Fraction | None:
    if not request.HasField("share"):
        return None
    return Fraction(request.share.numerator, request.share.denominator)


def _require_held(held: Sequence[Holding], seller: Party, buyer: Party, share: Fraction | None) -> None:
    if seller == buyer:
        raise InvalidFieldsError({"buyer": "must be another party than the seller"})
    try:
        sell(held, seller, buyer, share)
    except NotHeldError:
        raise ProviderError(ProviderReason.IDENTITY_MISMATCH) from None
    except TooFineError:
        raise InvalidFieldsError({"share": "would leave shares finer than a millionth"}) from None
