"""``passerelle adapter register …``: what officers of each ministry write, and how it comes out on both databases."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from adapters.business.service import BusinessService
from adapters.business.tables import CONSENTS as BUSINESS_CONSENTS
from adapters.commands import adapter
from adapters.context import serving
from adapters.identity.person import Person, RecordState
from adapters.identity.records import standing_record
from adapters.identity.tables import LINKS, TRAIL
from adapters.identity.telling import of_client
from adapters.kit.adapter import load_ministry
from adapters.kit.aliases import follow_merger
from adapters.kit.desk import Desk, open_desk
from adapters.kit.events import Wanted
from adapters.labour.contracts import find_permit
from adapters.labour.employers import find_by_ifu, has_open_dispute
from adapters.labour.tables import INSPECTORATES
from adapters.land.entitlements import is_notary
from adapters.land.service import LandService
from adapters.land.tables import ALIASES
from adapters.reasons import ProviderError, ProviderReason
from adapters.settings import load_adapter_settings
from bj.business.v1 import business_pb2
from bj.common.v1 import person_pb2
from bj.identity.v1 import events_pb2
from bj.land.v1 import events_pb2 as land_events_pb2
from bj.land.v1 import parcel_pb2
from core.clock import SystemClock
from tests.support.callers import NO_CONTEXT, caller
from tests.support.consents import BANK
from tests.support.registers import make_register

PORTAL = "BJ/GOV/PNS/PORTAIL"
KOFFI, NOBODY, JEAN, OTHER_JEAN, CHANTALE, CHANTAL, BIO, SENAN = (
    f"{number:010d}" for number in (1, 3, 8, 9, 10, 11, 12, 13)
)
LOGINS = {"AGENT-7": 60007, "AGENT-8": 60008}
# What the kernel says where nobody told it who logged in.
UNTOLD = 2**32 - 1
# Of SENAN, with a title and free.
NUP = "900000001"
SUBSYSTEMS = {
    "identity": "ANIP/RNPP",
    "land": "ANDF/CADASTRE",
    "labour": "MTFP/TRAVAIL",
    "business": "APIEX/RCCM",
}


@dataclass
class Register:
    """A ministry's seeded register, and an officer's terminal.

    ``loginuid`` is where the machine says who logged in there.
    """

    config: Path
    desk: Desk
    loginuid: Path

    def run(self, *arguments: str, typed: str = "") -> Result:
        """Run one command; numbers that are ``typed`` stand a line each."""
        command = ("register", arguments[0], "--config", str(self.config), *arguments[1:])
        return CliRunner().invoke(adapter, command, input=typed)

    def write(
        self, *arguments: str, typed: str = "", officer: str = "AGENT-7", login: int | None = None
    ) -> Result:
        """Write an inscription without being asked; the officer logged in by an account of his own, or ``login``."""
        self.loginuid.write_text(str(LOGINS.get(officer, 60000) if login is None else login))
        said = ("--officer", officer, "--evidence", "PV-2026-118", "--yes", "--lang", "fr")
        return self.run("write", *arguments, *said, typed=typed)

    def written(self, *arguments: str, typed: str = "", officer: str = "AGENT-7") -> None:
        """Write one that must be taken."""
        result = self.write(*arguments, typed=typed, officer=officer)
        assert result.exit_code == 0, result.output

    def written_by_two(self, *arguments: str, typed: str = "") -> None:
        """Write one twice, by two officers."""
        for officer in ("AGENT-7", "AGENT-8"):
            self.written(*arguments, typed=typed, officer=officer)

    def read(self, work: Callable[[sa.Connection], Any]) -> Any:
        """Look into the register."""
        with self.desk.store.reading() as tx:
            return work(tx)

    def lines(self) -> list[dict[str, Any]]:
        """The trail, as ``journal`` shows it."""
        found: list[dict[str, Any]] = json.loads(self.run("journal", "--output", "json").output)
        return found

    def events(self, cursor: str, *links: str) -> list[tuple[int, str]]:
        """Kinds and subjects of what is told under one of ``links`` after ``cursor``."""
        wanted = Wanted(links=(frozenset(links),) if links else ())
        page = self.read(lambda tx: self.desk.events.page(tx, cursor, 1000, wanted))
        return [(one.kind, one.subject) for one in page.events]

    def cursor(self) -> str:
        """The place after all that was told."""
        told: str = self.read(lambda tx: self.desk.events.page(tx, "", 1000, Wanted()).told_cursor)
        return told


Open = Callable[[str], Register]


@pytest.fixture
def opened(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the register of a ministry, with the personas in it."""
    desks: list[Desk] = []
    loginuid = tmp_path / "loginuid"
    monkeypatch.setattr("adapters.registrars._LOGINUID", loginuid)

    def register(name: str) -> Register:
        subsystem = SUBSYSTEMS[name]
        config = tmp_path / "adapter.toml"
        config.write_text(
            f'adapter = "{name}"\nsubsystem = "BJ/GOV/{subsystem}"\n'
            f'gateways = ["BJ/GOV/{subsystem.split("/")[0]}/gw1"]\ndatabase = "{database}"\n',
            encoding="utf-8",
        )
        ministry = load_ministry(name)
        make_register(database, ministry.migrations)
        desks.append(open_desk(ministry, load_adapter_settings(config), SystemClock()))
        assert ministry.seed is not None
        ministry.seed(desks[-1], 20, 1, lambda _: None)
        return Register(config, desks[-1], loginuid)

    yield register
    for desk in desks:
        desk.close()


def record(register: Register, npi: str) -> Person:
    """The record that stands for a number."""
    found: Person = register.read(lambda tx: standing_record(tx, npi))
    return found


def test_a_death_is_written_told_and_kept_in_the_trail(opened: Open) -> None:
    """Who follows the person hears of it; no output shows her number."""
    anip = opened("identity")
    with anip.desk.store.writing() as tx:
        tx.execute(LINKS.delete())
        tx.execute(LINKS.insert().values(npi=KOFFI, client=BANK))
    before, version = anip.cursor(), record(anip, KOFFI).record_version

    anip.written("death", "day=2024-11-20", typed=f"{KOFFI}\n")
    done = anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n", officer="AGENT-8")
    again = anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n")

    assert done.output == "inscrit sous le n° 2\n"
    assert (again.exit_code, "STATE_CONFLICT" in again.output) == (1, True)
    koffi = record(anip, KOFFI)
    assert (koffi.death_date, koffi.record_version) == ("2024-11-20", version + 1)
    assert anip.events(before, of_client(BANK)) == [(events_pb2.PERSON_EVENT_TYPE_DEATH_RECORDED, KOFFI)]
    second, first = anip.lines()
    assert (first["number"], first["name"], first["officer"]) == (1, "death", "AGENT-7")
    assert (second["number"], second["first"], second["officer"]) == (2, 1, "AGENT-8")
    for line in (first, second):
        assert (line["evidence"], line["values"]) == ("PV-2026-118", ["day=2024-11-20"])
        assert line["state"] == "done"
        assert line["login"]
    assert KOFFI not in done.output + again.output + json.dumps([first, second])


def test_one_officer_alone_changes_nobodys_record(opened: Open) -> None:
    """Neither twice, nor with another who reads another number, another day or another paper."""
    anip = opened("identity")
    before = anip.cursor()

    waits = anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n")
    alone = anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n")
    anip.written("death", "day=2024-11-20", typed=f"{JEAN}\n", officer="AGENT-8")
    anip.written("death", "day=2024-11-21", typed=f"{KOFFI}\n", officer="AGENT-8")
    other_paper = ("--officer", "AGENT-9", "--evidence", "PV-2026-119", "--yes")
    anip.run("write", "death", "day=2024-11-20", *other_paper, typed=f"{KOFFI}\n")

    assert "un autre agent" in waits.output
    assert (alone.exit_code, "STATE_CONFLICT" in alone.output) == (1, True)
    assert "un autre agent doit l'inscrire à son tour" in alone.output
    assert not record(anip, KOFFI).is_deceased
    assert anip.events(before) == []
    assert [(line["number"], line["state"]) for line in anip.lines()] == [
        (number, "waiting") for number in (4, 3, 2, 1)
    ]


def test_one_person_is_not_two_under_another_name(opened: Open) -> None:
    """However it is written, and whoever he says he is."""
    anip = opened("identity")
    anip.written("death", "day=2024-11-20", typed=f"{KOFFI}\n")

    for officer, login in (
        (" AGENT-7 ", LOGINS["AGENT-8"]),
        ("agent-7", LOGINS["AGENT-8"]),
        ("AGENT-8", LOGINS["AGENT-7"]),
        ("AGENT-7", UNTOLD),
    ):
        alone = anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n", officer=officer, login=login)
        assert (alone.exit_code, "STATE_CONFLICT" in alone.output) == (1, True), (officer, login)

    assert not record(anip, KOFFI).is_deceased


def test_who_wrote_on_which_paper_is_kept_without_blanks(opened: Open) -> None:
    """So the second officer's paper is the first one's."""
    anip = opened("identity")
    paper = ("--evidence", " PV-2026-118 ", "--officer", " AGENT-7", "--yes")
    anip.run("write", "death", "day=2024-11-20", *paper, typed=f"{KOFFI}\n")

    anip.written("death", "day=2024-11-20", typed=f"{KOFFI}\n", officer="AGENT-8")

    assert record(anip, KOFFI).is_deceased
    assert [(one["officer"], one["evidence"]) for one in anip.lines()] == [
        ("AGENT-8", "PV-2026-118"),
        ("AGENT-7", "PV-2026-118"),
    ]


def test_whom_no_second_officer_follows_in_time_begins_anew(opened: Open) -> None:
    """What the first one wrote counts for fourteen days; it stays in the trail."""
    anip = opened("identity")
    death = ("death", "day=2024-11-20")
    anip.written(*death, typed=f"{KOFFI}\n")
    with anip.desk.store.writing() as tx:
        tx.execute(TRAIL.update().values(written_at=TRAIL.c.written_at - 14 * 24 * 3600 * 1000))

    anip.written(*death, typed=f"{KOFFI}\n", officer="AGENT-8")
    waits = record(anip, KOFFI).is_deceased
    anip.written(*death, typed=f"{KOFFI}\n")

    assert (waits, record(anip, KOFFI).is_deceased) == (False, True)
    states = [(one["number"], one["state"], one["first"]) for one in anip.lines()]
    assert states == [(3, "done", 2), (2, "done", None), (1, "lapsed", None)]


def test_where_nobody_knows_who_logged_in_the_answer_says_so(opened: Open) -> None:
    """Two officers in one account are taken at their word, and told that nothing else shows it."""
    anip = opened("identity")

    answers = [
        anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n", officer=officer, login=UNTOLD)
        for officer in ("AGENT-7", "AGENT-8")
    ]
    alone_allowed = anip.write("lock", typed=f"{JEAN}\n", login=UNTOLD)

    assert record(anip, KOFFI).is_deceased
    account = pwd.getpwuid(os.getuid()).pw_name
    assert [one["login"] for one in anip.lines()] == [account] * 3
    assert all(account in one.output and "partagent" in one.output for one in answers)
    assert alone_allowed.output == "inscrit sous le n° 3\n"


def test_a_merger_leads_every_number_to_the_record_that_stands(opened: Open) -> None:
    """In one step, of whom was merged before too; who followed the former number follows the other."""
    anip = opened("identity")
    with anip.desk.store.writing() as tx:
        tx.execute(LINKS.delete())
        tx.execute(LINKS.insert().values(npi=CHANTAL, client=BANK))
    before = anip.cursor()

    anip.written_by_two("merger", typed=f"{CHANTAL}\n{SENAN}\n")
    anip.written_by_two("death", "day=2024-11-20", typed=f"{CHANTALE}\n")

    assert {record(anip, npi).npi for npi in (CHANTALE, CHANTAL, SENAN)} == {SENAN}
    assert anip.events(before, of_client(BANK)) == [
        (events_pb2.PERSON_EVENT_TYPE_NPI_MERGED, CHANTAL),
        (events_pb2.PERSON_EVENT_TYPE_DEATH_RECORDED, SENAN),
    ]
    assert anip.write("merger", typed=f"{CHANTAL}\n{SENAN}\n").exit_code == 1


def test_what_the_register_does_not_allow_is_not_written(opened: Open) -> None:
    """Nor is a line of the trail, nor its number; what was given is never repeated."""
    anip = opened("identity")
    living, dead, nobody = f"{KOFFI}\n", "0000000002\n", f"{NOBODY}\n"
    refused = [
        (("death", "day=2024-11-20"), nobody, "NOT_FOUND"),
        (("death", "day=2024-11-20"), f"{BIO}\n", "RECORD_LOCKED"),
        (("death", "day=1987-04-11"), living, "day"),
        (("death", "day=2999-01-01"), living, "day"),
        (("death", "day=20-11-2024"), living, "day"),
        (("death", "day=2024-11-20"), "", "npi"),
        (("death", "day=2024-11-20"), "123\n", "npi"),
        (("merger",), living + living, "standing_npi"),
        (("merger",), f"{CHANTALE}\n{CHANTAL}\n", "standing_npi"),
        (("merger",), dead + living, "STATE_CONFLICT"),
        (("merger",), f"{KOFFI}\n{CHANTALE}\n", "STATE_CONFLICT"),
        (("merger",), f"{KOFFI}\n{BIO}\n", "RECORD_LOCKED"),
        (("lock-end",), living, "STATE_CONFLICT"),
        (("consent", "consent_ref=C-1", f"client={BANK}", "purposes=P03", "until=2099-01-01"), nobody, "NOT_FOUND"),
        (("consent", "consent_ref=C-1", f"client={BANK}", "purposes=P03", "until=2099-01-01"), dead, "DECEASED"),
        (("consent", "consent_ref=C-1", f"client={BANK}", "purposes=P03", "until=2020-01-01"), living, "until"),
        (("consent", "consent_ref=C-1", "client=BANK", "purposes=P03", "until=2099-01-01"), living, "client"),
        (("consent-end", "consent_ref=C-1"), "", "NOT_FOUND"),
    ]  # fmt: skip
    for arguments, typed, why in refused:
        result = anip.write(*arguments, typed=typed)
        assert (result.exit_code, why in result.output) == (1, True), (arguments, result.output)
        assert "must" not in result.output  # in the officer's language
        assert not any(number in result.output for number in typed.split())

    assert anip.lines() == []
    anip.written("lock", typed=living)
    assert record(anip, KOFFI).state == RecordState.LOCKED
    assert [line["number"] for line in anip.lines()] == [1]


def test_numbers_of_persons_are_never_arguments(opened: Open) -> None:
    """Nor anything else that the inscription does not take; nobody's number comes back in the error."""
    anip = opened("identity")
    for arguments in (
        ("death", "day=2024-11-20", f"npi={KOFFI}"),
        ("death", f"npi={KOFFI}"),
        ("death", KOFFI, "day=2024-11-20"),
        ("death",),
        ("death", "day=2024-11-20", "day=2026-11-21"),
        ("wedding", "day=2024-11-20"),
    ):
        result = anip.write(*arguments, typed=f"{KOFFI}\n")
        assert (result.exit_code, KOFFI in result.output) == (2, False), result.output
    assert anip.write("death", "day=2024-11-20", typed=f"{KOFFI}\n", officer=KOFFI).exit_code == 1
    assert anip.lines() == []


def test_at_a_terminal_numbers_are_typed_twice_and_not_shown(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number mistyped once is asked for again."""
    monkeypatch.setattr("adapters.registrars._is_terminal", lambda: True)
    anip = opened("identity")

    locked = anip.write("lock", typed=f"{KOFFI}\n{JEAN}\n{KOFFI}\n{KOFFI}\n")

    assert (locked.exit_code, record(anip, KOFFI).state) == (0, RecordState.LOCKED)
    assert "NPI de la personne" in locked.output
    assert not {KOFFI, JEAN} & set(locked.output.split())


def test_what_cannot_be_undone_is_asked_for_and_may_be_rehearsed(opened: Open) -> None:
    """No answer is a no; a rehearsal says what would happen and leaves nothing."""
    anip = opened("identity")
    said = ("write", "death", "day=2024-11-20", "--officer", "AGENT-7", "--evidence", "PV-2026-118")

    unasked = anip.run(*said, typed=f"{KOFFI}\n")
    rehearsed = anip.run(*said, "--dry-run", typed=f"{KOFFI}\n")
    impossible = anip.run(*said, "--dry-run", typed=f"{NOBODY}\n")

    assert [one.exit_code for one in (unasked, rehearsed, impossible)] == [1, 0, 1]
    assert not record(anip, KOFFI).is_deceased
    assert anip.lines() == []


def test_a_consent_opens_what_it_names_until_it_is_taken_back(opened: Open) -> None:
    """A bank reads with it at once, and at once no more."""
    apiex = opened("business")
    request = business_pb2.ListByPersonRequest(npi=KOFFI, consent_ref="C-2026-1")

    def list_by_person() -> business_pb2.ListByPersonResponse:
        with serving(caller(purpose="P03", client=BANK)):
            return BusinessService(apiex.desk).ListByPerson(request, NO_CONTEXT)

    consent = ("consent", "consent_ref=C-2026-1", f"client={BANK}", "purposes=P03,P01", "until=2099-12-31")
    apiex.written(*consent, typed=f"{KOFFI}\n")

    assert list_by_person().registrations
    assert (
        apiex.read(lambda tx: tx.execute(sa.select(BUSINESS_CONSENTS.c.purposes)).scalar_one()) == "P01 P03"
    )
    assert apiex.write(*consent, typed=f"{KOFFI}\n").exit_code == 1
    apiex.written("consent-end", "consent_ref=C-2026-1")
    with pytest.raises(ProviderError) as refused:
        list_by_person()
    assert refused.value.reason is ProviderReason.CONSENT_REQUIRED
    assert apiex.write("consent-end", "consent_ref=C-2026-1").exit_code == 1


def blocking(andf: Register, nup: str = NUP) -> list[str]:
    """What stands against the sale of a parcel by its holder."""
    request = parcel_pb2.CheckOwnershipRequest(nup=nup, party=person_pb2.Party(npi=SENAN))
    with serving(caller(purpose="P01")):
        answer = LandService(andf.desk).CheckOwnership(request, NO_CONTEXT)
    return [
        parcel_pb2.BlockingReason.Name(one).removeprefix("BLOCKING_REASON_")
        for one in answer.blocking_reasons
    ]


def test_mortgages_and_disputes_stand_against_a_sale_until_they_end(opened: Open) -> None:
    """Everybody who follows parcels hears of them, without names and amounts."""
    andf = opened("land")
    before = andf.cursor()
    kinds = land_events_pb2.ParcelEventType.Value

    andf.written("mortgage", f"nup={NUP}", "creditor=Banque de Test", "amount_xof=5000000")
    andf.written("mortgage", f"nup={NUP}", "creditor=Banque de Test", "amount_xof=1000000")
    andf.written("dispute", f"nup={NUP}", "court=TPI Abomey-Calavi", "text=limite contestée")
    (today,) = {line["written_at"][:10] for line in andf.lines()}
    burdened = blocking(andf)
    for rank in (1, 2):
        andf.written("mortgage-end", f"nup={NUP}", f"rank={rank}")
    andf.written("dispute-end", f"nup={NUP}", f"noted_on={today}", "rank=1")

    assert burdened == ["DISPUTE", "MORTGAGE"]
    assert blocking(andf) == []
    told = [kinds(f"PARCEL_EVENT_TYPE_{one}") for one in ("MORTGAGED", "MORTGAGED", "DISPUTE_FLAGGED")]
    released = kinds("PARCEL_EVENT_TYPE_RELEASED")
    assert andf.events(before) == [(one, NUP) for one in (*told, released, released)]
    for late in (
        ("mortgage-end", f"nup={NUP}", "rank=1"),
        ("dispute-end", f"nup={NUP}", f"noted_on={today}", "rank=1"),
        ("mortgage", "nup=999999999", "creditor=B", "amount_xof=1"),
        ("mortgage", "nup=900000005", "creditor=sans titre", "amount_xof=1"),
        ("dispute", "nup=900000013", "court=morcelée", "text=t"),
        ("dispute", f"nup={NUP}", "court=TPI", f"text=contre {KOFFI}"),
        ("dispute", f"nup={NUP}", "court=TPI", "text=contre 2202190000304, commerçante"),
    ):
        assert andf.write(*late).exit_code == 1


def test_what_an_officer_repeats_is_written_once(opened: Open) -> None:
    """A command whose end he did not see; what another paper says is another mortgage, another dispute."""
    andf = opened("land")
    mortgage = ("mortgage", f"nup={NUP}", "creditor=Banque de Test", "amount_xof=5000000")
    dispute = ("dispute", f"nup={NUP}", "court=TPI Abomey-Calavi", "text=limite contestée")

    for one in (mortgage, dispute):
        andf.written(*one)
        again = andf.write(*one)
        assert (again.exit_code, "STATE_CONFLICT" in again.output) == (1, True)
        other_paper = ("--officer", "AGENT-7", "--evidence", "PV-2026-119")
        assert andf.run("write", *one, *other_paper).exit_code == 0

    assert [line["name"] for line in andf.lines()] == ["dispute", "dispute", "mortgage", "mortgage"]


def test_each_of_two_disputes_of_a_day_ends(opened: Open) -> None:
    """By its rank among those of that day, which it keeps."""
    andf = opened("land")
    for court in ("TPI Abomey-Calavi", "TPI Cotonou"):
        andf.written("dispute", f"nup={NUP}", f"court={court}", "text=limite contestée")
    end = ("dispute-end", f"nup={NUP}", f"noted_on={andf.lines()[0]['written_at'][:10]}")

    andf.written(*end, "rank=1")

    assert blocking(andf) == ["DISPUTE"]
    assert [andf.write(*end, f"rank={rank}").exit_code for rank in (1, 3)] == [1, 1]
    andf.written(*end, "rank=2")
    assert blocking(andf) == []


def test_notaries_take_office_and_leave_and_belonging_is_certified(opened: Open) -> None:
    """A handle is one notary's for ever."""
    andf = opened("land")
    notary = ("notary", "notary_ref=NOT-PNO-0003", "office=Porto-Novo")

    andf.written(*notary, typed=f"{KOFFI}\n")
    in_office = andf.read(lambda tx: is_notary(tx, "NOT-PNO-0003"))
    andf.written("notary-end", "notary_ref=NOT-PNO-0003")
    andf.written("certificate", "nup=900000005", "number=CA-2026-77", typed=f"{JEAN}\n")

    assert in_office
    assert not andf.read(lambda tx: is_notary(tx, "NOT-PNO-0003"))
    assert andf.write(*notary, typed=f"{KOFFI}\n").exit_code == 1
    assert andf.write("notary-end", "notary_ref=NOT-PNO-0003").exit_code == 1
    assert andf.write("certificate", f"nup={NUP}", "number=CA-2026-78", typed=f"{SENAN}\n").exit_code == 1
    assert blocking(andf, "900000005") == []


def test_belonging_is_certified_of_those_to_whom_it_belongs(opened: Open) -> None:
    """By whichever of their numbers; of nobody else, nor where the register knows no holder."""
    andf = opened("land")
    certificate = ("certificate", "nup=900000005", "number=CA-2026-77")

    for other in (KOFFI, "3202090000115"):
        refused = andf.write(*certificate, typed=f"{other}\n")
        assert (refused.exit_code, "STATE_CONFLICT" in refused.output) == (1, True)
    assert andf.write("certificate", "nup=900000012", "number=CA-1", typed=f"{KOFFI}\n").exit_code == 1
    andf.desk.store.write(lambda tx: follow_merger(tx, ALIASES, JEAN, KOFFI))
    andf.written(*certificate, typed=f"{KOFFI}\n")


@pytest.mark.parametrize("name", ["land", "business", "labour"])
def test_a_register_that_anip_does_not_tell_of_a_merger_is_told_by_its_officers(
    opened: Open, name: str
) -> None:
    """By two of them, of two numbers; one and the same is none. A merger that was known before is not undone."""
    register = opened(name)

    register.written_by_two("merger", typed=f"{JEAN}\n{KOFFI}\n")
    alone = register.write("merger", typed=f"{SENAN}\n{JEAN}\n")
    register.written("merger", typed=f"{SENAN}\n{JEAN}\n", officer="AGENT-8")

    same = register.write("merger", typed=f"{KOFFI}\n{KOFFI}\n")
    assert (same.exit_code, "standing_npi" in same.output) == (1, True)
    assert [(line["name"], line["values"]) for line in register.lines()] == [("merger", [])] * 4
    assert "un autre agent" in alone.output
    if name == "land":
        request = parcel_pb2.CheckOwnershipRequest(nup=NUP, party=person_pb2.Party(npi=KOFFI))
        with serving(caller(purpose="P01")):
            assert LandService(register.desk).CheckOwnership(request, NO_CONTEXT).can_sell


def test_labour_links_inspectorates_and_writes_permits_and_disputes(opened: Open) -> None:
    """What only a seed could write before."""
    mtfp = opened("labour")
    link = ("client=BJ/GOV/MTFP/INSPECTION-PNO", "inspectorate_code=OU")
    employer = "3202090000115"
    held = {"client": "BJ/GOV/MTFP/INSPECTION-PNO", "inspectorate_code": "OU"}

    def links() -> int:
        query = sa.select(sa.func.count()).select_from(INSPECTORATES).filter_by(**held)
        return int(mtfp.read(lambda tx: tx.execute(query).scalar_one()))

    mtfp.written("inspectorate", *link)
    term = ("valid_from=2026-12-01", "valid_until=2027-11-30")
    mtfp.written("permit", "permit_no=PT-2026-990001", *term, typed=f"{KOFFI}\n")
    mtfp.written("dispute", typed=f"{employer}\n")

    assert links() == 1
    permit = mtfp.read(lambda tx: find_permit(tx, "PT-2026-990001"))
    assert (permit.npi, str(permit.term.end)) == (KOFFI, "2027-11-30")
    sonagnon = mtfp.read(lambda tx: find_by_ifu(tx, employer))
    assert mtfp.read(lambda tx: has_open_dispute(tx, sonagnon.id))
    assert mtfp.write("inspectorate", *link).exit_code == 1
    assert mtfp.write("dispute", typed=f"{employer}\n").exit_code == 1
    mtfp.written("inspectorate-end", *link)
    mtfp.written("dispute-end", typed=f"{employer}\n")
    assert links() == 0
    assert not mtfp.read(lambda tx: has_open_dispute(tx, sonagnon.id))
    assert [line["number"] for line in mtfp.lines()] == [5, 4, 3, 2, 1]
    listed = {one["name"]: one for one in json.loads(mtfp.run("list", "--output", "json").output)}
    assert listed["permit"]["personal"] == ["NPI du travailleur"]
    # Of a sole trader it is a person's: no argument, and not shown.
    assert (listed["dispute"]["fields"], listed["dispute"]["personal"]) == ([], ["IFU de l'employeur"])
    assert employer not in json.dumps(mtfp.lines())
    assert mtfp.write("dispute", f"ifu={employer}").exit_code == 2


@pytest.mark.parametrize("name", list(SUBSYSTEMS))
def test_every_register_says_what_is_written_into_it(name: str) -> None:
    """In both languages, each inscription once."""
    ministry = load_ministry(name)
    assert ministry.inscriptions is not None
    names = [one.name for one in ministry.inscriptions]

    assert len(set(names)) == len(names) > 0
    for one in ministry.inscriptions:
        assert one.label.fr != one.label.en
        assert {part.name for part in one.fields}.isdisjoint({"officer", "evidence"})
        assert len({part.name for part in one.fields}) == len(one.fields)
