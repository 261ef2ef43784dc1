"""``bj.business.v1.FormalityService``: opens dossiers, once their requests can be done at all.

What is checked here needs the register alone; what needs ANIP is the dossier's first step, so that a portal files while
ANIP is away.
"""

from __future__ import annotations

from typing import Final

import grpc
import sqlalchemy as sa

from adapters.business import namebook, people
from adapters.business.capital import capital_violations
from adapters.business.courts import court_of
from adapters.business.formality import Formality, stored
from adapters.business.forms import FORMS
from adapters.business.numbers import canonical_rccm
from adapters.business.records import Firm
from adapters.business.register import firm_by_rccm
from adapters.business.tables import KIT
from adapters.context import CallerContext, current_caller
from adapters.kit.desk import Desk
from adapters.kit.dossier import FINAL, Dossier
from adapters.kit.purposes import REGISTRATION_DUTY, SERVICE_DELIVERY, require_purpose
from adapters.reasons import ContendedError, InvalidFieldsError, ProviderError, ProviderReason
from bj.business.v1 import business_pb2, formality_pb2_grpc
from bj.business.v1 import formality_pb2 as pb
from bj.common.v1 import dossier_pb2

SERVICE_NAME: Final = "bj.business.v1.FormalityService"

# Services of the catalogue (catalogue.toml).
CREATE_COMPANY: Final = "PS90301"
CREATE_TRADE: Final = "PS90302"
MODIFY: Final = "PS90303"
STRIKE_OFF: Final = "PS90304"
EXTRACT: Final = "PS00024"

_MAY_SUBMIT: Final = frozenset({REGISTRATION_DUTY})
_MAY_EXTRACT: Final = frozenset({SERVICE_DELIVERY})


class FormalityService(formality_pb2_grpc.FormalityServiceServicer):
    """Opens dossiers of one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def SubmitFormality(
        self, request: pb.SubmitFormalityRequest, context: grpc.ServicerContext
    ) -> pb.SubmitFormalityResponse:
        """Open the dossier of a creation, a change or a striking off."""
        require_purpose(_MAY_SUBMIT)
        formality = Formality(request, request.application.applicant_npi)
        if request.kind == pb.FORMALITY_KIND_CREATE:
            _require_creation(formality)
        applicants = self._applicants(formality)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.SubmitFormalityResponse:
            if request.kind == pb.FORMALITY_KIND_CREATE:
                subject = ""
            else:
                firm = self._firm_to_change(tx, formality)
                subject = subject_of(firm.rccm)
            dossier = self._desk.dossiers.open(
                tx,
                caller,
                request.application,
                subject=subject,
                details=stored(request),
                purposes=_MAY_SUBMIT,
                prepare=lambda tx, dossier: self._prepare(tx, dossier, formality, applicants),
            )
            return pb.SubmitFormalityResponse(dossier=self._desk.dossiers.message(tx, dossier.reference))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def IssueExtract(
        self, request: pb.IssueExtractRequest, context: grpc.ServicerContext
    ) -> pb.IssueExtractResponse:
        """Open the dossier of an extract."""
        require_purpose(_MAY_EXTRACT)
        _require_service(request.application, EXTRACT)
        rccm = canonical_rccm(request.rccm)

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.IssueExtractResponse:
            if firm_by_rccm(tx, rccm) is None:
                raise ProviderError(ProviderReason.NOT_FOUND)
            dossier = self._desk.dossiers.open(
                tx, caller, request.application, details=rccm.encode(), purposes=_MAY_EXTRACT
            )
            return pb.IssueExtractResponse(dossier=self._desk.dossiers.message(tx, dossier.reference))

        return self._desk.once(request.application.idempotency_key, request, respond)

    def _applicants(self, formality: Formality) -> set[str]:
        """Whose reservation of a name the formality may use: NPI.

        ANIP is asked if the name is kept under another number: it may have been merged since into the applicant's.

        Raises:
            ProviderError: It does not answer (UPSTREAM_UNAVAILABLE).
        """
        # Whoever files by his office (a notary) uses the name of one whom he files for.
        applicants = {formality.applicant_npi} if formality.applicant_npi else set(formality.people)
        caller, token = current_caller(), formality.request.name_token
        with self._desk.store.reading() as tx:
            kept = namebook.kept_under(tx, token, self._desk.clock.now_ms()) if token else None
        if kept is None or kept.reference or kept.client != str(caller.client):
            return applicants
        if kept.applicant_npi in applicants:
            return applicants
        answers = people.ask(self._desk.road, [kept.applicant_npi], caller.issue or "")
        if answers.away:
            raise ProviderError(ProviderReason.UPSTREAM_UNAVAILABLE)
        merged = {person.asked_npi for person in answers.people if person.npi in applicants}
        return applicants | merged

    def _prepare(
        self, tx: sa.Connection, dossier: Dossier, formality: Formality, applicants: set[str]
    ) -> None:
        """Keep the name for the dossier, and lay its steps out."""
        request = formality.request
        if request.name_token:
            kept = namebook.use(
                tx,
                request.name_token,
                dossier.reference,
                applicants=applicants,
                client=dossier.client,
                now_ms=self._desk.clock.now_ms(),
            )
            if request.legal_form and kept.legal_form != request.legal_form:
                raise InvalidFieldsError({"legal_form": "the name is kept for another form"})
        for step in formality.steps:
            self._desk.dossiers.set_step(tx, dossier.reference, step, dossier_pb2.STEP_STATE_PENDING)

    def _firm_to_change(self, tx: sa.Connection, formality: Formality) -> Firm:
        """The firm of a change, if nothing stands against it; others who would change it wait."""
        firm = firm_by_rccm(tx, canonical_rccm(formality.request.rccm), to_change=True)
        if firm is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        _require_change(formality, firm)
        if self._desk.dossiers.find_open(tx, subject_of(firm.rccm)) or _is_being_created(tx, firm):
            raise ContendedError
        if firm.status == business_pb2.BUSINESS_STATUS_SUSPENDED:
            raise ProviderError(ProviderReason.RECORD_LOCKED)
        if firm.status == business_pb2.BUSINESS_STATUS_STRUCK_OFF:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        return firm


def subject_of(rccm: str) -> str:
    """What a dossier about a firm is about."""
    return f"rccm:{rccm}"


def _is_being_created(tx: sa.Connection, firm: Firm) -> bool:
    """Whether the dossier that made the entry still waits for an office, and may yet be undone."""
    query = sa.select(KIT.dossier.c.state).where(KIT.dossier.c.reference == firm.created_by)
    state = tx.execute(query).scalar()
    return state is not None and state not in FINAL


def _require_service(application: dossier_pb2.Application, code: str) -> None:
    if application.service_code != code:
        raise InvalidFieldsError({"application.service_code": f"{code} for this request"})


def _require_creation(formality: Formality) -> None:
    request = formality.request
    is_person = FORMS[request.legal_form].is_person
    _require_service(request.application, CREATE_TRADE if is_person else CREATE_COMPANY)
    found = capital_violations(request.legal_form, request.capital_xof, formality.shares, formality.managers)
    found |= _seat_violations(request)
    if found:
        raise InvalidFieldsError(found)


def _seat_violations(request: pb.SubmitFormalityRequest) -> dict[str, str]:
    code = request.seat.code
    try:
        court_of(code)
    except LookupError:
        code = ""
    return {} if len(code) >= len("LI-COT") else {"seat.code": "the commune of the seat is needed"}


def _require_change(formality: Formality, firm: Firm) -> None:
    """What a change may not be: another kind of firm, or capital that is nobody's."""
    request = formality.request
    is_striking_off = request.kind == pb.FORMALITY_KIND_STRIKE_OFF
    _require_service(request.application, STRIKE_OFF if is_striking_off else MODIFY)
    if is_striking_off:
        return
    legal_form = request.legal_form or firm.legal_form
    old = FORMS[firm.legal_form]
    if old.letter != FORMS[legal_form].letter:
        raise InvalidFieldsError({"legal_form": "a form with another letter is a creation"})
    found: dict[str, str] = {}
    if old.is_person and (request.partners or request.capital_xof or request.managers):
        found["partners"] = "a sole trader is alone and has no capital"
    elif request.capital_xof and not request.partners:
        found["partners"] = "another capital is said with who holds it"
    elif request.partners:
        found |= capital_violations(
            legal_form, request.capital_xof or firm.capital_xof, formality.shares, formality.managers
        )
    elif legal_form != firm.legal_form:
        found["partners"] = "another form is said with who holds its capital"
    if request.HasField("seat"):
        found |= _seat_violations(request)
    if not found and not _changes(request):
        found["kind"] = "a change changes something"
    if found:
        raise InvalidFieldsError(found)


def _changes(request: pb.SubmitFormalityRequest) -> bool:
    said = (request.legal_form, request.name_token, request.partners, request.managers, request.activity)
    return any(said) or request.HasField("seat") or bool(request.seat_nup or request.regime)
