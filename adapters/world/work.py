"""Employers, contracts and whoever seeks work (DOMAIN sections 1.5 and 6).

Ordinals of people tell what they may become, so that nobody is hired twice and nobody who seeks work has any, without a
list of who was taken: foreigners by their own sequence, of the others the even ones work, three in eight learn, one in
eight seeks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

from adapters.world import places, trades
from adapters.world.draws import Draws
from adapters.world.firms import Entry, Firms
from adapters.world.people import FOREIGN_AT, FOREIGN_EVERY, Citizen, People, is_foreign
from adapters.world.records.business import BusinessStatus
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
from adapters.world.roles import ADULT_DAYS, iso

SMIG_XOF: Final = 52_000
PERMIT_DAYS: Final = 365

# Of twenty contracts; 7 goes through all of them in no visible order.
_TYPES: Final = (
    *(ContractType.CDI,) * 5, *(ContractType.CDD,) * 10, *(ContractType.APPRENTICESHIP,) * 4, ContractType.FOREIGN,
)  # fmt: skip
_STATES: Final = (
    *(ContractState.GRANTED,) * 88, *(ContractState.REJECTED,) * 5, *(ContractState.UNDER_REVIEW,) * 4,
    *(ContractState.CORRECTION_REQUESTED,) * 2, ContractState.INTERVIEW_REQUIRED,
)  # fmt: skip
_DECIDED: Final = frozenset({ContractState.GRANTED, ContractState.REJECTED})
_REASONS: Final = (
    "contrat non signé par le travailleur",
    "clause de durée imprécise", "certificat médical manquant",
)  # fmt: skip
_CONTRIBUTIONS: Final = (
    *(Contributions.LATE,) * 12, *(Contributions.UNKNOWN,) * 5, *(Contributions.UP_TO_DATE,) * 83,
)  # fmt: skip
_APPRENTICE_DAYS: Final = 14 * 365 + 5
_OLDEST_APPRENTICE_DAYS: Final = 24 * 365
_RETIRED_DAYS: Final = 60 * 365
_DIPLOMAS: Final = (
    *(Diploma.NONE,) * 3, *(Diploma.CEP,) * 3, *(Diploma.BEPC,) * 4, *(Diploma.VOCATIONAL,) * 3,
    *(Diploma.BAC,) * 4, *(Diploma.LICENCE,) * 2, Diploma.MASTER,
)  # fmt: skip

# e to the power of 0.9 z, in thousandths, for z from -3 to 3 in fortieths. decimal rounds alike everywhere, libm does not
_STEPS: Final = 40
_LOG_NORMAL: Final = tuple(
    int((Decimal(z) * Decimal("0.9") / _STEPS).exp() * 1000) for z in range(-3 * _STEPS, 3 * _STEPS + 1)
)


class Hiring(NamedTuple):
    """A contract with all that comes with it."""

    contract: Contract
    affiliations: tuple[Affiliation, ...]
    permits: tuple[WorkPermit, ...]


class Work:
    """All employers, contracts and job seekers but the personas'; ``first`` is the ordinal of the first contract."""

    def __init__(
        self, seed: int, people: People, firms: Firms, first: int, size: int, seekers: int, day: date
    ) -> None:
        self._seed = seed
        self._people = people
        self._firms = firms
        self._first = first
        self._today = day.toordinal()
        self._seekers = seekers
        self.size = size

    def employers(self) -> Iterator[Employer]:
        """Firms that have workers."""
        return (employer(self._seed, entry) for entry in self._firms if entry.firm.cnss_employer_no)

    def hirings(self) -> Iterator[Hiring]:
        """Contracts by ordinal; fewer than asked for in a country too small."""
        today = self._today
        grown = self._aged((0, 2, 4, 6), ADULT_DAYS + 400, _RETIRED_DAYS)
        learning = self._aged((1, 3, 5), _APPRENTICE_DAYS + 400, _OLDEST_APPRENTICE_DAYS)
        foreigners = range(FOREIGN_AT, self._people.size, FOREIGN_EVERY)
        abroad = (one for one in map(self._people.citizen, foreigners) if one.stands)
        for ordinal in range(self._first, self.size):
            kind = _TYPES[ordinal * 7 % 20]
            workers = {ContractType.APPRENTICESHIP: learning, ContractType.FOREIGN: abroad}.get(kind, grown)
            worker = next(workers, None)
            if worker is None:
                kind, worker = ContractType.CDD, next(grown, None)
            draws = Draws(self._seed, b"contract", ordinal)
            entry = self._employer(draws)
            if worker is None or entry is None:
                return
            age = _APPRENTICE_DAYS if kind is ContractType.APPRENTICESHIP else ADULT_DAYS
            hired = date.fromisoformat(entry.firm.registered_on).toordinal() + 10
            state = draws.pick(_STATES)
            recent = 20 if state not in _DECIDED else 1_000
            start = min(max(today - 15 - draws.below(recent), worker.born + age, hired), today)
            yield self._hiring(draws, ordinal, kind, state, entry, worker, start)

    def job_seekers(self) -> Iterator[JobSeeker]:
        """People without work who are on the list."""
        found = self._aged((7,), ADULT_DAYS + 250, _RETIRED_DAYS)
        for number, one in enumerate(islice(found, self._seekers)):
            draws = Draws(self._seed, b"seeker", one.ordinal)
            registered = self._today - draws.below(240)
            yield JobSeeker(
                f"DE-{date.fromordinal(registered).year}-{9_000_100 + number}",
                one.record.npi,
                draws.pick(_DIPLOMAS),
                draws.pick(draws.pick(trades.TRADES).posts)[1],
                places.COMMUNE_CODES[one.record.residence_town],
                iso(registered),
                iso(registered + 183),
            )

    def _aged(self, residues: Collection[int], youngest: int, oldest: int) -> Iterator[Citizen]:
        """People of some ordinals who may work and are of an age in days, on the world's day."""
        for ordinal in range(self._people.size):
            if ordinal % 8 in residues and not is_foreign(ordinal):
                one = self._people.citizen(ordinal)
                if youngest <= self._today - one.born <= oldest and one.stands:
                    yield one

    def _employer(self, draws: Draws) -> Entry | None:
        for _ in range(200):
            number = self._firms.pick(draws, 600)
            if number is None:
                return None
            entry = self._firms.entry(number)
            if entry.firm.cnss_employer_no and entry.firm.status is BusinessStatus.ACTIVE:
                return entry
        return None

    def _hiring(
        self,
        draws: Draws,
        ordinal: int,
        kind: ContractType,
        state: ContractState,
        entry: Entry,
        worker: Citizen,
        start: int,
    ) -> Hiring:
        firm, granted = entry.firm, state is ContractState.GRANTED
        end = _end(draws, kind, start)
        filed = start - draws.between(1, 12)
        decided = filed + draws.between(1, 14) if state in _DECIDED else 0
        left = 0
        if granted and start < self._today - 120 and draws.chance(120):
            left = start + 60 + draws.below(min(self._today, end or self._today) - start - 60)
        permits: tuple[WorkPermit, ...] = ()
        if kind is ContractType.FOREIGN:
            permits = tuple(_permits(draws, ordinal, worker, firm.ifu, start, left or end, self._today))
        affiliations = _affiliations(draws, worker, start) if granted else ()
        post, code = draws.pick(entry.trade.posts)
        month = f"{date.fromordinal(filed):%Y%m}"
        visa_month = f"{date.fromordinal(decided or filed):%Y%m}"
        contract = Contract(
            ordinal=ordinal,
            reference=f"DGT-{month}-{90_000_000 + ordinal}",
            visa_no=f"VISA-{visa_month}-{90_000_000 + ordinal}" if granted else "",
            state=state,
            type=kind,
            employer=firm.ordinal,
            employer_ifu=firm.ifu,
            cnss_employer_no=firm.cnss_employer_no,
            inspectorate_code=firm.seat.department_code,
            worker_npi=worker.record.npi,
            cnss_worker_no=affiliations[-1].cnss_worker_no if affiliations else "",
            work_permit_no=permits[0].number if permits else "",
            post=f"Apprenti {post.lower()}" if kind is ContractType.APPRENTICESHIP else post,
            occupation_code=code,
            signed_on=iso(filed - draws.below(10)),
            start_date=iso(start),
            end_date=iso(end) if end else "",
            left_on=iso(left) if left else "",
            salary_xof=_salary(draws, kind),
            full_time=draws.chance(900),
            medical_fit=state is not ContractState.REJECTED or draws.chance(700),
            contract_sha256=hashlib.sha256(b"%d/contract/%d" % (self._seed, ordinal)).hexdigest(),
            filed_on=iso(filed),
            decided_on=iso(decided) if decided else "",
            reason=draws.pick(_REASONS) if state is ContractState.REJECTED else "",
        )
        return Hiring(contract, affiliations, permits)


def employer(seed: int, entry: Entry) -> Employer:
    """The employer that a firm with workers is."""
    firm = entry.firm
    draws = Draws(seed, b"employer", firm.ordinal)
    bands = tuple(HeadcountBand)[1:]
    chance = draws.below(100)
    band = bands[0] if not firm.capital_xof else bands[(chance >= 45) + (chance >= 85) + (chance >= 97)]
    return Employer(
        firm.ordinal,
        firm.name,
        firm.ifu,
        firm.rccm,
        firm.cnss_employer_no,
        entry.trade.sector,
        band,
        firm.seat.department_code,
        firm.registered_on,
        _CONTRIBUTIONS[draws.below(100)],
    )


def _end(draws: Draws, kind: ContractType, start: int) -> int:
    """The last day; 0 without term. Apprentices learn for up to four years, foreigners begin with up to two."""
    if kind is ContractType.CDI:
        return 0
    if kind is ContractType.APPRENTICESHIP:
        return start + draws.between(12, 47) * 30
    return start + draws.between(3, 24) * 30


def _salary(draws: Draws, kind: ContractType) -> int:
    """Log-normal above the SMIG, in whole 500 F; half of the workers have less than 45,000 F more than it."""
    # The sum of twelve draws is as normal as a salary.
    z = (sum(draws.word() for _ in range(12)) * _STEPS >> 32) - 6 * _STEPS
    above = 3_000 if kind is ContractType.APPRENTICESHIP else 45_000
    return SMIG_XOF + above * _LOG_NORMAL[max(0, min(z + 3 * _STEPS, 6 * _STEPS))] // 500_000 * 500


def _affiliations(draws: Draws, worker: Citizen, start: int) -> tuple[Affiliation, ...]:
    """One number, or two for one worker in a hundred: he was registered again, and works under the second."""
    number = 9_000_000_000 + worker.ordinal * 10
    last = Affiliation(worker.record.npi, str(number), iso(start))
    if not draws.chance(10):
        return (last,)
    earlier = last._replace(affiliated_on=iso(start - 400))
    return earlier, last._replace(cnss_worker_no=str(number + 5))


def _permits(
    draws: Draws, ordinal: int, worker: Citizen, ifu: str, start: int, end: int, today: int
) -> Iterator[WorkPermit]:
    """The first holds at the start; it is renewed while the work goes on, but for one in ten."""
    begins = start - draws.between(1, 30)
    for renewal in range(10):
        number = f"PT-{date.fromordinal(begins).year}-{9_000_000 + ordinal % 99_999 * 10 + renewal}"
        last = begins + PERMIT_DAYS - 1
        yield WorkPermit(number, worker.record.npi, worker.record.nationality, ifu, iso(begins), iso(last))
        begins = last + 1
        if begins > min(today, end or today) or draws.chance(100):
            return
