"""The firms, each with the people behind it (DOMAIN sections 1.4 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from math import gcd
from typing import Final, NamedTuple

from adapters.world import places, trades
from adapters.world.draws import Draws, spread
from adapters.world.people import Citizen, People
from adapters.world.places import Arrondissement
from adapters.world.records.business import BusinessStatus, Firm, LegalForm, Relation, RelationRole, TaxRegime
from adapters.world.records.person import FEMALE
from adapters.world.reserved import EMAIL_DOMAIN, FIRST_RANK, PHONE_CC
from adapters.world.roles import Roles, iso
from adapters.world.sizes import MAX_RANKS

_STEP: Final = 61_807
_NAME_STEP: Final = 73_181
assert gcd(_STEP, MAX_RANKS) == gcd(_NAME_STEP, trades.NAMES) == 1  # noqa: S101 - of constants

# Of a hundred firms; 37 goes through all of them in no visible order.
_FORMS: Final = (
    *(LegalForm.EI,) * 86, *(LegalForm.SARL,) * 5, *(LegalForm.SARLU,) * 3, LegalForm.SA, LegalForm.SAS,
    *(LegalForm.ENTREPRENANT,) * 3, LegalForm.COOP,
)  # fmt: skip
_SOLE: Final = frozenset({LegalForm.EI, LegalForm.ENTREPRENANT})
_LETTERS: Final = {LegalForm.ENTREPRENANT: "E", LegalForm.EI: "A", LegalForm.GIE: "C", LegalForm.COOP: "K"}
_FIRST_DAY: Final = date(2006, 1, 2).toordinal()
# Entries of before the digital register are on paper.
_DIGITAL_SINCE: Final = "2015"
_CAPITALS: Final = (1_000_000, 2_000_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000)
_OTHER_DEPARTMENTS: Final = tuple(
    homes for homes in places.BY_WEIGHT if homes[0].code[:2] not in ("LI", "AQ")
)


class Entry(NamedTuple):
    """A firm with its trade and its people."""

    firm: Firm
    trade: trades.Trade
    relations: tuple[Relation, ...]


class Firms:
    """All firms but the personas'; ``first`` is the ordinal of the first of them."""

    def __init__(self, seed: int, people: People, first: int, size: int, day: date) -> None:
        self._seed = seed
        self._roles = Roles(people)
        self._first = first
        self._today = day.toordinal()
        self._kept = lru_cache(8_192)(self._draw)
        self.size = size

    def __iter__(self) -> Iterator[Entry]:
        return map(self._draw, range(self._first, self.size))

    def pick(self, draws: Draws, per_thousand_companies: int) -> int | None:
        """The ordinal of some firm, a company so often; none in a country without firms."""
        if self.size <= self._first:
            return None
        ordinal = self._first + draws.below(self.size - self._first)
        if draws.chance(per_thousand_companies):
            for other in range(ordinal, min(ordinal + 100, self.size)):
                if _form(other) not in _SOLE:
                    return other
        return ordinal

    def entry(self, ordinal: int) -> Entry:
        """That firm; those asked for last are kept, as employers are asked for again and again."""
        return self._kept(ordinal)

    def _draw(self, ordinal: int) -> Entry:
        draws = Draws(self._seed, b"firm", ordinal)
        form = _form(ordinal)
        seat, court = _seat(draws)
        # More of them every year.
        registered = self._today - 1 - draws.fraction(self._today - 1 - _FIRST_DAY)
        status, struck_off = self._status(draws, registered)
        head = self._roles.adult(draws, registered)
        if form in _SOLE:
            trade, name, capital = draws.pick(trades.TRADES), head.name, 0
        else:
            name, trade = trades.company_name(spread(self._seed, b"name", ordinal, trades.NAMES, _NAME_STEP))
            capital = 0 if form is LegalForm.GIE else draws.pick(_CAPITALS)
        rank = FIRST_RANK + spread(self._seed, b"rank", ordinal, MAX_RANKS, _STEP)
        year = date.fromordinal(registered).year
        sole = form in _SOLE
        ifu = "" if draws.chance(20) else _ifu(draws, form, head, year, rank)
        hires = draws.chance(300 if sole else 850) and ifu
        firm = Firm(
            ordinal=ordinal,
            rccm=f"RB/{court}/{year % 100:02d} {_LETTERS.get(form, 'B')} {rank}",
            ifu=ifu,
            name=name,
            trade_name=trades.trade_name(draws, head.last_name, trade) if sole else "",
            sign=f"Chez {head.first_names.split()[0]}" if sole and draws.chance(250) else "",
            legal_form=form,
            status=status,
            capital_xof=capital,
            activity=trade.activity,
            seat=seat.place(draws.below(seat.quarters)),
            seat_line=f"Carré {1 + draws.below(2500)}, maison {head.last_name}",
            seat_nup="",
            registered_on=iso(registered),
            struck_off_on=struck_off,
            court=court,
            cnss_employer_no=f"9{ordinal:06d}" if hires else "",
            regime=TaxRegime.TPS if sole and draws.chance(900) else TaxRegime.REAL,
            on_paper=iso(registered) < _DIGITAL_SINCE,
            phone=f"{PHONE_CC}0100{draws.below(10**6):06d}",
            email=f"contact{ordinal}@{EMAIL_DOMAIN}" if draws.chance(250) else "",
            owner_birth_date=head.record.birth_date if sole else "",
            owner_birth_place=head.record.birth_place if sole else "",
        )
        return Entry(firm, trade, tuple(self._relations(draws, firm, head, registered)))

    def _status(self, draws: Draws, registered: int) -> tuple[BusinessStatus, str]:
        chance = draws.below(100)
        if chance < 4 and registered < self._today - 400:
            return BusinessStatus.STRUCK_OFF, iso(
                registered + 200 + draws.below(self._today - registered - 200)
            )
        if chance < 7:
            return BusinessStatus.SUSPENDED, ""
        return (BusinessStatus.LIQUIDATION if chance < 8 else BusinessStatus.ACTIVE), ""

    def _relations(self, draws: Draws, firm: Firm, head: Citizen, registered: int) -> Iterator[Relation]:
        since, until = firm.registered_on, firm.struck_off_on
        if firm.legal_form in _SOLE:
            yield relation(firm, RelationRole.OWNER, head, since, until)
            return
        if (
            firm.status is not BusinessStatus.STRUCK_OFF
            and draws.chance(100)
            and registered < self._today - 60
        ):
            # The first manager left, the present one came.
            change = registered + 30 + draws.below(self._today - registered - 30)
            former = self._roles.adult(draws, registered)
            yield relation(firm, RelationRole.MANAGER, former, since, iso(change))
            yield relation(firm, RelationRole.MANAGER, head, iso(change), "")
        else:
            yield relation(firm, RelationRole.MANAGER, head, since, until)
        partners = [head]
        if firm.legal_form not in (LegalForm.SARLU, LegalForm.SAS):
            partners += [self._roles.adult(draws, registered) for _ in range(1 + draws.below(3))]
        for partner, share in zip(partners, _shares(draws, firm.capital_xof, len(partners)), strict=True):
            yield relation(firm, RelationRole.PARTNER, partner, since, until, share)
        if firm.legal_form is LegalForm.SA:
            for _ in range(3):
                yield relation(
                    firm, RelationRole.DIRECTOR, self._roles.adult(draws, registered), since, until
                )
            yield relation(firm, RelationRole.AUDITOR, self._roles.adult(draws, registered), since, until)


def relation(
    firm: Firm, role: RelationRole, person: Citizen, since: str, until: str = "", share_xof: int = 0
) -> Relation:
    """The role of ``person`` in ``firm``."""
    return Relation(
        firm.ordinal, firm.rccm, role, person.record.npi, person.last_name, person.first_names,
        person.marital_name, "", "", share_xof, since, until,
    )  # fmt: skip


def _form(ordinal: int) -> LegalForm:
    return _FORMS[ordinal * 37 % 100]


def _seat(draws: Draws) -> tuple[Arrondissement, str]:
    """Seven in ten are kept in Cotonou, whose court also has the firms of Abomey-Calavi."""
    if draws.chance(700):
        code = "LI-COT" if draws.chance(800) else "AQ-CAL"
        return draws.pick(places.COMMUNE_BY_CODE[code].arrondissements), "COT"
    seat = draws.pick(draws.pick(_OTHER_DEPARTMENTS))
    return seat, places.DEPARTMENT_BY_CODE[seat.code[:2]].court


def _ifu(draws: Draws, form: LegalForm, head: Citizen, year: int, rank: int) -> str:
    """Kind of holder, year, rank, branch (0 for persons), and a last digit whose computation nobody published."""
    kind = ("2" if head.record.sex == FEMALE else "1") if form in _SOLE else "3"
    return f"{kind}{year}{rank}{0 if form in _SOLE else 1}{draws.below(10)}"


def _shares(draws: Draws, capital: int, count: int) -> list[int]:
    """``count`` shares that sum to ``capital``: the first takes what the others leave."""
    others = [capital * draws.between(5, 20) // 100 for _ in range(count - 1)]
    return [capital - sum(others), *others]
