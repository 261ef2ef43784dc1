"""What makes a contract of employment fit for its visa: rules over one contract, no store, no road.

DOMAIN 1.5 and 4.4. A rule returns the fields at fault, each with what it must be, in the form in which
``InvalidFieldsError`` tells them; no value is ever repeated. What only speaks against a contract is a ``Caution``:
the officer looks at it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from adapters.labour.days import add_years, earliest
from adapters.labour.ruleset import Ruleset

Faults = dict[str, str]


class ContractKind(StrEnum):
    """Kind of contract, as the register writes it."""

    CDI = "cdi"
    CDD = "cdd"
    APPRENTICESHIP = "apprenticeship"
    FOREIGN = "foreign"
    SEASONAL = "seasonal"


# These are for a term by what they are; a foreigner's may be either.
FOR_A_TERM: Final = frozenset({ContractKind.CDD, ContractKind.APPRENTICESHIP, ContractKind.SEASONAL})


class Caution(StrEnum):
    """What speaks against a contract without refusing it."""

    OVERLAPPING_CONTRACT = "overlapping_contract"
    CONTRIBUTIONS_LATE = "contributions_late"
    ALREADY_BEGUN = "already_begun"


@dataclass(frozen=True, slots=True)
class Term:
    """From the first day of work to the last, both included; ``end`` is None without term."""

    start: date
    end: date | None

    def overlaps(self, other: Term) -> bool:
        """Whether some day belongs to both."""
        return (self.end is None or other.start <= self.end) and (
            other.end is None or self.start <= other.end
        )

    def holds(self, day: date) -> bool:
        """Whether ``day`` belongs to it."""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True)
class Contract:
    """What the rules judge of a contract. ``salary_xof`` is for a month and is S3: it goes nowhere else."""

    kind: ContractKind
    signed_on: date
    term: Term
    salary_xof: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Permit:
    """A work permit of one person, ``PT-2026-000123``; ``term`` is when it is in force."""

    permit_no: str
    npi: str = field(repr=False)
    term: Term


def contract_faults(contract: Contract, rules: Ruleset) -> Faults:
    """What is wrong with the contract itself, whoever the two parties are."""
    faults: Faults = {}
    start, end = contract.term.start, contract.term.end
    if contract.salary_xof < rules.smig_on(contract.signed_on):
        faults["salary_xof"] = "must not be below the SMIG in force on the day of signature"
    if end is None:
        if contract.kind in FOR_A_TERM:
            faults["end_date"] = "a contract for a term, a season or an apprenticeship needs an end"
    elif contract.kind is ContractKind.CDI:
        faults["end_date"] = "a contract without term has no end"
    elif end <= start:
        faults["end_date"] = "must be after the start"
    elif contract.kind is ContractKind.APPRENTICESHIP and end > add_years(start, rules.apprentices.max_years):
        faults["end_date"] = f"an apprenticeship lasts {rules.apprentices.max_years} years at most"
    return faults


def apprentice_faults(contract: Contract, birth_date: str, rules: Ruleset) -> Faults:
    """Whether an apprentice is too young at the start.

    Args:
        contract: His contract; of another kind it is never at fault.
        birth_date: ``1987-04-12``, ``1987-04``, ``1987`` or empty, as ANIP knows it. Whoever may be old enough passes:
            the officer sees him.
        rules: The lowest age.
    """
    min_age = rules.apprentices.min_age
    if contract.kind is not ContractKind.APPRENTICESHIP or not birth_date:
        return {}
    if add_years(earliest(birth_date), min_age) <= contract.term.start:
        return {}
    return {"worker_npi": f"an apprentice is {min_age} years old at the start, or older"}


def permit_faults(permit: Permit | None, worker_npis: Container[str], start: date) -> Faults:
    """Whether a foreigner may work from ``start`` on; a permit of somebody else is told as one that is not there.

    ``worker_npis`` are his numbers: two if one was merged into the other.
    """
    if permit is not None and permit.npi in worker_npis and permit.term.holds(start):
        return {}
    return {"work_permit_no": "must be the worker's, and in force on the first day of work"}


def foreigner_faults(term: Term, first_permit: date, rules: Ruleset) -> Faults:
    """Whether a foreigner has a contract without term too early.

    Args:
        term: The contract's.
        first_permit: First day of his first work permit.
        rules: For how long contracts for a term alone are allowed.
    """
    years = rules.foreigners.fixed_term_years
    if term.end is not None or term.start >= add_years(first_permit, years):
        return {}
    return {"end_date": f"a foreigner's contract needs an end in his first {years} years"}


def cautions(
    contract: Contract, *, others: Iterable[Term], contributions_late: bool, today: date
) -> list[Caution]:
    """What the officer should look at, in the order of the proto.

    Args:
        contract: The contract.
        others: The worker's other contracts; only those for a term count.
        contributions_late: What the CNSS says of the employer.
        today: The day of filing.
    """
    found = []
    if any(other.end is not None and contract.term.overlaps(other) for other in others):
        found.append(Caution.OVERLAPPING_CONTRACT)
    if contributions_late:
        found.append(Caution.CONTRIBUTIONS_LATE)
    if contract.term.start < today:
        found.append(Caution.ALREADY_BEGUN)
    return found
