"""The firms: forms, courts, people and dirt in the shares of DOMAIN section 6."""

import re
from collections import Counter

import pytest

from adapters.world.firms import Entry
from adapters.world.personas.firms import ENTRIES
from adapters.world.records.business import BusinessStatus, LegalForm, RegistryEventKind, RelationRole
from adapters.world.sizes import Sizes
from adapters.world.world import World
from tests.support.world_country import Country, digest

DIGESTS_OF_2000 = {
    "firms": "b2429ad7566312363c5c2ac9a2003145d1c9939b7fcb98f3c8aa876e0b42f603",
    "relations": "eefd93ac8794806546d51e16a85fd66a67f0b28f48082000c954c96c7294867a",
}
LETTERS = {LegalForm.ENTREPRENANT: "E", LegalForm.EI: "A", LegalForm.GIE: "C", LegalForm.COOP: "K"}
SOLE = {LegalForm.EI, LegalForm.ENTREPRENANT}


@pytest.fixture(scope="module")
def entries(country: Country) -> list[Entry]:
    """All but the personas'."""
    return country.entries[len(ENTRIES) :]


def test_a_seed_always_gives_the_same_firms() -> None:
    """The digests are fixed: who changes the generator changes them on purpose."""
    world = World(sizes=Sizes.of(2_000))

    assert {"firms": digest(world.firms()), "relations": digest(world.relations())} == DIGESTS_OF_2000


def test_forms_are_those_of_the_country(country: Country, entries: list[Entry]) -> None:
    """4,000 firms: 86 % sole traders, 8 % SARL, 2 % SA and SAS, 3 % entreprenants, 1 % co-operatives."""
    forms = Counter(entry.firm.legal_form for entry in entries)

    def share(*wanted: LegalForm) -> float:
        return sum(forms[form] for form in wanted) / len(entries)

    assert len(country.entries) == 4_000
    assert share(LegalForm.EI) == pytest.approx(0.86, abs=0.001)
    assert share(LegalForm.SARL, LegalForm.SARLU) == pytest.approx(0.08, abs=0.001)
    assert share(LegalForm.SA, LegalForm.SAS) == pytest.approx(0.02, abs=0.001)
    assert share(LegalForm.ENTREPRENANT) == pytest.approx(0.03, abs=0.001)
    assert share(LegalForm.COOP, LegalForm.GIE) == pytest.approx(0.01, abs=0.001)


def test_seven_in_ten_are_kept_at_cotonou(entries: list[Entry]) -> None:
    """70 %; the others by the court of their department."""
    courts = Counter(entry.firm.court for entry in entries)

    assert courts["COT"] / len(entries) == pytest.approx(0.70, abs=0.02)
    assert len(courts) == 11
    assert all(e.firm.seat.department_code in ("LI", "AQ") for e in entries if e.firm.court == "COT")


def test_some_firms_have_no_tax_number(entries: list[Entry]) -> None:
    """2 %."""
    without = sum(not entry.firm.ifu for entry in entries)

    assert without / len(entries) == pytest.approx(0.02, abs=0.005)


def test_numbers_agree_with_the_form_and_the_holder(country: Country, entries: list[Entry]) -> None:
    """Letter, court and year of the RCCM; kind and year of the IFU: 1 a man, 2 a woman, 3 a company."""
    for entry in entries:
        firm = entry.firm
        parts = re.fullmatch(r"RB/([A-Z]{3})/([0-9]{2}) ([A-Z]) ([0-9]{6})", firm.rccm)
        assert parts is not None
        assert parts[1] == firm.court
        assert parts[2] == firm.registered_on[2:4]
        assert parts[3] == LETTERS.get(firm.legal_form, "B")
        if firm.ifu:
            owner = country.persons[entry.relations[0].npi]
            kind = {"M": "1", "F": "2"}[owner.sex] if firm.legal_form in SOLE else "3"
            assert firm.ifu[0] == kind
            assert firm.ifu[1:5] == firm.registered_on[:4]
            assert firm.ifu[5:11] == parts[4]


def test_numbers_are_unique(country: Country) -> None:
    """Of register, tax office and CNSS."""
    firms = [entry.firm for entry in country.entries]
    for field in ("rccm", "ifu", "cnss_employer_no"):
        given = [getattr(firm, field) for firm in firms if getattr(firm, field)]
        assert len(set(given)) == len(given)


def test_names_of_companies_are_unique(country: Country) -> None:
    """The register gives no name twice; people share theirs."""
    names = [entry.firm.name for entry in country.entries if entry.firm.legal_form not in SOLE]

    assert len(set(names)) == len(names)


def test_every_firm_has_its_people(country: Country) -> None:
    """An owner of a sole trade; a manager of a company, unless it was struck off; partners' shares sum to the capital."""
    for entry in country.entries:
        roles = Counter(relation.role for relation in entry.relations)
        if entry.firm.legal_form in SOLE:
            assert roles == {RelationRole.OWNER: 1}
            assert entry.firm.owner_birth_date
            assert entry.firm.capital_xof == 0
        else:
            present = [r for r in entry.relations if r.role is RelationRole.MANAGER and not r.to_date]
            assert len(present) == (entry.firm.status is not BusinessStatus.STRUCK_OFF)
            assert sum(relation.share_xof for relation in entry.relations) == entry.firm.capital_xof
        assert all(relation.from_date >= entry.firm.registered_on for relation in entry.relations)


def test_names_are_written_with_their_accents(country: Country) -> None:
    """Unlike in the register of persons."""
    names = {relation.first_names for entry in country.entries for relation in entry.relations}

    assert any("Sènami" in name for name in names)
    assert any("Aïcha" in name for name in names)
    assert not any(name.isupper() for name in names if name)


def test_firms_are_in_every_situation(entries: list[Entry]) -> None:
    """Active most of them; who is struck off was registered before."""
    assert {entry.firm.status for entry in entries} == set(BusinessStatus)
    for entry in entries:
        gone = entry.firm.struck_off_on
        assert bool(gone) == (entry.firm.status is BusinessStatus.STRUCK_OFF)
        assert not gone or entry.firm.registered_on < gone <= "2026-11-01"


def test_events_of_a_year_are_told_in_order(country: Country) -> None:
    """By the records themselves."""
    told = list(country.world.registry_events())
    rccms = {entry.firm.rccm for entry in country.entries}

    assert [event.occurred_on for event in told] == sorted(event.occurred_on for event in told)
    assert {event.kind for event in told} == {
        RegistryEventKind.REGISTERED,
        RegistryEventKind.MANAGER_CHANGED,
        RegistryEventKind.STRUCK_OFF,
    }
    assert all(event.rccm in rccms for event in told)
