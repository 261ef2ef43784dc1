"""Corrections: two officers, or nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.identity import corrections, telling
from adapters.identity.tables import REVOCATIONS
from adapters.reasons import ProviderError
from bj.common.v1 import document_pb2, dossier_pb2
from bj.identity.v1 import acts_pb2 as pb
from bj.identity.v1 import credentials_pb2, events_pb2, identity_pb2
from tests.support.identity_office import BIO, KOFFI, NOBODY, IdentityOffice
from tests.support.transactions import until_it_waits


def correction(**changes: Any) -> pb.RequestCorrectionRequest:
    """Koffi's last name; ``service_code`` changes its application."""
    application = dossier_pb2.Application(
        idempotency_key="key-of-a-correction-1",
        application_id="APP-2",
        service_code=changes.pop("service_code", "PS90110"),
    )
    values: dict[str, Any] = {
        "npi": KOFFI,
        "field": pb.CORRECTED_FIELD_LAST_NAME,
        "corrected_value": "Adjovì-Houénou",
        "evidence_id": "PIECE-1",
        "evidence_sha256": "ab" * 32,
        "first_officer_ref": "agent-1",
        "second_officer_ref": "agent-2",
        **changes,
    }
    return pb.RequestCorrectionRequest(application=application, **values)


def opened(office: IdentityOffice, **changes: Any) -> str:
    """A dossier, FILED; returns its reference."""
    dossier = office.call(office.acts.RequestCorrection, correction(**changes)).dossier
    assert dossier.state == dossier_pb2.DOSSIER_STATE_FILED
    return str(dossier.reference)


def record(office: IdentityOffice) -> identity_pb2.GetPersonResponse:
    """Koffi as an agency reads him."""
    request = identity_pb2.GetPersonRequest(npi=KOFFI, profile=identity_pb2.PERSON_PROFILE_CIVIL)
    found: identity_pb2.GetPersonResponse = office.call(office.identity.GetPerson, request)
    return found


def test_a_record_changes_when_the_second_officer_grants(office: IdentityOffice) -> None:
    """In capitals without accents, one version more, found under the new name and not under the old one."""
    reference = opened(office)
    office.decide("review", reference, officer="agent-1")
    assert record(office).last_name == "ADJOVI"

    office.decide("grant", reference, officer="agent-2")

    found = record(office)
    assert (found.last_name, found.record_version) == ("ADJOVI-HOUENOU", 2)
    for name, count in (("Adjovi Houenou", 1), ("Gbenou", 0)):
        search = identity_pb2.SearchPersonRequest(
            last_name=name, first_names="Koffi", birth_date="1987-04-12"
        )
        assert len(office.call(office.identity.SearchPerson, search).candidates) == count


def test_a_corrected_birth_moves_to_its_year(office: IdentityOffice) -> None:
    """Found in the new year, and in the old one no more."""
    reference = opened(office, field=pb.CORRECTED_FIELD_BIRTH_DATE, corrected_value="1986-04-12")
    office.decide("review", reference, officer="agent-1")
    office.decide("grant", reference, officer="agent-2")

    for year, count in (("1986", 1), ("1987", 0)):
        search = identity_pb2.SearchPersonRequest(last_name="Adjovi", first_names="Koffi", birth_date=year)
        assert len(office.call(office.identity.SearchPerson, search).candidates) == count


def test_followers_hear_of_it_and_of_what_holds_no_more(office: IdentityOffice) -> None:
    """The names of fields, never values; the birth act that showed the old name is revoked."""
    (document,) = office.pay(office.ask()).documents
    before = office.told()[-1].header.cursor
    reference = opened(office)
    office.decide("review", reference, officer="agent-1")
    office.decide("grant", reference, officer="agent-2")

    renamed, revoked = office.told(since=before)

    assert renamed.type == events_pb2.PERSON_EVENT_TYPE_NAME_CORRECTED
    assert list(renamed.header.changed_fields) == ["last_name"]
    assert (revoked.type, revoked.doc_id) == (
        events_pb2.PERSON_EVENT_TYPE_DOCUMENT_REVOKED,
        document.doc_id,
    )
    check = credentials_pb2.VerifyDocumentRequest(doc_no=document.doc_id)
    assert office.call(office.credentials.VerifyDocument, check).revoked


def test_a_telephone_revokes_nothing(office: IdentityOffice) -> None:
    """No document shows it."""
    office.ask(type=document_pb2.DOCUMENT_TYPE_NPI_CERTIFICATE, service_code="PS90100")
    before = office.told()[-1].header.cursor
    reference = opened(office, field=pb.CORRECTED_FIELD_PHONE, corrected_value="+2290100000099")
    office.decide("review", reference, officer="agent-1")
    office.decide("grant", reference, officer="agent-2")

    (event,) = office.told(since=before)

    assert event.type == events_pb2.PERSON_EVENT_TYPE_PHONE_CHANGED
    assert record(office).phone == "0100000099"


def test_a_parent_is_corrected_by_last_and_first_names(office: IdentityOffice) -> None:
    """The mother's, both at once."""
    reference = opened(
        office, field=pb.CORRECTED_FIELD_FILIATION, corrected_value="Mère: Houéssou, Adjoua Léa"
    )
    office.decide("review", reference, officer="agent-1")
    office.decide("grant", reference, officer="agent-2")

    assert record(office).filiation.mother_first_names == "ADJOUA LEA"


@pytest.mark.parametrize(
    ("reviewer", "granter"),
    [
        ("agent-1", "agent-1"),
        ("agent-2", "agent-2"),
        ("agent-1", "agent-3"),
        ("agent-3", "agent-2"),
        ("", "agent-2"),
    ],
)
def test_neither_officer_alone_changes_a_record(office: IdentityOffice, reviewer: str, granter: str) -> None:
    """Nor anybody else in the place of one; the dossier stays as it was."""
    reference = opened(office)
    if reviewer:
        office.decide("review", reference, officer=reviewer)
    state = office.dossier(reference).state

    with pytest.raises(ProviderError, match="state"):
        office.decide("grant", reference, officer=granter)

    assert office.dossier(reference).state == state
    assert record(office).record_version == 1


def test_a_record_frozen_meanwhile_is_not_changed(office: IdentityOffice) -> None:
    """Not even by two officers."""
    reference = opened(office)
    office.decide("review", reference, officer="agent-1")
    office.change(KOFFI, state="locked")

    with pytest.raises(ProviderError, match="locked"):
        office.decide("grant", reference, officer="agent-2")


@pytest.fixture
def meeting(office: IdentityOffice) -> tuple[str, str]:
    """An identity certificate that an officer grants, and a correction of the same record, each ready to be granted."""
    asked = office.ask(type=document_pb2.DOCUMENT_TYPE_CIP, service_code="PS00392")
    reference = opened(office)
    office.decide("review", reference, officer="agent-1")
    return office.pay(asked).reference, reference


def test_a_correction_waits_for_what_is_being_signed(
    office: IdentityOffice, meeting: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document says the old name, and is revoked as soon as it is there."""
    act, correction = meeting
    issue = office.desk.documents.issue

    with ThreadPoolExecutor(1) as beside:

        def sign(tx: sa.Connection, *said: Any, **more: Any) -> document_pb2.Document:
            other = beside.submit(office.decide, "grant", correction, officer="agent-2")
            until_it_waits(office.desk.store, tx, other)
            return issue(tx, *said, **more)

        monkeypatch.setattr(office.desk.documents, "issue", sign)
        office.decide("grant", act)

    (document,) = office.dossier(act).documents
    assert record(office).last_name == "ADJOVI-HOUENOU"
    assert [row.doc_id for row in office.rows(REVOCATIONS)] == [document.doc_id]


def test_what_is_signed_after_a_correction_says_what_was_corrected(
    office: IdentityOffice, meeting: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was to be signed before the correction was committed."""
    act, correction = meeting
    issue = office.desk.documents.issue
    names: list[str] = []

    def sign(tx: sa.Connection, *said: Any, **more: Any) -> document_pb2.Document:
        names.extend(more["holder_names"])
        return issue(tx, *said, **more)

    with ThreadPoolExecutor(1) as beside:

        def tell_late(desk: Any, tx: sa.Connection, *said: Any, **more: Any) -> None:
            until_it_waits(office.desk.store, tx, beside.submit(office.decide, "grant", act))
            telling.tell(desk, tx, *said, **more)

        monkeypatch.setattr(office.desk.documents, "issue", sign)
        monkeypatch.setattr(corrections, "tell", tell_late)
        office.decide("grant", correction, officer="agent-2")

    assert names == ["ADJOVI-HOUENOU KOFFI"]
    assert office.rows(REVOCATIONS) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"npi": NOBODY}, "NOT_FOUND"),
        ({"npi": BIO}, "RECORD_LOCKED"),
        ({"second_officer_ref": "agent-1"}, "FORMAT_INVALID"),
        ({"service_code": "PS90101"}, "FORMAT_INVALID"),
        ({"evidence_sha256": ""}, "FORMAT_INVALID"),
        ({"corrected_value": "123"}, "FORMAT_INVALID"),
        ({"field": pb.CORRECTED_FIELD_BIRTH_DATE, "corrected_value": "1987-02-30"}, "FORMAT_INVALID"),
        ({"field": pb.CORRECTED_FIELD_SEX, "corrected_value": "X"}, "FORMAT_INVALID"),
        ({"field": pb.CORRECTED_FIELD_PHONE, "corrected_value": "12"}, "FORMAT_INVALID"),
        ({"field": pb.CORRECTED_FIELD_FILIATION, "corrected_value": "HOUESSOU"}, "FORMAT_INVALID"),
    ],
)
def test_corrections_that_are_not_taken(steady: IdentityOffice, changes: dict[str, Any], reason: str) -> None:
    """Nobody's, a frozen record's, of one officer, without a paper, to no value."""
    assert steady.refused(steady.acts.RequestCorrection, correction(**changes)).reason == reason
