"""Programs and adapters that do not speak gRPC as they should: one clear outcome each, the connection lives on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import ngh2
import pytest

from core.clock import SystemClock
from core.payloads import Metadata
from core.reasons import Reason
from gateway.worker.call import AdapterAnswer, Call
from gateway.worker.edges import (
    AdapterCall,
    AdapterEdge,
    AdapterLimits,
    ProgramEdge,
    ProgramLimits,
)
from gateway.worker.http2 import ErrorCode, Headers, Http2Limits
from gateway.worker.wire import Message, frame_message, request_headers
from tests.support.edges import WholeRequests, call_adapter
from tests.support.loopback import LoopThread
from tests.unit.gateway_worker.test_http2 import RawClient

pytestmark = pytest.mark.unit

REQUEST = request_headers(b"/a.B/C", b"localhost", (), "identity", None)
RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
OK = ((b"grpc-status", b"0"),)


class End:
    status = 0
    message = ""
    metadata = ()


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


# --- Programs ---


@pytest.fixture
def program(loop: LoopThread) -> Iterator[tuple[RawClient, ProgramEdge]]:
    """A raw client on an echo edge."""
    handler = WholeRequests(lambda call, messages: call.release((), messages, End()), lambda call: None)
    edge = ProgramEdge(handler, clock=SystemClock(), limits=ProgramLimits(max_message_bytes=1000))
    _, port = loop.run(edge.serve("127.0.0.1", 0, None))
    yield RawClient(port), edge
    loop.do(edge.close)


def ask(client: RawClient, headers: Headers, body: bytes | None) -> dict[bytes, bytes]:
    """Send a request; all headers and trailers of the response."""
    client.events.clear()
    stream = client.h2.send_request(headers, end_stream=body is None)
    if body is not None:
        client.h2.send_data(stream, body, end_stream=True)
    client.flush()
    client.read_until(lambda: bool(client.got(ngh2.StreamClosed)))
    found: dict[bytes, bytes] = {}
    for event in client.events:
        if isinstance(event, (ngh2.ResponseReceived, ngh2.TrailersReceived)):
            found.update(event.headers)
    return found


def replaced(name: bytes, value: bytes) -> Headers:
    return [(name, value) if one[0] == name else one for one in REQUEST]


@pytest.mark.parametrize(
    ("headers", "status"),
    [(replaced(b":method", b"PUT"), b"405"), (replaced(b"content-type", b"text/plain"), b"415")],
)
def test_what_is_no_grpc_gets_an_http_status(
    program: tuple[RawClient, ProgramEdge], headers: Headers, status: bytes
) -> None:
    """And the next call on the connection is served."""
    client, edge = program

    assert ask(client, headers, frame_message(0, b"x"))[b":status"] == status
    assert ask(client, REQUEST, frame_message(0, b"x"))[b"grpc-status"] == b"0"
    assert edge.counters["calls_malformed"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        [one for one in REQUEST if one[0] != b"te"],
        replaced(b":path", b"/" + b"x" * 600),
        [*REQUEST, (b"grpc-timeout", b"soon")],
        [*REQUEST, (b"x-bin", b"&&&")],
        [*REQUEST, (b"content-type", b"application/grpc")],
    ],
)
def test_malformed_headers_are_invalid_argument(
    program: tuple[RawClient, ProgramEdge], headers: Headers
) -> None:
    """A response of trailers only, with the reason in the message."""
    client, _ = program

    answer = ask(client, headers, frame_message(0, b"x"))

    assert answer[b"grpc-status"] == b"3"
    assert answer[b"grpc-message"].startswith(b"METADATA_INVALID: ")


@pytest.mark.parametrize("body", [b"\0\0\0\0\5only", b"\7\0\0\0\0", b"\1\0\0\0\0", b"\0\0"])
def test_malformed_bodies_are_invalid_argument(program: tuple[RawClient, ProgramEdge], body: bytes) -> None:
    """Cut short, unknown flag, compressed without an encoding."""
    client, _ = program

    assert ask(client, REQUEST, body)[b"grpc-status"] == b"3"
    assert ask(client, REQUEST, frame_message(0, b"x"))[b"grpc-status"] == b"0"


def test_a_request_without_a_body_is_complete(program: tuple[RawClient, ProgramEdge]) -> None:
    """END_STREAM on the headers: no messages; what that means is for the handler to say."""
    client, _ = program

    assert ask(client, REQUEST, None)[b"grpc-status"] == b"0"


def test_a_request_that_ends_with_trailers_is_complete(program: tuple[RawClient, ProgramEdge]) -> None:
    """Unusual, allowed by HTTP/2, without meaning in gRPC."""
    client, _ = program
    stream = client.h2.send_request(REQUEST)
    client.h2.send_data(stream, frame_message(0, b"x"))
    client.h2.send_trailers(stream, [(b"x", b"y")])
    client.flush()

    client.read_until(lambda: bool(client.got(ngh2.TrailersReceived)))

    assert (b"grpc-status", b"0") in client.got(ngh2.TrailersReceived)[0].headers  # type: ignore[attr-defined]


def test_a_call_can_be_given_up_without_a_status(loop: LoopThread) -> None:
    """RST_STREAM with a code; later words have no effect."""
    held: list[Call] = []
    edge = ProgramEdge(
        WholeRequests(lambda call, messages: held.append(call), lambda call: None), clock=SystemClock()
    )
    _, port = loop.run(edge.serve("127.0.0.1", 0, None))
    client = RawClient(port)
    stream = client.h2.send_request(REQUEST, end_stream=True)
    client.flush()
    loop.until(lambda: len(held) == 1)

    def give_up() -> None:
        held[0].cancel(ErrorCode.REFUSED_STREAM)
        held[0].cancel()
        held[0].deliver(0, b"too late")
        held[0].finish(0)
        held[0].release((), [], End())

    loop.do(give_up)
    client.read_until(lambda: bool(client.got(ngh2.StreamReset)))

    reset = client.got(ngh2.StreamReset)[0]
    assert (reset.stream_id, reset.error_code) == (stream, 7)  # type: ignore[attr-defined]
    assert held[0].queued_bytes == 0
    loop.do(edge.close)


def test_bytes_held_by_a_call_that_ends_are_given_back(loop: LoopThread) -> None:
    """The connection's window is shared: a held stream that dies must not keep its share for ever."""
    handler = WholeRequests(lambda call, messages: None, lambda call: None)
    calls: list[Call] = []
    handler.on_call = lambda call: (calls.append(call), call.hold())  # type: ignore[assignment, func-returns-value]
    limits = ProgramLimits(http2=Http2Limits(connection_window_bytes=200_000), max_message_bytes=1_000_000)
    edge = ProgramEdge(handler, clock=SystemClock(), limits=limits)
    _, port = loop.run(edge.serve("127.0.0.1", 0, None))
    client = RawClient(port)
    client.read(0.2)

    for round_ in range(4):
        stream = client.h2.send_request(REQUEST)
        client.h2.send_data(stream, b"\0\0\1\0\0" + b"x" * 65_536)
        client.flush()
        client.read_until(lambda stream=stream: client.h2.queued_body_size(stream) == 0)  # type: ignore[misc]
        loop.until(lambda round_=round_: len(calls) == round_ + 1)  # type: ignore[misc]
        client.h2.reset_stream(stream)
        client.flush()
        client.read(0.05)

    assert len(calls) == 4
    loop.do(edge.close)


# --- Adapters ---

Behaviour = Callable[[ngh2.Connection, int], None]


class RawServer(asyncio.Protocol):
    """A server that answers each request as the test says."""

    def __init__(self, behaviour: Behaviour, settings: dict[ngh2.Setting, int] | None = None) -> None:
        self.behaviour = behaviour
        self.h2 = ngh2.Connection(ngh2.Role.SERVER)
        self.settings = settings or {}
        self.resets: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.initiate_connection(self.settings)
        transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        self.h2.receive_data(data)
        for event in self.h2.events():
            if isinstance(event, ngh2.DataReceived) and event.end_stream:
                self.behaviour(self.h2, event.stream_id)
            elif isinstance(event, ngh2.StreamReset):
                self.resets.append(event.error_code)
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())


class Adapter:
    """A raw server and the edge that calls it."""

    def __init__(self, loop: LoopThread, behaviour: Behaviour, limits: AdapterLimits | None = None) -> None:
        self.loop = loop
        self.protocols: list[RawServer] = []

        def protocol() -> RawServer:
            self.protocols.append(RawServer(behaviour))
            return self.protocols[-1]

        async def serve() -> asyncio.Server:
            return await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)

        self.server = loop.run(serve())
        port = self.server.sockets[0].getsockname()[1]
        self.edge = AdapterEdge("127.0.0.1", port, None, limits=limits)

    def ask(self, messages: list[Message] | None = None) -> AdapterAnswer:
        answers: list[AdapterAnswer] = []
        body = [(0, b"ask")] if messages is None else messages
        self.loop.do(
            lambda: call_adapter(self.edge, b"/a.B/C", (), "identity", 1_000_000, body, answers.append)
        )
        self.loop.until(lambda: bool(answers))
        return answers[0]

    def close(self) -> None:
        self.loop.do(self.edge.close)
        self.loop.do(self.server.close)
        for one in self.protocols:
            self.loop.do(one.transport.abort)


@pytest.fixture
def adapter(loop: LoopThread) -> Iterator[Callable[..., Adapter]]:
    opened: list[Adapter] = []

    def make(behaviour: Behaviour, limits: AdapterLimits | None = None) -> Adapter:
        opened.append(Adapter(loop, behaviour, limits))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def answering(headers: Headers, body: bytes | None, trailers: Headers | None) -> Behaviour:
    def behave(h2: ngh2.Connection, stream: int) -> None:
        h2.send_response(stream, headers, end_stream=body is None and trailers is None)
        if body is not None:
            h2.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            h2.send_trailers(stream, trailers)

    return behave


@pytest.mark.parametrize(
    ("headers", "body", "trailers"),
    [
        (((b":status", b"503"),), b"busy", None),
        (((b":status", b"200"), (b"content-type", b"text/html")), b"<p>", None),
        (RESPONSE, frame_message(0, b"x"), None),
        (RESPONSE, frame_message(0, b"x"), ((b"x", b"no status"),)),
        (RESPONSE, b"\0\0\0\0\5cut", OK),
        (RESPONSE, b"\5\0\0\0\0", OK),
        (RESPONSE, frame_message(0, b"x"), ((b"grpc-status", b"zero"),)),
        (RESPONSE, frame_message(0, b"x"), (*OK, (b"x-bin", b"&&&"))),
        ((*RESPONSE, (b"grpc-encoding", b"NO GOOD")), frame_message(0, b"x"), OK),
        ((*RESPONSE, (b"x", b"no status")), None, None),
    ],
)
def test_an_adapter_that_does_not_speak_grpc(
    adapter: Callable[..., Adapter], headers: Headers, body: bytes | None, trailers: Headers | None
) -> None:
    """ADAPTER_PROTOCOL; nothing of the answer is believed, the connection is kept."""
    one = adapter(answering(headers, body, trailers))

    first, second = one.ask(), one.ask()

    assert (first.failure, first.status) == (Reason.ADAPTER_PROTOCOL, None)
    assert second.failure is Reason.ADAPTER_PROTOCOL
    assert one.edge.counters["connections_opened"] == 1


def test_an_answer_of_trailers_only(adapter: Callable[..., Adapter]) -> None:
    """Status, message and details are there, no initial metadata."""
    one = adapter(answering((*RESPONSE, (b"grpc-status", b"5"), (b"grpc-message", b"no%20one")), None, None))

    answer = one.ask()

    assert (answer.status, answer.failure, answer.messages) == (5, None, [])
    assert (b"grpc-message", b"no%20one") in answer.trailing


@pytest.mark.parametrize(("code", "status"), [(0x8, 1), (0xB, 8), (0xC, 7), (0x2, 2)])
def test_a_reset_without_a_status_has_the_code_of_the_specification(
    adapter: Callable[..., Adapter], code: int, status: int
) -> None:
    """The adapter has seen the call: that is its answer."""
    one = adapter(lambda h2, stream: h2.reset_stream(stream, code))

    answer = one.ask()

    assert (answer.status, answer.failure) == (status, None)


def test_a_stream_that_broke_http2_has_no_status(adapter: Callable[..., Adapter]) -> None:
    """PROTOCOL_ERROR, ours over its headers or its own: nobody answered, and that has a name."""
    one = adapter(lambda h2, stream: h2.reset_stream(stream, 0x1))

    answer = one.ask()

    assert (answer.status, answer.failure) == (None, Reason.ADAPTER_PROTOCOL)


def test_a_refused_stream_was_not_processed(adapter: Callable[..., Adapter]) -> None:
    """REFUSED_STREAM: nothing was delivered."""
    one = adapter(lambda h2, stream: h2.reset_stream(stream, 0x7))

    assert one.ask().failure is Reason.ADAPTER_DOWN


def test_streams_above_a_goaway_were_not_processed(adapter: Callable[..., Adapter]) -> None:
    """The last stream of the GOAWAY tells; the next call takes a new connection."""
    one = adapter(lambda h2, stream: h2.send_goaway(0, last_stream_id=0) if stream == 1 else None)

    answer = one.ask()
    one.loop.until(lambda: not one.edge.is_up or one.edge._connections[0].draining)
    again: list[AdapterAnswer] = []
    one.loop.do(lambda: call_adapter(one.edge, b"/a.B/C", (), "identity", None, [(0, b"")], again.append))
    one.loop.until(lambda: len(again) == 1)

    assert answer.failure is Reason.ADAPTER_DOWN
    assert len(one.protocols) == 2


class Early:
    def __init__(self) -> None:
        self.ended: list[tuple[int | None, Metadata, Reason | None]] = []
        self.started = 0

    def on_start(self, metadata: Metadata, encoding: str) -> None:
        self.started += 1

    def on_message(self, flag: int, data: bytes) -> None: ...

    def on_end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
        self.ended.append((status, trailing, failure))


class AtOnce(RawServer):
    def data_received(self, data: bytes) -> None:
        self.h2.receive_data(data)
        for event in self.h2.events():
            if isinstance(event, ngh2.DataReceived) and not event.end_stream and event.data:
                answering(RESPONSE, frame_message(0, b"early"), OK)(self.h2, event.stream_id)
            elif isinstance(event, ngh2.StreamReset):
                self.resets.append(event.error_code)
        self.transport.write(self.h2.data_to_send())


def test_a_response_before_the_end_of_the_request_ends_the_call(adapter: Callable[..., Adapter]) -> None:
    """A streaming call that the adapter answers early: the rest of the request is not sent."""

    one = adapter(lambda h2, stream: None)
    servers: list[AtOnce] = []

    async def serve() -> asyncio.Server:
        def protocol() -> AtOnce:
            servers.append(AtOnce(lambda h2, stream: None))
            return servers[-1]

        return await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)

    server = one.loop.run(serve())
    edge = AdapterEdge("127.0.0.1", server.sockets[0].getsockname()[1], None)
    handler = Early()
    calls: list[AdapterCall] = []

    def begin() -> None:
        call = edge.open(b"/a.B/C", (), "identity", None, handler)
        call.send(0, b"one")
        calls.append(call)
        assert call.queued_bytes == 8

    one.loop.do(begin)
    one.loop.until(lambda: bool(handler.ended))
    one.loop.until(lambda: bool(servers[0].resets))

    def too_late() -> None:
        calls[0].send(0, b"late")
        calls[0].half_close()
        calls[0].cancel()

    one.loop.do(too_late)

    assert handler.ended == [(0, (), None)]
    assert handler.started == 1
    assert servers[0].resets == [0]
    assert one.loop.do(lambda: calls[0].queued_bytes) == 0
    one.loop.do(edge.close)
    one.loop.do(server.close)


def test_messages_of_a_stream_go_out_as_they_come(adapter: Callable[..., Adapter]) -> None:
    """Queued before there is a connection, sent after; half-close last."""
    got: list[bytes] = []

    class Counting:
        def on_start(self, metadata: Metadata, encoding: str) -> None: ...

        def on_message(self, flag: int, data: bytes) -> None:
            got.append(data)

        def on_end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
            got.append(b"end")

    one = adapter(answering(RESPONSE, frame_message(0, b"a") + frame_message(0, b"b"), OK))

    def begin() -> None:
        call = one.edge.open(b"/a.B/C", (), "gzip", None, Counting())
        for i in range(3):
            call.send(1, b"%d" % i)
        call.half_close()

    one.loop.do(begin)
    one.loop.until(lambda: got[-1:] == [b"end"])

    assert got == [b"a", b"b", b"end"]


def test_a_cancelled_call_is_reset_and_not_answered(adapter: Callable[..., Adapter]) -> None:
    """The adapter learns at once; the caller hears nothing more."""
    one = adapter(lambda h2, stream: None)
    answers: list[AdapterAnswer] = []
    calls: list[AdapterCall] = []
    one.loop.do(
        lambda: calls.append(
            call_adapter(one.edge, b"/a.B/C", (), "identity", None, [(0, b"")], answers.append)
        )
    )
    one.loop.until(lambda: bool(one.protocols) and one.edge.is_up and bool(one.edge._connections[0].streams))

    one.loop.do(calls[0].cancel)
    one.loop.do(calls[0].cancel)
    one.loop.until(lambda: one.protocols[0].resets == [8])

    assert answers == []


def test_a_request_without_messages(adapter: Callable[..., Adapter]) -> None:
    """Half-closed at once."""
    one = adapter(answering(RESPONSE, frame_message(0, b"x"), OK))
    answers: list[AdapterAnswer] = []
    behaved: list[int] = []
    one.loop.do(lambda: call_adapter(one.edge, b"/a.B/C", (), "identity", None, [], answers.append))
    one.loop.until(lambda: bool(one.protocols))

    def answer() -> bool:
        server = one.protocols[0]
        if one.edge._connections and one.edge._connections[0].streams and not behaved:
            behaved.append(1)
            answering(RESPONSE, frame_message(0, b"x"), OK)(server.h2, 1)
            server.transport.write(server.h2.data_to_send())
        return bool(answers)

    async def settle() -> None:
        await asyncio.sleep(0.2)

    one.loop.run(settle())
    one.loop.until(answer)

    assert answers[0].messages == [(0, b"x")]


def test_the_connection_that_dies_before_a_byte_left_delivered_nothing(
    adapter: Callable[..., Adapter],
) -> None:
    """Opened and lost within one turn of the loop: not sent."""
    one = adapter(answering(RESPONSE, frame_message(0, b"x"), OK))
    assert one.ask().status == 0
    answers: list[AdapterAnswer] = []

    def call_and_lose() -> None:
        call_adapter(one.edge, b"/a.B/C", (), "identity", None, [(0, b"")], answers.append)
        one.edge._connections[0].connection_lost(None)

    one.loop.do(call_and_lose)
    one.loop.until(lambda: bool(answers))

    assert answers[0].failure is Reason.ADAPTER_DOWN
