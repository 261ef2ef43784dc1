"""Requests whose end nobody at the consumer knows are resolved with the peer (PROTOCOL M4; invariants 2 and 3)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import inclusion_proof, leaf_hash
from core.reasons import Reason
from core.statements import Statement, parse_statement
from gateway.settings import Limits
from gateway.worker.budget import EntryBudget
from gateway.worker.doubts import Doubts
from gateway.worker.frames import Outcome
from gateway.worker.peerlog import FrameRefusedError
from gateway.worker.road import Road
from gateway.worker.turn import Turn
from ledger.index import ExchangeIndex, Filter
from ledger.reader import LogReader
from ledger.records import AttachmentKind
from tests.support.calls import refused, worker_of
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import said
from tests.support.waiting import until


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(peer_wait_ms=2_000)) as found:
        with found.channel() as channel:
            calling(channel)(b"first", metadata=metadata(), timeout=10)
        found.adapter.calls.clear()
        yield found


def road_of(member: Member) -> Road:
    (found,) = worker_of(member).station.roads.roads.values()
    return found


def done(federation: Federation, act: Callable[[], object]) -> None:
    async def run() -> None:
        act()

    work: Coroutine[Any, Any, None] = run()
    federation.do(work)


def doubts(federation: Federation) -> Doubts:
    return worker_of(federation.pns).station.pipeline.consumer.doubts


def verdicts(member: Member) -> list[tuple[str, str, str]]:
    """Kind, verdict and delivery of every statement that a member heard."""
    found: list[tuple[str, str, str]] = []
    for one in LogReader(member.directory.log(0)).follow():
        leaf = parse_leaf(one.leaf)
        if leaf.label == HEARD:
            (statement,) = [
                parse_statement(data) for kind, data in one.attachments if kind is AttachmentKind.STATEMENT
            ]
            found.append((statement.kind, parse_heard(leaf.body).verdict, statement.delivery or ""))
    return found


class Deaf:
    """A stream that takes messages and carries none, until it breaks."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.queued_bytes = 0
        self.close, self.hold, self.resume = channel.close, channel.hold, channel.resume

    def send_message(self, message: bytes) -> None:
        """Lost."""


def lose_a_request(federation: Federation) -> None:
    """A request of which bytes may have left; none arrived, and its stream broke."""
    road = road_of(federation.pns)
    roads = worker_of(federation.pns).station.roads
    road.channel = Deaf(road.channel)
    consumer = worker_of(federation.pns).station.pipeline.consumer
    with federation.channel() as channel:
        call = calling(channel).future(b"lost", metadata=metadata(), timeout=20)
        until(lambda: bool(consumer.exchanges))
        until(lambda: not road.outgoing)
        done(federation, lambda: roads.end_with(road, FrameRefusedError(Reason.PEER_LOST)))
        with pytest.raises(grpc.RpcError) as error:
            call.result(20)
    info = refused(error)[1]
    assert (info.reason, info.metadata["delivery"], info.metadata["retry"]) == (
        "PEER_LOST",
        "unknown",
        "safe",
    )
    assert len(doubts(federation)) == 1


def listed(member: Member) -> dict[str | None, str]:
    """How the index of a gateway tells that its requests ended, by leaf hash."""
    with tempfile.TemporaryDirectory() as directory:
        index = ExchangeIndex(Path(directory) / "index.sqlite")
        reader = LogReader(member.directory.log(0))
        index.add(member.log, reader.follow())
        rows = index.search(Filter())
        index.close()
    return {row["request"].hex(): row["outcome"] for row in rows}


def test_a_request_that_never_arrived_is_found_so(federation: Federation) -> None:
    """The peer passed it: it says once and for all that it was never taken, nor will be."""
    lose_a_request(federation)

    with federation.channel() as channel:
        calling(channel)(b"next", metadata=metadata(), timeout=10)
    until(lambda: not len(doubts(federation)))

    (lost,) = said(federation.pns, "abandon")
    (outcome,) = said(federation.anip, "outcome")
    assert (outcome.request, outcome.delivery) == (lost.request, "not_sent")
    until(lambda: listed(federation.pns)[lost.request] == "not_taken")
    until(lambda: ("outcome", "taken", "not_sent") in verdicts(federation.pns))
    assert [request for _, request, _ in federation.adapter.calls] == [b"next"]
    until(lambda: not road_of(federation.anip).outgoing)


def test_a_doubt_outlives_a_restart_and_is_resolved_without_any_call(federation: Federation) -> None:
    """The log remembers it; the start dials its last peers and asks."""
    federation.stop(federation.anip)
    until(lambda: not road_of(federation.pns).is_open)
    federation.start(federation.anip)
    with federation.channel() as channel:
        calling(channel)(b"again", metadata=metadata(), timeout=10)
    federation.adapter.calls.clear()
    lose_a_request(federation)
    federation.stop(federation.pns)

    federation.start(federation.pns)

    until(lambda: not len(doubts(federation)))
    until(lambda: ("outcome", "taken", "not_sent") in verdicts(federation.pns))
    assert federation.adapter.calls == []


def test_an_answer_that_was_committed_and_not_sent_goes_out_after_the_restart(federation: Federation) -> None:
    """With its body; the adapter is not asked again, and what the consumer hears late ends its doubt."""
    worker = worker_of(federation.anip)
    answered = futures.Future[bool]()
    road = road_of(federation.anip)

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        road.channel = Deaf(road.channel)
        answered.set_result(True)
        return b"the answer"

    federation.adapter.answer = answer
    with federation.channel() as channel:
        call = calling(channel).future(b"asked", metadata=metadata(), timeout=20)
        answered.result(10)
        until(lambda: any(one.kind == "response" and one.to for one in said(federation.anip)[-1:]))
        until(lambda: not worker.station.pipeline.in_flight)
        federation.stop(federation.anip)
        with pytest.raises(grpc.RpcError):
            call.result(20)
    assert len(doubts(federation)) == 1

    federation.start(federation.anip)

    until(lambda: not len(doubts(federation)))
    until(lambda: ("response", "late", "") in verdicts(federation.pns))
    assert [request for _, request, _ in federation.adapter.calls] == [b"asked"]
    reader = LogReader(federation.pns.directory.log(0))
    (late,) = [one for one in reader.follow() if b'"verdict":"late"' in one.leaf]
    assert late.body is not None
    assert set(listed(federation.pns).values()) == {"granted"}
    assert b"the answer" in worker_of(federation.pns)._vault.open(late.body)


def test_a_request_that_the_restart_cut_is_answered_and_no_longer_in_doubt(federation: Federation) -> None:
    """The provider cannot know whether its adapter acted: it says so, and the consumer's list is empty again."""
    called, hold = futures.Future[bool](), futures.Future[bool]()

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        called.set_result(True)
        hold.result(20)
        return request

    federation.adapter.answer = answer
    with federation.channel() as channel:
        call = calling(channel).future(b"cut", metadata=metadata(), timeout=20)
        called.result(10)
        federation.stop(federation.anip)
        with pytest.raises(grpc.RpcError):
            call.result(20)
    federation.adapter.answer = lambda request, _: request

    federation.start(federation.anip)
    hold.set_result(True)

    until(lambda: not len(doubts(federation)))
    until(lambda: ("refusal", "late", "unknown") in verdicts(federation.pns))
    assert [request for _, request, _ in federation.adapter.calls] == [b"cut"]


def test_a_statement_that_was_taken_is_never_called_passed(federation: Federation) -> None:
    """Asked about it without need, a gateway says that it was taken: a signed lie would count in court."""
    road = road_of(federation.pns)
    (request,) = [one for one in _places(federation.pns) if one[1].kind == "request"]

    done(federation, lambda: road.ask(_question(federation, request[0], request[2])))

    until(lambda: any(one.kind == "outcome" for one in said(federation.anip)))
    (outcome,) = said(federation.anip, "outcome")
    assert (outcome.request, outcome.delivery) == (request[2].hex(), "unknown")
    until(lambda: ("outcome", "late", "unknown") in verdicts(federation.pns))


def _places(member: Member) -> list[tuple[int, Statement, bytes]]:
    found = []
    for one in LogReader(member.directory.log(0)).follow():
        leaf = parse_leaf(one.leaf)
        if leaf.label == SAID:
            found.append((one.index, parse_statement(leaf.body), leaf_hash(one.leaf)))
    return found


def _question(federation: Federation, index: int, leaf: bytes) -> Outcome:
    size = road_of(federation.pns).proven_size
    assert size is not None
    return Outcome(
        index, leaf, size, tuple(inclusion_proof(worker_of(federation.pns)._log.node, index, size))
    )


def test_a_question_about_a_leaf_that_does_not_stand_there_ends_the_stream(federation: Federation) -> None:
    """Else a peer would get a signed word that its taken request was never taken, by giving another's place."""
    (request,) = [one for one in _places(federation.pns) if one[1].kind == "request"]
    good = _question(federation, request[0], request[2])
    anip = worker_of(federation.anip)

    done(federation, lambda: road_of(federation.pns).ask(replace(good, index=good.index + 1)))

    until(lambda: not road_of(federation.anip).is_open)
    assert anip.station.counters["outcomes_said"] == 0


def test_questions_are_answered_within_the_members_budget_of_entries(federation: Federation) -> None:
    """Each answer is a leaf: a peer that asks without end must not fill our log (PROTOCOL M17)."""
    (request,) = [one for one in _places(federation.pns) if one[1].kind == "request"]
    anip, asked = worker_of(federation.anip), _question(federation, request[0], request[2])
    provider = anip.station.pipeline.provider
    road = road_of(federation.anip)

    def ask_often() -> None:
        provider._parts.entries = EntryBudget(1, 2)
        turn = Turn(anip.station._leaves, 0, 0)
        for _ in range(10):
            provider.answer_question(turn, road, asked)
        assert turn.entries == 2

    done(federation, ask_often)


def test_a_question_about_what_lies_above_the_edge_waits(federation: Federation) -> None:
    """It may still come: nothing is said of it."""
    anip, road = worker_of(federation.anip), road_of(federation.anip)
    turn = Turn(anip.station._leaves, 0, 0)
    size = road.peer.edge.size + 1

    done(
        federation,
        lambda: anip.station.pipeline.provider.answer_question(
            turn, road, Outcome(size - 1, bytes(32), size, ())
        ),
    )

    assert turn.entries == 0
    assert road.is_open


def test_a_successor_that_heard_nothing_of_a_peer_does_not_speak_for_lost_leaves(
    federation: Federation,
) -> None:
    """Before its first frame everything below the edge was there for the log before to take, and deliver."""
    anip, road = worker_of(federation.anip), road_of(federation.anip)
    provider, turn = anip.station.pipeline.provider, Turn(anip.station._leaves, 0, 0)
    genesis = _question(federation, 0, bytes.fromhex(road.peer.log))

    def ask() -> None:
        road.peer.met_at, provider._parts.are_predecessors_whole = None, False
        provider.answer_question(turn, road, genesis)

    done(federation, ask)

    ((_, (said,)),) = turn.by_road.values()
    assert parse_statement(said.body).delivery == "unknown"
