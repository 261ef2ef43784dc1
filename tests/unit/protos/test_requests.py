"""Rules over whole messages: what one field demands of another."""

import protovalidate
import pytest
from google.protobuf.message import Message

from bj.business.v1 import business_pb2, formality_pb2
from bj.common.v1 import decision_service_pb2, document_pb2, dossier_pb2, event_pb2, person_pb2
from bj.identity.v1 import acts_pb2, credentials_pb2
from bj.labour.v1 import labour_pb2, visa_pb2
from bj.land.v1 import parcel_pb2, transfer_pb2

NPI = "0000000001"
FIRM = "3202690000100"
MAN = "1202690000100"
DIGEST = "ab" * 32
KEY = "0197f3b0-0000-7000-8000-000000000001"
REFUSAL = decision_service_pb2.ReportDecisionRequest(status=dossier_pb2.DOSSIER_STATE_REJECTED, message="non")
VALIDATOR = protovalidate.Validator()


def violated(message: Message) -> set[str]:
    """Ids of the rules that ``message`` breaks."""
    return {violation.proto.rule_id for violation in VALIDATOR.collect_violations(message)}


def application() -> dossier_pb2.Application:
    """What every filing has."""
    return dossier_pb2.Application(
        idempotency_key=KEY, application_id="APP-1", service_code="PS90001", applicant_npi=NPI
    )


def visa(**changes: object) -> visa_pb2.SubmitContractVisaRequest:
    """A contract for a term that is in order, but for ``changes``."""
    request = visa_pb2.SubmitContractVisaRequest(
        application=application(),
        employer_ifu=FIRM,
        worker_npi=NPI,
        type=visa_pb2.CONTRACT_TYPE_CDD,
        post="Comptable",
        signed_on="2026-11-01",
        start_date="2026-12-01",
        end_date="2027-11-30",
        salary_xof=52_000,
        contract_sha256=DIGEST,
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def creation(**changes: object) -> formality_pb2.SubmitFormalityRequest:
    """A creation that is in order, but for ``changes``."""
    request = formality_pb2.SubmitFormalityRequest(
        application=application(),
        kind=formality_pb2.FORMALITY_KIND_CREATE,
        legal_form=business_pb2.LEGAL_FORM_SARL,
        name_token="NOM-1",
        capital_xof=100_000,
        partners=[formality_pb2.PartnerShare(party=person_pb2.Party(npi=NPI), share_xof=100_000)],
        managers=[formality_pb2.ManagerRef(npi=NPI)],
        activity="Commerce",
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def act(type_: document_pb2.DocumentType.ValueType, copies: int) -> acts_pb2.SubmitActRequestRequest:
    """An act asked for."""
    return acts_pb2.SubmitActRequestRequest(application=application(), type=type_, npi=NPI, copies=copies)


def business(
    legal_form: business_pb2.LegalForm.ValueType, rccm: str, ifu: str
) -> business_pb2.GetBusinessResponse:
    """A firm of that form under those numbers."""
    return business_pb2.GetBusinessResponse(
        rccm=rccm, legal_form=legal_form, ifu=ifu, court="COT", registered_on="2026-01-02"
    )


@pytest.mark.parametrize(
    "message",
    [
        visa(),
        visa(type=visa_pb2.CONTRACT_TYPE_CDI, end_date=""),
        visa(type=visa_pb2.CONTRACT_TYPE_FOREIGN, work_permit_no="PT-2026-000123"),
        creation(),
        formality_pb2.SubmitFormalityRequest(
            application=application(), kind=formality_pb2.FORMALITY_KIND_STRIKE_OFF, rccm="RB/COT/25 B 900056"
        ),
        business(business_pb2.LEGAL_FORM_SARL, "RB/COT/25 B 900056", FIRM),
        business(business_pb2.LEGAL_FORM_EI, "RB/COT/25A900056", MAN),
        business(business_pb2.LEGAL_FORM_COOP, "BJ-COT-01-2024-K12-900431", FIRM),
        business(business_pb2.LEGAL_FORM_SA, "RB/COT/25 B 900056", ""),
        parcel_pb2.GetParcelRequest(nup="900000001", with_polygon=True),
        parcel_pb2.GetParcelRequest(legacy=parcel_pb2.LegacyParcelRef(commune_code="LI-COT", ilot="12")),
        parcel_pb2.Share(numerator=1, denominator=3),
        parcel_pb2.CheckOwnershipRequest(nup="900000001", party=person_pb2.Party(ifu=FIRM)),
        transfer_pb2.FileTransferRequest(
            application=application(),
            notary_ref="NOT-17",
            nup="900000001",
            seller=person_pb2.Party(npi=NPI),
            buyer=person_pb2.Party(ifu=FIRM),
            price_xof=10_000_000,
            deed_sha256=DIGEST,
        ),
        credentials_pb2.VerifyDocumentRequest(doc_no="CNIB-0000001"),
        credentials_pb2.VerifyDocumentRequest(qr_jwt="eyJh.eyJz.c2ln"),
        labour_pb2.GetEmployerRequest(cnss_employer_no="1234567"),
        event_pb2.EventPage(),
        event_pb2.EventPage(since_cursor="AAEC", size=1000),
    ],
    ids=lambda message: message.DESCRIPTOR.name,
)
def test_a_message_in_order_passes(message: Message) -> None:
    """The rules let through what the protos promise."""
    assert violated(message) == set()


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (visa(end_date=""), "contract_visa.end"),
        (visa(end_date="2026-12-01"), "contract_visa.order"),
        (visa(type=visa_pb2.CONTRACT_TYPE_CDI), "contract_visa.no_term"),
        (visa(type=visa_pb2.CONTRACT_TYPE_FOREIGN), "contract_visa.permit"),
        (visa(type=visa_pb2.CONTRACT_TYPE_UNSPECIFIED), "enum.not_in"),
        (visa(salary_xof=0), "uint64.gte_lte"),
        (creation(name_token=""), "submit_formality.create"),
        (creation(rccm="RB/COT/25 B 900056"), "submit_formality.create"),
        (creation(kind=formality_pb2.FORMALITY_KIND_MODIFY), "submit_formality.existing"),
        (business(business_pb2.LEGAL_FORM_SARL, "RB/COT/25 A 900056", FIRM), "business.rccm_letter"),
        (business(business_pb2.LEGAL_FORM_EI, "RB/COT/25 B 900056", MAN), "business.rccm_letter"),
        (business(business_pb2.LEGAL_FORM_COOP, "BJ-COT-01-2024-B12-900431", FIRM), "business.rccm_letter"),
        (business(business_pb2.LEGAL_FORM_EI, "RB/COT/25 A 900056", FIRM), "business.ifu_holder"),
        (business(business_pb2.LEGAL_FORM_SAS, "RB/COT/25 B 900056", MAN), "business.ifu_holder"),
        (parcel_pb2.GetParcelRequest(), "required"),
        (person_pb2.Party(), "required"),
        (person_pb2.Party(ifu=NPI), "ifu"),
        (parcel_pb2.Share(numerator=2, denominator=1), "share.whole"),
        (parcel_pb2.Share(numerator=0, denominator=0), "share.whole"),
        (transfer_pb2.FileTransferRequest(), "required"),
        (act(document_pb2.DOCUMENT_TYPE_RCCM_EXTRACT, 1), "submit_act_request.type"),
        (act(document_pb2.DOCUMENT_TYPE_BIRTH_ACT, 6), "uint32.gte_lte"),
        (acts_pb2.RequestCorrectionRequest(first_officer_ref="a", second_officer_ref="a"), "request_correction.officers"),
        (credentials_pb2.VerifyDocumentRequest(qr_jwt="eyJh.eyJz"), "string.pattern"),
        (dossier_pb2.Dossier(state=dossier_pb2.DOSSIER_STATE_REJECTED, reason="non"), "dossier.reason"),
        (REFUSAL, "report_decision.message"),
        (event_pb2.EventPage(size=1001), "uint32.lte"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.DESCRIPTOR.name,
)  # fmt: skip
def test_a_message_out_of_order_is_refused(message: Message, rule: str) -> None:
    """Each rule refuses what it is there for."""
    assert rule in violated(message)
