"""Documents that are checked, and photographs that are shown once."""

from typing import Any

import grpc
import pytest

from adapters.identity.credentials import revoke
from adapters.identity.tables import CONSENTS
from bj.common.v1 import document_pb2
from bj.identity.v1 import credentials_pb2 as pb
from bj.identity.v1 import identity_pb2
from core.heads import b64url
from core.jws import DocumentKind, document_header
from tests.support.consents import BANK, give_consent, give_lacking
from tests.support.identity_office import (
    BIO,
    CHANTAL,
    CHANTALE,
    KOFFI,
    MONDAY_MS,
    NOBODY,
    SENAN,
    IdentityOffice,
)


def verify(office: IdentityOffice, **by: str) -> pb.VerifyDocumentResponse:
    """Check a document, as a counter does."""
    found: pb.VerifyDocumentResponse = office.call(
        office.credentials.VerifyDocument, pb.VerifyDocumentRequest(**by), "P01"
    )
    return found


def verify_as_bank(office: IdentityOffice, consent_ref: str, **by: str) -> pb.VerifyDocumentResponse:
    """Check a document of a customer."""
    request = pb.VerifyDocumentRequest(consent_ref=consent_ref, **by)
    found: pb.VerifyDocumentResponse = office.call(
        office.credentials.VerifyDocument, request, "P03", x_road_client=BANK
    )
    return found


def test_a_document_is_authentic_by_number_and_by_code(office: IdentityOffice) -> None:
    """Whose it is stays masked; a code with another signature is nobody's."""
    (document,) = office.pay(office.ask()).documents
    head, _, _ = document.qr_jwt.rpartition(".")

    by_number, by_code = verify(office, doc_no=document.doc_id), verify(office, qr_jwt=document.qr_jwt)

    assert by_number == by_code
    assert (by_number.authentic, by_number.revoked) == (True, False)
    assert by_number.type == document_pb2.DOCUMENT_TYPE_BIRTH_ACT
    assert by_number.npi_masked == "*******001"
    assert verify(office, qr_jwt=f"{head}.AAAA") == pb.VerifyDocumentResponse()


def test_a_revoked_document_is_told(office: IdentityOffice) -> None:
    """It stays authentic and holds no more."""
    (document,) = office.pay(office.ask()).documents

    revoked = office.desk.store.write(lambda tx: revoke(tx, KOFFI, MONDAY_MS))

    assert revoked == [document.doc_id]
    found = verify(office, doc_no=document.doc_id)
    assert (found.authentic, found.revoked) == (True, True)
    assert office.desk.store.write(lambda tx: revoke(tx, KOFFI, MONDAY_MS)) == []


def test_what_was_given_out_under_a_merged_number_is_revoked_with_the_rest(office: IdentityOffice) -> None:
    """A dossier that was opened before the merger and paid after it names the record that stands."""
    asked = office.ask(npi=CHANTAL)
    office.inscribe("merger", former_npi=CHANTAL, standing_npi=KOFFI)
    (document,) = office.pay(asked).documents

    office.inscribe("death", npi=KOFFI, day="2024-11-20")

    assert verify(office, doc_no=document.doc_id).revoked


def test_what_led_to_a_merged_number_is_revoked_with_it(office: IdentityOffice) -> None:
    """Documents of both numbers name a record that stands no more."""
    asked = office.ask(npi=CHANTAL)
    office.inscribe("merger", former_npi=CHANTAL, standing_npi=SENAN)
    (document,) = office.pay(asked).documents

    office.inscribe("merger", former_npi=SENAN, standing_npi=KOFFI)

    assert verify(office, doc_no=document.doc_id).revoked


def shown(claims: bytes) -> dict[str, str]:
    """A QR code that says this in the form of ours, signed by nobody."""
    parts = (document_header(DocumentKind.OFFICIAL, "A" * 43), claims, bytes(64))
    return {"qr_jwt": b".".join(map(b64url, parts)).decode()}


@pytest.mark.parametrize(
    "by",
    [
        {"doc_no": "ANIP-RNPP-2026-99999999"},
        {"qr_jwt": "a.b.c"},
        {"qr_jwt": "a.MQ.c"},
        # No database takes these as text: half a character, and none.
        shown(rb'{"doc_id":"\ud800"}'),
        shown(rb'{"doc_id":"ANIP\u0000"}'),
    ],
)
def test_what_was_never_given_out_is_an_answer(steady: IdentityOffice, by: dict[str, str]) -> None:
    """Not authentic, and nothing more."""
    assert verify(steady, **by) == pb.VerifyDocumentResponse()


def test_a_bank_sees_the_documents_of_who_consented(office: IdentityOffice) -> None:
    """One of anybody else looks as if it had never been given out."""
    (document,) = office.pay(office.ask()).documents
    give_consent(office.desk.store, CONSENTS, "C-GOOD", KOFFI)
    give_consent(office.desk.store, CONSENTS, "C-OF-CHANTAL", CHANTAL)

    assert verify_as_bank(office, "C-GOOD", doc_no=document.doc_id).authentic
    assert verify_as_bank(office, "C-GOOD", qr_jwt=document.qr_jwt).authentic
    assert verify_as_bank(office, "C-OF-CHANTAL", doc_no=document.doc_id) == pb.VerifyDocumentResponse()
    assert verify_as_bank(office, "C-GOOD", doc_no="ANIP-RNPP-2026-99999999") == pb.VerifyDocumentResponse()


def test_a_bank_asks_about_nobody_without_a_consent_that_stands(office: IdentityOffice) -> None:
    """Documents and persons, genuine or not, are refused alike; a consent that stands is enough for both."""
    (document,) = office.pay(office.ask()).documents
    store, now_ms = office.desk.store, office.clock.now_ms()
    give_consent(store, CONSENTS, "C-GOOD", KOFFI)
    lacking = give_lacking(store, CONSENTS, KOFFI, CHANTAL, now_ms)

    for reference in lacking:
        person = identity_pb2.VerifyPersonRequest(npi=KOFFI, last_name="Adjovi", consent_ref=reference)
        asked: list[tuple[Any, Any]] = [(office.identity.VerifyPerson, person)]
        if reference != "C-OF-ANOTHER":
            asked += [
                (
                    office.credentials.VerifyDocument,
                    pb.VerifyDocumentRequest(doc_no=one, consent_ref=reference),
                )
                for one in (document.doc_id, "ANIP-RNPP-2026-99999999")
            ]
        for method, request in asked:
            refused = office.refused(method, request, "P03", x_road_client=BANK)
            assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REQUIRED")
    person = identity_pb2.VerifyPersonRequest(npi=KOFFI, last_name="Adjovi", consent_ref="C-GOOD")
    answer = office.call(office.identity.VerifyPerson, person, "P03", x_road_client=BANK)
    assert answer.last_name == identity_pb2.MATCH_RESULT_YES


def test_a_photograph_is_shown_once_for_a_dossier(office: IdentityOffice) -> None:
    """The second time is refused, whoever is on it; another dossier has its own."""
    request = pb.GetPhotoRequest(npi=KOFFI)

    found = office.call(office.credentials.GetPhoto, request, "P02")

    assert found.jpeg.startswith(b"\xff\xd8")
    assert found.capture_date == "2018-03-15"
    assert office.refused(office.credentials.GetPhoto, request, "P02").reason == "RATE_LIMITED"
    other = pb.GetPhotoRequest(npi=CHANTALE)
    assert office.refused(office.credentials.GetPhoto, other, "P02").reason == "RATE_LIMITED"
    assert office.call(office.credentials.GetPhoto, other, "P02", x_road_issue="ACT-202611-0002").jpeg


def test_what_is_refused_does_not_count_and_a_court_sees_the_frozen(office: IdentityOffice) -> None:
    """RECORD_LOCKED for P02, then the same dossier under P05."""
    request = pb.GetPhotoRequest(npi=BIO)

    assert office.refused(office.credentials.GetPhoto, request, "P02").reason == "RECORD_LOCKED"
    assert office.call(office.credentials.GetPhoto, request, "P05").jpeg


@pytest.mark.parametrize(
    ("npi", "purpose", "said", "reason"),
    [
        (NOBODY, "P02", {}, "NOT_FOUND"),
        (KOFFI, "P01", {}, "PURPOSE_NOT_ALLOWED"),
        (KOFFI, "P02", {"x_road_issue": None}, "ISSUE_REQUIRED"),
        ("1", "P02", {}, "FORMAT_INVALID"),
    ],
)
def test_photographs_that_are_not_shown(
    steady: IdentityOffice, npi: str, purpose: str, said: dict[str, Any], reason: str
) -> None:
    """Nobody's, for another purpose, outside a dossier, of no number."""
    refusal = steady.refused(steady.credentials.GetPhoto, pb.GetPhotoRequest(npi=npi), purpose, **said)

    assert refusal.reason == reason
