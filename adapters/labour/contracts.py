"""Contracts and work permits in the register."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date

import sqlalchemy as sa

from adapters.labour.contract import Contract, ContractKind, Permit, Term
from adapters.labour.days import parse_day
from adapters.labour.tables import CONTRACTS, KIT, PERMITS

FILED = "filed"
VISED = "vised"
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class FiledContract:
    """A contract that was handed in for its visa.

    Attributes:
        reference: Its dossier.
        employer_id: The employer.
        worker_npi: The worker, by the number that ANIP knows him by now.
        worker_name: As ANIP writes it; empty until it was asked.
        work_permit_no: Of a foreigner; else empty.
        post: The post.
        contract: What the rules judge.
        is_fit: Whether a doctor found him fit. S3.
        contract_sha256: Of the paper.
        left_on: When the worker left, if he did.
        state: ``filed``, ``vised``, or ``closed`` without visa.
        visa_no: Of one that has its visa; else empty.
    """

    reference: str
    employer_id: int
    worker_npi: str = field(repr=False)
    worker_name: str = field(repr=False)
    work_permit_no: str
    post: str = field(repr=False)
    contract: Contract
    is_fit: bool = field(repr=False)
    contract_sha256: str
    left_on: str = ""
    state: str = FILED
    visa_no: str = ""


def enter_contract(tx: sa.Connection, filed: FiledContract, now_ms: int) -> None:
    """Enter a contract of a new dossier."""
    contract = filed.contract
    tx.execute(
        CONTRACTS.insert().values(
            reference=filed.reference,
            employer_id=filed.employer_id,
            worker_npi=filed.worker_npi,
            worker_name=filed.worker_name,
            work_permit_no=filed.work_permit_no,
            type=contract.kind,
            post=filed.post,
            signed_on=contract.signed_on.isoformat(),
            start_date=contract.term.start.isoformat(),
            end_date=contract.term.end.isoformat() if contract.term.end else "",
            left_on=filed.left_on,
            is_full_time=True,
            salary_xof=contract.salary_xof,
            is_fit=filed.is_fit,
            contract_sha256=filed.contract_sha256,
            state=filed.state,
            visa_no=filed.visa_no or None,
            changed_at=now_ms,
        )
    )


def contract_of(tx: sa.Connection, reference: str) -> FiledContract:
    """The contract of a dossier; ``LookupError`` if that dossier is about something else.

    Whoever changes it has locked the dossier first (``Dossiers.get``, or any move), so that no two do so at once.
    """
    row = tx.execute(sa.select(CONTRACTS).where(CONTRACTS.c.reference == reference)).first()
    if row is None:
        raise LookupError("no contract has this reference")
    return FiledContract(
        reference=row.reference,
        employer_id=row.employer_id,
        worker_npi=row.worker_npi,
        worker_name=row.worker_name,
        work_permit_no=row.work_permit_no,
        post=row.post,
        contract=Contract(
            kind=ContractKind(row.type),
            signed_on=parse_day(row.signed_on),
            term=_term(row.start_date, row.end_date),
            salary_xof=row.salary_xof,
        ),
        is_fit=row.is_fit,
        contract_sha256=row.contract_sha256,
        left_on=row.left_on,
        state=row.state,
        visa_no=row.visa_no or "",
    )


def other_terms(tx: sa.Connection, worker_npis: Collection[str], reference: str = "") -> list[Term]:
    """The terms of the worker's other full-time contracts, filed or with their visa.

    Args:
        tx: The transaction.
        worker_npis: His numbers: two if one was merged into the other.
        reference: The dossier whose contract is left out.
    """
    end = sa.case((CONTRACTS.c.left_on != "", CONTRACTS.c.left_on), else_=CONTRACTS.c.end_date)
    query = sa.select(CONTRACTS.c.start_date, end).where(
        CONTRACTS.c.worker_npi.in_(worker_npis),
        CONTRACTS.c.reference != reference,
        CONTRACTS.c.state.in_((FILED, VISED)),
        CONTRACTS.c.is_full_time,
    )
    return [_term(start, last) for start, last in tx.execute(query)]


def change_contract(tx: sa.Connection, reference: str, now_ms: int, **values: str | None) -> None:
    """Change columns of one contract."""
    tx.execute(
        CONTRACTS.update().where(CONTRACTS.c.reference == reference).values(**values, changed_at=now_ms)
    )


def client_of(tx: sa.Connection, reference: str) -> str:
    """Which subsystem handed it in; empty for one that came before there were dossiers."""
    query = sa.select(KIT.dossier.c.client).where(KIT.dossier.c.reference == reference)
    return tx.execute(query).scalar_one_or_none() or ""


def find_permit(tx: sa.Connection, permit_no: str) -> Permit | None:
    """The work permit of that number."""
    row = tx.execute(sa.select(PERMITS).where(PERMITS.c.permit_no == permit_no)).first()
    return Permit(row.permit_no, row.npi, _term(row.valid_from, row.valid_until)) if row else None


def first_permit_day(tx: sa.Connection, npis: Collection[str]) -> date | None:
    """The first day of somebody's first work permit."""
    query = sa.select(sa.func.min(PERMITS.c.valid_from)).where(PERMITS.c.npi.in_(npis))
    day = tx.execute(query).scalar_one_or_none()
    return parse_day(day) if day else None


def last_permit_day(tx: sa.Connection, npis: Collection[str]) -> date | None:
    """The last day of somebody's latest work permit; a renewal is a permit of another number."""
    query = sa.select(sa.func.max(PERMITS.c.valid_until)).where(PERMITS.c.npi.in_(npis))
    day = tx.execute(query).scalar_one_or_none()
    return parse_day(day) if day else None


def _term(start: str, end: str) -> Term:
    return Term(parse_day(start), parse_day(end) if end else None)
