"""Departments, communes, arrondissements and quarters, as counted in DOMAIN section 6."""

import re

from adapters.world import places
from adapters.world.names import registered

ARRONDISSEMENTS = """
Banikoara 10, Gogounou 6, Kandi 10, Karimama 5, Malanville 5, Ségbana 5, Boukoumbé 7, Cobly 4, Kérou 4, Kouandé 6,
Matéri 6, Natitingou 9, Ouassa-Péhunco 3, Tanguiéta 5, Toucountouna 3, Abomey-Calavi 9, Allada 12, Kpomassè 9,
Ouidah 10, Sô-Ava 7, Toffo 10, Tori-Bossito 6, Zè 11, Bembèrèkè 5, Kalalé 6, N'Dali 5, Nikki 7, Parakou 3, Pèrèrè 6,
Sinendé 4, Tchaourou 7, Bantè 9, Dassa-Zoumè 10, Glazoué 10, Ouèssè 9, Savalou 14, Savè 8, Aplahoué 7,
Djakotomey 10, Dogbo 7, Klouékanmè 8, Lalo 11, Toviklin 7, Bassila 4, Copargo 4, Djougou 12, Ouaké 6, Cotonou 13,
Athiémé 5, Bopa 7, Comè 5, Grand-Popo 7, Houéyogbé 6, Lokossa 5, Adjarra 6, Adjohoun 8, Aguégués 3,
Akpro-Missérété 5, Avrankou 7, Bonou 5, Dangbo 7, Porto-Novo 5, Sèmè-Podji 6, Adja-Ouèrè 6, Ifangni 6, Kétou 6,
Pobè 5, Sakété 6, Abomey 7, Agbangnizoun 10, Bohicon 10, Covè 8, Djidja 12, Ouinhi 4, Zagnanado 6, Za-Kpota 8,
Zogbodomey 11
"""


def test_every_commune_has_as_many_arrondissements_as_were_counted() -> None:
    """77 communes in 12 departments, 546 arrondissements, 5,304 quarters."""
    counted = re.findall(r"([^\n,]+?) (\d+)", ARRONDISSEMENTS.replace("\n", " "))

    assert [(c.name, len(c.arrondissements)) for c in places.COMMUNE_BY_CODE.values()] == [
        (name.strip(), int(count)) for name, count in counted
    ]
    assert len(places.DEPARTMENTS) == 12
    assert len(places.COMMUNE_BY_CODE) == 77
    assert len(places.BY_CODE) == 546
    assert sum(one.quarters for one in places.BY_CODE.values()) == 5_304


def test_codes_are_administrative_codes_and_every_commune_has_letters_of_its_own() -> None:
    """``LI-COT-05-012`` as rules.proto says; the three letters also name land books."""
    quarter = places.place("LI-COT-05-003")

    assert all(re.fullmatch(r"[A-Z]{2}-[A-Z]{3}-[0-9]{2}", code) for code in places.BY_CODE)
    assert len({code[3:] for code in places.COMMUNE_BY_CODE}) == 77
    assert quarter == ("LI-COT-05-003", "Littoral", "Cotonou", "5ème arrondissement", "Gare")
    assert (quarter.department_code, quarter.commune_code, quarter.arrondissement_code) == (
        "LI",
        "LI-COT",
        "LI-COT-05",
    )


def test_arrondissements_have_their_names_where_they_are_known() -> None:
    """Numbers in Cotonou, Porto-Novo and Parakou, names in Abomey-Calavi."""
    calavi = [one.name for one in places.COMMUNE_BY_CODE["AQ-CAL"].arrondissements]
    parakou = [one.name for one in places.COMMUNE_BY_CODE["BO-PAR"].arrondissements]

    assert calavi == [
        "Akassato", "Godomey", "Golo-Djigbé", "Hêvié", "Kpanroun", "Ouèdo", "Togba", "Zinvié", "Abomey-Calavi",
    ]  # fmt: skip
    assert parakou == ["1er arrondissement", "2ème arrondissement", "3ème arrondissement"]


def test_the_register_of_persons_writes_capitals_without_accents() -> None:
    """All others write as people do."""
    assert registered("Sèmè-Podji") == "SEME-PODJI"
    assert registered("4ème arrondissement") == "4EME ARRONDISSEMENT"
