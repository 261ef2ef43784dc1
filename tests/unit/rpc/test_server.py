"""Servers and clients over mTLS: who is let in, what errors look like, and streams that wait without a thread."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from core.clock import ManualClock
from core.reasons import Code, ExchangeError, Reason
from pki.profiles import Profile
from rpc.credentials import Peer, channel, peer, require_role, server_credentials
from rpc.health import MAX_NAME_CHARACTERS, MAX_UNKNOWN_NAMES, OVERALL
from rpc.identity import Identity
from rpc.limits import Limits
from rpc.logs import configure_logs
from rpc.ports import holder_of, require_free
from rpc.remote import RemoteError, Violation
from rpc.server import REFLECTION_SERVICE, RpcServer
from rpc.status import CallError, error_from_rpc
from rpc.waiting import WaitingStream, Watchers, _Senders, waiting
from tests.support.certified import AUDITOR, OPERATOR, REGISTRY, CertifiedCountry
from tests.support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def country() -> CertifiedCountry:
    return CertifiedCountry()


@pytest.fixture(scope="module")
def operator(country: CertifiedCountry) -> Identity:
    return country.identity(Profile.OPERATOR, OPERATOR)


@pytest.fixture(scope="module")
def registry(country: CertifiedCountry) -> Identity:
    # Its hosts are somewhere else: clients find it by its identity.
    return country.identity(Profile.REGISTRY, REGISTRY, hosts=("registre.asin.bj",))


Call = Callable[..., Any]


class Echo(grpc.GenericRpcHandler):
    """A service of four methods that do what a test tells them to."""

    def __init__(self) -> None:
        self.unary: Callable[[bytes, grpc.ServicerContext], bytes] = lambda request, _context: request
        self.watchers: Watchers[bytes] = Watchers()
        self.streams: list[WaitingStream[bytes]] = []
        self.on_watch: Callable[[WaitingStream[bytes]], None] = self.watchers.add

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        match details.method.rpartition("/")[2]:
            case "Unary":
                return grpc.unary_unary_rpc_method_handler(lambda r, c: self.unary(r, c))
            case "Sum":
                return grpc.stream_unary_rpc_method_handler(lambda r, c: self.unary(b"".join(r), c))
            case "Repeat":
                return grpc.unary_stream_rpc_method_handler(self._repeat)
            case "Both":
                return grpc.stream_stream_rpc_method_handler(lambda r, c: (self.unary(one, c) for one in r))
            case "Watch":
                return grpc.unary_stream_rpc_method_handler(self.watch)
        return None

    def _repeat(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield request
        yield self.unary(request, context)

    @waiting
    def watch(self, request: bytes, stream: WaitingStream[bytes], context: grpc.ServicerContext) -> None:
        self.streams.append(stream)
        stream.send(request)
        self.on_watch(stream)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo, registry: Identity) -> Iterator[RpcServer]:
    credentials = server_credentials(registry.key, registry.chain, registry.roots)
    made = RpcServer(credentials, limits=Limits(threads=2))
    made.grpc.add_generic_rpc_handlers((echo,))
    yield made
    made.stop(0)


@pytest.fixture
def address(server: RpcServer) -> str:
    port = server.listen("127.0.0.1:0")
    server.start(["test.Echo"])
    return f"127.0.0.1:{port}"


@pytest.fixture
def connected(address: str, operator: Identity) -> Iterator[grpc.Channel]:
    with channel(address, operator, expect=REGISTRY) as made:
        yield made


def unary(made: grpc.Channel, request: bytes = b"x", method: str = "Unary") -> bytes:
    call: Call = made.unary_unary(f"/test.Echo/{method}")
    answer: bytes = call(request, timeout=20)
    return answer


def watch(made: grpc.Channel, request: bytes = b"x") -> Any:
    """A call of the stream that waits; typed loosely, as grpcio's own calls are."""
    call: Call = made.unary_stream("/test.Echo/Watch")
    return call(request, timeout=60)


def health_of(made: grpc.Channel) -> Any:
    """The generated stub has no types."""
    return health_pb2_grpc.HealthStub(made)


def failure(call: Callable[[], object]) -> RemoteError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return error_from_rpc(caught.value)


# --- Who is let in ------------------------------------------------------------------------------------------------


def test_a_client_demands_the_identity_whatever_the_address(connected: grpc.Channel) -> None:
    """The certificate names no loopback address, and the call goes through: the identity was proven."""
    assert unary(connected, b"hello") == b"hello"


@pytest.mark.parametrize(
    "expected",
    [None, REGISTRY.replace("GOV", "gov"), REGISTRY + "2", OPERATOR],
    ids=["address not named", "other case", "other registry", "other kind"],
)
def test_another_identity_is_not_connected_to(address: str, operator: Identity, expected: str | None) -> None:
    """A server under the same CA with another name gets no request."""
    with channel(address, operator, expect=expected) as made:
        error = failure(lambda: unary(made))

    assert error.code is Code.UNAVAILABLE


def test_strangers_reach_no_handler(address: str, registry: Identity, echo: Echo) -> None:
    """A certificate of another root, and none at all."""
    seen: list[bytes] = []

    def record(request: bytes, _context: grpc.ServicerContext) -> bytes:
        seen.append(request)
        return b""

    echo.unary = record
    other = CertifiedCountry().identity(Profile.OPERATOR, OPERATOR)
    anonymous = grpc.ssl_channel_credentials(registry.roots)

    with channel(address, Identity(other.key, other.chain, registry.roots), expect=REGISTRY) as made:
        assert failure(lambda: unary(made)).code is Code.UNAVAILABLE
    with grpc.secure_channel(address, anonymous) as made:
        assert failure(lambda: unary(made)).code is Code.UNAVAILABLE
    with grpc.insecure_channel(address) as made:
        assert failure(lambda: unary(made)).code is Code.UNAVAILABLE
    assert seen == []


def test_the_handler_learns_who_calls(connected: grpc.Channel, echo: Echo) -> None:
    """Name, role and thumbprint come from the certificate that TLS verified."""
    found: list[Peer] = []

    def who(_request: bytes, context: grpc.ServicerContext) -> bytes:
        found.append(peer(context))
        return b""

    echo.unary = who
    unary(connected)

    assert (found[0].urn, found[0].kind) == (OPERATOR, "operator")
    assert str(found[0].identifier) == "BJ/GOV/ASIN/akossou"
    assert len(found[0].thumbprint) == 43


def test_roles_are_required(connected: grpc.Channel, echo: Echo) -> None:
    """An operator is no auditor; the refusal names both."""
    echo.unary = lambda _request, context: require_role(context, "auditor", "gateway").urn.encode()
    error = failure(lambda: unary(connected))
    echo.unary = lambda _request, context: require_role(context, "auditor", "operator").urn.encode()

    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "NOT_AUTHORISED")
    assert "operator" in error.message
    assert unary(connected) == OPERATOR.encode()


class Shown:
    """A context that shows what a test wants it to."""

    def __init__(self, pem: bytes | None) -> None:
        self._pem = pem

    def auth_context(self) -> dict[str, list[bytes]]:
        return {} if self._pem is None else {"x509_pem_cert": [self._pem]}


@pytest.mark.parametrize(
    "pem", [None, b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
)
def test_unreadable_certificates_are_refused(pem: bytes | None) -> None:
    """No certificate is no identity."""
    context: Any = Shown(pem)

    with pytest.raises(ExchangeError) as caught:
        peer(context)

    assert caught.value.reason is Reason.CERTIFICATE_INVALID


def test_an_authoritys_certificate_is_nobody(country: CertifiedCountry) -> None:
    """Without exactly one of our names there is no caller."""
    context: Any = Shown(country.identity(Profile.AUDITOR, AUDITOR).roots)

    with pytest.raises(ExchangeError) as caught:
        peer(context)

    assert caught.value.reason is Reason.CERTIFICATE_INVALID


def test_a_connection_does_not_outlive_its_certificate(country: CertifiedCountry, operator: Identity) -> None:
    """The certificate is judged on every call: TLS looked at it once, maybe a year ago."""
    context: Any = Shown(
        operator.chain.split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
    )

    assert peer(context, clock=ManualClock(country.now_ms)).urn == OPERATOR
    for now_ms in (country.now_ms + 367 * DAY_MS, country.now_ms - DAY_MS):
        with pytest.raises(ExchangeError) as caught:
            peer(context, clock=ManualClock(now_ms))
        assert caught.value.reason is Reason.CERTIFICATE_EXPIRED


# --- Errors -------------------------------------------------------------------------------------------------------

METHODS = ["Unary", "Sum", "Repeat", "Both"]


def call_of(made: Any, method: str) -> Callable[[], object]:
    path = f"/test.Echo/{method}"
    match method:
        case "Unary":
            return lambda: made.unary_unary(path)(b"x", timeout=20)
        case "Sum":
            return lambda: made.stream_unary(path)(iter([b"x"]), timeout=20)
        case "Repeat":
            return lambda: list(made.unary_stream(path)(b"x", timeout=20))
        case _:
            return lambda: list(made.stream_stream(path)(iter([b"x"]), timeout=20))


@pytest.mark.parametrize("method", METHODS)
def test_a_refusal_arrives_with_reason_and_both_languages(
    method: str, connected: grpc.Channel, echo: Echo
) -> None:
    """Whatever the kind of call: code, reason, French, English, advice, refused fields."""

    def refuse(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        raise CallError(Reason.NO_AGREEMENT, "for BJ/GOV/PNS", [Violation("methods[0]", "unknown\nmethod")])

    echo.unary = refuse
    error = failure(call_of(connected, method))

    assert (error.code, error.reason, error.domain) == (Code.PERMISSION_DENIED, "NO_AGREEMENT", "passerelle")
    assert error.text.fr == f"{Reason.NO_AGREEMENT.entry.text.fr} — for BJ/GOV/PNS"
    assert error.text.en == f"{Reason.NO_AGREEMENT.entry.text.en} — for BJ/GOV/PNS"
    assert error.message == f"NO_AGREEMENT: {error.text.fr}"
    assert error.metadata == {"retry": "no"}
    assert error.violations == (Violation("methods[0]", "unknown\\x0amethod"),)


@pytest.mark.parametrize("method", METHODS)
def test_a_mistake_of_ours_is_internal_and_tells_nothing(
    method: str, connected: grpc.Channel, echo: Echo
) -> None:
    """The log keeps what happened; the caller learns that it was not his fault."""
    events = io.StringIO()
    configure_logs("test", stream=events)

    def stumble(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        raise KeyError("secret detail")

    echo.unary = stumble
    error = failure(call_of(connected, method))
    structlog.reset_defaults()

    event = json.loads(events.getvalue().splitlines()[0])
    assert (error.code, error.reason) == (Code.INTERNAL, "INTERNAL")
    assert "secret" not in error.message
    assert (event["event"], event["method"], event["process"]) == (
        "call_failed",
        f"/test.Echo/{method}",
        "test",
    )
    assert "secret detail" in event["exception"]


def test_a_handlers_own_abort_passes_unchanged(connected: grpc.Channel, echo: Echo) -> None:
    """What grpcio offers to handlers keeps working."""
    echo.unary = lambda _request, context: context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far")
    error = failure(lambda: unary(connected))

    assert (error.code, error.message, error.reason) == (Code.OUT_OF_RANGE, "too far", "")


def test_an_unknown_method_is_unimplemented(connected: grpc.Channel) -> None:
    """The boundary does not change what grpcio says itself."""
    assert failure(lambda: unary(connected, method="None")).code is Code.UNIMPLEMENTED


def test_messages_and_metadata_have_bounds(connected: grpc.Channel) -> None:
    """Larger ones are refused before a handler sees them."""
    big = failure(lambda: unary(connected, bytes(4 * 1024 * 1024 + 1)))
    call: Call = connected.unary_unary("/test.Echo/Unary")
    wide = failure(lambda: call(b"", metadata=(("x-wide", "x" * 40_000),), timeout=20))

    assert big.code is Code.RESOURCE_EXHAUSTED
    assert wide.code is Code.RESOURCE_EXHAUSTED


def test_details_that_contradict_the_code_are_not_believed(connected: grpc.Channel, echo: Echo) -> None:
    """Neither unreadable details nor those of another status."""

    def lie(details: bytes) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(grpc.StatusCode.NOT_FOUND, "no\x1b[31m such\r\nthing")

        return answer

    for details in (b"\xff\xff\xff", b"\x08\x05\x12\x02OK"):
        echo.unary = lie(details)
        error = failure(lambda: unary(connected))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "")
        assert error.text.fr == error.message
        assert error.message.isprintable()


def test_errors_without_a_call_are_still_told() -> None:
    """Some of grpcio's errors carry nothing."""
    assert error_from_rpc(grpc.RpcError("closed")).code is Code.UNKNOWN


# --- Streams that wait --------------------------------------------------------------------------------------------


def test_200_watchers_leave_two_threads_free_for_calls(
    address: str, operator: Identity, connected: grpc.Channel, echo: Echo
) -> None:
    """Streams that wait take no thread of the pool: unary calls go on, and news reaches all of them."""
    fresh = [("grpc.use_local_subchannel_pool", 1)]
    channels = [channel(address, operator, expect=REGISTRY, options=fresh) for _ in range(4)]
    calls = [watch(channels[n % 4], b"now") for n in range(200)]

    first = [next(call) for call in calls]
    answers = [unary(connected, b"%d" % n) for n in range(20)]
    echo.watchers.publish(b"news")
    news = [next(call) for call in calls]

    assert first == [b"now"] * 200
    assert answers == [b"%d" % n for n in range(20)]
    assert news == [b"news"] * 200
    for made in channels:
        made.close()
    until(lambda: len(echo.watchers) == 0)


def test_a_waiting_stream_ends_with_ok_or_with_a_status(connected: grpc.Channel, echo: Echo) -> None:
    """What was sent before the end still arrives."""
    echo.on_watch = lambda stream: stream.end()
    good = list(watch(connected, b"last"))
    echo.on_watch = lambda stream: stream.end(ExchangeError(Reason.CONFIG_STALE), language="en")
    call = watch(connected, b"last")

    assert good == [b"last"]
    assert next(call) == b"last"
    error = failure(lambda: next(call))
    assert (error.reason, error.text.en) == ("CONFIG_STALE", Reason.CONFIG_STALE.entry.text.en)


def test_a_waiting_handler_may_refuse(connected: grpc.Channel, echo: Echo) -> None:
    """An error that it raises is told like everywhere."""

    def refuse(_stream: WaitingStream[bytes]) -> None:
        raise ExchangeError(Reason.NOT_FOUND, "no such log")

    echo.on_watch = refuse
    error = failure(lambda: list(watch(connected)))

    assert error.reason == "NOT_FOUND"


def test_streams_of_readers_who_left_are_forgotten(connected: grpc.Channel, echo: Echo) -> None:
    """Nothing is kept for, or sent to, somebody who went away."""
    call = watch(connected)
    next(call)
    call.cancel()

    until(lambda: len(echo.watchers) == 0)
    stream = echo.streams[0]
    late: list[str] = []
    stream.on_close(lambda: late.append("closed"))
    stream.send(b"nobody hears this")
    stream.end()
    assert stream.closed
    assert late == ["closed"]


def test_stopping_ends_waiting_streams_at_once(
    server: RpcServer, connected: grpc.Channel, echo: Echo
) -> None:
    """A server with watchers does not wait out its grace for them."""
    call = watch(connected)
    next(call)

    started = time.monotonic()
    server.stop(30)

    assert time.monotonic() - started < 20
    assert failure(lambda: next(call)).reason == "SHUTTING_DOWN"


class Held:
    """A stream whose reader never reads: writing to it ends only when it is cut."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.cuts = 0

    def flush(self) -> None:
        self.released.wait(30)

    def cut(self) -> None:
        self.cuts += 1
        self.released.set()


class Free:
    """A stream that is written to at once, or breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.flushed = threading.Event()
        self._error = error

    def cut(self) -> None:
        raise ValueError("cannot be cut")

    def flush(self) -> None:
        self.flushed.set()
        if self._error:
            raise self._error


def test_a_reader_who_stops_reading_is_cut() -> None:
    """One held writer, then the others get their news: nobody can stop it for all."""
    senders = _Senders(threads=1, stalled_after_s=0.1)
    held: Any = Held()
    broken: Any = Free(ValueError("broken stream"))
    free: Any = Free()

    for stream in (held, broken, free):
        senders.put(stream)

    assert free.flushed.wait(20)
    assert held.cuts >= 1


# --- Health, reflection, ports ------------------------------------------------------------------------------------


def test_health_tells_each_service(server: RpcServer, connected: grpc.Channel) -> None:
    """Serving after start, not serving when told so, unknown otherwise."""
    stub = health_of(connected)

    def check(service: str) -> int:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        return int(answer.status)

    assert (check(OVERALL), check("test.Echo")) == (SERVING, SERVING)
    server.health.set("test.Echo", serving=False)
    assert check("test.Echo") == NOT_SERVING
    assert failure(lambda: check("test.None")).code is Code.NOT_FOUND


def test_health_is_watched(server: RpcServer, connected: grpc.Channel) -> None:
    """Unknown until the service appears, then each change."""
    stub = health_of(connected)
    call = stub.Watch(health_pb2.HealthCheckRequest(service="later"))

    seen = [next(call).status]
    server.health.set("later", serving=True)
    seen.append(next(call).status)
    server.health.set("later", serving=False)
    seen.append(next(call).status)

    assert seen == [UNKNOWN, SERVING, NOT_SERVING]


def test_unknown_services_fill_no_memory(connected: grpc.Channel) -> None:
    """Names that callers invent are bounded in length and number, and forgotten with their watchers."""
    stub = health_of(connected)
    calls = [stub.Watch(health_pb2.HealthCheckRequest(service=f"s{n}")) for n in range(MAX_UNKNOWN_NAMES)]
    for call in calls:
        next(call)

    def one_more(name: str) -> Callable[[], object]:
        return lambda: next(stub.Watch(health_pb2.HealthCheckRequest(service=name)))

    assert failure(one_more("another")).code is Code.RESOURCE_EXHAUSTED
    assert failure(one_more("x" * (MAX_NAME_CHARACTERS + 1))).code is Code.RESOURCE_EXHAUSTED
    assert next(stub.Watch(health_pb2.HealthCheckRequest(service="s0"))).status == UNKNOWN


def test_reflection_lists_services_and_takes_no_thread(connected: grpc.Channel) -> None:
    """Open reflection streams leave the pool of two to the calls."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(connected)
    hold = threading.Event()

    def requests() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        hold.wait(20)

    first = stub.ServerReflectionInfo(requests())
    names = [one.name for one in next(first).list_services_response.service]
    others = [stub.ServerReflectionInfo(requests()) for _ in range(3)]

    assert "test.Echo" in names
    assert unary(connected) == b"x"
    hold.set()
    assert all(next(other).list_services_response.service for other in others)


def test_reflection_answers_to_its_final_name(connected: grpc.Channel) -> None:
    """Clients ask for v1 first."""
    call: grpc.StreamStreamMultiCallable[Any, Any] = connected.stream_stream(
        f"/{REFLECTION_SERVICE}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    names = [one.name for one in next(call(iter([request]))).list_services_response.service]

    assert "test.Echo" in names


def test_a_busy_port_is_named_with_its_holder(registry: Identity) -> None:
    """Who holds it, not merely that it is held."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = RpcServer(server_credentials(registry.key, registry.chain, registry.roots))

        with pytest.raises(ExchangeError) as caught:
            server.listen(f"127.0.0.1:{port}")
        server.stop(0)

        assert caught.value.reason is Reason.PORT_IN_USE
        assert "(pid " in str(caught.value)
        assert str(holder_of(port)) in str(caught.value)
    assert holder_of(port) is None
    require_free(f"127.0.0.1:{port}")
    require_free("[::1]:0")


def test_a_port_that_grpcio_cannot_open_is_told(server: RpcServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took it between the look and the opening."""

    def fail(_address: str, _credentials: object) -> int:
        raise RuntimeError("Failed to bind")

    monkeypatch.setattr(server.grpc, "add_secure_port", fail)

    with pytest.raises(ExchangeError) as caught:
        server.listen("127.0.0.1:0")
    assert caught.value.reason is Reason.PORT_IN_USE


def test_a_silent_connection_is_closed(registry: Identity) -> None:
    """Who connects and says nothing does not hold a socket for ever."""
    credentials = server_credentials(registry.key, registry.chain, registry.roots)
    server = RpcServer(credentials, limits=Limits(handshake_timeout_ms=200))
    port = server.listen("127.0.0.1:0")
    server.start([])

    with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
        assert silent.recv(1024) == b""
    server.stop(0)


def test_one_connection_carries_a_bounded_number_of_calls(
    registry: Identity, operator: Identity, echo: Echo
) -> None:
    """Calls past the bound wait at the client until others have ended."""
    credentials = server_credentials(registry.key, registry.chain, registry.roots)
    server = RpcServer(credentials, limits=Limits(max_concurrent_streams=3))
    server.grpc.add_generic_rpc_handlers((echo,))
    port = server.listen("127.0.0.1:0")
    server.start(["test.Echo"])

    with channel(f"127.0.0.1:{port}", operator, expect=REGISTRY) as made:
        held = [watch(made) for _ in range(3)]
        for call in held:
            next(call)
        waiting_call = watch(made)
        assert len(echo.streams) == 3
        held[0].cancel()
        assert next(waiting_call) == b"x"
    server.stop(0)


def test_calls_at_once_are_all_answered(connected: grpc.Channel) -> None:
    """More callers than threads: they queue, none is lost."""
    with futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: unary(connected, b"%d" % n), range(64)))

    assert answers == [b"%d" % n for n in range(64)]
