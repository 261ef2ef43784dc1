"""How the portal hears what agencies decide: late, lost, twice, out of order, forged, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import cast

import grpc
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from adapters.context import CallerContext, serving
from adapters.kit.store import Store, open_store
from adapters.portal.applications import MIGRATIONS, Applications, Filed
from adapters.portal.service import DecisionService
from adapters.portal.tables import METADATA
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import decision_service_pb2 as decision
from bj.common.v1 import dossier_pb2 as dos
from core.clock import ManualClock
from core.identifiers import GatewayId, SubsystemId, new_exchange_id
from tests.support.registers import make_register

APIEX = "BJ/GOV/APIEX/RCCM"
ISSUE = "ENT-202611-0001"
REFERENCE = "RCCM-202611-0001"
NOW_MS = 1_790_000_000_000
NO_CONTEXT = cast(grpc.ServicerContext, None)
UNDER_REVIEW, GRANTED, REJECTED = (
    dos.DOSSIER_STATE_UNDER_REVIEW,
    dos.DOSSIER_STATE_GRANTED,
    dos.DOSSIER_STATE_REJECTED,
)


class Portal:
    """The portal's servicer over one database, called as APIEx's gateway is called for."""

    def __init__(self, store: Store) -> None:
        self.applications = Applications(store, ManualClock(NOW_MS))
        self.service = DecisionService(self.applications)
        self.calls = 0
        self._lock = threading.Lock()

    def report(
        self,
        filed: Filed,
        version: int,
        state: dos.DossierState.ValueType = UNDER_REVIEW,
        *,
        client: str = APIEX,
        token: str = "",
        reference: str = REFERENCE,
    ) -> bool:
        with self._lock:
            self.calls += 1
            number = self.calls
        request = decision.ReportDecisionRequest(
            application_id=filed.application_id,
            response_token=token or filed.response_token,
            reference=reference,
            status=state,
            version=version,
            message="dénomination prise" if state == REJECTED else "",
        )
        request.decided_at.FromMilliseconds(NOW_MS + version)
        caller = CallerContext(
            gateway=GatewayId.parse("BJ/GOV/PNS/gw1"),
            client=SubsystemId.parse(client),
            service=SubsystemId.parse("BJ/GOV/PNS/PORTAIL"),
            exchange_id=new_exchange_id(NOW_MS, number.to_bytes(10, "big")),
            request_hash="0" * 64,
            agreement="CV-0026/1",
            issued_at_ms=NOW_MS,
            purpose="P02",
        )
        with serving(caller):
            return self.service.ReportDecision(request, NO_CONTEXT).accepted

    def state(self) -> tuple[int, int, str]:
        (found,) = self.applications.of_issue(ISSUE)
        return found["version"], found["state"], found["reference"]


@pytest.fixture
def portal(database: str) -> Iterator[Portal]:
    make_register(database, MIGRATIONS)
    store = open_store(database, MIGRATIONS)
    yield Portal(store)
    store.close()


def refused(call: Callable[[], object]) -> ProviderReason:
    with pytest.raises(ProviderError) as caught:
        call()
    return caught.value.reason


def test_a_decision_reaches_the_application_it_is_about(portal: Portal) -> None:
    """And with it the agency's reference, which the portal did not know."""
    filed = portal.applications.add(APIEX, ISSUE)

    assert portal.report(filed, 2, GRANTED)
    assert portal.state() == (2, GRANTED, REFERENCE)


def test_the_same_report_again_changes_nothing(portal: Portal) -> None:
    """The agency repeats until it is answered; an answer that was lost costs one more call."""
    filed = portal.applications.add(APIEX, ISSUE)

    assert portal.report(filed, 2, GRANTED)
    assert not portal.report(filed, 2, GRANTED)
    assert portal.state() == (2, GRANTED, REFERENCE)


@pytest.mark.parametrize("order", list(permutations((2, 3, 4))))
def test_reports_in_any_order_end_in_the_newest(portal: Portal, order: tuple[int, ...]) -> None:
    """What is overtaken is no news."""
    filed = portal.applications.add(APIEX, ISSUE)

    for version in order:
        portal.report(filed, version, GRANTED if version == 4 else UNDER_REVIEW)

    assert portal.state()[:2] == (4, GRANTED)


def test_a_final_state_stays(portal: Portal) -> None:
    """A granted dossier cannot be rejected afterwards, whatever version says so."""
    filed = portal.applications.add(APIEX, ISSUE)
    portal.report(filed, 2, GRANTED)

    assert not portal.report(filed, 9, REJECTED)
    assert portal.state()[:2] == (2, GRANTED)


def test_a_report_of_another_dossier_is_no_news(portal: Portal) -> None:
    """One application has one dossier at the agency."""
    filed = portal.applications.add(APIEX, ISSUE)
    portal.report(filed, 2)

    assert not portal.report(filed, 3, GRANTED, reference="RCCM-202611-0002")
    assert portal.state() == (2, UNDER_REVIEW, REFERENCE)


def test_a_stranger_an_unknown_application_and_a_false_token_look_the_same(portal: Portal) -> None:
    """Nobody finds out by asking which applications there are."""
    filed = portal.applications.add(APIEX, ISSUE)
    unknown = Filed("f" * 32, filed.response_token)

    reasons = {
        refused(lambda: portal.report(filed, 2, GRANTED, client="BJ/GOV/ANDF/CADASTRE")),
        refused(lambda: portal.report(unknown, 2, GRANTED)),
        refused(lambda: portal.report(filed, 2, GRANTED, token="A" * 43)),
    }

    assert reasons == {ProviderReason.NOT_FOUND}
    assert portal.state() == (0, 0, "")


def test_of_reports_at_the_same_moment_the_newest_wins(portal: Portal) -> None:
    """Each is its own transaction on its own thread; none is lost under another."""
    filed = portal.applications.add(APIEX, ISSUE)
    threads = [
        threading.Thread(
            target=portal.report, args=(filed, version, GRANTED if version == 8 else UNDER_REVIEW)
        )
        for version in range(1, 9)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert portal.state()[:2] == (8, GRANTED)


def test_the_name_of_an_application_is_never_taken_for_a_personal_number(portal: Portal) -> None:
    """Ten digits in a row would be, wherever a handle is checked: no group of it is so long."""
    filed = portal.applications.add(APIEX, ISSUE)

    assert [len(group) for group in filed.application_id.split("-")] == [8, 8, 8, 8]


def test_the_database_holds_no_token(portal: Portal, database: str) -> None:
    """Who reads it can decide nothing in an agency's name."""
    filed = portal.applications.add(APIEX, ISSUE)

    (found,) = portal.applications.of_issue(ISSUE)

    assert filed.response_token not in repr(found)
    assert filed.response_token not in repr(filed)
    if database.startswith("sqlite:///"):
        held = b"".join(
            path.read_bytes() for path in Path(database.removeprefix("sqlite:///")).parent.glob("register*")
        )
        assert filed.response_token.encode() not in held


def test_the_migrations_leave_what_the_tables_say(database: str) -> None:
    """Columns, keys and indexes."""
    make_register(database, MIGRATIONS)
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_an_application_names_a_subsystem_and_a_handle(portal: Portal) -> None:
    """What is malformed never goes to an agency."""
    with pytest.raises(ValueError):
        portal.applications.add("APIEX", ISSUE)
    with pytest.raises(ValueError):
        portal.applications.add(APIEX, "dossier du 0000000001")
