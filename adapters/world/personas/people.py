"""The first twenty NPI of every seed: fixed persons, one per case (USERS; ``docs/personnes-de-test.md``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from adapters.world.names import as_written
from adapters.world.records.person import FEMALE, MALE, Person, RecordState
from adapters.world.reserved import EMAIL_DOMAIN, PHONE_CC
from core.language import Text


@dataclass(frozen=True, slots=True)
class Persona:
    """One test person: number, name as people write it, what is particular, its record if any."""

    npi: str = field(repr=False)
    name: str = field(repr=False)
    case: Text
    record: Person | None


FAR: Final = "2099-12-31"
"""Until when holds what must hold on any day."""

# The one whose names the register exchanged.
EXCHANGED_NPI: Final = "0000000005"

_ABROAD: Final = ("FRA", "", "", "", "", "")
_KANDI: Final = ("BEN", "ALIBORI", "KANDI", "KANDI I", "ZONGO", "")
_COTONOU: Final = ("BEN", "LITTORAL", "COTONOU", "4EME ARRONDISSEMENT", "GARE", "C/1204 M/ADJOVI")
_CALAVI: Final = ("BEN", "ATLANTIQUE", "ABOMEY-CALAVI", "GODOMEY", "CENTRE", "C/0311 M/GBAGUIDI")
_BOHICON: Final = ("BEN", "ZOU", "BOHICON", "BOHICON I", "MARCHE", "")
_PORTO_NOVO: Final = ("BEN", "OUEME", "PORTO-NOVO", "1ER ARRONDISSEMENT", "PLATEAU", "C/0077 M/BELLO")

_NO_CONTACT: Final = {"phone_cc": "", "phone": "", "email": ""}
_PARENTS: Final = {
    "father_last_name": "",
    "father_first_names": "KOSSI",
    "mother_last_name": "HOUESSOU",
    "mother_first_names": "ADJOUA",
}


def _record(
    number: int, last: str, first: str, sex: str, born: str, place: str, lives: tuple[str, ...], **fields: str
) -> Person:
    country, department, town, district, village, address = lives
    address_name = f"{first.split()[0]}.{last}".lower().replace("'", "").replace(" ", ".")
    person = Person(
        npi=f"{number:010d}",
        last_name=last,
        first_names=first,
        marital_name="",
        birth_date=born,
        birth_country="BEN",
        birth_place=place,
        residence_country=country,
        residence_department=department,
        residence_town=town,
        residence_district=district,
        residence_village=village,
        residence_address=address,
        phone_cc=PHONE_CC,
        phone=f"01000000{number:02d}",
        email=f"{address_name}@{EMAIL_DOMAIN}",
        nationality="BEN",
        sex=sex,
        death_date="",
        **{**_PARENTS, "father_last_name": last},
        state=RecordState.ACTIVE,
        merged_into="",
        record_version=1,
    )
    return person._replace(**fields)  # type: ignore[arg-type]  # every field given is a text


def _persona(name: str, fr: str, en: str, record: Person) -> Persona:
    return Persona(record.npi, name, Text(fr, en), record)


PERSONAS: Final = (
    _persona(
        "ADJOVI Koffi", "trouvé", "found",
        _record(1, "ADJOVI", "KOFFI", MALE, "1987-04-12", "COTONOU", _COTONOU),
    ),
    _persona(
        "DOSSOU Afi", "décédée", "deceased",
        _record(2, "DOSSOU", "AFI", FEMALE, "1941-06-30", "ABOMEY", _BOHICON, death_date="2023-11-05"),
    ),
    Persona("0000000003", "-", Text("inconnu, jamais au registre", "unknown, never in the register"), None),
    _persona(
        "CHABI Moussa", "né vers 1954 : année seule", "born about 1954: year only",
        _record(4, "CHABI", "MOUSSA", MALE, "1954", "KANDI", _KANDI),
    ),
    _persona(
        "HOUNKPATIN Sènami Fifamè", "nom et prénoms intervertis au registre", "names exchanged in register",
        _record(5, "SENAMI FIFAME", "HOUNKPATIN", FEMALE, "1995-12-24", "OUIDAH", _COTONOU),
    ),
    _persona(
        "GBAGUIDI Brice", "sans courriel", "no e-mail",
        _record(6, "GBAGUIDI", "BRICE", MALE, "1999-01-31", "COTONOU", _CALAVI, email=""),
    ),
    _persona(
        "ZINSOU Rosine, épouse AHOUANSOU", "femme mariée, nom d'époux", "married woman, marital name",
        _record(
            7, "ZINSOU", "ROSINE", FEMALE, "1978-07-19", "PORTO-NOVO", _PORTO_NOVO, marital_name="AHOUANSOU"
        ),
    ),
    _persona(
        "TOSSOU Jean", "homonyme de 0000000009", "homonym of 0000000009",
        _record(8, "TOSSOU", "JEAN", MALE, "1990-02-17", "COTONOU", _COTONOU),
    ),
    _persona(
        "TOSSOU Jean", "homonyme de 0000000008", "homonym of 0000000008",
        _record(9, "TOSSOU", "JEAN", MALE, "1990-09-03", "BOHICON", _BOHICON),
    ),
    _persona(
        "KPADONOU Chantal", "fusionné dans 0000000011", "merged into 0000000011",
        _record(
            10, "KPADONOU", "CHANTALE", FEMALE, "1983", "LOKOSSA", _COTONOU,
            state=RecordState.MERGED, merged_into="0000000011",
        ),
    ),
    _persona(
        "KPADONOU Chantal", "fiche maintenue de 0000000010", "record that stands for 0000000010",
        _record(11, "KPADONOU", "CHANTAL", FEMALE, "1983-05-08", "LOKOSSA", _COTONOU),
    ),
    _persona(
        "OROU Bio", "fiche verrouillée par l'ANIP", "record locked by ANIP",
        _record(12, "OROU", "BIO", MALE, "1972-10-02", "NIKKI", _KANDI, state=RecordState.LOCKED),
    ),
    _persona(
        "AKPLOGAN Sènan", "propriétaire d'une parcelle", "owner of a parcel",
        _record(13, "AKPLOGAN", "SENAN", MALE, "1965-03-27", "ABOMEY", _CALAVI),
    ),
    _persona(
        "ASSOGBA Mahugnon", "gérant d'une entreprise", "manager of a firm",
        _record(14, "ASSOGBA", "MAHUGNON", MALE, "1981-11-11", "COTONOU", _COTONOU),
    ),
    _persona(
        "SOSSOU Adjoua", "mineure", "minor",
        _record(15, "SOSSOU", "ADJOUA", FEMALE, "2016-03-09", "COTONOU", _COTONOU, **_NO_CONTACT),
    ),
    _persona(
        "MENSAH Kossi", "étranger résident (Togo)", "foreign resident (Togo)",
        _record(
            16, "MENSAH", "KOSSI", MALE, "1992-08-15", "LOME", _COTONOU,
            birth_country="TGO", nationality="TGO",
        ),
    ),
    _persona(
        "BELLO Rafiatou", "téléphone d'avant 2024 (8 chiffres)", "telephone from before 2024 (8 digits)",
        _record(17, "BELLO", "RAFIATOU", FEMALE, "1988-05-22", "PORTO-NOVO", _PORTO_NOVO, phone="00000017"),
    ),
    _persona(
        "SABI Yacoubou", "filiation inconnue", "parents unknown",
        _record(18, "SABI", "YACOUBOU", MALE, "1960-01-01", "PARAKOU", _KANDI, **dict.fromkeys(_PARENTS, "")),
    ),
    _persona(
        "N'TCHA Aïcha", "apostrophe et tréma", "apostrophe and diaeresis",
        _record(19, "N'TCHA", "AICHA", FEMALE, "1997-09-14", "NATITINGOU", _COTONOU),
    ),
    _persona(
        "ADÉKAMBI Séidou", "né en août 1979 (jour inconnu), réside en France",
        "born in August 1979 (day unknown), lives in France",
        _record(20, "ADEKAMBI", "SEIDOU", MALE, "1979-08", "KETOU", _ABROAD, phone_cc="", phone=""),
    ),
)  # fmt: skip


def record_of(npi: str) -> Person:
    """The record of one persona; ``LookupError`` for a number that is none, or has no record on purpose."""
    for persona in PERSONAS:
        if persona.npi == npi and persona.record:
            return persona.record
    raise LookupError("no persona with a record has this number")


def written_names(npi: str) -> tuple[str, str]:
    """Last and first names of a persona as people write them, each in its place; none of nobody."""
    if not npi:
        return "", ""
    record = record_of(npi)
    exchanged = npi == EXCHANGED_NPI
    last, first = record.last_name, record.first_names
    return (as_written(first), as_written(last)) if exchanged else (as_written(last), as_written(first))


def full_name(npi: str) -> str:
    """As a deed has it: ``ADJOVI Koffi``."""
    last, first = written_names(npi)
    return f"{last.upper()} {first}"


def npi_of(number: int) -> str:
    """The personal number of a persona, 1 to 20; 0 is nobody."""
    return f"{number:010d}" if number else ""
