"""``passerelle adapter dossier …``: what officers do, on the register's own database while nothing else is done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from adapters.kit.dossier import State
from adapters.officers import dossier
from bj.common.v1 import document_pb2, dossier_pb2, payment_pb2
from core.clock import SystemClock
from core.language import Text
from core.reasons import ExchangeError, Reason
from tests.support.neighbours import Neighbourhood
from tests.support.postal.ministry import BOX_FEE, NPI, PostOffice

AGENT = ("--officer", "agent-7")


@dataclass
class Counter:
    """The post office, and an officer at its keyboard."""

    office: PostOffice
    config: Path

    def type(self, command: str, *arguments: str, lang: str = "en") -> Result:
        """Run one command."""
        return CliRunner().invoke(
            dossier, [command, *arguments, "--config", str(self.config), "--lang", lang]
        )

    def does(self, command: str, reference: str, *arguments: str) -> str:
        """Run one that must succeed; the state that it tells, which is the one that is kept."""
        done = self.type(command, reference, *arguments, *AGENT)
        assert done.exit_code == 0, done.output
        told, _, state = done.output.strip().partition(" ")
        assert (told, State[state]) == (reference, self.office.state(reference))
        return state

    def certify(self) -> None:
        """Give the register the key of its documents."""
        side = Neighbourhood(self.config.parent, "BJ/GOV/LAPOSTE/BOITES")
        side.write_document_key(SystemClock().now_ms())

    def pay(self, reference: str, payment_ref: str, amount: int) -> None:
        """The portal tells of money that was received."""
        told = payment_pb2.Payment(
            payment_ref=payment_ref, state=payment_pb2.PAYMENT_STATE_CONFIRMED, amount_xof=amount
        )
        desk = self.office.desk
        desk.store.write(lambda tx: desk.payments.hear(tx, desk.dossiers.get(tx, reference), told))

    def listed(self, *arguments: str) -> list[Any]:
        """References in the order of the list."""
        done = self.type("list", "--output", "json", *arguments)
        assert done.exit_code == 0, done.output
        return [row["reference"] for row in json.loads(done.stdout)]


def open_counter(directory: Path) -> Counter:
    """Its register and ``adapter.toml``; no adapter serves."""
    office = PostOffice(f"sqlite:///{directory}/post.sqlite", directory)
    config = directory / "adapter.toml"
    config.write_text(
        'adapter = "tests.support.postal.ministry:MINISTRY"\nsubsystem = "BJ/GOV/LAPOSTE/BOITES"\n'
        'gateways = ["BJ/GOV/LAPOSTE/gw1"]\ndatabase = "sqlite:///post.sqlite"\n',
        encoding="utf-8",
    )
    return Counter(office, config)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    found = open_counter(tmp_path)
    yield found
    found.office.desk.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """One for a whole module, which can sign: for refusals, which change nothing."""
    found = open_counter(tmp_path_factory.mktemp("post"))
    found.certify()
    yield found
    found.office.desk.close()


def test_those_that_wait_are_listed_who_is_due_first_comes_first(counter: Counter) -> None:
    """What is decided is not among them, unless asked for."""
    first = counter.office.filed()
    counter.office.clock.advance(timedelta(days=1))
    second, decided = counter.office.filed(), counter.office.filed()
    counter.does("reject", decided, "--reason", "local déjà attribué")

    assert counter.listed() == [first, second]
    assert counter.listed("--limit", "1") == [first]
    assert "1 shown; there are more" in counter.type("list", "--limit", "1").stderr
    assert counter.type("list", "--limit", "2").stderr == ""
    assert counter.listed("--state", "REJECTED") == [decided]
    assert counter.listed("--state", "GRANTED", "--state", "EXPIRED") == []


def test_a_dossier_is_shown_with_what_its_officer_needs(counter: Counter) -> None:
    """State, reason and steps; whose it is stays in the register."""
    reference = counter.office.filed()
    counter.does("review", reference)
    counter.office.desk.store.write(
        lambda tx: counter.office.desk.dossiers.set_step(
            tx, reference, "visit", dossier_pb2.STEP_STATE_RUNNING, f"vu avec le {NPI} à 9 h"
        )
    )
    counter.does("correct", reference, "--reason", "plan illisible")

    shown = counter.type("show", reference, "--output", "json")
    read = counter.type("show", reference, lang="fr")

    found = json.loads(shown.output)
    assert (found["state"], found["officer"], found["reason"]) == (
        "CORRECTION_REQUESTED",
        "agent-7",
        "plan illisible",
    )
    assert found["service"] == "Concession of an office"
    assert found["steps"] == [{"name": "visit", "state": "RUNNING", "detail": "vu avec le •••••••••• à 9 h"}]
    assert "visit RUNNING (vu avec le •••••••••• à 9 h)" in read.output
    assert "Concession d'un bureau" in read.output
    assert NPI not in shown.output + read.output + counter.type("list").output


def test_what_was_paid_and_what_is_to_be_given_back_is_shown(counter: Counter) -> None:
    """In full, in part, and why; a program reads each payment by its parts."""
    reference = counter.office.awaiting()
    counter.pay(reference, "MOMO-000001", 2000)
    counter.office.clock.advance(timedelta(minutes=1))
    counter.pay(reference, "MOMO-000002", BOX_FEE)

    shown = json.loads(counter.type("show", reference, "--output", "json").output)
    read = counter.type("show", reference, lang="fr").output

    assert shown["payments"] == [
        {"payment_ref": "MOMO-000001", "state": "CONFIRMED", "amount_xof": 2000, "refund": "amount"},
        {"payment_ref": "MOMO-000002", "state": "CONFIRMED", "amount_xof": BOX_FEE, "refund": None},
    ]
    assert "MOMO-000001 CONFIRMED 2000 F (à rendre : ce n'est pas le montant des frais)" in read
    assert f"MOMO-000002 CONFIRMED {BOX_FEE} F\n" in read


def test_documents_and_numbers_of_a_dossier_are_shown(counter: Counter) -> None:
    """What it is about, what it gave: type and number of each."""
    reference, desk = counter.office.filed(), counter.office.desk
    Neighbourhood(counter.config.parent, "BJ/GOV/LAPOSTE/BOITES").write_document_key(desk.clock.now_ms())

    def give(tx: sa.Connection) -> None:
        desk.dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_OTHER, "B-17")
        title = Text("Concession", "Concession")
        desk.documents.issue(tx, reference, document_pb2.DOCUMENT_TYPE_OTHER, title=title, lines=[])

    desk.store.write(give)

    shown = json.loads(counter.type("show", reference, "--output", "json").output)
    read = counter.type("show", reference).output

    (document,) = shown["documents"]
    assert document["type"] == "OTHER"
    assert shown["numbers"] == [{"type": "OTHER", "value": "B-17"}]
    assert f"OTHER {document['doc_id']}" in read
    assert "OTHER B-17" in read


@pytest.mark.parametrize(
    ("command", "said", "told"),
    [
        ("correct", ("--reason", "plan illisible"), "FILED ; possible : review, grant, reject · "),
        ("grant", (), "AWAITING_PAYMENT ; possible : rien · "),
        ("finish", ("visit",), "FILED ; possible : review, grant, reject · "),
    ],
)
def test_a_refused_move_tells_the_state_and_the_moves_that_there_are(
    steady: Counter, command: str, said: tuple[str, ...], told: str
) -> None:
    """For an officer, who has no GetDossier: the state, what to type now, where to read on."""
    reference = steady.office.awaiting() if command == "grant" else steady.office.filed()

    refused = steady.type(command, reference, *said, *AGENT, lang="fr")

    assert f"le dossier est {told}`adapter dossier show {reference}`" in refused.output


def test_a_register_that_forbids_a_move_is_told_from_a_wrong_move(steady: Counter) -> None:
    """The dossier might be taken up, but what comes before has not been done."""
    reference = steady.office.awaiting()
    steady.pay(reference, "MOMO-000003", BOX_FEE)

    refused = steady.type("review", reference, *AGENT, lang="fr")

    assert "le dossier est FILED ; le registre ou une étape ne le permet pas" in refused.output


def test_each_move_is_the_dossiers_own(counter: Counter) -> None:
    """The same moves as those of a procedure, and for each the task that tells the consumer."""
    reference = counter.office.filed()
    moves: tuple[tuple[str, tuple[str, ...], str], ...] = (
        ("review", (), "UNDER_REVIEW"),
        ("interview", ("--reason", "lundi 9 h au guichet"), "INTERVIEW_REQUIRED"),
        ("resume", (), "UNDER_REVIEW"),
        ("arbitrate", ("--reason", "deux demandes pour un local"), "ARBITRATION"),
        ("resume", (), "UNDER_REVIEW"),
        ("correct", ("--reason", "plan illisible"), "CORRECTION_REQUESTED"),
        ("review", (), "UNDER_REVIEW"),
        ("reject", ("--reason", "local déjà attribué"), "REJECTED"),
    )
    before = counter.office.read(reference).version

    for command, said, state in moves:
        assert counter.does(command, reference, *said) == state

    assert counter.office.read(reference).version == before + len(moves)
    assert counter.office.tasks().count(("report_decision", reference)) == len(moves)


def test_a_visit_is_done_when_an_officer_says_so(counter: Counter) -> None:
    """Once: what is done does not run any more."""
    reference = counter.office.filed()
    counter.does("review", reference)
    counter.office.desk.store.write(
        lambda tx: counter.office.desk.dossiers.set_step(
            tx, reference, "visit", dossier_pb2.STEP_STATE_RUNNING
        )
    )

    assert counter.does("finish", reference, "visit") == "UNDER_REVIEW"
    again = counter.type("finish", reference, "visit", *AGENT)

    assert [one.state for one in counter.office.read(reference).steps] == [dossier_pb2.STEP_STATE_DONE]
    assert (again.exit_code, again.output.startswith("Error: STATE_CONFLICT: ")) == (1, True)


def test_nothing_is_granted_that_could_not_be_signed(counter: Counter) -> None:
    """The key of documents is looked at first: missing, the dossier stays as it was."""
    reference = counter.office.filed()
    counter.does("review", reference)

    refused = counter.type("grant", reference, *AGENT)

    assert isinstance(refused.exception, ExchangeError)
    assert refused.exception.reason is Reason.KEY_UNREADABLE
    assert counter.office.state(reference) is State.UNDER_REVIEW
    counter.certify()
    assert counter.does("grant", reference) == "GRANTED"


@pytest.mark.parametrize(
    ("command", "said", "told"),
    [
        ("correct", ("--reason", "plan illisible"), "STATE_CONFLICT: "),
        ("resume", (), "STATE_CONFLICT: "),
        ("finish", ("visit",), "STATE_CONFLICT: "),
        ("reject", ("--reason", "non"), "FORMAT_INVALID: reason: must have 5 to"),
        ("reject", ("--reason", "     non     "), "FORMAT_INVALID: reason: must have 5 to"),
        ("review", ("--officer", NPI), "FORMAT_INVALID: officer_ref: must hold neither"),
        ("review", ("--officer", "M. Adjovi"), "FORMAT_INVALID: officer_ref: must be 1 to 64 letters"),
    ],
)
def test_a_move_that_is_none_is_refused_and_changes_nothing(
    steady: Counter, command: str, said: tuple[str, ...], told: str
) -> None:
    """In the register's own words, exit 1; a personal number that was typed is not repeated."""
    reference = steady.office.filed()
    before = steady.office.read(reference)
    officer = () if "--officer" in said else AGENT

    refused = steady.type(command, reference, *said, *officer)

    assert (refused.exit_code, refused.output[:7]) == (1, "Error: ")
    assert refused.output[7:].startswith(told), refused.output
    assert NPI not in refused.output
    assert steady.office.read(reference) == before


def test_what_a_field_must_be_is_told_in_both_languages(steady: Counter) -> None:
    """As whatever else an officer reads."""
    reference = steady.office.filed()

    told = {
        lang: steady.type("reject", reference, *AGENT, "--reason", "non", lang=lang).output
        for lang in ("fr", "en")
    }

    assert "reason: doit avoir 5 à 1000 caractères" in told["fr"]
    assert "reason: must have 5 to 1000 characters" in told["en"]


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_a_dossier_that_is_not_there_is_told_in_both_languages(steady: Counter, lang: str) -> None:
    """Shown or decided, with a remedy."""
    words = {"fr": "aucune fiche ne répond à cette demande", "en": "no record answers this request"}[lang]
    for command, said in (("show", ()), ("review", AGENT), ("grant", AGENT)):
        missing = steady.type(command, "CONC-202611-9999", *said, lang=lang)

        assert (missing.exit_code, f"NOT_FOUND: {words} · " in missing.output) == (1, True), missing.output
        assert "adapter dossier list" in missing.output


@pytest.mark.parametrize(
    "typed",
    [
        ("review", "CONC-202611-0001"),
        ("reject", "CONC-202611-0001", *AGENT),
        ("review", *AGENT),
        ("list", "--state", "DRAFT"),
        ("list", "--limit", "0"),
    ],
)
def test_what_is_missing_is_a_mistake_of_usage(steady: Counter, typed: tuple[str, ...]) -> None:
    """Exit 2: nobody decides without saying who, or rejects without saying why."""
    assert steady.type(*typed).exit_code == 2
