"""What firms do, and what they are called."""

from __future__ import annotations

from typing import Final, NamedTuple

from adapters.world import names
from adapters.world.draws import Draws


class Trade(NamedTuple):
    """A kind of business: a word for names, its activity, its sector; posts with their codes after ROME."""

    word: str
    activity: str
    sector: str
    posts: tuple[tuple[str, str], ...]


TRADES: Final = (
    Trade("Transport", "Transport routier de marchandises", "Transport",
          (("Chauffeur poids lourd", "N4101"), ("Magasinier", "N1103"))),
    Trade("Négoce", "Commerce général, import-export", "Commerce",
          (("Vendeur", "D1106"), ("Caissier", "D1505"))),
    Trade("Bâtiment", "Construction de bâtiments", "BTP",
          (("Maçon", "F1703"), ("Chef de chantier", "F1202"))),
    Trade("Couture", "Confection et couture", "Artisanat",
          (("Couturier", "B1803"), ("Vendeur", "D1106"))),
    Trade("Restauration", "Restauration et traiteur", "Hôtellerie",
          (("Cuisinier", "G1602"), ("Serveur", "G1803"))),
    Trade("Agro", "Transformation de produits agricoles", "Agro-alimentaire",
          (("Opérateur de production", "H2102"), ("Technicien qualité", "H1502"))),
    Trade("Informatique", "Services informatiques", "Services",
          (("Développeur", "M1805"), ("Technicien support", "I1401"))),
    Trade("Pharmacie", "Vente de produits pharmaceutiques", "Santé",
          (("Préparateur en pharmacie", "J1307"), ("Livreur", "N4105"))),
    Trade("Mécanique", "Réparation de véhicules", "Artisanat",
          (("Mécanicien", "I1604"), ("Tôlier", "I1606"))),
    Trade("Coiffure", "Coiffure et esthétique", "Services",
          (("Coiffeur", "D1202"), ("Esthéticien", "D1208"))),
    Trade("Pêche", "Pêche et vente de poisson", "Agriculture",
          (("Marin pêcheur", "N3102"), ("Vendeur", "D1106"))),
    Trade("Élevage", "Élevage de volailles", "Agriculture",
          (("Aide éleveur", "A1403"), ("Vendeur", "D1106"))),
    Trade("Coton", "Négoce de coton", "Agriculture",
          (("Ouvrier agricole", "A1416"), ("Comptable", "M1203"))),
    Trade("Éducation", "Enseignement privé", "Enseignement",
          (("Enseignant", "K2106"), ("Surveillant", "K2104"))),
    Trade("Énergie", "Installation d'équipements solaires", "Énergie",
          (("Électricien", "F1602"), ("Technico-commercial", "D1407"))),
    Trade("Imprimerie", "Imprimerie et édition", "Industrie",
          (("Conducteur offset", "E1301"), ("Infographiste", "E1205"))),
    Trade("Quincaillerie", "Vente de matériaux de construction", "Commerce",
          (("Vendeur", "D1106"), ("Magasinier", "N1103"))),
    Trade("Menuiserie", "Menuiserie bois et aluminium", "Artisanat",
          (("Menuisier", "H2206"), ("Poseur", "F1607"))),
    Trade("Sécurité", "Gardiennage et sécurité privée", "Services",
          (("Agent de sécurité", "K2503"), ("Chef de poste", "K2502"))),
    Trade("Tourisme", "Agence de voyages", "Hôtellerie",
          (("Agent de comptoir", "D1401"), ("Comptable", "M1203"))),
)  # fmt: skip

_HEADS: Final = ("", "Société ", "Groupe ", "Compagnie ")
_TAILS: Final = (
    "Bénin", "du Littoral", "et Fils", "International", "Plus", "Services", "Réunis", "d'Afrique", "Gold",
    "Excellence", "Nouvelle Ère", "Prestige", "du Golfe", "Horizon", "Atlantique", "Sahel", "Express", "Concept",
    "Union", "Avenir",
)  # fmt: skip
NAMES: Final = len(_HEADS) * len(names.SURNAMES) * len(TRADES) * len(_TAILS)


def company_name(number: int) -> tuple[str, Trade]:
    """One of ``NAMES`` names, no two alike, and the trade that it tells."""
    number, head = divmod(number, len(_HEADS))
    number, surname = divmod(number, len(names.SURNAMES))
    trade, tail = divmod(number, len(_TAILS))
    one = TRADES[trade]
    return f"{_HEADS[head]}{names.SURNAMES[surname]} {one.word} {_TAILS[tail]}", one


def trade_name(draws: Draws, last_name: str, trade: Trade) -> str:
    """Under which a sole trader trades; empty for most."""
    if not draws.chance(400):
        return ""
    return draws.pick((
        f"Établissements {last_name}", f"{trade.word} {last_name}", f"{last_name} et Fils", f"{trade.word} Plus",
    ))  # fmt: skip
