"""The edges between stock grpcio programs: what passes, what is refused, and what is told when things break."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from core.clock import SystemClock
from core.reasons import ExchangeError, Reason
from gateway.worker.call import AdapterAnswer, Call
from gateway.worker.edges import (
    AdapterCall,
    AdapterEdge,
    AdapterLimits,
    AdapterTable,
    ProgramEdge,
    ProgramLimits,
)
from gateway.worker.http2 import Http2Limits
from gateway.worker.wire import Message
from tests.support.edges import WholeRequests, call_adapter
from tests.support.loopback import Authority, LoopThread, make_authority

pytestmark = pytest.mark.unit

CALL = "/test.v1.EchoService/Call"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


@dataclass(frozen=True)
class End:
    status: int
    message: str = ""
    metadata: tuple[tuple[bytes, bytes], ...] = ()


class Provider:
    """A stock grpcio server whose one method does what the test says."""

    def __init__(
        self, authority: Authority, behaviour: Callable[[bytes, grpc.ServicerContext], bytes]
    ) -> None:
        self.seen: list[tuple[bytes, dict[str, str | bytes]]] = []
        self.cancelled = threading.Event()
        self.server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.seen.append((request, dict(context.invocation_metadata())))
            return behaviour(request, context)

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(handle)
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.v1.EchoService", {"Call": handler}),)
        )
        self.port = self.server.add_secure_port("127.0.0.1:0", authority.server_credentials())
        self.server.start()


@dataclass
class Proxy:
    """A program's edge wired straight to an adapter's edge: everything passes, nothing is judged."""

    adapter: AdapterEdge
    answers: list[AdapterAnswer] = field(default_factory=list)
    asked: dict[Call, AdapterCall] = field(default_factory=dict)
    cancelled: list[Call] = field(default_factory=list)
    delay: float = 0.0

    def on_request(self, call: Call, messages: list[Message]) -> None:
        timeout_us = None
        if call.deadline_us is not None:
            timeout_us = max(1, call.deadline_us - SystemClock().monotonic_us())
        metadata = tuple(one for one in call.metadata if not one[0].startswith(b"x-road-"))
        self.asked[call] = call_adapter(
            self.adapter,
            call.path,
            metadata,
            call.encoding,
            timeout_us,
            messages,
            lambda answer: self.on_answer(call, answer),
        )

    def on_answer(self, call: Call, answer: AdapterAnswer) -> None:
        self.answers.append(answer)
        if answer.failure is not None:
            call.finish(int(answer.failure.entry.code), str(answer.failure))
            return
        initial = answer.initial
        if answer.encoding != "identity":
            initial += ((b"grpc-encoding", answer.encoding.encode()),)
        call.release(initial, answer.messages, End(answer.status or 0, "", answer.trailing))

    def on_cancel(self, call: Call) -> None:
        self.cancelled.append(call)
        self.asked.pop(call).cancel()


class Country:
    """Program (grpcio) -> our edges -> provider (grpcio), all legs mTLS."""

    def __init__(self, loop: LoopThread, authority: Authority) -> None:
        self.loop = loop
        self.authority = authority
        self._open: list[Any] = []

    def provider(self, behaviour: Callable[[bytes, grpc.ServicerContext], bytes]) -> Provider:
        provider = Provider(self.authority, behaviour)
        self._open.append(lambda: provider.server.stop(None))
        return provider

    def adapter(self, port: int, limits: AdapterLimits | None = None, **options: Any) -> AdapterEdge:
        edge = AdapterEdge(
            "127.0.0.1",
            port,
            self.authority.tls(server=False),
            server_name="localhost",
            limits=limits,
            **options,
        )
        self._open.append(lambda: self.loop.do(edge.close))
        return edge

    def edge(self, handler: WholeRequests, limits: ProgramLimits | None = None) -> tuple[ProgramEdge, int]:
        edge = ProgramEdge(handler, clock=SystemClock(), limits=limits)
        _, port = self.loop.run(edge.serve("127.0.0.1", 0, self.authority.tls(server=True)))
        self._open.append(lambda: self.loop.do(edge.close))
        return edge, port

    def channel(self, port: int, *options: tuple[str, Any], **more: Any) -> grpc.Channel:
        channel = grpc.secure_channel(
            f"localhost:{port}",
            self.authority.channel_credentials(),
            options=[("grpc.max_receive_message_length", -1), *options],
            **more,
        )
        self._open.append(channel.close)
        return channel

    def proxy(self, behaviour: Callable[[bytes, grpc.ServicerContext], bytes]) -> tuple[Proxy, Provider, int]:
        provider = self.provider(behaviour)
        proxy = Proxy(self.adapter(provider.port))
        _, port = self.edge(WholeRequests(proxy.on_request, proxy.on_cancel))
        return proxy, provider, port

    def echo(self, limits: ProgramLimits | None = None) -> tuple[ProgramEdge, int]:
        def answer(call: Call, messages: list[Message]) -> None:
            call.release((), messages, End(0))

        return self.edge(WholeRequests(answer, lambda call: None), limits)

    def close(self) -> None:
        for close in reversed(self._open):
            close()


@pytest.fixture
def country(loop: LoopThread, authority: Authority) -> Iterator[Country]:
    country = Country(loop, authority)
    yield country
    country.close()


def unary(channel: grpc.Channel, path: str = CALL) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(path)


def stream_unary(channel: grpc.Channel) -> grpc.StreamUnaryMultiCallable[bytes, bytes]:
    return channel.stream_unary(CALL)


def stream_stream(channel: grpc.Channel) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream(CALL)


def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request


# --- What passes ---


@pytest.mark.parametrize("size", [0, 1, 1000, 16_384, 70_000, 300_000, 3 * 1024 * 1024])
def test_messages_of_any_size_pass_unchanged(country: Country, size: int) -> None:
    """Below, at and far above frame and window sizes."""
    _, _, port = country.proxy(echo)
    body = bytes(i % 251 for i in range(size))

    answer = unary(country.channel(port))(body, timeout=20)

    assert answer == body


def test_five_hundred_calls_at_once(country: Country) -> None:
    """All are answered, each with its own answer, over two pooled connections at most."""
    proxy, _, port = country.proxy(echo)
    call = unary(country.channel(port))

    calls = [call.future(b"%d" % i * 50, timeout=30) for i in range(500)]

    assert [one.result() for one in calls] == [b"%d" % i * 50 for i in range(500)]
    assert proxy.adapter.counters["connections_opened"] <= 2


def test_metadata_passes_both_ways(country: Country) -> None:
    """ASCII and binary, repeated names in order, padded or not; reserved x-road entries can be taken off."""

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("x-initial", "one"), ("x-initial-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-trailing", "two"), ("x-trailing-bin", b"\xfe\x01\x02")))
        return request

    _, provider, port = country.proxy(behaviour)
    sent = (("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x00\x01\xff"), ("x-road-client", "BJ/GOV/PNS/PORTAIL"))

    _, call = unary(country.channel(port)).with_call(b"", metadata=sent, timeout=10)

    assert provider.seen[0][1]["x-b-bin"] == b"\x00\x01\xff"
    assert provider.seen[0][1]["x-a"] in ("1, 2", "2", "1,2")
    assert "x-road-client" not in provider.seen[0][1]
    assert provider.seen[0][1]["user-agent"].startswith("grpc-python")  # type: ignore[arg-type]
    assert ("x-initial", "one") in list(call.initial_metadata())
    assert ("x-initial-bin", b"\x00\xff") in list(call.initial_metadata())
    assert ("x-trailing-bin", b"\xfe\x01\x02") in list(call.trailing_metadata())


@pytest.mark.parametrize("message", ["plain", "", "écrit 100 % – \t\n ok", "x" * 900])
def test_status_message_and_details_pass(country: Country, message: str) -> None:
    """Percent-encoding survives; rich errors are not touched."""

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x02no"),))
        context.abort(grpc.StatusCode.NOT_FOUND, message)

    _, _, port = country.proxy(behaviour)

    with pytest.raises(grpc.RpcError) as raised:
        unary(country.channel(port))(b"", timeout=10)

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == message
    trailing: list[object] = list(raised.value.trailing_metadata() or ())
    assert ("grpc-status-details-bin", b"\x08\x05\x12\x02no") in trailing


def test_compressed_messages_pass_untouched(country: Country) -> None:
    """gzip both ways: the flag and the very bytes travel, nothing is unpacked on the way."""

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return request

    proxy, _, port = country.proxy(behaviour)
    body = b"kalavi " * 5000

    answer = unary(country.channel(port, compression=grpc.Compression.Gzip))(body, timeout=10)

    assert answer == body
    assert proxy.answers[0].encoding == "gzip"
    assert proxy.answers[0].messages[0][0] == 1
    assert len(proxy.answers[0].messages[0][1]) < len(body) // 10


def test_unknown_method_is_unimplemented(country: Country) -> None:
    """What the provider does not serve is said by the provider, as a response of trailers only."""
    _, _, port = country.proxy(echo)

    with pytest.raises(grpc.RpcError) as raised:
        unary(country.channel(port), "/test.v1.EchoService/Nothing")(b"", timeout=10)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- Deadlines and cancellation ---


def test_remaining_time_reaches_the_provider(country: Country) -> None:
    """The provider sees what is left of the caller's deadline, never more."""
    left: list[float] = []

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        left.append(context.time_remaining())
        return request

    _, _, port = country.proxy(behaviour)

    unary(country.channel(port))(b"", timeout=15)

    assert 0 < left[0] <= 15


def test_no_deadline_stays_no_deadline(country: Country) -> None:
    """A call without a timeout does not get one on the way."""
    left: list[float | None] = []

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        left.append(context.time_remaining())
        return request

    _, _, port = country.proxy(behaviour)

    unary(country.channel(port))(b"")

    assert left[0] is None or left[0] > 365 * 86_400


@pytest.mark.parametrize("ended_by", ["cancel", "deadline", "channel"])
def test_a_program_that_leaves_is_noticed_by_the_provider(country: Country, ended_by: str) -> None:
    """Cancel, deadline and a closed channel all reach the provider, at once."""
    arrived, gone = threading.Event(), threading.Event()

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(gone.set)
        arrived.set()
        gone.wait(10)
        return request

    proxy, _, port = country.proxy(behaviour)
    channel = country.channel(port)

    call = unary(channel).future(b"", timeout=0.5 if ended_by == "deadline" else None)
    assert arrived.wait(10)
    if ended_by == "cancel":
        call.cancel()
    elif ended_by == "channel":
        channel.close()

    assert gone.wait(10)
    if (
        ended_by != "deadline"
    ):  # the provider counts the same deadline: its own end may come before the program's
        country.loop.until(lambda: len(proxy.cancelled) == 1)
        assert proxy.cancelled[0].cancelled


# --- What is refused at the program's edge ---


def test_message_over_the_limit_is_resource_exhausted(country: Country) -> None:
    """The prefix is enough to refuse; the rest is not gathered."""
    _, port = country.echo(ProgramLimits(max_message_bytes=1000))
    call = unary(country.channel(port))

    with pytest.raises(grpc.RpcError) as raised:
        call(b"x" * 2_000_000, timeout=10)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (raised.value.details() or "").startswith("MESSAGE_TOO_LARGE: ")
    assert call(b"x" * 1000, timeout=10) == b"x" * 1000


def test_metadata_over_the_limit_is_resource_exhausted(country: Country) -> None:
    """One call is refused, the connection lives on."""
    edge, port = country.echo()
    call = unary(country.channel(port))
    many = tuple((f"x-{i}", "v") for i in range(200))

    with pytest.raises(grpc.RpcError) as raised:
        call(b"", metadata=many, timeout=10)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(b"still here", timeout=10) == b"still here"
    assert edge.counters["connections_opened"] == 1


def test_more_messages_than_a_unary_call_may_have(country: Country) -> None:
    """A stream of messages towards a unary edge is bounded."""

    def answer(call: Call, messages: list[Message]) -> None:
        call.release((), [(0, b"%d" % len(messages))], End(0))

    _, port = country.edge(WholeRequests(answer, lambda call: None, max_messages=3))
    call = stream_unary(country.channel(port))

    assert call(iter([b"a", b"b", b"c"]), timeout=10) == b"3"
    with pytest.raises(grpc.RpcError) as raised:
        call(iter([b"x"] * 50), timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_messages_under_assembly_are_bounded_per_program(country: Country) -> None:
    """Half-sent messages of one program may not fill the memory of the gateway."""
    edge, port = country.echo(ProgramLimits(max_assembly_bytes_per_program=100_000))
    call = unary(country.channel(port))

    with pytest.raises(grpc.RpcError) as raised:
        call(b"x" * 3_000_000, timeout=10)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (raised.value.details() or "").startswith("LIMIT_EXCEEDED: ")
    assert call(b"x" * 50_000, timeout=10) == b"x" * 50_000
    assert country.loop.do(lambda: edge._assembling) == 0


def test_connections_are_bounded_per_program(country: Country) -> None:
    """The connection above the bound is closed; those below go on."""
    edge, port = country.echo(ProgramLimits(max_connections_per_program=2))
    channels = [country.channel(port, ("grpc.use_local_subchannel_pool", 1)) for _ in range(3)]

    outcomes: list[object] = []
    for channel in channels:
        try:
            outcomes.append(unary(channel)(b"hello", timeout=2))
        except grpc.RpcError as error:
            outcomes.append(error.code())

    assert outcomes[:2] == [b"hello", b"hello"]
    assert outcomes[2] != b"hello"
    assert edge.counters["connections_refused"] >= 1
    assert unary(channels[0])(b"hello", timeout=2) == b"hello"


def test_streams_above_the_limit_wait_at_the_client(country: Country) -> None:
    """SETTINGS tell how many calls may be open; a stock client queues the others."""
    held: list[Call] = []
    _, port = country.edge(
        WholeRequests(lambda call, messages: held.append(call), lambda call: None),
        ProgramLimits(http2=Http2Limits(max_streams=5)),
    )
    call = unary(country.channel(port))

    calls = [call.future(b"", timeout=20) for _ in range(12)]
    answered = 0
    while answered < 12:
        country.loop.until(lambda: len(held) > 0)
        assert country.loop.do(lambda: len(held)) <= 5
        country.loop.do(lambda: held.pop().release((), [(0, b"ok")], End(0)))
        answered += 1

    assert [one.result() for one in calls] == [b"ok"] * 12


def test_thumbprint_of_the_program_is_told(country: Country) -> None:
    """x5t#S256 of the certificate that TLS verified, on every call."""
    seen: list[str] = []

    def answer(call: Call, messages: list[Message]) -> None:
        seen.append(call.peer_thumbprint)
        call.release((), messages, End(0))

    _, port = country.edge(WholeRequests(answer, lambda call: None))

    unary(country.channel(port))(b"", timeout=10)

    der = ssl.PEM_cert_to_DER_cert(country.authority.certificate.decode())
    expected = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert seen == [expected]


def test_drain_lets_open_calls_end_and_sends_programs_elsewhere(country: Country) -> None:
    """GOAWAY: what is open is answered, new calls find the door shut."""
    held: list[Call] = []
    edge, port = country.edge(WholeRequests(lambda call, messages: held.append(call), lambda call: None))
    channel = country.channel(port)
    call = unary(channel).future(b"", timeout=20)
    country.loop.until(lambda: len(held) == 1)

    country.loop.do(edge.drain)
    time.sleep(0.6)
    country.loop.do(lambda: held[0].release((), [(0, b"in time")], End(0)))

    assert call.result() == b"in time"
    country.loop.until(lambda: not edge.connections)
    assert edge.counters["closed_drained"] + edge.counters["closed_closed_by_peer"] == 1
    with pytest.raises(grpc.RpcError) as raised:
        unary(channel)(b"", timeout=2)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_program_no_longer_admitted_is_sent_home(country: Country) -> None:
    """Connections of one certificate can be drained."""
    edge, port = country.echo()
    unary(country.channel(port))(b"", timeout=10)
    thumbprint = country.loop.do(lambda: next(iter(edge.connections)).peer_thumbprint or "")

    country.loop.do(lambda: edge.disconnect("someone else"))
    country.loop.do(lambda: edge.disconnect(thumbprint))

    country.loop.until(lambda: edge.counters["closed_drained"] + edge.counters["closed_closed_by_peer"] == 1)


# --- Streams, ready for later ---


class Streaming:
    """Echoes each message as it comes, ends when the program half-closes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def on_call(self, call: Call) -> None:
        self.calls.append(call)
        call.start(((b"x-started", b"yes"),))

    def on_message(self, call: Call, flag: int, data: bytes) -> None:
        call.deliver(flag, data)

    def on_half_close(self, call: Call) -> None:
        call.finish(0, "", ((b"x-end", b"yes"),))

    def on_cancel(self, call: Call) -> None:
        self.calls.remove(call)

    def on_malformed(self, call: Call, error: ExchangeError) -> None:
        call.finish(3, str(error))


def test_a_stream_of_messages_goes_both_ways(country: Country) -> None:
    """Bidirectional, ping-pong and in bulk."""
    handler = Streaming()
    edge = ProgramEdge(handler, clock=SystemClock())
    _, port = country.loop.run(edge.serve("127.0.0.1", 0, country.authority.tls(server=True)))
    bodies = [b"%d" % i * 1000 for i in range(300)]

    call = stream_stream(country.channel(port))(iter(bodies), timeout=20)

    assert list(call) == bodies
    assert ("x-end", "yes") in list(call.trailing_metadata())
    country.loop.do(edge.close)


def test_a_held_call_stops_its_program(country: Country) -> None:
    """While held, no more than a window arrives; resumed, everything does."""
    got: list[int] = []

    class Holding(Streaming):
        def on_call(self, call: Call) -> None:
            super().on_call(call)
            call.hold()

        def on_message(self, call: Call, flag: int, data: bytes) -> None:
            got.append(len(data))

    handler = Holding()
    edge = ProgramEdge(handler, clock=SystemClock())
    _, port = country.loop.run(edge.serve("127.0.0.1", 0, country.authority.tls(server=True)))

    call = stream_unary(country.channel(port)).future(iter([b"x" * 10_000] * 100), timeout=20)
    country.loop.until(lambda: sum(got) > 200_000)
    time.sleep(0.2)
    arrived = country.loop.do(lambda: sum(got))
    country.loop.do(lambda: handler.calls[0].resume())
    country.loop.until(lambda: sum(got) == 1_000_000)

    assert arrived <= 256 * 1024
    assert call.exception(10) is not None or call.done()
    country.loop.do(edge.close)


# --- The adapter's side ---


def ask(
    country: Country, edge: AdapterEdge, body: bytes = b"", timeout_us: int | None = None
) -> AdapterAnswer:
    answers: list[AdapterAnswer] = []
    country.loop.do(
        lambda: call_adapter(edge, CALL.encode(), (), "identity", timeout_us, [(0, body)], answers.append)
    )
    country.loop.until(lambda: len(answers) == 1)
    return answers[0]


def test_an_adapter_that_is_away_got_nothing(country: Country, unused_port: int) -> None:
    """Connection refused: nothing was delivered, and the next call fails at once until the back-off is over."""
    edge = country.adapter(unused_port)

    first, second = ask(country, edge), ask(country, edge)

    assert (first.failure, first.status) == (Reason.ADAPTER_DOWN, None)
    assert second.failure is Reason.ADAPTER_DOWN
    assert edge.counters["connections_failed"] == 1
    assert edge.last_error


def test_an_adapter_that_comes_back_is_found(country: Country) -> None:
    """After the back-off the first call opens a new connection."""
    provider = country.provider(echo)
    edge = country.adapter(provider.port)
    assert ask(country, edge, b"one").messages == [(0, b"one")]
    assert country.loop.do(lambda: edge.is_up)

    provider.server.stop(None).wait()
    country.loop.until(lambda: not edge.is_up)
    down = ask(country, edge)
    again = grpc.server(futures.ThreadPoolExecutor(2))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo)
    again.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.v1.EchoService", {"Call": handler}),)
    )
    again.add_secure_port(f"127.0.0.1:{provider.port}", country.authority.server_credentials())
    again.start()
    answers = []
    for _ in range(100):
        answers.append(ask(country, edge, b"two"))
        if answers[-1].failure is None:
            break
        time.sleep(0.05)

    assert down.failure is Reason.ADAPTER_DOWN
    assert answers[-1].messages == [(0, b"two")]
    again.stop(None)


def test_an_adapter_that_answers_no_call_is_told_as_silent(country: Country) -> None:
    """Its connection stands, so that nothing else shows it; one answer heals. Calls given up in a hurry do not count."""
    gates: list[threading.Event] = []

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        gates.append(threading.Event())
        if request == b"hang":
            gates[-1].wait(20)
        return request

    def give_up_three(edge: AdapterEdge) -> None:
        arrived = len(gates) + 3
        calls = country.loop.do(
            lambda: [
                call_adapter(edge, CALL.encode(), (), "identity", None, [(0, b"hang")], lambda _: None)
                for _ in range(3)
            ]
        )
        country.loop.until(lambda: len(gates) == arrived)
        for one in calls:
            country.loop.do(one.cancel)

    provider = country.provider(behaviour)
    hasty = country.adapter(provider.port, AdapterLimits(patience_seconds=3600.0))
    patient = country.adapter(provider.port, AdapterLimits(patience_seconds=0.0))

    give_up_three(hasty)
    give_up_three(patient)
    before = country.loop.do(lambda: [(one.state, one.unanswered) for one in (hasty, patient)])
    for gate in gates:
        gate.set()
    answer = ask(country, patient, b"answered")

    assert before == [("up", 0), ("silent", 3)]
    assert answer.messages == [(0, b"answered")]
    assert country.loop.do(lambda: (patient.state, patient.unanswered)) == ("up", 0)


def test_an_adapter_that_dies_in_mid_call_may_have_acted(country: Country) -> None:
    """The connection goes after the request left: unknown, which is ADAPTER_LOST."""
    arrived, release = threading.Event(), threading.Event()

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        arrived.set()
        release.wait(10)
        return request

    provider = country.provider(behaviour)
    edge = country.adapter(provider.port)
    answers: list[AdapterAnswer] = []
    country.loop.do(
        lambda: call_adapter(edge, CALL.encode(), (), "identity", None, [(0, b"")], answers.append)
    )
    assert arrived.wait(10)

    country.loop.do(edge._connections[0].close)
    country.loop.until(lambda: len(answers) == 1)
    release.set()

    assert answers[0].failure is Reason.ADAPTER_LOST


def test_another_certificate_than_the_adapters_gets_nothing(country: Country) -> None:
    """Pinned: TLS is satisfied, we are not."""
    provider = country.provider(echo)
    edge = country.adapter(provider.port, accepts=lambda thumbprint: thumbprint == "pinned")

    answer = ask(country, edge)

    assert answer.failure is Reason.ADAPTER_DOWN
    assert provider.seen == []


def test_an_answer_over_the_limit_is_refused(country: Country) -> None:
    """The adapter's message is bounded like everybody's."""
    provider = country.provider(lambda request, context: b"x" * 5000)
    edge = country.adapter(provider.port, AdapterLimits(max_message_bytes=1000))

    answer = ask(country, edge)

    assert answer.failure is Reason.MESSAGE_TOO_LARGE


def test_calls_beyond_the_queue_are_refused(country: Country) -> None:
    """Streams in use and the queue full: told at once, nothing delivered."""
    release = threading.Event()

    def behaviour(request: bytes, context: grpc.ServicerContext) -> bytes:
        release.wait(10)
        return request

    provider = country.provider(behaviour)
    limits = AdapterLimits(
        http2=replace(Http2Limits(), max_streams=2, idle_seconds=None), max_connections=1, max_waiting=3
    )
    edge = country.adapter(provider.port, limits)
    answers: list[AdapterAnswer] = []

    def call_all() -> None:
        for i in range(8):
            call_adapter(edge, CALL.encode(), (), "identity", None, [(0, b"%d" % i)], answers.append)

    country.loop.do(call_all)
    country.loop.until(lambda: len(answers) == 5)
    refused = country.loop.do(lambda: [one.failure for one in answers])
    release.set()
    country.loop.until(lambda: len(answers) == 8)

    assert refused == [Reason.LIMIT_EXCEEDED] * 5
    assert sorted(one.messages for one in answers[5:]) == [[(0, b"0")], [(0, b"1")], [(0, b"2")]]
    assert edge.counters["calls_refused"] == 5


def test_a_waiting_call_can_be_withdrawn(country: Country, unused_port: int) -> None:
    """Cancelled before there was a connection: no answer comes."""
    edge = country.adapter(unused_port)
    answers: list[AdapterAnswer] = []

    def call_and_cancel() -> None:
        call_adapter(edge, CALL.encode(), (), "identity", None, [(0, b"")], answers.append).cancel()

    country.loop.do(call_and_cancel)
    country.loop.until(lambda: edge.counters["connections_failed"] == 1)

    assert answers == []


def test_a_drained_edge_takes_no_calls(country: Country) -> None:
    """Shutting down: open calls end, new ones are told that nothing was delivered."""
    provider = country.provider(echo)
    edge = country.adapter(provider.port)
    assert ask(country, edge, b"x").status == 0

    country.loop.do(edge.drain)

    assert ask(country, edge).failure is Reason.ADAPTER_DOWN
    country.loop.until(lambda: not edge._connections)


def test_adapters_are_found_by_subsystem(country: Country) -> None:
    """The table hands a call to the edge of its subsystem."""
    provider = country.provider(echo)
    table = AdapterTable({"BJ/GOV/ANIP/RNPP": country.adapter(provider.port)})
    answers: list[AdapterAnswer] = []

    country.loop.do(
        lambda: call_adapter(
            table.edges["BJ/GOV/ANIP/RNPP"], CALL.encode(), (), "identity", None, [(0, b"a")], answers.append
        )
    )
    country.loop.until(lambda: len(answers) == 1)

    assert table.serves("BJ/GOV/ANIP/RNPP")
    assert not table.serves("BJ/GOV/ANIP/AUTRE")
    assert answers[0].messages == [(0, b"a")]


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
