"""What the page of test persons says of the cadastre, the trade register and labour is what their adapters answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import pytest
from google.protobuf import json_format

from adapters.business.adapter import MINISTRY as BUSINESS
from adapters.business.service import BusinessService
from adapters.context import CallerContext, serving
from adapters.kit.desk import Desk, open_desk
from adapters.kit.ministry import Ministry
from adapters.labour.adapter import MINISTRY as LABOUR
from adapters.labour.service import LabourService
from adapters.land.adapter import MINISTRY as LAND
from adapters.land.service import LandService
from adapters.reasons import ProviderError
from adapters.settings import AdapterSettings
from adapters.world.personas.elsewhere import elsewhere
from adapters.world.personas.people import PERSONAS
from bj.business.v1 import business_pb2
from bj.common.v1 import person_pb2
from bj.labour.v1 import labour_pb2
from bj.land.v1 import parcel_pb2
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId
from tests.support.registers import make_register

PAGE = Path(__file__).parents[3] / "docs" / "personnes-de-test.md"
# Saturday, 28 November 2026, 09:00 in Porto-Novo.
NOW_MS = 1_795_852_800_000
T = TypeVar("T")
NO_CONTEXT = cast(grpc.ServicerContext, None)


def table(heading: str, number: int = 0) -> list[list[str]]:
    """The rows of the table of that number under a heading, cell by cell."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}")[1].split("\n## ")[0]
    tables: list[list[str]] = [[]]
    for line in section.splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in tables[number][2:]]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Desk]]:
    """Three registers of the country of the personas alone."""
    desks = {}
    for ministry, subsystem in ((LAND, "ANDF/CADASTRE"), (BUSINESS, "APIEX/RCCM"), (LABOUR, "MTFP/TRAVAIL")):
        desks[ministry.name] = _seeded(ministry, f"BJ/GOV/{subsystem}", tmp_path_factory.mktemp("register"))
    yield desks
    for desk in desks.values():
        desk.store.close()


def _seeded(ministry: Ministry, subsystem: str, directory: Path) -> Desk:
    database = f"sqlite:///{directory}/register.sqlite"
    make_register(database, ministry.migrations)
    gateway = f"{subsystem.rpartition('/')[0]}/gw1"
    settings = AdapterSettings(
        adapter=ministry.name, subsystem=subsystem, gateways=(gateway,), database=database
    )
    desk = open_desk(ministry, settings, ManualClock(NOW_MS))
    assert ministry.seed is not None
    ministry.seed(desk, 19, 229, lambda _: None)
    return desk


@contextmanager
def calling(desk: Desk, purpose: str | None) -> Iterator[None]:
    """As the portal, for a purpose."""
    caller = CallerContext(
        gateway=GatewayId.parse(desk.settings.gateways[0]),
        client=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
        service=SubsystemId.parse(desk.settings.subsystem),
        exchange_id="01920000-0000-7000-8000-000000000000",
        request_hash="0" * 64,
        agreement="CV-0042/1",
        issued_at_ms=NOW_MS,
        purpose=purpose,
        issue="TEST-202611-0001",
    )
    with serving(caller):
        yield


def answered(call: Callable[[], T], desk: Desk, purpose: str | None) -> T | str:
    """The answer to a call, or the reason of its refusal."""
    try:
        with calling(desk, purpose):
            return call()
    except ProviderError as refused:
        return refused.reason


def party(number: str) -> person_pb2.Party:
    """A person's number has ten digits, a firm's thirteen."""
    return person_pb2.Party(npi=number) if len(number) == 10 else person_pb2.Party(ifu=number)


def word(enum: Any, value: int) -> str:
    """The name of an enumeration's value without its prefix."""
    prefix = enum.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
    return str(enum.Name(value)).removeprefix(prefix)


def test_the_page_tells_what_each_persona_has() -> None:
    """As ``passerelle sandbox persons`` does."""
    told = dict(table("Ce que chacun a ailleurs"))

    assert told == {p.npi: " ; ".join(text.fr for text in elsewhere(p.npi)) or "-" for p in PERSONAS}


@pytest.mark.parametrize("row", table("Au cadastre"), ids=lambda row: f"{row[0]}-{row[2]}")
def test_ownership_is_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """Who owns, and what keeps the parcel from being sold."""
    nup, title_no, number, result, blocked, _ = row
    service = LandService(desks["land"])

    with calling(desks["land"], "P01"):
        parcel = service.GetParcel(parcel_pb2.GetParcelRequest(nup=nup), NO_CONTEXT)
        answer = service.CheckOwnership(
            parcel_pb2.CheckOwnershipRequest(nup=nup, party=party(number)), NO_CONTEXT
        )

    reasons = [word(parcel_pb2.BlockingReason, reason) for reason in answer.blocking_reasons]
    owns = result in ("YES", "CO_OWNER")
    assert parcel.title_no == title_no.strip("-")
    assert word(parcel_pb2.OwnershipResult, answer.result) == result
    assert answer.can_sell == (owns and blocked == "-")
    if owns:
        assert set(reasons) == set(blocked.split()) - {"-"}


@pytest.mark.parametrize("row", table("Au cadastre", 1), ids=lambda row: row[0])
def test_parcels_are_answered_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """By number and by what they were called before; given up and never given numbers."""
    request, expected = row
    asked = json_format.Parse(request.strip("`"), parcel_pb2.GetParcelRequest())

    answer = answered(lambda: LandService(desks["land"]).GetParcel(asked, NO_CONTEXT), desks["land"], None)

    if isinstance(answer, str):
        assert answer == expected
    else:
        assert answer.title_no in expected
        assert all(nup in expected for nup in answer.successor_nups)
        assert bool(answer.successor_nups) == ("superseded" in expected)


@pytest.mark.parametrize("row", table("Au registre du commerce"), ids=lambda row: row[0])
def test_firms_are_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """The entry, and everybody behind it."""
    rccm, ifu, name, form, status, people, _ = row
    service = BusinessService(desks["business"])

    with calling(desks["business"], "P02"):
        firm = service.GetBusiness(business_pb2.GetBusinessRequest(rccm=rccm), NO_CONTEXT)
        relations = service.ListRelations(
            business_pb2.ListRelationsRequest(rccm=rccm, with_former=True), NO_CONTEXT
        ).relations

    assert (firm.ifu or "-", firm.name) == (ifu, name)
    assert word(business_pb2.LegalForm, firm.legal_form) == form
    assert word(business_pb2.BusinessStatus, firm.status) == status
    told = [f"{word(business_pb2.RelationRole, r.role)} {r.npi or r.ifu}" for r in relations]
    words = people.split()
    assert sorted(told) == sorted(f"{role} {who}" for role, who in zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("row", table("Au travail"), ids=lambda row: row[0])
def test_employers_are_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """By their number at the CNSS."""
    ifu, rccm, cnss, name, contributions = row

    with calling(desks["labour"], "P02"):
        employer = LabourService(desks["labour"]).GetEmployer(
            labour_pb2.GetEmployerRequest(cnss_employer_no=cnss), NO_CONTEXT
        )

    assert (employer.ifu, employer.rccm, employer.name) == (ifu, rccm, name)
    assert word(labour_pb2.Contributions, employer.contributions) == contributions


@pytest.mark.parametrize("row", table("Au travail", 1), ids=lambda row: row[0])
def test_open_contracts_are_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """Visas that were granted and have not ended."""
    with calling(desks["labour"], "P02"):
        status = LabourService(desks["labour"]).GetEmploymentStatus(
            labour_pb2.GetEmploymentStatusRequest(npi=row[0]), NO_CONTEXT
        )

    assert status.open_contracts == int(row[1])
    assert status.employed == (row[1] != "0")


@pytest.mark.parametrize("row", table("Au travail", 2), ids=lambda row: row[0])
def test_job_seekers_are_as_the_page_says(desks: dict[str, Desk], row: list[str]) -> None:
    """An entry that has lapsed is none."""
    seeker_no, npi, valid_until, expected = row
    request = labour_pb2.GetJobSeekerRequest(seeker_no=seeker_no)

    answer = answered(
        lambda: LabourService(desks["labour"]).GetJobSeeker(request, NO_CONTEXT), desks["labour"], "P01"
    )

    if isinstance(answer, str):
        assert answer == expected
    else:
        assert expected == "inscrit"
        assert (answer.seeker.npi, answer.seeker.valid_until) == (npi, valid_until)
