"""Benin's departments, communes, arrondissements and quarters.

Names of communes and numbers of arrondissements: DOMAIN section 6. The weights follow the population and are estimates
(D); names of arrondissements are the official ones where a town numbers them or DOMAIN lists them, else the commune's
name and a number. Codes are this project's after ISO 3166-2 (``administrative_code`` of rules.proto); a commune's three
letters also name its land book. How many of the 5,304 quarters an arrondissement has, and what they are called, is
invented. Coordinates (EPSG:32631) are those of some point of the department, in kilometres.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from adapters.world.names import registered
from adapters.world.records.places import Place

QUARTERS: Final = 5_304
_ARRONDISSEMENTS: Final = 546


class Arrondissement(NamedTuple):
    """One of the 546, ``LI-COT-05``; ``registered`` is how the register of persons writes where it lies."""

    code: str
    department: str
    commune: str
    name: str
    quarters: int
    region: str
    registered: tuple[str, str, str]
    """Department, town, district: ``LITTORAL``, ``COTONOU``, ``5EME ARRONDISSEMENT``."""

    def place(self, quarter: int) -> Place:
        """Its quarter of that number, from 0 (numbers begin anew after the last)."""
        number = quarter % self.quarters
        return Place(
            f"{self.code}-{number + 1:03d}", self.department, self.commune, self.name, QUARTER_NAMES[number]
        )


class Commune(NamedTuple):
    """One of the 77, ``LI-COT``."""

    code: str
    name: str
    arrondissements: tuple[Arrondissement, ...]


class Department(NamedTuple):
    """One of the 12: ``weight`` in thousandths of the people, ``region`` picks their names, ``court`` keeps its firms."""

    code: str
    name: str
    weight: int
    region: str
    court: str
    centre_km: tuple[int, int]
    communes: tuple[Commune, ...]

    @property
    def arrondissements(self) -> tuple[Arrondissement, ...]:
        """Those of all its communes."""
        return tuple(one for commune in self.communes for one in commune.arrondissements)


QUARTER_NAMES: Final = (
    "Centre", "Zongo", "Gare", "Marché", "Lycée", "Carrefour", "Plateau", "Mission", "Camp", "Rive",
)  # fmt: skip
REGISTERED_QUARTERS: Final = tuple(map(registered, QUARTER_NAMES))

_ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
_NUMBERED: Final = frozenset({"Cotonou", "Parakou", "Porto-Novo"})
_NAMED: Final = {
    "Abomey-Calavi": (
        "Akassato", "Godomey", "Golo-Djigbé", "Hêvié", "Kpanroun", "Ouèdo", "Togba", "Zinvié", "Abomey-Calavi",
    ),
}  # fmt: skip


def _names(commune: str, count: int) -> tuple[str, ...]:
    if commune in _NAMED:
        return _NAMED[commune]
    if commune in _NUMBERED:
        return ("1er arrondissement", *(f"{number}ème arrondissement" for number in range(2, count + 1)))
    return tuple(f"{commune} {numeral}" for numeral in _ROMAN[:count])


def _quarters(ordinal: int) -> int:
    """Nine or ten, so that all of them are 5,304."""
    return QUARTERS * (ordinal + 1) // _ARRONDISSEMENTS - QUARTERS * ordinal // _ARRONDISSEMENTS


def _departments(*rows: tuple[str, str, int, str, str, tuple[int, int], str]) -> tuple[Department, ...]:
    """Communes are written ``KAN Kandi 10, KAR Karimama 5``: letters, name, number of arrondissements."""
    ordinal, departments = 0, []
    for code, name, weight, region, court, centre, communes in rows:
        parsed = []
        for entry in communes.split(", "):
            letters, rest = entry.split(" ", 1)
            commune, count = rest.rsplit(" ", 1)
            arrondissements = []
            for number, arrondissement in enumerate(_names(commune, int(count)), 1):
                spelling = (registered(name), registered(commune), registered(arrondissement))
                arrondissements.append(
                    Arrondissement(
                        f"{code}-{letters}-{number:02d}", name, commune, arrondissement, _quarters(ordinal),
                        region, spelling,
                    )
                )  # fmt: skip
                ordinal += 1
            parsed.append(Commune(f"{code}-{letters}", commune, tuple(arrondissements)))
        departments.append(Department(code, name, weight, region, court, centre, tuple(parsed)))
    return tuple(departments)


DEPARTMENTS: Final = _departments(
    (
        "AL", "Alibori", 80, "north", "KAN", (490, 1240),
        "BNK Banikoara 10, GOG Gogounou 6, KAN Kandi 10, KAR Karimama 5, MAL Malanville 5, SEG Ségbana 5",
    ),
    (
        "AK", "Atacora", 70, "north", "NAT", (325, 1150),
        "BOU Boukoumbé 7, COB Cobly 4, KER Kérou 4, KDE Kouandé 6, MAT Matéri 6, NAT Natitingou 9, "
        "PEH Ouassa-Péhunco 3, TAN Tanguiéta 5, TOU Toucountouna 3",
    ),
    (
        "AQ", "Atlantique", 150, "south", "ALL", (415, 730),
        "CAL Abomey-Calavi 9, ALL Allada 12, KPO Kpomassè 9, OUI Ouidah 10, SOA Sô-Ava 7, TOF Toffo 10, "
        "TOR Tori-Bossito 6, ZEE Zè 11",
    ),
    (
        "BO", "Borgou", 121, "north", "PAR", (470, 1060),
        "BEM Bembèrèkè 5, KAL Kalalé 6, NDA N'Dali 5, NIK Nikki 7, PAR Parakou 3, PER Pèrèrè 6, "
        "SIN Sinendé 4, TCH Tchaourou 7",
    ),
    (
        "CO", "Collines", 66, "centre", "DAS", (415, 880),
        "BAN Bantè 9, DAS Dassa-Zoumè 10, GLA Glazoué 10, OUE Ouèssè 9, SAV Savalou 14, SVE Savè 8",
    ),
    (
        "KO", "Couffo", 68, "south", "APL", (355, 775),
        "APL Aplahoué 7, DJA Djakotomey 10, DOG Dogbo 7, KLO Klouékanmè 8, LAL Lalo 11, TOV Toviklin 7",
    ),
    (
        "DO", "Donga", 50, "north", "DJO", (355, 1060),
        "BAS Bassila 4, COP Copargo 4, DJO Djougou 12, OUA Ouaké 6",
    ),
    ("LI", "Littoral", 112, "south", "COT", (436, 704), "COT Cotonou 13"),
    (
        "MO", "Mono", 46, "south", "LOK", (370, 720),
        "ATH Athiémé 5, BOP Bopa 7, COM Comè 5, GPO Grand-Popo 7, HOU Houéyogbé 6, LOK Lokossa 5",
    ),
    (
        "OU", "Ouémé", 118, "south", "PNO", (460, 720),
        "ADJ Adjarra 6, ADH Adjohoun 8, AGU Aguégués 3, AKP Akpro-Missérété 5, AVR Avrankou 7, BON Bonou 5, "
        "DAN Dangbo 7, PNO Porto-Novo 5, SEM Sèmè-Podji 6",
    ),
    (
        "PL", "Plateau", 56, "nago", "POB", (460, 780),
        "ADO Adja-Ouèrè 6, IFA Ifangni 6, KET Kétou 6, POB Pobè 5, SAK Sakété 6",
    ),
    (
        "ZO", "Zou", 63, "south", "ABO", (415, 800),
        "ABO Abomey 7, AGB Agbangnizoun 10, BOH Bohicon 10, COV Covè 8, DJI Djidja 12, OUN Ouinhi 4, "
        "ZAG Zagnanado 6, ZAK Za-Kpota 8, ZOG Zogbodomey 11",
    ),
)  # fmt: skip

BY_WEIGHT: Final = tuple(
    arrondissements
    for department in DEPARTMENTS
    for arrondissements in [department.arrondissements]
    for _ in range(department.weight)
)
"""One entry per thousandth of the people, each the arrondissements of a department: drawing one is drawing by weight."""

BY_CODE: Final = {one.code: one for department in DEPARTMENTS for one in department.arrondissements}
COMMUNE_BY_CODE: Final = {
    commune.code: commune for department in DEPARTMENTS for commune in department.communes
}
DEPARTMENT_BY_CODE: Final = {department.code: department for department in DEPARTMENTS}
COMMUNE_CODES: Final = {registered(commune.name): code for code, commune in COMMUNE_BY_CODE.items()}
"""By the name that the register of persons writes."""

# ISO 3166-1 alpha-3, capital: where the foreigners were born.
NEIGHBOURS: Final = (
    ("TGO", "LOME"), ("NGA", "LAGOS"), ("NER", "NIAMEY"), ("BFA", "OUAGADOUGOU"), ("GHA", "ACCRA"),
    ("CIV", "ABIDJAN"),
)  # fmt: skip


def place(code: str) -> Place:
    """The quarter of a code, ``LI-COT-05-003``."""
    return BY_CODE[code[:9]].place(int(code[10:]) - 1)
