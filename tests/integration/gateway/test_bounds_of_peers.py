"""What one peer can make us log, hold, or claim (PROTOCOL M17; invariant 9 of docs/reliability.md)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
import msgspec
import pytest

from core.leaves import HEARD, NOTE, SAID, Note, parse_heard
from core.reasons import Reason
from core.statements import Statement, parse_statement
from gateway.settings import Limits
from gateway.worker.budget import Backlog, BudgetLimits, EntryBudget
from gateway.worker.exchange import Phase
from gateway.worker.link import LinkChannel
from gateway.worker.main import Worker
from gateway.worker.peerlog import FrameRefusedError, VerifiedEntry
from gateway.worker.road import Road
from gateway.worker.turn import Turn, Turns
from tests.support.calls import call, leaves
from tests.support.federation import PROVIDER, Federation, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.waiting import until
from tests.support.worker_country import statement


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(entries_per_s=1, entries_burst=2)) as found:
        yield found


def provider(federation: Federation) -> Worker:
    worker = federation.anip.worker
    assert worker is not None
    return worker


def test_refused_requests_of_a_peer_are_logged_within_its_budget_then_summed(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past it the stream ends, so that nobody waits for an answer that will not come; others go on later."""
    parts = provider(federation).station.pipeline.provider._parts
    objection_to_start = parts.objection_to_start
    monkeypatch.setattr(parts, "objection_to_start", lambda: Reason.SHUTTING_DOWN)

    reasons = [outcome_of(partial(call, federation, timeout=10)) for _ in range(3)]
    assert reasons == ["SHUTTING_DOWN", "SHUTTING_DOWN", "PEER_LOST"]

    def notes() -> list[Note]:
        found = [
            msgspec.json.decode(body, type=Note) for label, body in leaves(federation.anip) if label == NOTE
        ]
        return [one for one in found if one.event == "refusals-summed"]

    until(lambda: bool(notes()))
    assert [(one.detail, one.count) for one in notes()] == [("BJ/GOV/PNS", 1)]
    heard = [parse_heard(body).verdict for label, body in leaves(federation.anip) if label == HEARD]
    assert heard.count("refused:SHUTTING_DOWN") == 2
    monkeypatch.setattr(parts, "objection_to_start", objection_to_start)
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
    consumer.doubts.add(bytes.fromhex("e" * 64), road.peer.log, 1)
    turn = Turn(worker.station._leaves, 0, 0)
    said = statement(kind="response", from_=road.peer.log, to=worker.station.log_id, request="e" * 64)

    consumer.hear_responses(turn, road, [VerifiedEntry(1, b"h" * 32, "f" * 64, b"{}", said, None)])

    assert (turn.entries, len(consumer.doubts)) == (1, 0)


def test_frames_that_wait_for_a_turn_are_bounded_per_member(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a commit takes its time no more is read of the peer's road; then all goes on."""
    station = provider(federation).station
    pipeline = station.pipeline
    monkeypatch.setattr(pipeline._arrivals, "_limits", BudgetLimits(4_000, 4_000, 10, 10))
    monkeypatch.setattr(station.turns, "_run", lambda: None)  # a commit that takes its time

    with federation.channel() as channel:
        first = calling(channel).future(b"1", metadata=metadata(), timeout=20)
        until(lambda: pipeline._arrivals.held_bytes > 0)
        (road,) = station.roads.roads.values()
        second = calling(channel).future(b"x" * 4_000, metadata=metadata(), timeout=20)
        until(lambda: list(pipeline._held) == [road])
        before = road.channel
        assert held(before)
        monkeypatch.undo()
        federation.do(again(station.turns))

        assert [first.result(), second.result()] == [b"1", b"x" * 4_000]

    assert road.channel is before
    assert not held(before)
    assert pipeline._arrivals.held_bytes == 0


def held(channel: object) -> bool:
    assert isinstance(channel, LinkChannel)
    return channel._held


async def again(turns: Turns) -> None:
    turns._scheduled = False
    turns.wake()


def test_a_frame_of_refused_requests_ends_the_stream_once(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are in it; those within the budget are logged and answered."""
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
    worker = provider(federation)
    (road,) = worker.station.roads.roads.values()
    ended: list[Road] = []
    parts = worker.station.pipeline.provider._parts
    end_with = parts.roads.end_with

    def ending(road: Road, error: FrameRefusedError) -> None:
        ended.append(road)
        end_with(road, error)

    monkeypatch.setattr(parts.roads, "end_with", ending)
    said = statement(from_=road.peer.log, to="f" * 64)
    entries = [VerifiedEntry(at, bytes([at]) * 32, "f" * 64, b"{}", said, None) for at in range(9)]
    parts.entries = EntryBudget(1, 2)
    turn = Turn(worker.station._leaves, 0, 0)

    federation.do(_hear(worker, turn, road, entries))

    assert (ended, turn.entries) == ([road], 4)


async def _hear(worker: Worker, turn: Turn, road: Road, entries: list[VerifiedEntry]) -> None:
    worker.station.pipeline._hear(turn, road, entries, turn.now_us)


def test_endings_of_one_request_are_heard_within_the_budget(federation: Federation) -> None:
    """The first ends it; the others are endings of nothing."""
    told = threading.Event()
    federation.adapter.answer = lambda request, _: request if told.wait(10) else b""
    worker = provider(federation)
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata(), timeout=10)
        services = worker.station.pipeline.provider.services
        until(lambda: bool(services) and next(iter(services.values())).handle is not None)
        (service,) = services.values()
        road = service.road
        said = statement(
            kind="cancel",
            from_=road.peer.log,
            to=worker.station.log_id,
            request=service.request.leaf_hash.hex(),
        )
        worker.station.pipeline.provider._parts.entries = EntryBudget(1, 2)
        turn = Turn(worker.station._leaves, 0, 0)
        entries = [VerifiedEntry(at, bytes([at]) * 32, "f" * 64, b"{}", said, None) for at in range(9)]

        federation.do(_hear(worker, turn, road, entries))

        told.set()
        assert turn.entries == 3
        call.cancel()


def test_long_answers_wait_while_their_road_has_much_to_send(tmp_path: Path) -> None:
    """A peer that takes them slowly gets them all; the stream that others share lives on."""
    with Federation(tmp_path, limits=Limits(road_sending_bytes=300_000)) as federation:
        federation.adapter.answer = lambda request, _: request * 1_000_000

        with federation.channel() as channel:
            calls = [calling(channel).future(b"x", metadata=metadata(), timeout=30) for _ in range(24)]
            answers = [call.result() for call in calls]

        assert answers == [b"x" * 1_000_000] * 24
        assert provider(federation).station.pipeline.provider._held == []


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
    monkeypatch.setattr("gateway.worker.road.MAX_BACKLOG", 1)
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        worker = federation.pns.worker
        assert worker is not None
        station = worker.station
        (road,) = station.roads.roads.values()
        stream = road.channel
        until(lambda: road.is_backed_up)  # with the receipt of the answer, which waits 0.9 s for company
        waiting = calling(channel).future(b"waiting", metadata=metadata(), timeout=10)
        until(lambda: bool(station.pipeline.consumer._waiting))

        assert waiting.result() == b"waiting"
        assert road.channel is stream


def test_the_adapter_waits_while_answers_to_one_member_wait(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the member's bound the windows of its calls shut; the answers come once there is room again."""
    inner = provider(federation).station.pipeline.provider
    monkeypatch.setattr(inner._parts.answers, "_limits", BudgetLimits(500_000, 5_000_000, 10, 10))
    monkeypatch.setattr("gateway.worker.provider._must_wait", lambda service: bool(service.answer.messages))
    federation.adapter.answer = lambda request, _: request * 3_000_000

    with federation.channel() as channel:
        first = calling(channel).future(b"1", metadata=metadata(), timeout=30)
        until(lambda: inner._paused == {"BJ/GOV/PNS"})
        second = calling(channel).future(b"2", metadata=metadata(), timeout=30)
        until(lambda: len(federation.adapter.calls) == 2)
        time.sleep(0.3)  # long enough for all of it, were its window open
        assert [one.phase for one in inner.services.values()] == [Phase.ANSWERED, Phase.SENT]
        monkeypatch.undo()

        assert first.result() == b"1" * 3_000_000
        assert second.result() == b"2" * 3_000_000
    assert (inner._paused, inner._parts.answers.held_bytes) == (set(), 0)


def test_a_full_backlog_is_one_members_until_the_sum_is_full() -> None:
    """Fair per member, bounded in sum."""
    backlog = Backlog(BudgetLimits(member_bytes=10, worker_bytes=25, member_calls=1, worker_calls=1))
    backlog.add("a", 10)
    assert backlog.is_full("a")
    assert not backlog.is_full("b")

    backlog.add("b", 9)
    backlog.add("c", 9)
    assert backlog.is_full("b")

    for member, size in (("a", 10), ("b", 9), ("c", 9)):
        backlog.remove(member, size)
    assert not backlog.is_full("a")
    assert backlog.held_bytes == 0


def test_what_frames_past_the_budget_prove_does_not_heap_up(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in them is logged, so nothing carries their records to the disk but a note now and then."""
    monkeypatch.setattr("gateway.worker.station.MAX_KEPT_RECORDS", 0)
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
    worker, peer = provider(federation), federation.pns.worker
    assert peer is not None
    (road,), (back,) = worker.station.roads.roads.values(), peer.station.roads.roads.values()
    until(lambda: not road.records)
    size = road.peer.edge.size
    monkeypatch.setattr(worker.station.pipeline.provider._parts.entries, "take", lambda member, now_us: False)
    ending = statement(
        kind="cancel", from_=peer.station.log_id, to=worker.station.log_id, request="e" * 64, status=None
    )

    def say(turn: Turn) -> None:
        turn.say(ending, back)

    async def plan() -> None:
        peer.station.pipeline.at_start(say)

    federation.do(plan())

    until(lambda: road.peer.edge.size > size)
    until(lambda: not road.records)
