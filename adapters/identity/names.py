"""Names that the seeds draw from, in the register's spelling: capitals, no accents.

Lists of DOMAIN section 6 (D), with further common ones; no list says anything about a real person.
"""

from __future__ import annotations

from typing import Final

SOUTH: Final = (
    "ADJOVI", "AGBOSSOU", "AHOUANSOU", "AKPLOGAN", "ASSOGBA", "DOSSOU", "GBAGUIDI", "HOUNKPATIN",
    "HOUESSOU", "KPADONOU", "SOSSOU", "TOSSOU", "ZINSOU", "AKAKPO", "AMOUSSOU", "AVOCEGAMOU",
    "AZONHIHO", "DANSOU", "DJOSSOU", "GANDONOU", "GBENOU", "HOUNGBEDJI", "HOUNNOU", "KINKPE", "LOKO",
    "MEDENOU", "NOUDEHOUENOU", "QUENUM", "SODJI", "TOGNON", "VIGAN", "YEHOUENOU",
)  # fmt: skip

NAGO: Final = (
    "ADEKAMBI", "ALABI", "BELLO", "FAGBOHOUN", "IDJIDINA", "OLODO", "ADEOTI", "AFOUDA", "AKANDE",
    "BABATOUNDE", "BIAOU", "LALEYE", "ODJO", "OGOUBIYI", "OLAOYE", "OYEDE",
)  # fmt: skip

NORTH: Final = (
    "BIO", "CHABI", "GOUNOU", "IDRISSOU", "KOUAGOU", "N'TCHA", "OROU", "SABI", "SAMBIENI", "TCHANDO",
    "YAROU", "ALASSANE", "BONI", "DJAKPA", "GARBA", "ISSIFOU", "KASSA", "KORA", "MAMA", "N'DAH",
    "OUOROU", "SEIDOU", "TAMOU", "YACOUBOU", "ZAKARI", "ZIME",
)  # fmt: skip

FOREIGN: Final = (
    "ADEBAYO", "AGBODJAN", "COULIBALY", "DIALLO", "KONATE", "LAWSON", "MAHAMADOU", "MENSAH", "OKAFOR",
    "OUEDRAOGO", "SAWADOGO", "TRAORE",
)  # fmt: skip

# Which lists a region draws its last names from, in hundredths: people move.
LAST_NAMES: Final = {
    "south": ((SOUTH, 82), (NAGO, 12), (NORTH, 6)),
    "nago": ((SOUTH, 25), (NAGO, 70), (NORTH, 5)),
    "centre": ((SOUTH, 50), (NAGO, 40), (NORTH, 10)),
    "north": ((SOUTH, 7), (NAGO, 8), (NORTH, 85)),
}

_MALE_SOUTH: Final = (
    "KOFFI", "KOSSI", "SENAN", "MAHUGNON", "JEAN", "BRICE", "AMOUR", "BARNABE", "CODJO", "CORNEILLE",
    "COSSI", "DIEUDONNE", "EDGARD", "FIACRE", "FRANCK", "GILDAS", "HERMANN", "HONORE", "JEAN-BAPTISTE",
    "JUSTIN", "KOKOU", "KOMLAN", "MATHIAS", "ODILON", "PAUL", "PROSPER", "ROMUALD", "SEWANOU",
    "SYLVAIN", "THEOPHILE", "VALENTIN", "YAOVI",
)  # fmt: skip
_FEMALE_SOUTH: Final = (
    "FIFAME", "SENAMI", "AFI", "ADJOUA", "ROSINE", "CHANTAL", "ABLAVI", "AFIAVI", "AKOUAVI",
    "ANNE-MARIE", "BERNADETTE", "CHRISTELLE", "CLARISSE", "CODJOVI", "DELPHINE", "EDWIGE", "ESTELLE",
    "FELICITE", "GISELE", "GRACE", "HORTENSE", "JULIENNE", "LEOCADIE", "MAHOUNA", "MARIE", "NADEGE",
    "OLUWASEUN", "PELAGIE", "REINE", "SOLANGE", "VIVIANE", "YABO",
)  # fmt: skip
_MALE_NORTH: Final = (
    "MOUSSA", "SEIDOU", "YACOUBOU", "BIO", "ABDOULAYE", "ADAM", "ALASSANE", "AMADOU", "BACHIROU",
    "BONI", "DRAMANE", "IBRAHIM", "ISSA", "KARIM", "LAFIA", "MOHAMED", "NOUHOUN", "ORDEN", "OUSMANE",
    "RACHIDI", "SALIFOU", "SANNI", "SOULE", "WOROU",
)  # fmt: skip
_FEMALE_NORTH: Final = (
    "AICHA", "RAFIATOU", "ALIMATOU", "AMINATOU", "AWAOU", "BANA", "BARIKISSOU", "BOUYON", "FATI",
    "FATIMA", "GNON", "HABIBATOU", "KADIDJATOU", "LATIFATOU", "MARIAM", "NAFISSATOU", "RAHINATOU",
    "RAMATOU", "SAKINATOU", "SALAMATOU", "SOFIATOU", "YON", "ZENABOU", "ZOULIKA",
)  # fmt: skip

# First names by (region is northern, sex).
FIRST_NAMES: Final = {
    (False, "M"): _MALE_SOUTH,
    (False, "F"): _FEMALE_SOUTH,
    (True, "M"): _MALE_NORTH,
    (True, "F"): _FEMALE_NORTH,
}

# The elder and the younger of twins, in the south.
TWINS: Final = ("ZINSOU", "SAGBO")
