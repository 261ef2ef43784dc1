"""What ANDF's officers write of their own accord: notaries, mortgages, disputes, certificates, mergers."""

from __future__ import annotations

from datetime import date
from typing import Final

import sqlalchemy as sa

from adapters.kit import forms
from adapters.kit.aliases import merger_inscription
from adapters.kit.calendar import day_of
from adapters.kit.consents import consent_inscriptions
from adapters.kit.desk import Desk
from adapters.kit.inscriptions import Field, Inscription, Inscriptions, Values, require
from adapters.land.entitlements import is_notary
from adapters.land.events import tell
from adapters.land.parcels import ParcelRow, find_parcel, lock_parcel, parcel_of
from adapters.land.parties import Party, PartyKind
from adapters.land.rights import current_rights, holdings, merge_party, standing_party
from adapters.land.shares import OWNING
from adapters.land.tables import CERTIFICATES, CONSENTS, DISPUTES, MORTGAGES, NOTARIES, TRAIL
from adapters.reasons import ProviderError, ProviderReason
from bj.land.v1 import events_pb2
from core.language import Text


def _merge(tx: sa.Connection, former: str, standing: str) -> None:
    merge_party(tx, Party(PartyKind.PERSON, former), Party(PartyKind.PERSON, standing))


def _appoint(desk: Desk, tx: sa.Connection, values: Values) -> None:
    known = sa.select(NOTARIES.c.notary_ref).where(NOTARIES.c.notary_ref == values["notary_ref"])
    require(tx.execute(known).first() is None)
    tx.execute(NOTARIES.insert().values(**values, in_office=True))


def _dismiss(desk: Desk, tx: sa.Connection, values: Values) -> None:
    if not is_notary(tx, values["notary_ref"]):
        raise ProviderError(ProviderReason.NOT_FOUND)
    tx.execute(NOTARIES.update().where(NOTARIES.c.notary_ref == values["notary_ref"]).values(in_office=False))


def _mortgage(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """Behind all that the parcel bears; without title there is nothing to write it into."""
    parcel = _locked(tx, values["nup"])
    require(bool(parcel.title_no))
    last = sa.select(sa.func.coalesce(sa.func.max(MORTGAGES.c.rank), 0)).where(_lasting(parcel))
    tx.execute(
        MORTGAGES.insert().values(
            parcel_id=parcel.parcel_id,
            rank=tx.execute(last).scalar_one() + 1,
            creditor=values["creditor"],
            amount_xof=int(values["amount_xof"]),
            registered_on=_today(desk),
            released_on="",
        )
    )
    _tell_mortgages(desk, tx, events_pb2.PARCEL_EVENT_TYPE_MORTGAGED, parcel)


def _release(desk: Desk, tx: sa.Connection, values: Values) -> None:
    parcel = _locked(tx, values["nup"])
    released = tx.execute(
        MORTGAGES.update()
        .where(_lasting(parcel), MORTGAGES.c.rank == int(values["rank"]))
        .values(released_on=_today(desk))
    )
    if not released.rowcount:
        raise ProviderError(ProviderReason.NOT_FOUND)
    _tell_mortgages(desk, tx, events_pb2.PARCEL_EVENT_TYPE_RELEASED, parcel)


def _lasting(parcel: ParcelRow) -> sa.ColumnElement[bool]:
    return sa.and_(MORTGAGES.c.parcel_id == parcel.parcel_id, MORTGAGES.c.released_on == "")


def _tell_mortgages(
    desk: Desk, tx: sa.Connection, kind: events_pb2.ParcelEventType.ValueType, parcel: ParcelRow
) -> None:
    tell(desk, tx, kind, parcel, ("mortgages",), title_no=parcel.title_no)


def _dispute(desk: Desk, tx: sa.Connection, values: Values) -> None:
    parcel = _locked(tx, values["nup"])
    tx.execute(
        DISPUTES.insert().values(
            parcel_id=parcel.parcel_id,
            text=values["text"],
            court=values["court"],
            noted_on=_today(desk),
            settled_on="",
        )
    )
    flagged = events_pb2.PARCEL_EVENT_TYPE_DISPUTE_FLAGGED
    tell(desk, tx, flagged, parcel, ("disputes",), title_no=parcel.title_no)


def _settle(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """Nobody is told: there is no event of it."""
    parcel = _locked(tx, values["nup"])
    # Nothing is ever taken out: a dispute keeps its rank among those of its day.
    of_that_day = (
        sa.select(DISPUTES)
        .where(DISPUTES.c.parcel_id == parcel.parcel_id, DISPUTES.c.noted_on == values["noted_on"])
        .order_by(DISPUTES.c.dispute_id)
    )
    found = tx.execute(of_that_day.offset(int(values["rank"]) - 1).limit(1)).first()
    if found is None or found.settled_on:
        raise ProviderError(ProviderReason.NOT_FOUND)
    settled = DISPUTES.update().where(DISPUTES.c.dispute_id == found.dispute_id)
    tx.execute(settled.values(settled_on=_today(desk)))


def _certify(desk: Desk, tx: sa.Connection, values: Values) -> None:
    """For a parcel without title, for a year; of somebody to whom it belongs as the register knows."""
    parcel = _locked(tx, values["nup"])
    known = sa.select(CERTIFICATES.c.number).where(CERTIFICATES.c.number == values["number"])
    require(not parcel.title_no and tx.execute(known).first() is None)
    holder = Party(PartyKind(forms.party_kind(values["party"])), values["party"])
    owners = {
        standing_party(tx, one.party)
        for one in holdings(current_rights(tx, parcel.parcel_id))
        if one.capacity in OWNING
    }
    require(standing_party(tx, holder) in owners)
    today = day_of(desk.clock.now_ms())
    tx.execute(
        CERTIFICATES.insert().values(
            number=values["number"],
            parcel_id=parcel.parcel_id,
            party_kind=holder.kind,
            party_number=holder.number,
            issued_on=today.isoformat(),
            valid_until=_a_year_later(today).isoformat(),
            used_by="",
        )
    )


def _a_year_later(day: date) -> date:
    return day.replace(year=day.year + 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


def _locked(tx: sa.Connection, nup: str) -> ParcelRow:
    """The parcel of that number, if it stands; nobody else changes its rights until ``tx`` ends."""
    found = find_parcel(tx, nup)
    if found is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    lock_parcel(tx, found.parcel_id)
    parcel = parcel_of(tx, found.parcel_id)
    require(parcel.valid_to_ms is None)
    return parcel


def _today(desk: Desk) -> str:
    return day_of(desk.clock.now_ms()).isoformat()


_NUP: Final = Field("nup", Text("NUP de la parcelle", "NUP of the parcel"), forms.nup)
_NOTARY: Final = Field(
    "notary_ref", Text("désignation du notaire, NOT-COT-0003", "the notary's handle"), forms.handle
)

INSCRIPTIONS: Final = Inscriptions(
    TRAIL,
    Inscription(
        "notary",
        Text("un notaire qui entre en fonction", "a notary who takes office"),
        (
            _NOTARY,
            Field("npi", Text("NPI du notaire", "the notary's NPI"), forms.npi, is_personal=True),
            Field("office", Text("résidence de l'étude", "seat of the office"), forms.text(100)),
        ),
        _appoint,
    ),
    Inscription(
        "notary-end", Text("un notaire qui quitte ses fonctions", "a notary who leaves"), (_NOTARY,), _dismiss
    ),
    Inscription(
        "mortgage",
        Text("une hypothèque", "a mortgage"),
        (
            _NUP,
            Field("creditor", Text("créancier", "creditor"), forms.text(200)),
            Field("amount_xof", Text("montant, en francs", "amount, in francs"), forms.amount),
        ),
        _mortgage,
        is_once=True,
    ),
    Inscription(
        "mortgage-end",
        Text("la mainlevée d'une hypothèque", "a mortgage released"),
        (_NUP, Field("rank", Text("son rang", "its rank"), forms.amount)),
        _release,
        is_final=True,
    ),
    Inscription(
        "dispute",
        Text("un litige", "a dispute"),
        (
            _NUP,
            Field("court", Text("juridiction", "court"), forms.text(100)),
            Field("text", Text("objet", "about what"), forms.text(500)),
        ),
        _dispute,
        is_once=True,
    ),
    Inscription(
        "dispute-end",
        Text("la fin d'un litige", "a dispute settled"),
        (
            _NUP,
            Field("noted_on", Text("jour de son inscription", "day on which it was noted"), forms.day),
            Field(
                "rank",
                Text(
                    "son rang parmi ceux de ce jour, 1 s'il est seul", "which of that day, 1 if there is one"
                ),
                forms.amount,
            ),
        ),
        _settle,
        is_final=True,
    ),
    Inscription(
        "certificate",
        Text("un certificat d'appartenance, pour un an", "a certificate of belonging, for a year"),
        (
            _NUP,
            Field(
                "number",
                Text("son numéro", "its number"),
                forms.matching(
                    r"[A-Za-z0-9._:/-]{1,40}",
                    Text(
                        "doit avoir 1 à 40 lettres, chiffres ou ._:/-",
                        "must be 1 to 40 letters, digits or ._:/-",
                    ),
                ),
            ),
            Field(
                "party",
                Text("NPI ou IFU du titulaire", "the holder's NPI or IFU"),
                forms.party,
                is_personal=True,
            ),
        ),
        _certify,
    ),
    merger_inscription(_merge),
    *consent_inscriptions(CONSENTS),
)
