"""``bj.labour.v1.LabourService``: employers, who works, and the list of job seekers."""

from __future__ import annotations

from typing import Final

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext, current_caller
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.purposes import (
    INSPECTION,
    JUDICIAL,
    REGISTRATION_DUTY,
    SERVICE_DELIVERY,
    SUBJECT_ACCESS,
    require_purpose,
)
from adapters.labour.employers import Employer, find_by_cnss, find_by_ifu, find_by_rccm
from adapters.labour.employment import employment_of
from adapters.labour.identity import identify
from adapters.labour.ruleset import rules_of
from adapters.labour.seekers import Seeker, find_by_npi, find_by_number, register_seeker
from adapters.labour.workers import follow
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.labour.v1 import labour_pb2 as pb
from bj.labour.v1 import labour_pb2_grpc

SERVICE_NAME: Final = "bj.labour.v1.LabourService"

_MAY_READ_EMPLOYERS: Final = frozenset({REGISTRATION_DUTY, INSPECTION})
_MAY_READ_EMPLOYMENT: Final = frozenset({REGISTRATION_DUTY, INSPECTION, JUDICIAL, SUBJECT_ACCESS})
_MAY_KNOW_WHO_EMPLOYS: Final = frozenset({INSPECTION, JUDICIAL, SUBJECT_ACCESS})
_NEEDS_A_MISSION: Final = frozenset({INSPECTION, JUDICIAL})
_FOR_SEEKERS: Final = frozenset({SERVICE_DELIVERY})


class LabourService(labour_pb2_grpc.LabourServiceServicer):
    """Answers from one register."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetEmployer(
        self, request: pb.GetEmployerRequest, context: grpc.ServicerContext
    ) -> pb.GetEmployerResponse:
        """One employer, by any of its numbers."""
        _require_mission(require_purpose(_MAY_READ_EMPLOYERS), request.mission_ref)
        with self._desk.store.reading() as tx:
            found = _find_employer(tx, request)
        if found is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return _employer(found)

    def GetEmploymentStatus(
        self, request: pb.GetEmploymentStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetEmploymentStatusResponse:
        """Whether somebody works; who employs, for those who may know. Somebody unknown has no work."""
        purpose = require_purpose(_MAY_READ_EMPLOYMENT)
        _require_mission(purpose, request.mission_ref)
        with self._desk.store.reading() as tx:
            found = employment_of(tx, request.npi, day_of(self._desk.clock.now_ms()))
        response = pb.GetEmploymentStatusResponse(
            employed=found.is_employed, open_contracts=found.open_contracts
        )
        if found.changed_at_ms:
            response.last_change.FromMilliseconds(found.changed_at_ms)
        if purpose in _MAY_KNOW_WHO_EMPLOYS:
            response.employer_names.extend(found.employers)
        return response

    def RegisterJobSeeker(
        self, request: pb.RegisterJobSeekerRequest, context: grpc.ServicerContext
    ) -> pb.RegisterJobSeekerResponse:
        """Put somebody on the list, once ANIP has said that there is such a person who lives."""
        purpose = require_purpose(_FOR_SEEKERS)
        known = self._desk.answered_before(request.idempotency_key, request, pb.RegisterJobSeekerResponse)
        if known is not None:
            return known
        person = identify(self._desk.road, request.npi, purpose, current_caller().issue or "")

        def respond(tx: sa.Connection, caller: CallerContext) -> pb.RegisterJobSeekerResponse:
            follow(tx, person, request.npi)
            entered = register_seeker(
                tx,
                npi=person.npi,
                diploma=_word(pb.Diploma.Name(request.diploma), "DIPLOMA_"),
                occupation_code=request.occupation_code,
                commune_code=request.commune_code,
                today=day_of(self._desk.clock.now_ms()),
                rules=rules_of(self._desk),
            )
            return pb.RegisterJobSeekerResponse(seeker=_seeker(entered))

        return self._desk.once(request.idempotency_key, request, respond)

    def GetJobSeeker(
        self, request: pb.GetJobSeekerRequest, context: grpc.ServicerContext
    ) -> pb.GetJobSeekerResponse:
        """One entry that is in force; one that ended is told as none."""
        require_purpose(_FOR_SEEKERS)
        today = day_of(self._desk.clock.now_ms())
        with self._desk.store.reading() as tx:
            found = (
                find_by_npi(tx, request.npi, today)
                if request.WhichOneof("seeker") == "npi"
                else find_by_number(tx, request.seeker_no, today)
            )
        if found is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return pb.GetJobSeekerResponse(seeker=_seeker(found))


def _require_mission(purpose: str, mission_ref: str) -> None:
    """Before the register is read: whoever inspects or judges says by which order."""
    if purpose in _NEEDS_A_MISSION and not mission_ref:
        raise InvalidFieldsError({"mission_ref": f"needed for {purpose}"})


def _find_employer(tx: sa.Connection, request: pb.GetEmployerRequest) -> Employer | None:
    by = request.WhichOneof("employer")
    if by == "ifu":
        return find_by_ifu(tx, request.ifu)
    if by == "rccm":
        return find_by_rccm(tx, request.rccm)
    return find_by_cnss(tx, request.cnss_employer_no)


def _employer(found: Employer) -> pb.GetEmployerResponse:
    headcount = f"HEADCOUNT_BAND_{found.headcount or 'UNSPECIFIED'}"
    return pb.GetEmployerResponse(
        name=found.name,
        ifu=found.ifu,
        rccm=found.rccm,
        cnss_employer_no=found.cnss_employer_no,
        sector=found.sector,
        headcount=pb.HeadcountBand.Value(headcount),
        inspectorate_code=found.inspectorate_code,
        registered_on=found.registered_on,
        contributions=pb.Contributions.Value(f"CONTRIBUTIONS_{found.contributions}"),
    )


def _seeker(found: Seeker) -> pb.JobSeeker:
    return pb.JobSeeker(
        seeker_no=found.seeker_no,
        npi=found.npi,
        diploma=pb.Diploma.Value(f"DIPLOMA_{found.diploma or 'UNSPECIFIED'}"),
        occupation_code=found.occupation_code,
        commune_code=found.commune_code,
        valid_until=found.valid_until,
    )


def _word(name: str, prefix: str) -> str:
    """A value's name as the register writes it; empty for the unspecified one."""
    word = name.removeprefix(prefix)
    return "" if word == "UNSPECIFIED" else word
