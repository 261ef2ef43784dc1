"""Benin's departments and communes, as far as the seeds need them.

Names and numbers of arrondissements: DOMAIN section 6. The weights follow the population and are estimates
(D); names of arrondissements are the official ones where a town numbers them or DOMAIN lists them, else the
commune's name and a number. Everything is in the register's spelling: capitals, no accents.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Commune(NamedTuple):
    """One of the 77 communes, with the names of its arrondissements."""

    name: str
    arrondissements: tuple[str, ...]


class Department(NamedTuple):
    """One of the 12 departments: ``weight`` in thousandths of the people, ``region`` picks their names."""

    code: str
    name: str
    weight: int
    region: str
    communes: tuple[Commune, ...]


_ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
_NUMBERED: Final = frozenset({"COTONOU", "PARAKOU", "PORTO-NOVO"})
_NAMED: Final = {
    "ABOMEY-CALAVI": (
        "AKASSATO", "GODOMEY", "GOLO-DJIGBE", "HEVIE", "KPANROUN", "OUEDO", "TOGBA", "ZINVIE",
        "ABOMEY-CALAVI",
    ),
}  # fmt: skip


def _arrondissements(commune: str, count: int) -> tuple[str, ...]:
    if commune in _NAMED:
        return _NAMED[commune]
    if commune in _NUMBERED:
        return ("1ER ARRONDISSEMENT", *(f"{number}EME ARRONDISSEMENT" for number in range(2, count + 1)))
    return tuple(f"{commune} {numeral}" for numeral in _ROMAN[:count])


def _department(code: str, name: str, weight: int, region: str, communes: str) -> Department:
    """``communes`` is written ``KANDI 10, KARIMAMA 5``: name and number of arrondissements."""
    parsed = []
    for entry in communes.split(", "):
        commune, count = entry.rsplit(" ", 1)
        parsed.append(Commune(commune, _arrondissements(commune, int(count))))
    return Department(code, name, weight, region, tuple(parsed))


DEPARTMENTS: Final = (
    _department(
        "AL", "ALIBORI", 80, "north",
        "BANIKOARA 10, GOGOUNOU 6, KANDI 10, KARIMAMA 5, MALANVILLE 5, SEGBANA 5",
    ),
    _department(
        "AK", "ATACORA", 70, "north",
        "BOUKOUMBE 7, COBLY 4, KEROU 4, KOUANDE 6, MATERI 6, NATITINGOU 9, OUASSA-PEHUNCO 3, TANGUIETA 5, "
        "TOUCOUNTOUNA 3",
    ),
    _department(
        "AQ", "ATLANTIQUE", 150, "south",
        "ABOMEY-CALAVI 9, ALLADA 12, KPOMASSE 9, OUIDAH 10, SO-AVA 7, TOFFO 10, TORI-BOSSITO 6, ZE 11",
    ),
    _department(
        "BO", "BORGOU", 121, "north",
        "BEMBEREKE 5, KALALE 6, N'DALI 5, NIKKI 7, PARAKOU 3, PERERE 6, SINENDE 4, TCHAOUROU 7",
    ),
    _department(
        "CO", "COLLINES", 66, "centre",
        "BANTE 9, DASSA-ZOUME 10, GLAZOUE 10, OUESSE 9, SAVALOU 14, SAVE 8",
    ),
    _department(
        "KO", "COUFFO", 68, "south",
        "APLAHOUE 7, DJAKOTOMEY 10, DOGBO 7, KLOUEKANME 8, LALO 11, TOVIKLIN 7",
    ),
    _department("DO", "DONGA", 50, "north", "BASSILA 4, COPARGO 4, DJOUGOU 12, OUAKE 6"),
    _department("LI", "LITTORAL", 112, "south", "COTONOU 13"),
    _department("MO", "MONO", 46, "south", "ATHIEME 5, BOPA 7, COME 5, GRAND-POPO 7, HOUEYOGBE 6, LOKOSSA 5"),
    _department(
        "OU", "OUEME", 118, "south",
        "ADJARRA 6, ADJOHOUN 8, AGUEGUES 3, AKPRO-MISSERETE 5, AVRANKOU 7, BONOU 5, DANGBO 7, PORTO-NOVO 5, "
        "SEME-PODJI 6",
    ),
    _department("PL", "PLATEAU", 56, "nago", "ADJA-OUERE 6, IFANGNI 6, KETOU 6, POBE 5, SAKETE 6"),
    _department(
        "ZO", "ZOU", 63, "south",
        "ABOMEY 7, AGBANGNIZOUN 10, BOHICON 10, COVE 8, DJIDJA 12, OUINHI 4, ZAGNANADO 6, ZA-KPOTA 8, "
        "ZOGBODOMEY 11",
    ),
)  # fmt: skip

# ISO 3166-1 alpha-3, capital: where the foreigners and some of the travelled were born.
NEIGHBOURS: Final = (
    ("TGO", "LOME"), ("NGA", "LAGOS"), ("NER", "NIAMEY"), ("BFA", "OUAGADOUGOU"), ("GHA", "ACCRA"),
    ("CIV", "ABIDJAN"),
)  # fmt: skip
