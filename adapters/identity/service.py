"""``bj.identity.v1.IdentityService``: a plain servicer over the register.

It reads who calls from ``current_caller`` and refuses by raising ``ProviderError``; identity of the
gateway, form of the request and status on the wire are the business of ``adapters.server``. Numbers of
persons stand in messages only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never

import grpc

from adapters.context import current_caller
from adapters.identity.candidates import CandidateTokens
from adapters.identity.comparison import Claim, Match, compare, is_date
from adapters.identity.person import FEMALE, MALE, Person, RecordState
from adapters.identity.records import are_one, standing
from adapters.identity.store import PersonStore
from adapters.kit.purposes import (
    JUDICIAL,
    PRIVATE_KYC,
    REGISTRATION_DUTY,
    SERVICE_DELIVERY,
    SUBJECT_ACCESS,
    require_purpose,
)
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.identity.v1 import identity_pb2, identity_pb2_grpc
from core.clock import Clock

SERVICE_NAME: Final = "bj.identity.v1.IdentityService"

# A search finds a person, it does not list the register.
MAX_CANDIDATES: Final = 5
# As many as are looked at to find them; criteria that so many people fulfil by name and year are too wide.
MAX_COMPARED: Final = 500

_MAY_READ: Final = frozenset({SERVICE_DELIVERY, REGISTRATION_DUTY, JUDICIAL})
_MAY_VERIFY: Final = frozenset({SERVICE_DELIVERY, PRIVATE_KYC})
_MAY_SEARCH: Final = frozenset({SERVICE_DELIVERY, SUBJECT_ACCESS})
_MAY_READ_THE_DECEASED: Final = frozenset({REGISTRATION_DUTY, JUDICIAL})

_PRECISION: Final = {
    0: identity_pb2.DATE_PRECISION_UNSPECIFIED,
    4: identity_pb2.DATE_PRECISION_YEAR,
    7: identity_pb2.DATE_PRECISION_MONTH,
    10: identity_pb2.DATE_PRECISION_DAY,
}
_SEX: Final = {"": identity_pb2.SEX_UNSPECIFIED, MALE: identity_pb2.SEX_MALE, FEMALE: identity_pb2.SEX_FEMALE}
_SEX_LETTER: Final = {number: letter for letter, number in _SEX.items()}
_MATCH: Final = {
    Match.YES: identity_pb2.MATCH_RESULT_YES,
    Match.NO: identity_pb2.MATCH_RESULT_NO,
    Match.UNKNOWN: identity_pb2.MATCH_RESULT_UNKNOWN,
    Match.NOT_COMPARED: identity_pb2.MATCH_RESULT_NOT_COMPARED,
}


def _nobody(consent_ref: str) -> Never:
    raise ProviderError(ProviderReason.CONSENT_REQUIRED)


class IdentityService(identity_pb2_grpc.IdentityServiceServicer):
    """Answers from one register.

    Args:
        store: The register.
        clock: Until when tokens hold.
        consenter: The number of whoever consented to the call that is being served, under that reference; raises
            ``ProviderError`` (CONSENT_REQUIRED) if nobody did. Unless it is given, nobody ever did.
    """

    def __init__(self, store: PersonStore, clock: Clock, consenter: Callable[[str], str] = _nobody) -> None:
        self._store = store
        self._consenter = consenter
        self._tokens = CandidateTokens(clock)

    def GetPerson(
        self, request: identity_pb2.GetPersonRequest, context: grpc.ServicerContext
    ) -> identity_pb2.GetPersonResponse:
        """One record, as far as the profile reaches."""
        purpose = require_purpose(_MAY_READ)
        person = self._find(request.npi)
        if person.state == RecordState.LOCKED and purpose != JUDICIAL:
            raise ProviderError(ProviderReason.RECORD_LOCKED)
        if person.is_deceased and purpose not in _MAY_READ_THE_DECEASED:
            raise ProviderError(ProviderReason.DECEASED)
        merged_npi = request.npi if request.npi != person.npi else ""
        return _answer(
            person, merged_npi, with_filiation=request.profile == identity_pb2.PERSON_PROFILE_CIVIL
        )

    def VerifyPerson(
        self, request: identity_pb2.VerifyPersonRequest, context: grpc.ServicerContext
    ) -> identity_pb2.VerifyPersonResponse:
        """Whether the claims agree with the record, and nothing else."""
        purpose = require_purpose(_MAY_VERIFY)
        consenter = self._consenter(request.consent_ref) if purpose == PRIVATE_KYC else None
        if request.birth_date and not is_date(request.birth_date):
            raise InvalidFieldsError({"birth_date": "the calendar has no such day"})
        npi = request.npi or self._tokens.take(request.candidate_token, current_caller())
        if consenter is not None and not are_one(self._store.find, npi, consenter):
            raise ProviderError(ProviderReason.CONSENT_REQUIRED)
        person = self._find(npi)
        if person.state == RecordState.LOCKED:
            # That ANIP examines a record is nobody's business in private: its consent looks like any that does not hold.
            private = purpose == PRIVATE_KYC
            raise ProviderError(ProviderReason.CONSENT_REQUIRED if private else ProviderReason.RECORD_LOCKED)
        if person.is_deceased:
            raise ProviderError(ProviderReason.DECEASED)
        return _outcome(request, person)

    def SearchPerson(
        self, request: identity_pb2.SearchPersonRequest, context: grpc.ServicerContext
    ) -> identity_pb2.SearchPersonResponse:
        """Who may be meant, masked; hidden people and unknown ones look the same: nobody."""
        purpose = require_purpose(_MAY_SEARCH)
        if request.birth_date and not is_date(request.birth_date):
            raise InvalidFieldsError({"birth_date": "the calendar has no such day"})
        is_own = purpose == SUBJECT_ACCESS
        if is_own:
            _require_exact(request)
        found = self._matching(request, is_own=is_own)
        if len(found) > MAX_CANDIDATES:
            raise ProviderError(ProviderReason.TOO_MANY_RECORDS)
        caller = current_caller()
        return identity_pb2.SearchPersonResponse(
            candidates=[
                identity_pb2.PersonCandidate(
                    candidate_token=self._tokens.give(person.npi, caller),
                    masked_last_name=mask(person.last_name),
                    masked_first_names=mask(person.first_names),
                    birth_year=person.birth_date[:4],
                    sex=_SEX[person.sex],
                    score=score,
                    # Two people who answer to all of it: neither may be told the other's number.
                    npi=person.npi if is_own and len(found) == 1 else "",
                )
                for score, person in found
            ]
        )

    def _matching(
        self, request: identity_pb2.SearchPersonRequest, *, is_own: bool
    ) -> list[tuple[int, Person]]:
        """People who answer to all criteria, with their scores, the best first."""
        year, around = int(request.birth_date[:4] or 0), request.birth_years_around
        years = (max(year - around, 1), year + around) if year else None
        near = self._store.search(request.last_name, request.first_names, years, MAX_COMPARED + 1)
        if len(near) > MAX_COMPARED:
            raise ProviderError(ProviderReason.TOO_MANY_RECORDS)
        claim = Claim(
            last_name=request.last_name,
            first_names=request.first_names,
            birth_date=request.birth_date,
            mother_last_name=request.mother_last_name,
        )
        found = []
        for person in near:
            outcome = compare(claim, person)
            names = {outcome.last_name, outcome.first_names}
            rest = {outcome.mother_last_name} if around else {outcome.birth_date, outcome.mother_last_name}
            # What the register does not know speaks against nobody, unless a number is to be given out for it.
            if names == {Match.YES} and Match.NO not in rest and not (is_own and rest != {Match.YES}):
                found.append((outcome.score, person))
        return sorted(found, key=lambda one: -one[0])

    def _find(self, npi: str) -> Person:
        """The record of a number, or the one that it was merged into."""
        person = standing(self._store.find, npi)
        if person is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return person


def _require_exact(request: identity_pb2.SearchPersonRequest) -> None:
    """Own access: all that the person knows of himself, exactly."""
    missing = {}
    if len(request.birth_date) != len("1987-04-12"):
        missing["birth_date"] = "needed to the day for P07"
    if request.birth_years_around:
        missing["birth_years_around"] = "must be 0 for P07"
    if not request.mother_last_name:
        missing["mother_last_name"] = "needed for P07"
    if missing:
        raise InvalidFieldsError(missing)


def mask(name: str) -> str:
    """The first letter of each word, then as many asterisks for all: lengths tell, too."""
    return " ".join(f"{word[0]}***" for word in name.split())


def _answer(person: Person, merged_npi: str, *, with_filiation: bool) -> identity_pb2.GetPersonResponse:
    deceased = identity_pb2.LIFE_STATUS_DECEASED
    return identity_pb2.GetPersonResponse(
        npi=person.npi,
        last_name=person.last_name,
        first_names=person.first_names,
        marital_name=person.marital_name,
        birth_date=person.birth_date,
        birth_date_precision=_PRECISION[len(person.birth_date)],
        birth_country=person.birth_country,
        birth_place=person.birth_place,
        residence=identity_pb2.Residence(
            country=person.residence_country,
            department=person.residence_department,
            town=person.residence_town,
            district=person.residence_district,
            village=person.residence_village,
            address=person.residence_address,
        ),
        phone_cc=person.phone_cc,
        phone=person.phone,
        email=person.email,
        nationality=person.nationality,
        sex=_SEX[person.sex],
        life_status=deceased if person.is_deceased else identity_pb2.LIFE_STATUS_ALIVE,
        record_version=person.record_version,
        merged_npi=merged_npi,
        filiation=_filiation(person) if with_filiation else None,
    )


def _filiation(person: Person) -> identity_pb2.Filiation:
    return identity_pb2.Filiation(
        father_last_name=person.father_last_name,
        father_first_names=person.father_first_names,
        mother_last_name=person.mother_last_name,
        mother_first_names=person.mother_first_names,
    )


def _outcome(request: identity_pb2.VerifyPersonRequest, person: Person) -> identity_pb2.VerifyPersonResponse:
    claim = Claim(
        last_name=request.last_name,
        first_names=request.first_names,
        birth_date=request.birth_date,
        sex=_SEX_LETTER[request.sex],
        mother_last_name=request.mother_last_name,
    )
    found = compare(claim, person)
    return identity_pb2.VerifyPersonResponse(
        last_name=_MATCH[found.last_name],
        first_names=_MATCH[found.first_names],
        birth_date=_MATCH[found.birth_date],
        sex=_MATCH[found.sex],
        mother_last_name=_MATCH[found.mother_last_name],
        score=found.score,
    )
