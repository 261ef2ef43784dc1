"""What one peer can make us log, hold, or claim (PROTOCOL M17; DESIGN, invariant 9)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import msgspec
import pytest

from core.leaves import HEARD, NOTE, SAID, Note, parse_heard
from core.reasons import Reason
from core.statements import Statement, parse_statement
from gateway.settings import Limits
from gateway.worker.budget import EntryBudget
from gateway.worker.main import Worker
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.road import Road
from gateway.worker.turn import Turn
from tests.integration.gateway.test_exchange import leaves, refused
from tests.support.federation import PROVIDER, Federation, calling, metadata
from tests.support.worker_country import statement


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(entries_per_s=1, entries_burst=2)) as found:
        yield found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def provider(federation: Federation) -> Worker:
    worker = federation.anip.worker
    assert worker is not None
    return worker


def reason_of(federation: Federation) -> str:
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)
    return str(refused(error)[1].reason)


def test_refused_requests_of_a_peer_are_logged_within_its_budget_then_summed(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past it the stream ends, so that nobody waits for an answer that will not come; others go on later."""
    parts = provider(federation).station.pipeline.provider._parts
    may_start = parts.may_start
    monkeypatch.setattr(parts, "may_start", lambda: Reason.SHUTTING_DOWN)

    assert [reason_of(federation) for _ in range(3)] == ["SHUTTING_DOWN", "SHUTTING_DOWN", "PEER_LOST"]

    def notes() -> list[Note]:
        found = [
            msgspec.json.decode(body, type=Note) for label, body in leaves(federation.anip) if label == NOTE
        ]
        return [one for one in found if one.event == "refusals-summed"]

    until(lambda: bool(notes()))
    assert [(one.detail, one.count) for one in notes()] == [("BJ/GOV/PNS", 1)]
    heard = [parse_heard(body).verdict for label, body in leaves(federation.anip) if label == HEARD]
    assert heard.count("refused:SHUTTING_DOWN") == 2
    monkeypatch.setattr(parts, "may_start", may_start)
    with federation.channel() as channel:
        assert calling(channel)(b"again", metadata=metadata(), timeout=10) == b"again"


def test_answers_and_endings_of_nothing_are_heard_within_the_budget(federation: Federation) -> None:
    """A peer's word about an exchange that is not there costs a leaf, not as many as it likes."""
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
    worker = provider(federation)
    (road,) = worker.station.roads.roads.values()
    pipeline = worker.station.pipeline
    consumer = pipeline.consumer

    def planned(hear: Callable[[Turn, Road, VerifiedEntry], None], kind: str) -> int:
        worker.station.pipeline.provider._parts.entries = EntryBudget(1, 2)
        turn = Turn(worker.station._leaves, 0, 0)
        said = statement(kind=kind, from_=road.peer.log, to=worker.station.log_id, request="e" * 64)
        for index in range(5):
            hear(turn, road, VerifiedEntry(index, b"h" * 32, "f" * 64, b"{}", said, None))
        return turn.entries

    assert planned(lambda turn, road, one: consumer.hear_responses(turn, road, [one]), "response") == 2
    assert planned(pipeline.provider.hear_ending, "cancel") == 2


def test_an_answer_that_settles_a_doubt_is_heard_in_any_case(federation: Federation) -> None:
    """It is the one that we ask for."""
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
    worker = provider(federation)
    (road,) = worker.station.roads.roads.values()
    consumer = worker.station.pipeline.consumer
    consumer._parts.entries = EntryBudget(1, 1)
    consumer._parts.entries.take(road.member, 0)
    consumer._doubt("e" * 64, road.peer.log)
    turn = Turn(worker.station._leaves, 0, 0)
    said = statement(kind="response", from_=road.peer.log, to=worker.station.log_id, request="e" * 64)

    consumer.hear_responses(turn, road, [VerifiedEntry(1, b"h" * 32, "f" * 64, b"{}", said, None)])

    assert (turn.entries, consumer.in_doubt) == (1, {})


def test_frames_that_wait_for_a_turn_are_bounded_per_member(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a commit takes its time; the stream ends by name, and what it held is given back."""
    pipeline = provider(federation).station.pipeline
    monkeypatch.setattr(pipeline._arrivals, "take_bytes", lambda member, size: False)

    assert reason_of(federation) == "PEER_LOST"

    monkeypatch.undo()
    with federation.channel() as channel:
        assert calling(channel)(b"again", metadata=metadata(), timeout=10) == b"again"
    until(lambda: pipeline._arrivals.held_bytes == 0)
    assert federation.adapter.calls[-1][1] == b"again"


def test_a_call_that_waited_for_the_adapter_was_not_delivered(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended in the queue before the adapter's connection must not be claimed to be there."""
    edge = provider(federation)._adapters.edges[PROVIDER]
    monkeypatch.setattr(edge, "_place", lambda call: False)

    with federation.channel() as channel, pytest.raises(grpc.RpcError):
        calling(channel)(b"", metadata=metadata(), timeout=0.3)

    def refusals() -> list[Statement]:
        said = [parse_statement(body) for label, body in leaves(federation.anip) if label == SAID]
        return [one for one in said if one.kind == "refusal"]

    until(lambda: bool(refusals()))
    assert [one.delivery for one in refusals()] == ["not_sent"]
    assert federation.adapter.calls == []


def test_calls_wait_for_a_road_that_has_too_much_to_send(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not dialled anew for that; they go out as soon as a frame made room."""
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        worker = federation.pns.worker
        assert worker is not None
        station = worker.station
        (road,) = station.roads.roads.values()
        stream = road.channel
        monkeypatch.setattr("gateway.worker.road.MAX_BACKLOG", 0)
        waiting = calling(channel).future(b"waiting", metadata=metadata(), timeout=10)
        until(lambda: bool(station.pipeline.consumer._waiting))
        monkeypatch.undo()

        federation.do(_send(worker, road))

        assert waiting.result() == b"waiting"
        assert road.channel is stream


async def _send(worker: Worker, road: Road) -> None:
    worker.station._send([road])
