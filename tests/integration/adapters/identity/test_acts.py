"""Acts and certificates: asked for, paid, granted, signed."""

import hashlib
from typing import Any

import grpc
import pytest

from adapters.reasons import ProviderError
from bj.common.v1 import document_pb2, dossier_pb2, dossier_service_pb2
from bj.identity.v1 import acts_pb2
from tests.support.identity_office import (
    AFI,
    BIO,
    CHANTAL,
    CHANTALE,
    KOFFI,
    NOBODY,
    IdentityOffice,
    act_request,
)

GRANTED = dossier_pb2.DOSSIER_STATE_GRANTED
FILED = dossier_pb2.DOSSIER_STATE_FILED
CIP = {"type": document_pb2.DOCUMENT_TYPE_CIP, "service_code": "PS00392"}
DEATH = {"type": document_pb2.DOCUMENT_TYPE_DEATH_ACT, "service_code": "PS90103", "npi": AFI}


def test_a_birth_act_is_there_as_soon_as_it_is_paid(office: IdentityOffice) -> None:
    """1,000 F, then a signed PDF without any officer."""
    asked = office.ask()
    assert (asked.state, asked.fee.amount_xof) == (dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT, 1000)

    paid = office.pay(asked)

    assert paid.state == GRANTED
    (document,) = paid.documents
    assert document.type == document_pb2.DOCUMENT_TYPE_BIRTH_ACT
    assert not document.HasField("valid_until")
    request = dossier_service_pb2.GetDocumentRequest(reference=paid.reference, doc_id=document.doc_id)
    found = office.call(office.follow.GetDocument, request)
    assert hashlib.sha256(found.content).hexdigest() == document.sha256
    assert found.content.startswith(b"%PDF")


def test_a_certificate_of_the_number_is_free_and_given_at_once(office: IdentityOffice) -> None:
    """The answer to the request has it already; the same request again gives the same dossier."""
    free = {"type": document_pb2.DOCUMENT_TYPE_NPI_CERTIFICATE, "service_code": "PS90100"}

    dossier = office.ask(**free)

    assert dossier.state == GRANTED
    assert len(dossier.documents) == 1
    assert office.ask(**free) == dossier


def test_a_cip_waits_for_an_officer_and_holds_for_five_years(office: IdentityOffice) -> None:
    """48 working hours are promised from the payment on."""
    paid = office.pay(office.ask(**CIP))
    assert paid.state == FILED
    assert paid.due_at.ToMilliseconds() > paid.filed_at.ToMilliseconds()

    office.decide("review", paid.reference)
    office.decide("grant", paid.reference)

    (document,) = office.dossier(paid.reference).documents
    assert document.valid_until.ToJsonString()[:10] == "2031-11-22"


def test_copies_and_notes_change_the_fee(office: IdentityOffice) -> None:
    """Each copy costs its fee; notes in the margin make it 2,000 F."""
    asked: list[dict[str, Any]] = [
        {"copies": 5},
        {"with_margin_notes": True},
        {"with_margin_notes": True, "copies": 2},
    ]

    fees = [
        office.ask(key=f"key-of-an-act-{number:05d}", **changes).fee.amount_xof
        for number, changes in enumerate(asked)
    ]

    assert fees == [5000, 2000, 4000]


def test_paper_is_where_the_applicant_asked_for_it(office: IdentityOffice) -> None:
    """The dossier says where how many copies lie."""
    dossier = office.pay(office.ask(copies=2, delivery=acts_pb2.DELIVERY_CCSP))

    (step,) = dossier.steps
    assert (step.name, step.detail) == ("delivery", "2 × au centre communal · at the communal centre")


def test_an_act_of_a_merged_number_is_that_of_the_record_that_stands(office: IdentityOffice) -> None:
    """Both numbers lead to one act."""
    dossier = office.pay(office.ask(npi=CHANTALE))

    assert dossier.state == GRANTED
    with office.desk.store.reading() as tx:
        assert office.desk.dossiers.get(tx, dossier.reference).subject == f"npi:{CHANTAL}"


def test_a_death_is_attested(office: IdentityOffice) -> None:
    """The only act of somebody who died."""
    paid = office.pay(office.ask(**DEATH))
    office.decide("grant", paid.reference)

    assert len(office.dossier(paid.reference).documents) == 1


def test_a_record_frozen_between_asking_and_paying_goes_to_an_officer(office: IdentityOffice) -> None:
    """The payment stands, nothing is signed, and the officer cannot grant it either."""
    asked = office.ask()
    office.change(KOFFI, state="locked")

    paid = office.pay(asked)

    assert paid.state == dossier_pb2.DOSSIER_STATE_UNDER_REVIEW
    assert not paid.documents
    with pytest.raises(ProviderError, match="locked"):
        office.decide("grant", paid.reference)
    office.decide("reject", paid.reference, "La fiche est examinée par l'ANIP.")
    assert office.dossier(paid.reference).state == dossier_pb2.DOSSIER_STATE_REJECTED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"npi": NOBODY}, "NOT_FOUND"),
        ({"npi": BIO}, "RECORD_LOCKED"),
        ({"npi": AFI}, "DECEASED"),
        ({**DEATH, "npi": KOFFI}, "NOT_FOUND"),
    ],
)
def test_what_the_register_does_not_give(
    steady: IdentityOffice, changes: dict[str, Any], reason: str
) -> None:
    """Nobody, a frozen record, a certificate of the dead, a death act of the living."""
    refusal = steady.refused(steady.acts.SubmitActRequest, act_request(**changes))

    assert refusal.reason == reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"service_code": "PS90102"}, "application.service_code"),
        ({"copies": 0}, "copies"),
        ({"copies": 6}, "copies"),
        ({"npi": "12345"}, "npi"),
        ({**CIP, "with_margin_notes": True}, "with_margin_notes"),
    ],
)
def test_malformed_requests_are_refused_by_field(
    steady: IdentityOffice, changes: dict[str, Any], field: str
) -> None:
    """FORMAT_INVALID names the field."""
    refusal = steady.refused(steady.acts.SubmitActRequest, act_request(**changes))

    assert (refusal.reason, refusal.code) == ("FORMAT_INVALID", grpc.StatusCode.INVALID_ARGUMENT)
    assert field in refusal.fields


def test_acts_are_for_the_citizen_only(steady: IdentityOffice) -> None:
    """P02 reads records and asks for no acts."""
    refusal = steady.refused(steady.acts.SubmitActRequest, act_request(), "P02")

    assert refusal.reason == "PURPOSE_NOT_ALLOWED"
