"""What ANIP's register answers, read from the page that promises it, and what it refuses."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import grpc
import pytest
from google.protobuf import json_format

from adapters.context import CallerContext, serving
from adapters.identity.person import RecordState
from adapters.identity.seed import population, record_of
from adapters.identity.service import IdentityService
from adapters.identity.store import MIGRATIONS, PersonStore, open_store
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from adapters.world.personas.people import PERSONAS
from bj.identity.v1 import identity_pb2 as pb
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId
from core.reasons import ExchangeError, Reason
from tests.support.registers import make_register

PAGE = Path(__file__).parents[3] / "docs" / "personnes-de-test.md"
CALLER = CallerContext(
    gateway=GatewayId.parse("BJ/GOV/ANIP/gw1"),
    client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
    service=SubsystemId.parse("BJ/GOV/ANIP/RNPP"),
    exchange_id="01920000-0000-7000-8000-000000000000",
    request_hash="0" * 64,
    agreement="CV-0042/1",
    issued_at_ms=1_790_000_000_000,
    purpose="P01",
)
# The servicer never looks at it: who calls stands in the caller's context.
NO_CONTEXT = cast(grpc.ServicerContext, None)


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under ``heading``, cell by cell."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1:]]


PERSONS = rows("Ce que chaque RPC doit répondre")
EXAMPLES = rows("Réponses à essayer")
SEARCHES = rows("Recherches à essayer")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PersonStore]:
    """A register with the personas and some others."""
    url = f"sqlite:///{tmp_path_factory.mktemp('rnpp')}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    store = open_store(url)
    store.replace_all(population(size=100))
    yield store
    store.close()


@pytest.fixture
def service(store: PersonStore) -> IdentityService:
    """The servicer over it; whoever is named in a ``consent_ref`` has given that consent."""
    return IdentityService(store, ManualClock(), lambda reference: reference.removeprefix("CONSENT-OF-"))


def get(
    service: IdentityService,
    npi: str,
    purpose: str | None = "P01",
    profile: pb.PersonProfile.ValueType = pb.PERSON_PROFILE_UNSPECIFIED,
) -> pb.GetPersonResponse:
    """Call GetPerson for a purpose."""
    with serving(replace(CALLER, purpose=purpose)):
        return service.GetPerson(pb.GetPersonRequest(npi=npi, profile=profile), NO_CONTEXT)


def verify(
    service: IdentityService, request: pb.VerifyPersonRequest, purpose: str | None = "P01"
) -> pb.VerifyPersonResponse:
    """Call VerifyPerson for a purpose."""
    with serving(replace(CALLER, purpose=purpose)):
        return service.VerifyPerson(request, NO_CONTEXT)


def get_cell(service: IdentityService, npi: str, purpose: str) -> str:
    """What the page says for GetPerson, from what the service says."""
    try:
        answer = get(service, npi, purpose)
    except ProviderError as refused:
        return refused.reason
    assert answer.merged_npi == (npi if answer.npi != npi else "")
    return "fiche" if answer.npi == npi else f"fiche {answer.npi}"


def verify_cell(service: IdentityService, npi: str, person: str, birth_date: str, purpose: str) -> str:
    """What the page says for VerifyPerson, from what the service says."""
    last_name, _, first_names = person.partition(",")[0].partition(" ")
    request = pb.VerifyPersonRequest(
        npi=npi,
        last_name=last_name,
        first_names=first_names,
        birth_date=birth_date,
        consent_ref=f"CONSENT-OF-{npi}",
    )
    try:
        answer = verify(service, request, purpose)
    except ProviderError as refused:
        return refused.reason
    assert {answer.last_name, answer.first_names, answer.birth_date} == {pb.MATCH_RESULT_YES}
    return str(answer.score)


@pytest.mark.parametrize("row", PERSONS, ids=[row[0] for row in PERSONS])
def test_each_persona_answers_as_its_page_says(service: IdentityService, row: list[str]) -> None:
    """The page of test persons is a promise to developers."""
    npi, person, birth_date = row[:3]

    answers = [
        get_cell(service, npi, "P01"),
        get_cell(service, npi, "P05"),
        verify_cell(service, npi, person, birth_date, "P01"),
        verify_cell(service, npi, person, birth_date, "P03"),
    ]

    assert answers == row[4:]


def test_the_page_lists_all_personas_in_both_languages() -> None:
    """Number, name and case of page and seed are the same."""
    told = [(npi, name, case) for npi, name, _, case, *_ in PERSONS]

    assert told == [(p.npi, p.name, f"{p.case.fr} · {p.case.en}") for p in PERSONAS]


@pytest.mark.parametrize("row", EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_each_example_answers_as_its_page_says(service: IdentityService, row: list[str]) -> None:
    """A developer who copies a request from the page gets the response beside it."""
    method, request, response = (cell.replace("`", "") for cell in row)
    name, purpose = method.split(", ")

    answer = (
        get(service, json_format.Parse(request, pb.GetPersonRequest()).npi, purpose)
        if name == "GetPerson"
        else verify(service, json_format.Parse(request, pb.VerifyPersonRequest()), purpose)
    )

    assert json_format.MessageToJson(answer, indent=None) == json_format.MessageToJson(
        json_format.Parse(response, type(answer)()), indent=None
    )


@pytest.mark.parametrize("row", SEARCHES, ids=[f"{row[0]}-{row[1]}" for row in SEARCHES])
def test_each_search_answers_as_its_page_says(service: IdentityService, row: list[str]) -> None:
    """All but the token, which is another with every answer."""
    purpose, request, response = (cell.replace("`", "") for cell in row)
    expected = json_format.Parse(response, pb.SearchPersonResponse())

    with serving(replace(CALLER, purpose=purpose)):
        answer = service.SearchPerson(json_format.Parse(request, pb.SearchPersonRequest()), NO_CONTEXT)

    assert all(one.candidate_token for one in answer.candidates)
    for one in answer.candidates:
        one.candidate_token = ""
    assert answer == expected


def test_only_the_civil_profile_names_the_parents(service: IdentityService) -> None:
    """Filiation is given to whom it is meant for; no profile means the smallest."""
    parents = get(service, "0000000001", "P02", pb.PERSON_PROFILE_CIVIL).filiation

    assert (parents.father_last_name, parents.mother_last_name) == ("ADJOVI", "HOUESSOU")
    assert not get(service, "0000000001", "P02", pb.PERSON_PROFILE_LITE).HasField("filiation")
    assert not get(service, "0000000001", "P02").HasField("filiation")


@pytest.mark.parametrize("purpose", ["P03", "P04", "P06", "P07", "P08", "P99"])
def test_other_purposes_do_not_open_a_record_nor_tell_whether_there_is_one(
    service: IdentityService, purpose: str
) -> None:
    """The purpose is refused alike for a known and an unknown number."""
    for npi in ("0000000001", "0000000003"):
        with pytest.raises(ProviderError) as refused:
            get(service, npi, purpose)

        assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


@pytest.mark.parametrize("purpose", ["P02", "P04", "P05", "P06", "P07", "P08"])
def test_other_purposes_do_not_verify(service: IdentityService, purpose: str) -> None:
    """VerifyPerson is for dossiers and for private checks."""
    with pytest.raises(ProviderError) as refused:
        verify(service, pb.VerifyPersonRequest(npi="0000000001", last_name="Adjovi"), purpose)

    assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


def test_a_call_without_purpose_is_refused_as_one(service: IdentityService) -> None:
    """Where the agreement demands no purpose, the register still does."""
    for call in (
        lambda: get(service, "0000000001", None),
        lambda: verify(service, pb.VerifyPersonRequest(npi="0000000001", last_name="Adjovi"), None),
    ):
        with pytest.raises(ExchangeError) as refused:
            call()

        assert refused.value.reason is Reason.PURPOSE_REQUIRED


def test_a_private_body_needs_a_consent_of_that_person(store: PersonStore, service: IdentityService) -> None:
    """Nobody's, another's, and one to ask about a number that is nobody's are refused alike."""
    unconsented = IdentityService(store, ManualClock())
    for asked, npi, reference in (
        (unconsented, "0000000001", "CONSENT-OF-0000000001"),
        (service, "0000000001", ""),
        (service, "0000000001", "CONSENT-OF-0000000004"),
        (service, "0000000012", "CONSENT-OF-0000000004"),
        (service, "0000000003", "CONSENT-OF-0000000004"),
        (service, "0000000003", "CONSENT-OF-0000000003"),
    ):
        request = pb.VerifyPersonRequest(npi=npi, last_name="Adjovi", consent_ref=reference)
        with pytest.raises(ProviderError) as refused:
            verify(asked, request, "P03")

        assert refused.value.reason is ProviderReason.CONSENT_REQUIRED


def test_a_consent_follows_its_person_through_a_merger(service: IdentityService) -> None:
    """Whichever number it was given under, and whichever is asked for."""
    for npi, given in (("0000000010", "0000000011"), ("0000000011", "0000000010")):
        request = pb.VerifyPersonRequest(npi=npi, last_name="Kpadonou", consent_ref=f"CONSENT-OF-{given}")

        assert verify(service, request, "P03").last_name == pb.MATCH_RESULT_YES


@pytest.mark.parametrize("birth_date", ["2023-02-29", "1987-04-31", "0000"])
def test_a_day_that_the_calendar_lacks_is_refused_by_name(service: IdentityService, birth_date: str) -> None:
    """The caller learns which field is wrong, not what it held."""
    with pytest.raises(InvalidFieldsError) as refused:
        verify(service, pb.VerifyPersonRequest(npi="0000000001", birth_date=birth_date))

    assert list(refused.value.violations) == ["birth_date"]
    assert birth_date not in str(refused.value)


def test_a_merged_record_that_leads_nowhere_is_nobody(tmp_path: Path) -> None:
    """A fault of the register never serves one person's record for another's number."""
    url = f"sqlite:///{tmp_path}/rnpp.sqlite"
    make_register(url, MIGRATIONS)
    store = open_store(url)
    first, merged = record_of("0000000001"), record_of("0000000010")
    store.replace_all(
        [
            first,
            replace(merged, merged_into="0000000012"),
            replace(merged, npi="0000000011", merged_into="0000000010"),
        ]
    )
    assert merged.state is RecordState.MERGED

    for npi in ("0000000010", "0000000011"):
        with pytest.raises(ProviderError) as refused:
            get(IdentityService(store, ManualClock()), npi)

        assert refused.value.reason is ProviderReason.NOT_FOUND


def test_no_refusal_repeats_a_personal_number(service: IdentityService) -> None:
    """What is told to the caller, and may be logged, names nobody."""
    for reason in ProviderReason:
        for text in (*reason.entry.text, *reason.entry.remedy):
            assert text
            assert not re.search(r"[0-9]{10}", text)
    with pytest.raises(ProviderError) as refused:
        get(service, "0000000003")
    assert "0000000003" not in repr(refused.value)
