"""Employers, contracts and job seekers, as the Ministry of Labour (MTFP) and the CNSS hold them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class HeadcountBand(StrEnum):
    """How many work there (``HEADCOUNT_BAND_1_TO_9``)."""

    NONE = "NONE"
    FROM_1_TO_9 = "1_TO_9"
    FROM_10_TO_49 = "10_TO_49"
    FROM_50_TO_249 = "50_TO_249"
    FROM_250 = "250_AND_MORE"


class Contributions(StrEnum):
    """Whether contributions are paid, as the CNSS says."""

    UP_TO_DATE = "UP_TO_DATE"
    LATE = "LATE"
    UNKNOWN = "UNKNOWN"


class Diploma(StrEnum):
    """Highest diploma."""

    NONE = "NONE"
    CEP = "CEP"
    BEPC = "BEPC"
    VOCATIONAL = "VOCATIONAL"
    BAC = "BAC"
    LICENCE = "LICENCE"
    MASTER = "MASTER"


class ContractType(StrEnum):
    """Kind of contract."""

    CDI = "CDI"
    CDD = "CDD"
    APPRENTICESHIP = "APPRENTICESHIP"
    FOREIGN = "FOREIGN"
    SEASONAL = "SEASONAL"


class ContractState(StrEnum):
    """Where a contract's visa stands, in the words of ``bj.common.v1.DossierState``."""

    UNDER_REVIEW = "UNDER_REVIEW"
    CORRECTION_REQUESTED = "CORRECTION_REQUESTED"
    INTERVIEW_REQUIRED = "INTERVIEW_REQUIRED"
    GRANTED = "GRANTED"
    REJECTED = "REJECTED"


class VisaEventKind(StrEnum):
    """What happened to a visa (``VisaEventType``)."""

    FILED = "FILED"
    CORRECTION_REQUESTED = "CORRECTION_REQUESTED"
    INTERVIEW_REQUIRED = "INTERVIEW_REQUIRED"
    VISED = "VISED"
    REJECTED = "REJECTED"
    OVERDUE = "OVERDUE"
    PERMIT_EXPIRING = "PERMIT_EXPIRING"


class Employer(NamedTuple):
    """An employer: a firm of the trade register that has workers."""

    firm: int
    name: str
    ifu: str
    rccm: str
    cnss_employer_no: str
    sector: str
    headcount: HeadcountBand
    inspectorate_code: str
    """The department, ``LI``: inspectorates are departmental."""
    registered_on: str
    contributions: Contributions

    def __repr__(self) -> str:
        return f"Employer({self.cnss_employer_no})"  # the name of a sole trade is a person's


class Affiliation(NamedTuple):
    """A worker's number at the CNSS; one worker in a hundred has two."""

    npi: str
    cnss_worker_no: str
    affiliated_on: str

    def __repr__(self) -> str:
        return "Affiliation(…)"


class WorkPermit(NamedTuple):
    """Leave for a foreigner to work: twelve months, renewable."""

    number: str
    npi: str
    nationality: str
    employer_ifu: str
    valid_from: str
    valid_until: str

    def __repr__(self) -> str:
        return "WorkPermit(…)"


class Contract(NamedTuple):
    """A contract of employment handed in for its visa.

    ``visa_no`` and ``decided_on`` are empty while it is undecided, ``reason`` unless it was rejected, ``end_date``
    without term, ``left_on`` unless the worker left, ``work_permit_no`` unless the worker is a foreigner.
    """

    ordinal: int
    reference: str
    """Of its dossier, ``DGT-202503-0042``."""
    visa_no: str
    """``VISA-202503-0042``."""
    state: ContractState
    type: ContractType
    employer: int
    """Ordinal of the employer's firm."""
    employer_ifu: str
    cnss_employer_no: str
    inspectorate_code: str
    worker_npi: str
    cnss_worker_no: str
    work_permit_no: str
    post: str
    occupation_code: str
    signed_on: str
    start_date: str
    end_date: str
    left_on: str
    salary_xof: int
    full_time: bool
    medical_fit: bool
    contract_sha256: str
    filed_on: str
    decided_on: str
    reason: str

    def __repr__(self) -> str:
        return f"Contract({self.reference})"


class JobSeeker(NamedTuple):
    """Somebody on the list of job seekers; the entry holds for six months."""

    seeker_no: str
    npi: str
    diploma: Diploma
    occupation_code: str
    commune_code: str
    registered_on: str
    valid_until: str

    def __repr__(self) -> str:
        return "JobSeeker(…)"


class VisaEvent(NamedTuple):
    """Something that happened to a contract's visa, or to the permit behind it."""

    kind: VisaEventKind
    reference: str
    employer_ifu: str
    inspectorate_code: str
    visa_no: str
    occurred_on: str
    changed_fields: tuple[str, ...]
    worker_npi: str
    """For links of subscribers only: the event does not tell it."""

    def __repr__(self) -> str:
        return f"VisaEvent({self.kind}, {self.reference})"
