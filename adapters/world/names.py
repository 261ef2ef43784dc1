"""Names that the world draws from, as people write them, and as the register of persons does: capitals, no accents.

Lists of DOMAIN section 6 (D), with further common ones; no list says anything about a real person.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final


def registered(name: str) -> str:
    """``name`` in the spelling of the register of persons."""
    bare = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in bare if not unicodedata.combining(letter)).upper()


_SOUTH: Final = (
    "Adjovi", "Agbossou", "Ahouansou", "Akplogan", "Assogba", "Dossou", "Gbaguidi", "Hounkpatin",
    "Houessou", "Kpadonou", "Sossou", "Tossou", "Zinsou", "Akakpo", "Amoussou", "Avocègamou",
    "Azonhiho", "Dansou", "Djossou", "Gandonou", "Gbènou", "Houngbédji", "Hounnou", "Kinkpé", "Loko",
    "Mèdénou", "Noudéhouénou", "Quenum", "Sodji", "Tognon", "Vigan", "Yèhouénou",
)  # fmt: skip
_NAGO: Final = (
    "Adékambi", "Alabi", "Bello", "Fagbohoun", "Idjidina", "Olodo", "Adéoti", "Afouda", "Akandé",
    "Babatoundé", "Biaou", "Lalèyè", "Odjo", "Ogoubiyi", "Olaoyé", "Oyédé",
)  # fmt: skip
_NORTH: Final = (
    "Bio", "Chabi", "Gounou", "Idrissou", "Kouagou", "N'Tcha", "Orou", "Sabi", "Sambiéni", "Tchando",
    "Yarou", "Alassane", "Boni", "Djakpa", "Garba", "Issifou", "Kassa", "Kora", "Mama", "N'Dah",
    "Ouorou", "Séidou", "Tamou", "Yacoubou", "Zakari", "Zimé",
)  # fmt: skip
_FOREIGN: Final = (
    "Adébayo", "Agbodjan", "Coulibaly", "Diallo", "Konaté", "Lawson", "Mahamadou", "Mensah", "Okafor",
    "Ouédraogo", "Sawadogo", "Traoré",
)  # fmt: skip
_MALE_SOUTH: Final = (
    "Koffi", "Kossi", "Sènan", "Mahugnon", "Jean", "Brice", "Amour", "Barnabé", "Codjo", "Corneille",
    "Cossi", "Dieudonné", "Edgard", "Fiacre", "Franck", "Gildas", "Hermann", "Honoré", "Jean-Baptiste",
    "Justin", "Kokou", "Komlan", "Mathias", "Odilon", "Paul", "Prosper", "Romuald", "Sèwanou",
    "Sylvain", "Théophile", "Valentin", "Yaovi",
)  # fmt: skip
_FEMALE_SOUTH: Final = (
    "Fifamè", "Sènami", "Afi", "Adjoua", "Rosine", "Chantal", "Ablavi", "Afiavi", "Akouavi",
    "Anne-Marie", "Bernadette", "Christelle", "Clarisse", "Codjovi", "Delphine", "Edwige", "Estelle",
    "Félicité", "Gisèle", "Grâce", "Hortense", "Julienne", "Léocadie", "Mahouna", "Marie", "Nadège",
    "Oluwaseun", "Pélagie", "Reine", "Solange", "Viviane", "Yabo",
)  # fmt: skip
_MALE_NORTH: Final = (
    "Moussa", "Séidou", "Yacoubou", "Bio", "Abdoulaye", "Adam", "Alassane", "Amadou", "Bachirou",
    "Boni", "Dramane", "Ibrahim", "Issa", "Karim", "Lafia", "Mohamed", "Nouhoun", "Orden", "Ousmane",
    "Rachidi", "Salifou", "Sanni", "Soulé", "Worou",
)  # fmt: skip
_FEMALE_NORTH: Final = (
    "Aïcha", "Rafiatou", "Alimatou", "Aminatou", "Awaou", "Bana", "Barikissou", "Bouyon", "Fati",
    "Fatima", "Gnon", "Habibatou", "Kadidjatou", "Latifatou", "Mariam", "Nafissatou", "Rahinatou",
    "Ramatou", "Sakinatou", "Salamatou", "Sofiatou", "Yon", "Zénabou", "Zoulika",
)  # fmt: skip


def _all(*names: str) -> tuple[str, ...]:
    return tuple(map(registered, names))


SOUTH: Final = _all(*_SOUTH)
NAGO: Final = _all(*_NAGO)
NORTH: Final = _all(*_NORTH)
FOREIGN: Final = _all(*_FOREIGN)
SURNAMES: Final = tuple(sorted({*_SOUTH, *_NAGO, *_NORTH}))
"""Of all regions, as people write them."""

# Which lists a region draws its last names from, in hundredths: people move.
_SHARES: Final = {
    "south": ((SOUTH, 82), (NAGO, 12), (NORTH, 6)),
    "nago": ((SOUTH, 25), (NAGO, 70), (NORTH, 5)),
    "centre": ((SOUTH, 50), (NAGO, 40), (NORTH, 10)),
    "north": ((SOUTH, 7), (NAGO, 8), (NORTH, 85)),
}
LAST_NAMES: Final = {
    region: tuple(pool for pool, share in shares for _ in range(share)) for region, shares in _SHARES.items()
}
"""By region, one list per hundredth: drawing a list is drawing by share."""

MALE_NAMES: Final = {
    region: _all(*(_MALE_NORTH if region == "north" else _MALE_SOUTH)) for region in LAST_NAMES
}
FEMALE_NAMES: Final = {
    region: _all(*(_FEMALE_NORTH if region == "north" else _FEMALE_SOUTH)) for region in LAST_NAMES
}

# The elder and the younger of twins, in the south.
TWINS: Final = ("ZINSOU", "SAGBO")

_WRITTEN: Final = {
    registered(name): name
    for pool in (
        _SOUTH, _NAGO, _NORTH, _FOREIGN, _MALE_SOUTH, _FEMALE_SOUTH, _MALE_NORTH, _FEMALE_NORTH, ("Sagbo",),
    )
    for name in pool
}  # fmt: skip


@lru_cache(16_384)
def as_written(name: str) -> str:
    """A registered name as people write it, with its accents: what all other registers hold."""
    return " ".join(_WRITTEN.get(word, word.capitalize()) for word in name.split())
