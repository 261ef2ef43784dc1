"""What the register's documents say. People are named in them, never numbered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import sqlalchemy as sa

from adapters.business.forms import FORMS
from adapters.business.numbers import euid
from adapters.business.records import Firm, Relation
from adapters.business.register import relations_of
from adapters.kit.desk import Desk
from adapters.kit.documents import Line
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import formality_pb2
from bj.common.v1 import document_pb2
from core.language import Text

_STATUS: Final = {
    pb.BUSINESS_STATUS_ACTIVE: "en activité · active",
    pb.BUSINESS_STATUS_SUSPENDED: "suspendue · suspended",
    pb.BUSINESS_STATUS_LIQUIDATION: "en liquidation · being wound up",
    pb.BUSINESS_STATUS_STRUCK_OFF: "radiée · struck off",
}
_ROLES: Final = {
    pb.RELATION_ROLE_OWNER: Text("Exploitant", "Owner"),
    pb.RELATION_ROLE_MANAGER: Text("Gérant", "Manager"),
    pb.RELATION_ROLE_DIRECTOR: Text("Administrateur", "Director"),
    pb.RELATION_ROLE_PARTNER: Text("Associé", "Partner"),
    pb.RELATION_ROLE_AUDITOR: Text("Commissaire aux comptes", "Auditor"),
}
_REGIMES: Final = {
    formality_pb2.TAX_REGIME_UNSPECIFIED: "à la décision de la DGI · as DGI decides",
    formality_pb2.TAX_REGIME_TPS: "TPS",
    formality_pb2.TAX_REGIME_REAL: "réel · real profit",
}
_RCCM: Final = Text("N° RCCM", "Trade register")
_NAME: Final = Text("Dénomination", "Name")
_ACTIVITY: Final = Text("Activité", "Activity")
_SEAT: Final = Text("Siège", "Seat")
# Many partners would make an extract a book: it tells these, and how many more there are.
_MOST_PEOPLE: Final = 40


def issue_extract(desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
    """An extract of the register, as it stands now."""
    people = relations_of(tx, firm.rccm, with_former=False)
    desk.documents.issue(
        tx,
        reference,
        document_pb2.DOCUMENT_TYPE_RCCM_EXTRACT,
        title=Text("Extrait du registre du commerce et du crédit mobilier", "Extract of the trade register"),
        lines=[*_entry_lines(firm), *_people_lines(people)],
        holder_names=[firm.name],
    )


def issue_tax_certificate(desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
    """That the firm has its tax number."""
    _issue(
        desk,
        tx,
        reference,
        document_pb2.DOCUMENT_TYPE_IFU_CERTIFICATE,
        firm,
        Text("Attestation d'immatriculation fiscale", "Certificate of the tax number"),
        [
            Line(Text("IFU", "Tax number"), firm.ifu),
            Line(Text("Régime fiscal", "Tax regime"), _REGIMES[firm.regime]),
        ],
    )


def issue_employer_certificate(desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
    """That the firm has its number at the CNSS."""
    _issue(
        desk,
        tx,
        reference,
        document_pb2.DOCUMENT_TYPE_CNSS_CERTIFICATE,
        firm,
        Text("Attestation d'immatriculation à la CNSS", "Certificate of the employer's number"),
        [Line(Text("N° employeur", "Employer's number"), firm.cnss_employer_no)],
    )


def issue_professional_card(desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
    """The card of whoever runs the firm."""
    people = relations_of(tx, firm.rccm, with_former=False)
    leaders = [one for one in people if one.role in (pb.RELATION_ROLE_OWNER, pb.RELATION_ROLE_MANAGER)]
    _issue(
        desk,
        tx,
        reference,
        document_pb2.DOCUMENT_TYPE_PROFESSIONAL_CARD,
        firm,
        Text("Carte professionnelle de commerçant", "Professional card"),
        [*_people_lines(leaders), Line(_ACTIVITY, firm.activity), Line(Text("IFU", "Tax number"), firm.ifu)],
        holders=[_name(one) for one in leaders],
    )


def _issue(
    desk: Desk,
    tx: sa.Connection,
    reference: str,
    kind: document_pb2.DocumentType.ValueType,
    firm: Firm,
    title: Text,
    lines: Iterable[Line],
    holders: Iterable[str] = (),
) -> None:
    head = (Line(_NAME, firm.name), Line(_RCCM, firm.rccm))
    desk.documents.issue(
        tx, reference, kind, title=title, lines=[*head, *lines], holder_names=list(holders) or [firm.name]
    )


def _entry_lines(firm: Firm) -> Iterator[Line]:
    seat = firm.seat
    places = (firm.seat_line, seat.quarter, seat.arrondissement, seat.commune, seat.department)
    said = [
        (_RCCM, firm.rccm),
        (Text("Identifiant européen", "European identifier"), euid(firm.rccm)),
        (_NAME, firm.name),
        (Text("Nom commercial", "Trade name"), firm.trade_name),
        (Text("Enseigne", "Sign"), firm.sign),
        (Text("Forme juridique", "Legal form"), FORMS[firm.legal_form].abbreviation),
        (Text("Capital (F CFA)", "Capital (XOF)"), str(firm.capital_xof) if firm.capital_xof else ""),
        (_ACTIVITY, firm.activity),
        (_SEAT, ", ".join(filter(None, places)) or seat.code),
        (Text("Immatriculée le", "Registered on"), firm.registered_on),
        (Text("Greffe", "Court"), firm.court),
        (Text("IFU", "Tax number"), firm.ifu),
        (Text("N° employeur CNSS", "Employer's number"), firm.cnss_employer_no),
        (Text("Situation", "Status"), _STATUS[firm.status]),
        (Text("Radiée le", "Struck off on"), firm.struck_off_on),
        (Text("Né(e) le", "Born on"), firm.owner_birth_date),
        (Text("Né(e) à", "Born in"), firm.owner_birth_place),
    ]
    return (Line(label, value) for label, value in said if value)


def _people_lines(people: list[Relation]) -> Iterator[Line]:
    for one in people[:_MOST_PEOPLE]:
        share = f" ({one.share_xof} F CFA)" if one.share_xof else ""
        yield Line(_ROLES[one.role], f"{_name(one)}{share}")
    if len(people) > _MOST_PEOPLE:
        yield Line(Text("Et", "And"), f"+ {len(people) - _MOST_PEOPLE}")


def _name(one: Relation) -> str:
    if one.ifu:
        return one.firm_name or f"IFU {one.ifu}"
    marital = f" ép. {one.marital_name}" if one.marital_name else ""
    return f"{one.last_name}{marital} {one.first_names}"
