"""Which of the provider's workers a call goes to: each in turn, and one that was away is dialled again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from core.clock import SystemClock
from core.registrations import RegisteredLog
from gateway.worker.peerlog import PeerLog
from gateway.worker.road import Road
from gateway.worker.roads import RoadTable, Self
from gateway.worker.trust import Grant, RegisteredGateway, TrustView

pytestmark = pytest.mark.unit

LOGS = ("a" * 64, "b" * 64, "c" * 64)


class Away:
    """Nobody answers; who was dialled is noted."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.failed: list[Callable[[str], None]] = []

    def dial(
        self, host: str, port: int, on_open: Callable[[Any], None], on_failed: Callable[[str], None]
    ) -> None:
        self.ports.append(port)
        self.failed.append(on_failed)


class View:
    """Three workers of one gateway provide whatever is asked for."""

    logs = tuple(RegisteredLog(log, number, f"127.0.0.1:{7000 + number}") for number, log in enumerate(LOGS))

    def __init__(self) -> None:
        self.gateway = RegisteredGateway(
            "BJ/GOV/ANIP/gw1", "BJ/GOV/ANIP", "k", frozenset(), {}, self.logs, (), admitted=True
        )

    def provider_logs(self, grant: Grant) -> tuple[tuple[RegisteredGateway, RegisteredLog], ...]:
        return tuple((self.gateway, log) for log in self.logs)


def never(*_: object) -> Any:
    raise AssertionError("nobody answers here")


class Table:
    """A road table with three open roads."""

    def __init__(self) -> None:
        self.dialler = Away()
        self.table = RoadTable(
            Self("f" * 64, "BJ/GOV/PNS/gw1"),
            clock=SystemClock(),
            tree=never,  # type: ignore[arg-type]  # not asked
            newest_head=never,
            new_road=self.new_road,
            dialler=self.dialler,
            on_open=never,
            on_lost=never,
            on_arrival=never,
            on_credit=never,
            on_time=never,
            stop_log=never,
            fetch_configuration=never,
        )
        self.table.trust = cast(TrustView, View())
        for log in LOGS:
            road = self.table.road(log, "BJ/GOV/ANIP")
            road.channel, road.state = cast(Any, object()), "open"

    def new_road(self, log: str, member: str) -> Road:
        return Road(
            PeerLog(log, cast(Any, None)),
            member,
            "f" * 64,
            max_message=1,
            budget=cast(Any, None),
            on_sent=never,
        )

    def calls(self, count: int, *providers: str) -> list[str]:
        """Logs that so many calls go to, the providers asked one after the other."""
        found = []
        for number in range(count):
            road = self.table.to(
                Grant(providers[number % len(providers)], cast(Any, None), cast(Any, None), None)
            )
            found.append(road.peer.log if road is not None else "")
        return found


@pytest.fixture
def table() -> Table:
    return Table()


def test_calls_go_to_each_worker_in_turn(table: Table) -> None:
    """As many to each."""
    assert Counter(table.calls(30, "BJ/GOV/ANIP/RNPP")) == dict.fromkeys(LOGS, 10)
    assert table.dialler.ports == []


def test_calls_that_alternate_between_providers_go_to_all_workers_of_each(table: Table) -> None:
    """Two lists of even length, asked in turn, must not settle on one worker of each."""
    del table.table.roads[LOGS[2]]

    found = table.calls(40, "BJ/GOV/ANIP/RNPP", "BJ/GOV/ANIP/ETAT")

    assert Counter(found[0::2]) == Counter(found[1::2]) == dict.fromkeys(LOGS[:2], 10)


def test_a_worker_that_was_away_is_dialled_while_others_take_the_calls(table: Table) -> None:
    """One dial at a time, and none of the calls waits for it; open again, it has its share."""
    road = table.table.roads[LOGS[1]]
    channel, road.channel = road.channel, None

    found = table.calls(20, "BJ/GOV/ANIP/RNPP")

    assert Counter(found) == {LOGS[0]: 10, LOGS[2]: 10}
    assert table.dialler.ports == [7001]
    table.dialler.failed[0]("refused")
    assert road.state == "PEER_UNREACHABLE"
    assert LOGS[1] not in table.calls(5, "BJ/GOV/ANIP/RNPP")
    assert table.dialler.ports == [7001]  # not again before a moment has passed
    road.channel = channel
    assert Counter(table.calls(30, "BJ/GOV/ANIP/RNPP"))[LOGS[1]] == 10


def test_without_any_open_road_all_workers_are_dialled(table: Table) -> None:
    """Whoever answers first takes the calls that wait."""
    for road in table.table.roads.values():
        road.channel = None

    assert table.calls(2, "BJ/GOV/ANIP/RNPP") == ["", ""]
    assert table.dialler.ports == [7000, 7001, 7002]


def test_a_worker_that_drains_or_is_backed_up_is_passed_over(table: Table) -> None:
    """The first is not dialled while its stream is open; the second takes calls again when it has sent enough."""
    table.table.roads[LOGS[0]].draining = True
    table.table.roads[LOGS[1]]._sending_bytes = 2**40

    assert set(table.calls(6, "BJ/GOV/ANIP/RNPP")) == {LOGS[2]}
    assert table.dialler.ports == []
