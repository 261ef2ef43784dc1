"""Decisions go back to the consumer as calls on the road: late, twice, refused, lost; to the portal as it is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.kit.adapter import Adapter
from adapters.kit.dossier import Dossier, State
from adapters.kit.expiry import expire
from adapters.kit.reports import report_decision
from adapters.kit.road import Road
from adapters.kit.tasks import TaskRunner
from adapters.portal import adapter as portal
from adapters.portal.applications import Applications, Filed
from adapters.settings import AdapterSettings, ProgramSettings
from core.clock import SystemClock
from core.identifiers import SubsystemId
from core.reasons import Reason
from tests.support.neighbours import Neighbourhood, StandInGateway
from tests.support.postal.ministry import CALLER, CONCESSION, PostOffice
from tests.support.registers import make_register

POST, PORTAL = "BJ/GOV/LAPOSTE/BOITES", "BJ/GOV/PNS/PORTAIL"


@dataclass
class Reporting:
    """The post office and its gateway, and the portal's adapter behind it."""

    office: PostOffice
    gateway: StandInGateway
    applications: Applications

    def __post_init__(self) -> None:
        handlers = {"expire": expire, "report_decision": report_decision}
        self.runner = TaskRunner(self.office.desk, handlers)

    def file(self, issue: str, filed: Filed | None = None) -> tuple[str, Filed]:
        """The reference of an application that the portal filed, and what it knows of it."""
        known = filed or self.applications.add(POST, issue)
        opened = self.office.open(
            CONCESSION,
            key=f"key-of-{issue}",
            application_id=known.application_id,
            token=known.response_token,
        )
        return opened.reference, known

    def decide(self, move: str, reference: str, *said: str) -> Dossier:
        """What an officer does."""
        desk = self.office.desk
        moved: Dossier = desk.store.write(
            lambda tx: getattr(desk.dossiers, move)(tx, reference, "agent-7", *said)
        )
        return moved

    def run(self, later: timedelta = timedelta(0)) -> int:
        """Do what is due; how many reports went out."""
        self.office.clock.advance(later)
        before = len(self.gateway.heard)
        self.runner.run_due()
        return len(self.gateway.heard) - before

    def told(self, issue: str) -> tuple[int, int, str]:
        """Version, state and reason, as the portal has them."""
        (found,) = self.applications.of_issue(issue)
        return found["version"], found["state"], found["message"]

    def tasks(self) -> int:
        """How many reports are still to be made."""
        return [kind for kind, _ in self.office.tasks()].count("report_decision")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Road, StandInGateway, Applications]]:
    """The portal's adapter, and the road there from the post office."""
    directory = tmp_path_factory.mktemp("portal")
    side = Neighbourhood(directory, PORTAL)
    settings = AdapterSettings(
        adapter="portal",
        subsystem=PORTAL,
        gateways=(side.gateway,),
        database=f"sqlite:///{directory}/portal.sqlite",
        listen="127.0.0.1:0",
        anchor=str(directory / "anchor.pem"),
        key=str(directory / "identity.key"),
        certificate=str(directory / "identity.crt"),
    )
    make_register(settings.database, portal.MINISTRY.migrations)
    adapter = Adapter(portal.MINISTRY, settings, SystemClock())
    post = Neighbourhood(tmp_path_factory.mktemp("post"), POST)
    gateway = StandInGateway(post, {PORTAL: side.channel(adapter.start())})
    program = ProgramSettings(
        gateway=f"127.0.0.1:{gateway.start()}",
        directory=str(post.directory / "program"),
        gateway_id=post.gateway,
    )
    road = Road(program, SubsystemId.parse(POST))
    yield road, gateway, Applications(adapter.desk.store, SystemClock())
    road.close()
    gateway.stop()
    adapter.stop()


@pytest.fixture
def reporting(served: tuple[Road, StandInGateway, Applications], tmp_path: Path) -> Iterator[Reporting]:
    """With a post office that has done nothing yet, and a road on which all is well."""
    road, gateway, applications = served
    office = PostOffice(f"sqlite:///{tmp_path}/post.sqlite", tmp_path)
    office.desk.road = road
    yield Reporting(office, gateway, applications)
    for trouble in (gateway.away, gateway.losing, gateway.refusing):
        trouble.clear()
    office.desk.store.close()


def test_a_consumer_is_told_how_its_dossier_stands(reporting: Reporting) -> None:
    """With the purpose for which it was filed; the reason with it, and once."""
    reference, _ = reporting.file("POST-202611-0001")
    reporting.decide("review", reference)
    assert reporting.run() == 1

    moved = reporting.decide("reject", reference, "local déjà attribué")

    assert reporting.run() == 1
    assert reporting.gateway.heard[-1][:3] == (PORTAL, "ReportDecision", CALLER.purpose)
    assert reporting.told("POST-202611-0001") == (moved.version, State.REJECTED, "local déjà attribué")
    assert (reporting.tasks(), reporting.run(timedelta(days=1))) == (0, 0)


def test_who_gave_no_token_is_told_nothing(reporting: Reporting) -> None:
    """He asks for himself."""
    opened = reporting.office.open(CONCESSION, token="")

    reporting.decide("review", opened.reference)

    assert (reporting.tasks(), reporting.run()) == (0, 0)


@pytest.mark.parametrize("trouble", ["away", "refused", "lost"])
def test_a_report_is_made_until_it_was_answered(reporting: Reporting, trouble: str) -> None:
    """The portal is down, no agreement lets the call through yet, or the answer was lost: it ends the same way."""
    issue = f"POST-202611-01{len(trouble)}{trouble[0]}"
    reference, _ = reporting.file(issue)
    moved = reporting.decide("review", reference)
    if trouble == "refused":
        reporting.gateway.refusing[PORTAL] = Reason.NO_AGREEMENT
    else:
        {"away": reporting.gateway.away, "lost": reporting.gateway.losing}[trouble].add(PORTAL)

    with capture_logs() as logs:
        assert [reporting.run(), reporting.run(), reporting.run(timedelta(seconds=1))] == [1, 0, 1]
    assert reporting.told(issue)[0] == (moved.version if trouble == "lost" else 0)
    for gone in (reporting.gateway.away, reporting.gateway.losing, reporting.gateway.refusing):
        gone.clear()

    assert [reporting.run(timedelta(seconds=2)), reporting.tasks()] == [1, 0]
    assert reporting.told(issue)[:2] == (moved.version, State.UNDER_REVIEW)
    assert [one["event"] for one in logs] == ["task_put_off"] * 2


def test_a_late_report_tells_the_newest_and_those_behind_it_nothing(reporting: Reporting) -> None:
    """Three moves while the portal was away: one call."""
    reference, _ = reporting.file("POST-202611-0003")
    reporting.gateway.away.add(PORTAL)
    reporting.decide("review", reference)
    reporting.decide("ask_correction", reference, "plan illisible")
    reporting.run()
    moved = reporting.decide("reject", reference, "plan jamais reçu")
    reporting.gateway.away.clear()

    assert reporting.run(timedelta(hours=1)) == 1
    assert reporting.told("POST-202611-0003") == (moved.version, State.REJECTED, "plan jamais reçu")
    assert reporting.tasks() == 0


def test_a_move_while_the_report_is_on_its_way_is_told_too(reporting: Reporting) -> None:
    """What was confirmed is what was told, not what is."""
    reference, _ = reporting.file("POST-202611-0004")
    reporting.decide("review", reference)
    desk = reporting.office.desk
    with desk.store.reading() as tx:
        (task, *_) = desk.tasks.due(tx)

    confirm = report_decision(desk, task)
    moved = reporting.decide("reject", reference, "local déjà attribué")
    assert confirm is not None
    desk.store.write(confirm)

    with desk.store.reading() as tx:
        assert desk.dossiers.get(tx, reference).reported_version < moved.version
    assert reporting.run() == 1
    assert reporting.told("POST-202611-0004")[:2] == (moved.version, State.REJECTED)


def test_the_same_report_twice_is_no_news(reporting: Reporting) -> None:
    """Answered all the same: a process that died after the call, and before it could note so, ends its task."""
    reference, _ = reporting.file("POST-202611-0005")
    moved = reporting.decide("review", reference)
    desk = reporting.office.desk
    with desk.store.reading() as tx:
        (task, *_) = desk.tasks.due(tx)
    assert report_decision(desk, task) is not None

    assert (reporting.run(), reporting.tasks()) == (1, 0)
    assert reporting.told("POST-202611-0005")[:2] == (moved.version, State.UNDER_REVIEW)


def test_a_consumer_that_knows_no_such_application_is_left_alone(reporting: Reporting) -> None:
    """Once for each move, with a word in the log that tells no token; to repeat it would not make it know."""
    stranger = Filed("0000aaaa-0000bbbb-0000cccc-0000dddd", "a-token-that-nobody-gave-out-01")
    reference, _ = reporting.file("POST-202611-0006", stranger)
    reporting.decide("review", reference)

    with capture_logs() as logs:
        assert reporting.run() == 1
    assert (reporting.tasks(), reporting.run(timedelta(days=1))) == (0, 0)
    (told,) = [one for one in logs if one["event"] == "report_refused"]
    assert (told["reference"], told["reason"]) == (reference, "NOT_FOUND")
    assert stranger.response_token not in str(logs)

    reporting.decide("reject", reference, "local déjà attribué")
    assert (reporting.run(), reporting.tasks()) == (1, 0)
