"""A contract as it comes in: read, held against the rules, entered with its dossier."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from adapters.context import CallerContext, current_caller
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away
from adapters.labour.business import Firm, firm_of
from adapters.labour.contract import Caution, Contract, ContractKind, Term, cautions, contract_faults
from adapters.labour.contracts import FiledContract, enter_contract, other_terms
from adapters.labour.days import read_day
from adapters.labour.employers import LATE, Employer, add_employer, find_by_ifu
from adapters.labour.identity import Person, identify
from adapters.labour.prestations import visa_code
from adapters.labour.ruleset import Ruleset, rules_of
from adapters.labour.visa import CAUTIONS, EMPLOYER, IDENTITY, WARNINGS, worker_faults
from adapters.labour.workers import follow, numbers_of, permit_npi
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import visa_pb2

# So long a caller waits for ANIP before his dossier is opened without it.
_PATIENCE_S: Final = 5.0

_WARNINGS: Final = {
    Caution.OVERLAPPING_CONTRACT: visa_pb2.VISA_WARNING_OVERLAPPING_CONTRACT,
    Caution.CONTRIBUTIONS_LATE: visa_pb2.VISA_WARNING_CONTRIBUTIONS_LATE,
    Caution.ALREADY_BEGUN: visa_pb2.VISA_WARNING_ALREADY_BEGUN,
}


@dataclass(frozen=True, slots=True)
class Intake:
    """A contract that may be entered, and what others have said of its parties before.

    Attributes:
        draft: The contract, of no dossier and no employer yet.
        ifu: The employer's tax number.
        person: The worker; None if ANIP does not answer for all that is asked: it is asked again.
        permit_npi: His number on his work permit; empty as long as ``person`` is not known.
        firm: The employer as APIEx knows it, if the register did not know it.
    """

    draft: FiledContract
    ifu: str
    person: Person | None
    permit_npi: str = field(repr=False)
    firm: Firm | None


def take_in(desk: Desk, request: visa_pb2.SubmitContractVisaRequest) -> Intake:
    """Judge the contract alone, then ask ANIP for the worker, and APIEx for an employer who is new here.

    Raises:
        InvalidFieldsError: The contract is at fault.
        ProviderError: ANIP says no (IDENTITY_MISMATCH, DECEASED, RECORD_LOCKED); nobody knows the employer (NOT_FOUND),
            or the one who might does not answer (UPSTREAM_UNAVAILABLE).
    """
    draft = _draft(request, rules_of(desk))
    issue = current_caller().issue or ""
    person, on_permit = None, ""
    # If ANIP is away, the dossier is opened all the same, and its step waits for ANIP.
    with suppress(Away):
        found = identify(desk.road, request.worker_npi, REGISTRATION_DUTY, issue, timeout_s=_PATIENCE_S)
        # He is judged by all that ANIP says or not at all.
        person, on_permit = found, permit_npi(desk, request.work_permit_no, found, issue)
    firm = _newcomer(desk, request.employer_ifu, issue)
    return Intake(draft, request.employer_ifu, person, on_permit, firm)


def enter(
    desk: Desk,
    tx: sa.Connection,
    caller: CallerContext,
    request: visa_pb2.SubmitContractVisaRequest,
    intake: Intake,
) -> visa_pb2.SubmitContractVisaResponse:
    """Open the dossier.

    Raises:
        InvalidFieldsError: The contract is at fault for this worker.
    """
    rules, person = rules_of(desk), intake.person
    now_ms = desk.clock.now_ms()
    employer = find_by_ifu(tx, intake.ifu) or _add(tx, intake.firm, rules)
    asked = intake.draft.worker_npi
    npis = follow(tx, person, asked, intake.permit_npi) if person else numbers_of(tx, asked)
    filed = replace(
        intake.draft,
        employer_id=employer.id,
        worker_npi=person.npi if person else asked,
        worker_name=person.name if person else "",
    )
    # Whose the permit is, and since when he has had any, hangs on numbers that ANIP merged: its step judges it then.
    faults = worker_faults(tx, filed, npis, person, rules) if person else {}
    if faults:
        raise InvalidFieldsError(faults)
    found = cautions(
        filed.contract,
        others=other_terms(tx, npis),
        contributions_late=employer.contributions == LATE,
        today=day_of(now_ms),
    )

    def prepare(tx: sa.Connection, dossier: Dossier) -> None:
        enter_contract(tx, replace(filed, reference=dossier.reference), now_ms)
        done, pending = dossier_pb2.STEP_STATE_DONE, dossier_pb2.STEP_STATE_PENDING
        is_active = intake.firm is not None and intake.firm.is_active
        desk.dossiers.set_step(tx, dossier.reference, IDENTITY, done if person else pending)
        desk.dossiers.set_step(tx, dossier.reference, EMPLOYER, done if is_active else pending)
        detail = " ; ".join(CAUTIONS[one] for one in found)
        desk.dossiers.set_step(tx, dossier.reference, WARNINGS, done, detail)

    dossier = desk.dossiers.open(
        tx, caller, request.application, subject=f"employer:{employer.id}", prepare=prepare
    )
    return visa_pb2.SubmitContractVisaResponse(
        dossier=desk.dossiers.message(tx, dossier.reference), warnings=[_WARNINGS[one] for one in found]
    )


def _draft(request: visa_pb2.SubmitContractVisaRequest, rules: Ruleset) -> FiledContract:
    kind = ContractKind(visa_pb2.ContractType.Name(request.type).removeprefix("CONTRACT_TYPE_").lower())
    contract = Contract(
        kind=kind,
        signed_on=read_day("signed_on", request.signed_on),
        term=Term(
            read_day("start_date", request.start_date),
            read_day("end_date", request.end_date) if request.end_date else None,
        ),
        salary_xof=request.salary_xof,
    )
    faults = contract_faults(contract, rules)
    code = visa_code(kind)
    if request.application.service_code != code:
        faults["application.service_code"] = f"must be {code} for this kind of contract"
    if faults:
        raise InvalidFieldsError(faults)
    return FiledContract(
        reference="",
        employer_id=0,
        worker_npi=request.worker_npi,
        worker_name="",
        work_permit_no=request.work_permit_no,
        post=request.post,
        contract=contract,
        is_fit=request.medical_fit,
        contract_sha256=request.contract_sha256,
    )


def _newcomer(desk: Desk, ifu: str, issue: str) -> Firm | None:
    """The firm of an employer whom the register does not know: one founded this morning may hire this afternoon."""
    with desk.store.reading() as tx:
        if find_by_ifu(tx, ifu):
            return None
    firm = firm_of(desk.road, ifu, issue)
    if firm is None:
        raise ProviderError(ProviderReason.NOT_FOUND)
    return firm


def _add(tx: sa.Connection, firm: Firm | None, rules: Ruleset) -> Employer:
    if firm is None:
        # It was there a moment ago: somebody took it out of the register meanwhile.
        raise ProviderError(ProviderReason.NOT_FOUND)
    return add_employer(
        tx,
        name=firm.name,
        ifu=firm.ifu,
        rccm=firm.rccm,
        cnss_employer_no=firm.cnss_employer_no,
        sector=firm.activity[:200],
        inspectorate_code=firm.department_code or rules.inspectorates.default,
        registered_on=firm.registered_on,
    )
