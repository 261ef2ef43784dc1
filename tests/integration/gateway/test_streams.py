"""Streams of every kind through two gateways: what passes, what bounds them, and what a break leaves in the logs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from core.leaves import SAID, parse_leaf
from core.statements import Statement, parse_statement
from gateway.settings import Limits
from gateway.worker.flow import CREDIT
from ledger.reader import LogReader
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.streams import at_rest, collect, converse, watch
from tests.support.waiting import until


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("country"), limits=Limits(peer_wait_ms=3000)) as found:
        with found.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10)
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: request
    federation.adapter.converse = lambda requests, _: requests
    federation.adapter.calls.clear()


@pytest.fixture
def channel(federation: Federation) -> Iterator[grpc.Channel]:
    with federation.channel() as found:
        yield found


def statements(member: Member, exchange: str) -> list[Statement]:
    """What the log of ``member`` says of an exchange, in order."""
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    leaves = [parse_leaf(one.leaf) for one in reader]
    found = [parse_statement(one.body) for one in leaves if one.label == SAID]
    return [one for one in found if one.exchange == exchange]


def exchange_of(call: Any) -> str:
    return str(dict(call.trailing_metadata())["x-road-exchange-id"])


# --- what passes ---


def test_a_client_stream_arrives_whole_and_in_order(federation: Federation, channel: grpc.Channel) -> None:
    answer, call = collect(channel).with_call(
        (b"%d," % one for one in range(300)), metadata=metadata(), timeout=20
    )

    assert answer == b"".join(b"%d," % one for one in range(300))
    said = statements(federation.pns, exchange_of(call))
    assert [one.sequence for one in said] == list(range(len(said)))
    assert [one.final for one in said] == [False] * (len(said) - 1) + [True]
    assert sum(len(one.payloads) for one in said) == 300 + 1  # and the initial metadata
    assert {one.request for one in said[1:]} == {dict(call.trailing_metadata())["x-road-request-hash"]}
    until(lambda: at_rest(federation))


def test_a_server_stream_arrives_whole_and_in_order(federation: Federation, channel: grpc.Channel) -> None:
    federation.adapter.converse = lambda requests, _: (b"%d" % one for one in range(500))

    call = watch(channel)(b"all", metadata=metadata(), timeout=20)

    assert list(call) == [b"%d" % one for one in range(500)]
    said = statements(federation.anip, exchange_of(call))
    assert [one.sequence for one in said] == list(range(len(said)))
    assert [one.status for one in said] == [None] * (len(said) - 1) + [0]
    assert sum(len(one.payloads) for one in said) == 500 + 2
    until(lambda: at_rest(federation))


def test_a_conversation_goes_to_and_fro(federation: Federation, channel: grpc.Channel) -> None:
    """Each answer is read before the next question is asked: nothing waits for more."""
    federation.adapter.converse = lambda requests, _: (one.upper() for one in requests)
    asked: list[futures.Future[bytes]] = [futures.Future() for _ in range(20)]

    def ask() -> Iterator[bytes]:
        for one in asked:
            yield one.result(20)

    call = converse(channel)(ask(), metadata=metadata(), timeout=20)
    heard = []
    for number, one in enumerate(asked):
        one.set_result(b"q%d" % number)
        heard.append(next(call))

    assert heard == [b"Q%d" % number for number in range(20)]
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK
    said = statements(federation.anip, exchange_of(call))
    assert said[-1].heard == len(statements(federation.pns, exchange_of(call))) - 1


def test_an_empty_stream_is_one_segment_each_way(federation: Federation, channel: grpc.Channel) -> None:
    call = converse(channel)(iter(()), metadata=metadata(), timeout=20)

    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK
    assert statements(federation.anip, exchange_of(call))[-1].final


@pytest.mark.parametrize("size", [0, 1, CREDIT - 64, CREDIT, CREDIT + 1, 3_000_000])
def test_messages_of_any_size_pass(federation: Federation, channel: grpc.Channel, size: int) -> None:
    """Also between small ones, and longer than a window or the credit of a direction."""
    messages = [b"a", b"x" * size, b"", b"y" * size, b"b"]

    assert list(converse(channel)(iter(messages), metadata=metadata(), timeout=30)) == messages
    until(lambda: at_rest(federation))


def test_initial_metadata_comes_before_the_first_message(
    federation: Federation, channel: grpc.Channel
) -> None:
    go_on = threading.Event()

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.send_initial_metadata((("hello", "there"), ("bytes-bin", b"\x00\xff")))
        go_on.wait(20)
        context.set_trailing_metadata((("bye-bin", b"\x01"),))
        yield b"one"

    federation.adapter.converse = answer
    call = watch(channel)(b"", metadata=metadata(), timeout=20)

    initial = dict(call.initial_metadata())
    go_on.set()

    assert (initial["hello"], initial["bytes-bin"]) == ("there", b"\x00\xff")
    assert list(call) == [b"one"]
    assert dict(call.trailing_metadata())["bye-bin"] == b"\x01"


def test_metadata_of_the_program_reaches_the_adapter(federation: Federation, channel: grpc.Channel) -> None:
    own = (("traceparent", "00-01-02-01"), ("key-bin", b"\x00\x01"))

    list(converse(channel)(iter(()), metadata=(*metadata(), *own), timeout=20))

    given = federation.adapter.calls[-1][2]
    assert (given["traceparent"], given["key-bin"]) == ("00-01-02-01", b"\x00\x01")
    assert given["x-road-purpose"] == "P01"


def test_compressed_messages_pass_as_they_are(federation: Federation, channel: grpc.Channel) -> None:
    text = b"compressible " * 2_000

    call = converse(channel)(
        iter([text, text]), metadata=metadata(), timeout=20, compression=grpc.Compression.Gzip
    )

    assert list(call) == [text, text]
    assert statements(federation.pns, exchange_of(call))[0].encoding == "gzip"


def test_a_status_behind_messages_is_told_as_it_was_said(
    federation: Federation, channel: grpc.Channel
) -> None:
    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"some"
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "pas trouvé")

    federation.adapter.converse = answer
    call = watch(channel)(b"", metadata=metadata(), timeout=20)

    assert next(call) == b"some"
    with pytest.raises(grpc.RpcError):
        next(call)
    assert (call.code(), call.details()) == (grpc.StatusCode.NOT_FOUND, "pas trouvé")
    assert dict(call.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x05"


def test_an_adapter_that_answers_early_ends_the_stream(federation: Federation, channel: grpc.Channel) -> None:
    """The rest of the request is wanted by nobody; what was under way is heard too late."""
    gone_on = threading.Event()

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield next(requests)

    def ask() -> Iterator[bytes]:
        yield b"one"
        for _ in range(1_000):
            if gone_on.wait(0.001):
                return
            yield b"more"

    federation.adapter.converse = answer
    call = converse(channel)(ask(), metadata=metadata(), timeout=20)

    assert list(call) == [b"one"]
    assert call.code() is grpc.StatusCode.OK
    gone_on.set()
    until(lambda: at_rest(federation))


@pytest.mark.no_cover
def test_five_hundred_streams_on_one_connection(federation: Federation, channel: grpc.Channel) -> None:
    """None ends before all are open: nobody's stream waits for another's end."""
    go_on = threading.Event()

    def ask(number: int) -> Iterator[bytes]:
        yield b"%d" % number
        go_on.wait(60)

    # A stock server has a thread for each; none of them works here: the answers are taken from the requests at once.
    federation.adapter.converse = lambda requests, _: requests
    calls = [converse(channel)(ask(number), metadata=metadata(), timeout=60) for number in range(500)]

    assert [next(call) for call in calls] == [b"%d" % number for number in range(500)]
    go_on.set()
    assert [list(call) for call in calls] == [[]] * 500
    until(lambda: at_rest(federation))
