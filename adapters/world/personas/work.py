"""What the personas work at."""

from __future__ import annotations

import hashlib
from typing import Final

from adapters.world.personas.firms import ENTRIES
from adapters.world.personas.people import FAR, npi_of
from adapters.world.records.labour import (
    Affiliation,
    Contract,
    ContractState,
    ContractType,
    Contributions,
    Diploma,
    Employer,
    HeadcountBand,
    JobSeeker,
    WorkPermit,
)
from adapters.world.work import Hiring


def _employer(firm: int, headcount: HeadcountBand, contributions: Contributions) -> Employer:
    entry = ENTRIES[firm].firm
    return Employer(
        firm, entry.name, entry.ifu, entry.rccm, entry.cnss_employer_no, ENTRIES[firm].trade.sector, headcount,
        entry.seat.department_code, entry.registered_on, contributions,
    )  # fmt: skip


EMPLOYERS: Final = (
    _employer(0, HeadcountBand.FROM_10_TO_49, Contributions.UP_TO_DATE),
    _employer(2, HeadcountBand.FROM_1_TO_9, Contributions.UP_TO_DATE),
    _employer(4, HeadcountBand.NONE, Contributions.UNKNOWN),
    _employer(9, HeadcountBand.FROM_10_TO_49, Contributions.LATE),
)


def _hiring(
    ordinal: int,
    worker: int,
    firm: int,
    kind: ContractType,
    post: tuple[str, str],
    start: str,
    salary_xof: int,
    *,
    state: ContractState = ContractState.GRANTED,
    end: str = "",
    reason: str = "",
    permits: tuple[tuple[str, str], ...] = (),
    twice: bool = False,
) -> Hiring:
    """``permits`` are first and last days, the newest first; ``twice``: affiliated under two numbers."""
    employer = ENTRIES[firm].firm
    granted = state is ContractState.GRANTED
    month = start[:4] + start[5:7]
    npi = npi_of(worker)
    numbers = [str(9_900_000_000 + worker)] * granted + [str(9_900_000_100 + worker)] * twice
    contract = Contract(
        ordinal=ordinal,
        reference=f"DGT-{month}-{90_000_000 + ordinal}",
        visa_no=f"VISA-{month}-{90_000_000 + ordinal}" if granted else "",
        state=state,
        type=kind,
        employer=firm,
        employer_ifu=employer.ifu,
        cnss_employer_no=employer.cnss_employer_no,
        inspectorate_code=employer.seat.department_code,
        worker_npi=npi,
        cnss_worker_no=numbers[-1] if numbers else "",
        work_permit_no=_permit_no(permits[0][0], worker) if permits else "",
        post=post[0],
        occupation_code=post[1],
        signed_on=start,
        start_date=start,
        end_date=end,
        left_on="",
        salary_xof=salary_xof,
        full_time=True,
        medical_fit=True,
        contract_sha256=hashlib.sha256(b"persona/contract/%d" % ordinal).hexdigest(),
        filed_on=start,
        decided_on=start if granted or reason else "",
        reason=reason,
    )
    return Hiring(
        contract,
        tuple(Affiliation(npi, number, start) for number in numbers),
        tuple(
            WorkPermit(_permit_no(first, worker), npi, "TGO", employer.ifu, first, last)
            for first, last in permits
        ),
    )


def _permit_no(first_day: str, worker: int) -> str:
    return f"PT-{first_day[:4]}-9000{worker:02d}"


HIRINGS: Final = (
    _hiring(0, 6, 0, ContractType.CDI, ("Développeur", "M1805"), "2022-02-01", 185_000),
    _hiring(1, 9, 0, ContractType.CDD, ("Technicien support", "I1401"), "2026-01-05", 120_000, end=FAR),
    _hiring(
        2, 16, 0, ContractType.FOREIGN, ("Développeur", "M1805"), "2026-01-15", 240_000, end=FAR,
        permits=(("2026-01-15", FAR), ("2024-01-15", "2025-01-14")),
    ),
    _hiring(3, 19, 2, ContractType.CDI, ("Couturier", "B1803"), "2023-03-01", 60_000, twice=True),
    _hiring(
        4, 8, 9, ContractType.CDD, ("Chauffeur poids lourd", "N4101"), "2026-11-02", 90_000,
        state=ContractState.UNDER_REVIEW, end=FAR,
    ),
    _hiring(
        5, 5, 9, ContractType.CDI, ("Comptable", "M1203"), "2026-06-01", 150_000,
        state=ContractState.REJECTED, reason="contrat non signé par le travailleur",
    ),
    _hiring(
        6, 11, 4, ContractType.CDD, ("Vendeur", "D1106"), "2022-01-03", 65_000, end="2022-12-31"
    ),
)  # fmt: skip

SEEKERS: Final = (
    JobSeeker("DE-2026-900007", npi_of(7), Diploma.BAC, "M1203", "OU-PNO", "2026-10-05", FAR),
    JobSeeker("DE-2025-900011", npi_of(11), Diploma.LICENCE, "K2106", "LI-COT", "2025-06-30", "2025-12-31"),
)
