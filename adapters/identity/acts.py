"""Acts and certificates: which there are, what each says, and how it is granted.

What the catalogue promises at once is granted by the payment; the rest by an officer. Between asking and granting a
record may be frozen, or its person die: then nothing is signed, and an officer has the dossier.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, TypeAlias

import sqlalchemy as sa

from adapters.identity.person import Person
from adapters.identity.records import npi_of, open_record
from adapters.kit.calendar import ZONE, day_of
from adapters.kit.catalogue import Catalogue
from adapters.kit.desk import Desk
from adapters.kit.documents import Line
from adapters.kit.dossier import Dossier
from adapters.kit.procedure import Procedure
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2
from bj.identity.v1 import acts_pb2
from core.language import Text

Type: TypeAlias = "document_pb2.DocumentType.ValueType"

CODES: Final[dict[Type, str]] = {
    document_pb2.DOCUMENT_TYPE_NPI_CERTIFICATE: "PS90100",
    document_pb2.DOCUMENT_TYPE_CIP: "PS00392",
    document_pb2.DOCUMENT_TYPE_CNIB: "PS90105",
    document_pb2.DOCUMENT_TYPE_BIRTH_ACT: "PS90101",
    document_pb2.DOCUMENT_TYPE_MARRIAGE_ACT: "PS90102",
    document_pb2.DOCUMENT_TYPE_DEATH_ACT: "PS90103",
    document_pb2.DOCUMENT_TYPE_RESIDENCE: "PS90104",
}
# What an act with its notes costs.
MARGIN_NOTES: Final = "PS90109"

# Of the civil status; certificates have no margin.
_WITH_MARGIN: Final = frozenset(
    {
        document_pb2.DOCUMENT_TYPE_BIRTH_ACT,
        document_pb2.DOCUMENT_TYPE_MARRIAGE_ACT,
        document_pb2.DOCUMENT_TYPE_DEATH_ACT,
    }
)
# For how many years; what is not here holds for ever.
_YEARS: Final[dict[Type, int]] = {
    document_pb2.DOCUMENT_TYPE_CIP: 5,
    document_pb2.DOCUMENT_TYPE_CNIB: 5,
    document_pb2.DOCUMENT_TYPE_RESIDENCE: 1,
}
_TITLES: Final[dict[Type, Text]] = {
    document_pb2.DOCUMENT_TYPE_NPI_CERTIFICATE: Text(
        "Certificat du numéro personnel d'identification", "Certificate of the personal number"
    ),
    document_pb2.DOCUMENT_TYPE_CIP: Text(
        "Certificat d'identification personnelle", "Certificate of personal identification"
    ),
    document_pb2.DOCUMENT_TYPE_CNIB: Text(
        "Carte nationale d'identité biométrique", "Biometric identity card"
    ),
    document_pb2.DOCUMENT_TYPE_BIRTH_ACT: Text("Acte de naissance", "Birth act"),
    document_pb2.DOCUMENT_TYPE_MARRIAGE_ACT: Text("Acte de mariage", "Marriage act"),
    document_pb2.DOCUMENT_TYPE_DEATH_ACT: Text("Acte de décès", "Death act"),
    document_pb2.DOCUMENT_TYPE_RESIDENCE: Text("Certificat de résidence", "Certificate of residence"),
}
_DELIVERIES: Final = {
    acts_pb2.DELIVERY_COUNTER: "au guichet · at the counter",
    acts_pb2.DELIVERY_CCSP: "au centre communal · at the communal centre",
}


def require_form(request: acts_pb2.SubmitActRequestRequest) -> None:
    """Raise ``InvalidFieldsError`` if service and notes do not go with the type."""
    faults = {}
    code = CODES[request.type]
    if request.application.service_code != code:
        faults["application.service_code"] = f"must be {code} for this type"
    if request.with_margin_notes and request.type not in _WITH_MARGIN:
        faults["with_margin_notes"] = "must be false for a certificate"
    if faults:
        raise InvalidFieldsError(faults)


def fee_of(request: acts_pb2.SubmitActRequestRequest, catalogue: Catalogue) -> int:
    """What it costs, in francs: the fee of one copy, as often as there are copies."""
    one = catalogue[MARGIN_NOTES if request.with_margin_notes else CODES[request.type]]
    return (one.fee_xof or 0) * request.copies


def person_of(tx: sa.Connection, npi: str, kind: Type, *, lock: bool = False) -> Person:
    """Whose act it is, if it may be given; with ``lock`` nobody corrects the record until ``tx`` ends.

    Raises:
        ProviderError: There is no such number, or no death to attest (NOT_FOUND); the record is frozen (RECORD_LOCKED);
            the act is for the living, and he died (DECEASED).
    """
    person = open_record(tx, npi, lock=lock)
    is_of_death = kind == document_pb2.DOCUMENT_TYPE_DEATH_ACT
    if person.is_deceased and not is_of_death:
        raise ProviderError(ProviderReason.DECEASED)
    if is_of_death and not person.is_deceased:
        raise ProviderError(ProviderReason.NOT_FOUND)
    return person


class Act(Procedure):
    """What happens to a dossier that asks for one."""

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Granted at once, if the catalogue promises that and the record still allows it."""
        if dossier.due_at > dossier.filed_at:
            return
        try:
            person_of(tx, npi_of(dossier.subject), _request(dossier).type)
        except ProviderError:
            # It is paid for: an officer sees why it cannot be given, and says so.
            desk.dossiers.review(tx, dossier.reference)
        else:
            desk.dossiers.grant(tx, dossier.reference)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Signed, of the record as it stands now."""
        request = _request(dossier)
        # A correction waits until the document is there to be revoked, or was first, and is what the document says.
        person = person_of(tx, npi_of(dossier.subject), request.type, lock=True)
        today = day_of(desk.clock.now_ms())
        desk.documents.issue(
            tx,
            dossier.reference,
            request.type,
            title=_TITLES[request.type],
            lines=_lines(person, request),
            holder_names=[_name(person)],
            valid_until_ms=_valid_until(request.type, today),
        )
        if request.delivery in _DELIVERIES:
            detail = f"{request.copies} × {_DELIVERIES[request.delivery]}"
            desk.dossiers.set_step(tx, dossier.reference, "delivery", dossier_pb2.STEP_STATE_DONE, detail)


def _request(dossier: Dossier) -> acts_pb2.SubmitActRequestRequest:
    return acts_pb2.SubmitActRequestRequest.FromString(dossier.details)


def _valid_until(kind: Type, today: date) -> int:
    """The last instant before the same day some years later; 0 for ever."""
    years = _YEARS.get(kind, 0)
    if not years:
        return 0
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return _start_of(today.replace(year=today.year + years, day=day)) - 1


def _start_of(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1000)


def _lines(person: Person, request: acts_pb2.SubmitActRequestRequest) -> list[Line]:
    lines = [
        Line(Text("NPI", "Personal number"), person.npi),
        Line(Text("Nom", "Last name"), person.last_name),
        Line(Text("Prénoms", "First names"), person.first_names),
        Line(Text("Sexe", "Sex"), person.sex),
        Line(Text("Né(e) le", "Born on"), person.birth_date),
        Line(Text("À", "At"), person.birth_place),
        *_particulars(person, request.type),
    ]
    if request.with_margin_notes:
        lines.append(Line(Text("Mentions marginales", "Notes in the margin"), _notes(person)))
    return [line for line in lines if line.value]


def _particulars(person: Person, kind: Type) -> list[Line]:
    """What this type says beyond who it is."""
    marital = Line(Text("Nom d'époux", "Name by marriage"), person.marital_name)
    if kind == document_pb2.DOCUMENT_TYPE_BIRTH_ACT:
        return [
            Line(Text("Père", "Father"), f"{person.father_last_name} {person.father_first_names}".strip()),
            Line(Text("Mère", "Mother"), f"{person.mother_last_name} {person.mother_first_names}".strip()),
        ]
    if kind == document_pb2.DOCUMENT_TYPE_DEATH_ACT:
        return [Line(Text("Décédé(e) le", "Died on"), person.death_date)]
    if kind == document_pb2.DOCUMENT_TYPE_RESIDENCE:
        places = (person.residence_address, person.residence_village, person.residence_district,
                  person.residence_town, person.residence_department, person.residence_country)  # fmt: skip
        return [Line(Text("Réside à", "Lives at"), ", ".join(place for place in places if place))]
    if kind == document_pb2.DOCUMENT_TYPE_NPI_CERTIFICATE:
        return []
    return [marital, Line(Text("Nationalité", "Nationality"), person.nationality)]


def _notes(person: Person) -> str:
    notes = [f"nom d'époux {person.marital_name}"] if person.marital_name else []
    notes += [f"décès {person.death_date}"] if person.death_date else []
    return " ; ".join(notes) or "néant · none"


def _name(person: Person) -> str:
    return f"{person.last_name} {person.first_names}".strip()
