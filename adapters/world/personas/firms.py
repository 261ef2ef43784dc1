"""What the personas run."""

from __future__ import annotations

from typing import Final

from adapters.world import places
from adapters.world.firms import Entry
from adapters.world.names import as_written
from adapters.world.personas.people import full_name, npi_of, record_of, written_names
from adapters.world.records.business import BusinessStatus, Firm, LegalForm, Relation, RelationRole, TaxRegime
from adapters.world.trades import TRADES

COMPANY: Final = ("Sonagnon Services", "3202090000115")
"""Name and tax number of the personas' company, which also owns and takes part."""

_TRADES: Final = {trade.word: trade for trade in TRADES}


def _firm(
    ordinal: int,
    form: LegalForm,
    rccm: str,
    ifu: str,
    name: str,
    trade: str,
    seat: str,
    registered_on: str,
    *roles: tuple[RelationRole, int, int, str],
    status: BusinessStatus = BusinessStatus.ACTIVE,
    struck_off_on: str = "",
    hires: bool = False,
    seat_nup: str = "",
    owner: int = 0,
    **fields: str,
) -> Entry:
    """``roles`` are: role, persona, share in the capital, last day; one of persona 0 is the company's."""
    record = record_of(npi_of(owner)) if owner else None
    capital = sum(share for _, _, share, _ in roles)
    firm = Firm(
        ordinal=ordinal,
        rccm=rccm,
        ifu=ifu,
        name=name,
        trade_name=fields.get("trade_name", ""),
        sign=fields.get("sign", ""),
        legal_form=form,
        status=status,
        capital_xof=capital,
        activity=_TRADES[trade].activity,
        seat=places.place(seat),
        seat_line="Carré 1204",
        seat_nup=seat_nup,
        registered_on=registered_on,
        struck_off_on=struck_off_on,
        court=rccm.split("/")[1],
        cnss_employer_no=f"9{ordinal + 1:06d}" if hires else "",
        regime=TaxRegime.REAL if capital else TaxRegime.TPS,
        on_paper=registered_on < "2015",
        phone=f"+22901000001{ordinal:02d}",
        email="",
        owner_birth_date=record.birth_date if record else "",
        owner_birth_place=record.birth_place if record else "",
    )
    relations = tuple(_relation(firm, *role) for role in roles)
    return Entry(firm, _TRADES[trade], relations)


def _relation(firm: Firm, role: RelationRole, person: int, share: int, until: str) -> Relation:
    last, first = written_names(npi_of(person))
    marital = as_written(record_of(npi_of(person)).marital_name) if person else ""
    name, ifu = ("", "") if person else COMPANY
    since = firm.registered_on
    if role is RelationRole.MANAGER and (firm.ordinal, person) == (7, 11):
        since = "2024-03-31"
    until = until or firm.struck_off_on
    npi = npi_of(person) if person else ""
    return Relation(firm.ordinal, firm.rccm, role, npi, last, first, marital, ifu, name, share, since, until)


_MANAGER, _PARTNER, _OWNER = RelationRole.MANAGER, RelationRole.PARTNER, RelationRole.OWNER
_DIRECTOR, _AUDITOR = RelationRole.DIRECTOR, RelationRole.AUDITOR

ENTRIES: Final = (
    _firm(
        0, LegalForm.SARL, "RB/COT/20 B 900001", COMPANY[1], COMPANY[0], "Informatique", "LI-COT-05-001",
        "2020-02-24", (_MANAGER, 14, 0, ""), (_PARTNER, 14, 600_000, ""), (_PARTNER, 1, 400_000, ""),
        hires=True, seat_nup="900000016",
    ),
    _firm(
        1, LegalForm.EI, "RB/COT/18 A 900002", "1201890000207", full_name(npi_of(1)), "Mécanique", "LI-COT-04-003",
        "2018-06-11", (_OWNER, 1, 0, ""), owner=1, trade_name="Mécanique Adjovi",
    ),
    _firm(
        2, LegalForm.EI, "RB/PNO/21 A 900003", "2202190000304", full_name(npi_of(17)), "Couture", "OU-PNO-01-007",
        "2021-09-20", (_OWNER, 17, 0, ""), owner=17, hires=True, sign="Chez Rafiatou",
    ),
    _firm(
        3, LegalForm.SARLU, "RB/COT/26 B 900004", "", "Gbaguidi Énergie Avenir", "Énergie", "AQ-CAL-02-001",
        "2026-05-04", (_MANAGER, 6, 0, ""), (_PARTNER, 6, 500_000, ""),
    ),
    _firm(
        4, LegalForm.SA, "RB/COT/12 B 900005", "3201290000511", "Comptoir du Golfe de Test", "Négoce",
        "LI-COT-12-001", "2012-03-15", (_MANAGER, 13, 0, ""), (_PARTNER, 13, 5_000_000, ""),
        (_PARTNER, 8, 5_000_000, ""), (_DIRECTOR, 13, 0, ""), (_DIRECTOR, 8, 0, ""), (_DIRECTOR, 11, 0, ""),
        (_AUDITOR, 20, 0, ""),
        status=BusinessStatus.STRUCK_OFF, struck_off_on="2023-12-29", hires=True,
    ),
    _firm(
        5, LegalForm.COOP, "RB/PAR/19 K 900006", "3201990000612", "Coopérative des éleveurs de test", "Élevage",
        "BO-PAR-01-001", "2019-11-04", (_MANAGER, 18, 0, ""), (_PARTNER, 18, 100_000, ""),
        (_PARTNER, 4, 100_000, ""),
    ),
    _firm(
        6, LegalForm.EI, "RB/ABO/08 A 900007", "2200890000703", full_name(npi_of(2)), "Restauration", "ZO-BOH-01-004",
        "2008-01-21", (_OWNER, 2, 0, ""), owner=2, status=BusinessStatus.SUSPENDED,
    ),
    _firm(
        7, LegalForm.SARL, "RB/LOK/16 B 900008", "3201690000814", "Kpadonou Agro Excellence", "Agro",
        "MO-LOK-01-001", "2016-07-12", (_MANAGER, 10, 0, "2024-03-31"), (_MANAGER, 11, 0, ""),
        (_PARTNER, 11, 1_500_000, ""), (_PARTNER, 9, 500_000, ""),
    ),
    _firm(
        8, LegalForm.ENTREPRENANT, "RB/NAT/24 E 900009", "2202490000905", full_name(npi_of(19)), "Coiffure",
        "AK-NAT-01-001", "2024-04-08", (_OWNER, 19, 0, ""), owner=19,
    ),
    _firm(
        9, LegalForm.SARL, "RB/PNO/22 B 900010", "3202290001019", "Ahouansou Transport Express", "Transport",
        "OU-PNO-01-007", "2022-10-03", (_MANAGER, 7, 0, ""), (_PARTNER, 7, 1_020_000, ""),
        (_PARTNER, 0, 980_000, ""), hires=True,
    ),
)  # fmt: skip
