"""How open streams end before their time, and what bounds them: who is told, and what the logs say was delivered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from core.statements import Statement
from gateway.settings import Limits
from gateway.worker.http2 import ClosedBecause
from tests.support.calls import reason_in, worker_of
from tests.support.federation import PROVIDER, Federation, Member, calling, metadata
from tests.support.hostile import said
from tests.support.loopback import LoopThread
from tests.support.proxy import Link
from tests.support.slow_disks import held
from tests.support.streams import at_rest, collect, converse, watch
from tests.support.waiting import until

LIMITS = Limits(drain_ms=300, peer_wait_ms=2000)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=LIMITS) as found:
        with found.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        yield found


@pytest.fixture
def channel(federation: Federation) -> Iterator[grpc.Channel]:
    with federation.channel() as found:
        yield found


class Talk:
    """An adapter's stream that goes on until it is told that nobody listens any more."""

    def __init__(self, federation: Federation) -> None:
        self.told = threading.Event()
        self.begun = threading.Event()
        self.heard: list[bytes] = []
        federation.adapter.converse = self._converse

    def _converse(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.told.set)
        self.begun.set()
        yield b"welcome"
        for one in requests:
            self.heard.append(one)
            yield one


class Questions:
    """A program's side of a conversation, one question at a time."""

    def __init__(self) -> None:
        self._go_on = threading.Event()
        self._asked: list[bytes] = []
        self._more = threading.Condition()
        self._is_over = False

    def ask(self, question: bytes) -> None:
        with self._more:
            self._asked.append(question)
            self._more.notify()

    def end(self) -> None:
        with self._more:
            self._is_over = True
            self._more.notify()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._more:
                self._more.wait_for(lambda: bool(self._asked) or self._is_over, 60)
                if not self._asked:
                    return
                question = self._asked.pop(0)
            yield question


def of_streams(member: Member) -> list[Statement]:
    """What the log of ``member`` says of streams."""
    return [
        one
        for one in said(member)
        if (one.method or "").endswith(("Converse", "WatchPersons", "CollectPersons"))
    ]


def conversation(
    federation: Federation, channel: grpc.Channel, **options: Any
) -> tuple[Talk, Questions, Any]:
    """A conversation of which two answers have arrived."""
    talk, questions = Talk(federation), Questions()
    call = converse(channel)(iter(questions), metadata=metadata(), **options)
    assert next(call) == b"welcome"
    questions.ask(b"one")
    assert next(call) == b"one"
    return talk, questions, call


def end_by_others(talk: Talk, questions: Questions, call: Any) -> tuple[grpc.StatusCode, str]:
    """How a conversation ended that neither end of it ended; its adapter was told as well."""
    with pytest.raises(grpc.RpcError) as error:
        next(call)
    assert talk.told.wait(20)
    questions.end()
    code, info = reason_in(error.value)
    return code, info.reason


def test_a_cancelled_stream_reaches_the_adapter_and_both_logs(
    federation: Federation, channel: grpc.Channel
) -> None:
    """The consumer says how far its program got, the provider how far its adapter did."""
    talk, questions, call = conversation(federation, channel)

    call.cancel()
    assert talk.told.wait(20)
    questions.end()

    until(lambda: at_rest(federation))
    cancel = of_streams(federation.pns)[-1]
    answers = of_streams(federation.anip)
    assert (cancel.kind, cancel.reason, cancel.final) == ("cancel", "CANCELLED", True)
    assert cancel.heard == answers[-2].sequence
    assert (answers[-1].kind, answers[-1].reason, answers[-1].delivery) == (
        "refusal",
        "CANCELLED",
        "delivered",
    )
    assert (
        answers[-1].heard == [one for one in of_streams(federation.pns) if one.kind == "request"][-1].sequence
    )


def test_a_deadline_ends_an_open_stream(federation: Federation, channel: grpc.Channel) -> None:
    talk, questions, call = conversation(federation, channel, timeout=1.0)

    with pytest.raises(grpc.RpcError):
        next(call)

    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert talk.told.wait(20)
    questions.end()
    until(lambda: at_rest(federation))
    last = of_streams(federation.anip)[-1]
    assert last.final
    assert (
        last.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    )  # the adapter's own word, or the gateway's


def test_an_adapter_that_dies_is_told_behind_what_it_said(
    federation: Federation, channel: grpc.Channel
) -> None:
    _, questions, call = conversation(federation, channel)

    async def cut() -> None:
        for connection in worker_of(federation.anip)._adapters.edges[PROVIDER]._connections:
            connection.close(ClosedBecause.LINK_DEAD)

    federation.do(cut())

    with pytest.raises(grpc.RpcError) as error:
        next(call)
    questions.end()
    assert reason_in(error.value)[1].reason == "ADAPTER_LOST"
    until(lambda: at_rest(federation))


@pytest.fixture
def link(federation: Federation) -> Iterator[Link]:
    """The way from PNS's gateway to ANIP's road port, which can be cut."""
    loop = LoopThread()
    link = Link(loop, federation.anip.road_port)
    federation.anip.link_port = link.port
    federation.publish()
    # The road of the first call goes past the link.
    federation.stop(federation.pns)
    federation.start(federation.pns)
    federation.publish()
    yield link
    link.heal()
    link.close()
    loop.stop()


def test_a_lost_road_ends_streams_at_both_ends(federation: Federation, link: Link) -> None:
    """The program keeps what it got; nothing of the stream goes over the next road; the adapter is told."""
    with federation.channel() as channel:
        talk, questions, call = conversation(federation, channel, wait_for_ready=True)

        link.cut()

        with pytest.raises(grpc.RpcError) as error:
            next(call)
        assert reason_in(error.value)[1].reason == "PEER_LOST"
        assert talk.told.wait(20)
        questions.end()
        link.heal()
        assert calling(channel)(b"x", metadata=metadata(), timeout=20, wait_for_ready=True) == b"x"
    until(lambda: at_rest(federation))
    endings = {one.kind for one in of_streams(federation.pns)}
    assert endings == {"request", "abandon"}
    assert of_streams(federation.anip)[-1].reason == "PEER_LOST"


def test_a_revoked_agreement_ends_a_stream_on_which_nothing_moves(
    federation: Federation, channel: grpc.Channel
) -> None:
    talk, questions, call = conversation(federation, channel)

    federation.states = ["revoked"]
    federation.publish()

    assert end_by_others(talk, questions, call) == (grpc.StatusCode.PERMISSION_DENIED, "NO_AGREEMENT")
    until(lambda: at_rest(federation))


@pytest.mark.parametrize("first", ["pns", "anip"])
def test_whoever_hears_of_a_revocation_first_ends_the_stream(
    federation: Federation, channel: grpc.Channel, first: str
) -> None:
    """Each side judges by its own configuration, and says so in its log (PROTOCOL M16)."""
    talk, questions, call = conversation(federation, channel)
    member = federation.pns if first == "pns" else federation.anip

    federation.states = ["revoked"]
    federation.publish(member)

    assert end_by_others(talk, questions, call)[1] == "NO_AGREEMENT"
    until(lambda: at_rest(federation))
    last = of_streams(member)[-1]
    assert (last.kind, last.reason) == ("abandon" if first == "pns" else "refusal", "NO_AGREEMENT")


def test_an_agreement_that_ends_ends_its_streams(federation: Federation, channel: grpc.Channel) -> None:
    """Without a new configuration: its time is over."""
    end = datetime.now(UTC) + timedelta(seconds=3)
    terms = federation.agreement(not_after=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    federation.agreements = [terms]
    federation.publish()
    talk, questions, call = conversation(federation, channel)

    assert end_by_others(talk, questions, call)[1] == "NO_AGREEMENT"


def test_a_program_that_is_no_longer_admitted_loses_its_streams(
    federation: Federation, channel: grpc.Channel
) -> None:
    talk, questions, call = conversation(federation, channel)

    federation.pns.admitted = []
    federation.publish()

    assert end_by_others(talk, questions, call)[1] == "PROGRAM_UNKNOWN"
    until(lambda: at_rest(federation))
    mine, theirs = of_streams(federation.pns)[-1], of_streams(federation.anip)[-1]
    assert (mine.kind, mine.reason) == ("abandon", "PROGRAM_UNKNOWN")
    assert (theirs.kind, theirs.reason) == ("refusal", "CANCELLED")  # no link broke


@pytest.mark.parametrize("side", ["pns", "anip"])
def test_a_gateway_that_stops_ends_its_streams_by_name(
    federation: Federation, channel: grpc.Channel, side: str
) -> None:
    """After the time it has to drain; the adapter and the program are both told."""
    talk, questions, call = conversation(federation, channel)

    federation.drain(federation.pns if side == "pns" else federation.anip)

    assert end_by_others(talk, questions, call)[0] is grpc.StatusCode.UNAVAILABLE


def test_a_provider_that_was_killed_says_at_its_start_what_it_cut(
    federation: Federation, channel: grpc.Channel
) -> None:
    talk, questions, call = conversation(federation, channel)

    federation.stop(federation.anip)
    with pytest.raises(grpc.RpcError):
        next(call)
    federation.start(federation.anip)
    federation.publish()
    questions.end()
    talk.told.wait(20)

    assert calling(channel)(b"x", metadata=metadata(), timeout=20, wait_for_ready=True) == b"x"
    until(lambda: at_rest(federation))
    last = of_streams(federation.anip)[-1]
    assert (last.kind, last.reason, last.delivery) == ("refusal", "INTERRUPTED", "unknown")
    assert [one.kind for one in of_streams(federation.pns)].count("abandon") == 1


def test_what_it_says_at_its_start_does_not_take_back_what_it_handed_on(
    federation: Federation, channel: grpc.Channel
) -> None:
    """The adapter had got later segments than the first, and both logs say so; how many more, nobody knows."""
    talk, questions, call = conversation(federation, channel)
    for question in (b"two", b"three"):
        questions.ask(question)
        assert next(call) == question
    assert of_streams(federation.anip)[-1].heard

    federation.stop(federation.anip)
    with pytest.raises(grpc.RpcError):
        next(call)
    federation.start(federation.anip)
    federation.publish()
    questions.end()
    talk.told.wait(20)

    until(lambda: at_rest(federation))
    last = of_streams(federation.anip)[-1]
    assert (last.kind, last.reason, last.heard) == ("refusal", "INTERRUPTED", None)


# --- what they outlive ---


def test_streams_outlive_the_age_that_a_server_gives_its_connections(tmp_path: Path) -> None:
    """A stock server sends its connections home after a second, more of them than the edge may have; all streams stay."""
    aging = (("grpc.max_connection_age_ms", 1_000),)
    with (
        Federation(tmp_path, limits=LIMITS, adapter_options=aging) as federation,
        federation.channel() as channel,
    ):
        calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        edge = worker_of(federation.anip)._adapters.edges[PROVIDER]
        talks = []
        for _ in range(4):
            talks.append(conversation(federation, channel))
            until(lambda: all(one.draining for one in edge._connections))

        assert len(edge._connections) > edge.limits.max_connections
        assert calling(channel)(b"x", metadata=metadata(), timeout=20) == b"x"
        for _, questions, call in talks:
            questions.ask(b"still there")
            assert next(call) == b"still there"
            questions.end()
            assert list(call) == []
            assert call.code() is grpc.StatusCode.OK


def test_a_program_that_is_sent_home_keeps_its_streams(federation: Federation, channel: grpc.Channel) -> None:
    """GOAWAY to the program's connection: what is open goes on, what is new comes on another connection."""
    _, questions, call = conversation(federation, channel)
    programs = worker_of(federation.pns)._programs

    async def send_home() -> None:
        for connection in programs.connections:
            connection.drain()

    federation.do(send_home())
    assert calling(channel)(b"x", metadata=metadata(), timeout=20, wait_for_ready=True) == b"x"
    questions.ask(b"still there")

    assert next(call) == b"still there"
    questions.end()
    assert list(call) == []


# --- what bounds them ---


def test_a_program_that_does_not_read_stops_the_adapter(
    federation: Federation, channel: grpc.Channel
) -> None:
    """Windows shut all along the way; when it reads again, nothing is missing."""
    sent = Counter[str]()

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(2_000):
            sent["messages"] += 1
            yield number.to_bytes(2, "big") * 8 * 1024

    federation.adapter.converse = answer
    call = watch(channel)(b"", metadata=metadata(), timeout=60)
    assert next(call)

    before = -1
    while before != sent["messages"]:
        before = sent["messages"]
        time.sleep(0.5)  # to see that nothing moves any more
    held = [worker_of(one).station.budget.held_bytes for one in (federation.pns, federation.anip)]

    assert before < 1_000  # of 16 KiB; most of it in the buffers of grpcio and of the sockets
    assert max(held) <= 512 * 1024
    assert sum(1 for _ in call) == 1_999
    until(lambda: at_rest(federation))


def test_an_adapter_that_does_not_read_stops_the_program(
    federation: Federation, channel: grpc.Channel
) -> None:
    go_on = threading.Event()
    asked = Counter[str]()

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        go_on.wait(60)
        yield b"%d" % sum(1 for _ in requests)

    def ask() -> Iterator[bytes]:
        for _ in range(2_000):
            asked["messages"] += 1
            yield b"x" * 16 * 1024

    federation.adapter.converse = answer
    waiting = collect(channel).future(ask(), metadata=metadata(), timeout=60)

    until(lambda: asked["messages"] > 10)
    before = -1
    while before != asked["messages"]:
        before = asked["messages"]
        time.sleep(0.5)  # to see that nothing moves any more
    held = [worker_of(one).station.budget.held_bytes for one in (federation.pns, federation.anip)]
    go_on.set()

    assert before < 1_000
    assert max(held) <= 512 * 1024
    assert waiting.result(60) == b"2000"
    until(lambda: at_rest(federation))


def test_a_member_past_its_share_is_refused_and_others_go_on(tmp_path: Path) -> None:
    """Streams that are not read hold 256 KiB each; past the share the next is refused by name."""
    limits = msgspec.structs.replace(LIMITS, message_bytes=512 * 1024, member_bytes=1024 * 1024)
    with Federation(tmp_path, limits=limits) as federation, federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        federation.adapter.converse = lambda requests, _: (b"x" * 32 * 1024 for _ in range(300))
        refused = worker_of(federation.pns).station.counters
        calls: list[Any] = []
        # One after the other: of streams that grow together, each is the next, and one frame may end them all.
        while not refused["refused_LIMIT_EXCEEDED"]:
            calls.append(watch(channel)(b"", metadata=metadata(), timeout=60))
            until(lambda: refused["refused_LIMIT_EXCEEDED"] > 0 or waiting_for_room(federation) == len(calls))

        ends = [end_of(call) for call in calls]

        assert {code for code, _ in ends} == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {count for code, count in ends if code is grpc.StatusCode.OK} == {300}
        until(lambda: at_rest(federation))
        assert calling(channel)(b"x", metadata=metadata(), timeout=10) == b"x"


def test_a_stream_may_take_its_time(tmp_path: Path) -> None:
    """The time that a request has to come whole is that of unary calls."""
    limits = msgspec.structs.replace(LIMITS, request_ms=300)
    with Federation(tmp_path, limits=limits) as federation, federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        _, questions, call = conversation(federation, channel)
        edge = worker_of(federation.pns)._programs

        assert not edge._incomplete
        questions.ask(b"later")
        assert next(call) == b"later"
        questions.end()
        assert list(call) == []


def test_empty_messages_count_against_the_share_of_a_member(tmp_path: Path) -> None:
    """While a commit takes its time nothing takes them away: a thousand of them are 64 KiB, more than this share."""
    limits = msgspec.structs.replace(LIMITS, message_bytes=32 * 1024, member_bytes=64 * 1024)
    with Federation(tmp_path, limits=limits) as federation, federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        with held(federation.pns):
            call = converse(channel)(iter([b""] * 5_000), metadata=metadata(), timeout=60)

            assert end_of(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0)
        until(lambda: at_rest(federation))


def waiting_for_room(federation: Federation) -> int:
    """How many streams of the provider have more to say than the consumer has room for."""
    services = list(worker_of(federation.anip).station.pipeline.provider.services.values())
    outboxes = [service.flow.outbox for service in services if service.flow is not None]
    return sum(bool(outbox) and not outbox.is_open_for_next for outbox in outboxes)


def end_of(call: Any) -> tuple[grpc.StatusCode, int]:
    """Status of a stream, and how many messages it brought."""
    count = 0
    try:
        for _ in call:
            count += 1
    except grpc.RpcError:
        pass
    return call.code(), count
