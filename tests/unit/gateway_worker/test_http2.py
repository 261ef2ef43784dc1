"""One HTTP/2 connection under hostile, silent and broken peers: always closed, always with a reason."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ngh2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import SystemClock
from gateway.worker.call import Call
from gateway.worker.edges import ProgramEdge, ProgramLimits
from gateway.worker.http2 import (
    ClosedBecause,
    Headers,
    Http2Connection,
    Http2Limits,
    StreamSink,
    Sweep,
    certificate_thumbprint,
)
from gateway.worker.wire import Message, frame_message, request_headers
from tests.support.buffered import feed
from tests.support.edges import WholeRequests
from tests.support.loopback import LoopThread, make_authority

pytestmark = pytest.mark.unit

REQUEST = request_headers(b"/a.B/C", b"localhost", (), "identity", None)


class End:
    status = 0
    message = ""
    metadata = ()


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


Start = Callable[..., tuple[ProgramEdge, int]]


@pytest.fixture
def start(loop: LoopThread) -> Iterator[Start]:
    """Start a plain-text echo edge."""
    edges: list[ProgramEdge] = []

    def starter(http2: Http2Limits | None = None, held: list[Call] | None = None) -> tuple[ProgramEdge, int]:
        def answer(call: Call, messages: list[Message]) -> None:
            if held is None:
                call.release((), messages, End())
            else:
                held.append(call)

        handler = WholeRequests(answer, lambda call: None)
        edge = ProgramEdge(handler, clock=SystemClock(), limits=ProgramLimits(http2=http2 or Http2Limits()))
        _, port = loop.run(edge.serve("127.0.0.1", 0, None))
        edges.append(edge)
        return edge, port

    yield starter
    for edge in edges:
        loop.do(edge.close)


class RawClient:
    """A client that does exactly what it is told, right or wrong."""

    def __init__(self, port: int, *, preface: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self.events: list[ngh2.Event] = []
        if preface:
            self.h2.initiate_connection()
            self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what is there; false at the end of the stream."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        if not readable:
            return True
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        if not data:
            return False
        self.h2.receive_data(data)
        with contextlib.suppress(
            ConnectionError
        ):  # the server may be gone by now; what it said is still to be read
            self.flush()
        self.events += self.h2.events()
        return True

    def read_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert self.read(0.2), "the server closed the connection"
            assert time.monotonic() < end

    def read_to_end(self) -> None:
        end = time.monotonic() + 10
        while self.read(0.2):
            assert time.monotonic() < end

    def got(self, kind: type[ngh2.Event]) -> list[ngh2.Event]:
        return [event for event in self.events if type(event) is kind]


def test_an_exchange_over_plain_bytes(start: Start) -> None:
    """The harness itself: a request is answered."""
    _, port = start()
    client = RawClient(port)

    stream = client.h2.send_request(REQUEST)
    client.h2.send_data(stream, frame_message(0, b"hello"), end_stream=True)
    client.flush()
    client.read_until(lambda: bool(client.got(ngh2.TrailersReceived)))

    assert client.got(ngh2.DataReceived)[0].data == frame_message(0, b"hello")  # type: ignore[attr-defined]


def test_an_answer_to_a_call_that_was_reset_in_the_same_read_harms_no_other_call(
    start: Start,
) -> None:
    """The engine has closed the stream already when its owner answers what came before the reset."""
    _, port = start()
    client = RawClient(port)
    client.read_until(lambda: bool(client.got(ngh2.SettingsReceived)))

    stream = client.h2.send_request(REQUEST)
    client.h2.send_data(stream, frame_message(0, b"hello"), end_stream=True)
    told = client.h2.data_to_send()
    client.h2.reset_stream(stream)
    client.socket.sendall(told + client.h2.data_to_send())
    other = client.h2.send_request(REQUEST)
    client.h2.send_data(other, frame_message(0, b"hello"), end_stream=True)
    client.flush()

    client.read_until(lambda: bool(client.got(ngh2.TrailersReceived)))

    assert {event.stream_id for event in client.got(ngh2.TrailersReceived)} == {other}  # type: ignore[attr-defined]


def test_rapid_reset_is_cut_off_and_counted(start: Start, loop: LoopThread) -> None:
    """CVE-2023-44487: open and cancel, on and on; others do not notice."""
    edge, port = start(Http2Limits(reset_burst=100, resets_per_second=10))
    client, other = RawClient(port), RawClient(port)

    with contextlib.suppress(ConnectionError, ngh2.NGH2Error):
        for _ in range(40_000):
            stream = client.h2.send_request(REQUEST)
            client.flush()
            client.h2.reset_stream(stream)
            client.flush()
            client.read(0)

    loop.until(lambda: edge.counters["peer_abuse"] == 1)
    stream = other.h2.send_request(REQUEST)
    other.h2.send_data(stream, frame_message(0, b""), end_stream=True)
    other.flush()
    other.read_until(lambda: bool(other.got(ngh2.TrailersReceived)))
    # What one read of the socket held (256 KiB) is still taken in before the GOAWAY leaves.
    assert edge.counters["calls_started"] < 10_000


def test_as_many_cancels_as_allowed_are_no_abuse(start: Start, loop: LoopThread) -> None:
    """A program that cancels all it has in flight is served on."""
    edge, port = start(Http2Limits(reset_burst=200, resets_per_second=100))
    client = RawClient(port)

    for _ in range(150):
        stream = client.h2.send_request(REQUEST)
        client.flush()
        client.h2.reset_stream(stream)
        client.flush()
    stream = client.h2.send_request(REQUEST)
    client.h2.send_data(stream, frame_message(0, b""), end_stream=True)
    client.flush()
    client.read_until(lambda: bool(client.got(ngh2.TrailersReceived)))

    assert edge.counters["peer_abuse"] == 0


def test_a_silent_connection_is_closed(start: Start, loop: LoopThread) -> None:
    """No preface, no service."""
    edge, port = start(Http2Limits(silence_seconds=0.2))
    clients = [RawClient(port, preface=False) for _ in range(20)]

    for client in clients:
        while client.socket.recv(4096):
            pass

    loop.until(lambda: edge.counters["closed_silent"] == 20)


def test_a_silent_connection_is_closed_before_tls_too(loop: LoopThread, tmp_path: Path) -> None:
    """A peer that never says hello to TLS is closed by the same limit."""
    edge = ProgramEdge(
        WholeRequests(lambda call, messages: None, lambda call: None),
        clock=SystemClock(),
        limits=ProgramLimits(http2=Http2Limits(silence_seconds=0.2)),
    )
    _, port = loop.run(edge.serve("127.0.0.1", 0, make_authority(tmp_path).tls(server=True)))

    with socket.create_connection(("127.0.0.1", port), 10) as silent:
        assert silent.recv(1) == b""
    loop.do(edge.close)


def test_an_idle_connection_is_sent_home(start: Start, loop: LoopThread) -> None:
    """After the idle time without a stream, with a GOAWAY."""
    edge, port = start(Http2Limits(idle_seconds=0.2))
    client = RawClient(port)

    client.read_to_end()

    loop.until(lambda: edge.counters["closed_idle"] == 1)


def test_an_open_call_keeps_a_connection_from_idling(start: Start, loop: LoopThread) -> None:
    """Slow is not idle."""
    held: list[Call] = []
    _, port = start(Http2Limits(idle_seconds=0.2), held)
    client = RawClient(port)
    stream = client.h2.send_request(REQUEST)
    client.h2.send_data(stream, frame_message(0, b""), end_stream=True)
    client.flush()
    loop.until(lambda: len(held) == 1)

    time.sleep(0.8)
    loop.do(lambda: held[0].release((), [(0, b"late")], End()))

    client.read_until(lambda: bool(client.got(ngh2.TrailersReceived)))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ],
)
def test_what_is_no_http2_is_closed(start: Start, loop: LoopThread, garbage: bytes) -> None:
    """HTTP/1, TLS on a plain port, zeros, a broken preface."""
    edge, port = start(Http2Limits(silence_seconds=0.3))
    client = RawClient(port, preface=False)

    client.socket.sendall(garbage)
    try:
        while client.socket.recv(4096):
            pass
    except ConnectionError:
        pass

    loop.until(lambda: edge.counters["closed_protocol_violation"] + edge.counters["closed_silent"] == 1)


def test_a_header_bomb_ends_the_connection(start: Start, loop: LoopThread) -> None:
    """A header list far above the limit is abuse; HPACK cannot blow it up in memory first."""
    edge, port = start(Http2Limits(max_header_bytes=10_000))
    client = RawClient(port)

    client.h2.send_request([*REQUEST, *[(b"x", b"y" * 4000)] * 10])
    client.flush()
    client.read_to_end()

    loop.until(lambda: edge.counters["peer_abuse"] == 1)


def test_a_frame_on_a_dead_stream_is_a_violation(start: Start, loop: LoopThread) -> None:
    """DATA on stream 0 ends the connection with GOAWAY."""
    edge, port = start()
    client = RawClient(port)
    client.read(0.2)

    client.socket.sendall(b"\0\0\1\0\0\0\0\0\0x")
    with contextlib.suppress(ngh2.NGH2Error):
        client.read_to_end()

    loop.until(lambda: edge.counters["closed_protocol_violation"] == 1)


def test_a_peer_that_takes_no_bytes_is_cut_off(start: Start, loop: LoopThread) -> None:
    """A full socket for longer than the limit: the connection goes, its memory with it."""
    edge, port = start(Http2Limits(write_stall_seconds=0.3))
    client = RawClient(port, preface=False)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.h2.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 30})
    client.h2.set_local_window_size(1 << 30)
    client.flush()
    client.read(0.2)

    body = frame_message(0, b"x" * 3_000_000)
    for _ in range(6):
        stream = client.h2.send_request(REQUEST)
        client.h2.send_data(stream, body, end_stream=True)
    client.socket.settimeout(0.2)
    end = time.monotonic() + 10
    pending = b""
    while time.monotonic() < end and not edge.counters["closed_write_stalled"]:
        pending = pending or client.h2.data_to_send()
        try:
            sent = client.socket.send(pending[:65536]) if pending else 0
            pending = pending[sent:]
        except (TimeoutError, ConnectionError):
            time.sleep(0.05)
        # Windows must open for the requests to arrive, so control frames are read, 64 bytes at a time at first.
        if edge.counters["calls_started"] < 6 or not pending:
            time.sleep(0.02)
            readable, _, _ = select.select([client.socket], [], [], 0)
            if readable and _queued(edge, loop) == 0:
                client.h2.receive_data(client.socket.recv(4096))

    loop.until(lambda: edge.counters["closed_write_stalled"] == 1)


def _queued(edge: ProgramEdge, loop: LoopThread) -> int:
    return loop.do(lambda: sum(connection.queued_bytes() for connection in edge.connections))


class Wire:
    """A transport that only remembers."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.aborted = False

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class HandLoop:
    """A loop turned by hand, its time set by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self._soon: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self._soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> HandLoop:
        return self

    def cancel(self) -> None:
        pass

    def turn(self) -> None:
        soon, self._soon = self._soon, []
        for callback, args in soon:
            callback(*args)


class Recorder:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.data = b""

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        pass

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.data += data

    def on_trailers(self, headers: Headers) -> None:
        pass

    def on_closed(self, error_code: int) -> None:
        self.closed.append(error_code)


class Bench:
    """Two connections face to face, without sockets."""

    def __init__(self, limits: Http2Limits | None = None) -> None:
        self.loop = HandLoop()
        self.sinks: list[Recorder] = []
        self.streams: list[int] = []
        limits = limits or Http2Limits()
        self.server = Http2Connection(self.loop, limits, Sweep(), accept=self._accept)  # type: ignore[arg-type]  # HandLoop
        self.client = Http2Connection(self.loop, limits, Sweep())  # type: ignore[arg-type]  # HandLoop
        self.server_wire, self.client_wire = Wire(), Wire()
        self.server.connection_made(self.server_wire)  # type: ignore[arg-type]  # Wire
        self.client.connection_made(self.client_wire)  # type: ignore[arg-type]  # Wire
        self.pump()

    def _accept(self, connection: Http2Connection, stream: int, headers: Headers, end: bool) -> StreamSink:
        self.streams.append(stream)
        self.sinks.append(Recorder())
        return self.sinks[-1]

    def pump(self) -> None:
        for _ in range(8):
            self.loop.turn()
            data, self.client_wire.sent = self.client_wire.sent, b""
            if data:
                feed(self.server, data)
            data, self.server_wire.sent = self.server_wire.sent, b""
            if data:
                feed(self.client, data)


def test_a_dead_link_is_noticed_within_three_seconds() -> None:
    """Nothing heard for one second: PING; nothing for one more: dead, and every stream is told."""
    bench = Bench(Http2Limits(ping_after_seconds=1.0, ping_timeout_seconds=1.0))
    sink = Recorder()
    bench.client.open_stream(REQUEST, sink)
    bench.pump()

    noticed = None
    for quarter in range(16):
        bench.loop.now += 0.25
        bench.client.check(bench.loop.now)
        bench.loop.turn()
        if bench.client.closed_because is not None:
            noticed = (quarter + 1) * 0.25
            break
    bench.client.connection_lost(None)

    assert bench.client.closed_because is ClosedBecause.LINK_DEAD
    assert noticed is not None
    assert noticed <= 3.0
    assert bench.client_wire.aborted
    assert len(sink.closed) == 1


def test_a_live_link_answers_pings() -> None:
    """As long as the peer answers, the link stays."""
    bench = Bench(Http2Limits(ping_after_seconds=1.0, ping_timeout_seconds=1.0, idle_seconds=None))

    for _ in range(40):
        bench.loop.now += 0.25
        bench.client.check(bench.loop.now)
        bench.pump()

    assert bench.client.closed_because is None


def test_every_sink_is_told_once_when_the_connection_goes() -> None:
    """On both ends, also for a stream that had ended in part."""
    bench = Bench()
    sinks = [Recorder() for _ in range(3)]
    streams = [bench.client.open_stream(REQUEST, sink) for sink in sinks]
    bench.client.reset(streams[0] or 0)
    bench.pump()

    bench.client.connection_lost(None)
    bench.server.connection_lost(None)

    assert [len(sink.closed) for sink in sinks] == [1, 1, 1]
    assert [len(sink.closed) for sink in bench.sinks] == [1, 1, 1] or len(bench.sinks) == 2
    assert bench.client.closed_because is ClosedBecause.CLOSED_BY_PEER
    assert bench.client.open_stream(REQUEST, Recorder()) is None


def test_unacknowledged_bytes_close_the_window_and_acknowledged_ones_open_it() -> None:
    """A peer sends one window and no more until its bytes are consumed."""
    bench = Bench(Http2Limits(stream_window_bytes=65_535))
    stream = bench.client.open_stream(REQUEST, Recorder()) or 0
    bench.client.send(stream, b"x" * 200_000)
    bench.pump()
    first = len(bench.sinks[0].data)

    bench.server.acknowledge(bench.streams[0], 65_535)
    bench.pump()

    assert first == 65_535
    assert len(bench.sinks[0].data) == 2 * 65_535
    assert bench.client.queued_bytes(stream) == 200_000 - 2 * 65_535
    assert bench.client.queued_bytes() == bench.client.queued_bytes(stream)


def test_a_writer_learns_when_its_queue_has_drained() -> None:
    """Once, as soon as fewer bytes wait than asked for."""
    bench = Bench(Http2Limits(stream_window_bytes=65_535))
    stream = bench.client.open_stream(REQUEST, Recorder()) or 0
    called: list[int] = []
    bench.client.send(stream, b"x" * 150_000)
    bench.client.when_below(stream, 50_000, lambda: called.append(bench.client.queued_bytes(stream)))
    bench.pump()
    before = list(called)

    for _ in range(2):
        bench.server.acknowledge(bench.streams[0], 40_000)
        bench.pump()

    assert before == []
    assert len(called) == 1
    assert called[0] < 50_000


def test_paused_writing_keeps_bytes_in_the_engine() -> None:
    """While the socket is full nothing is written; then everything is."""
    bench = Bench()
    bench.client.pause_writing()
    stream = bench.client.open_stream(REQUEST, Recorder()) or 0
    bench.client.send(stream, b"x" * 1000, end_stream=True)
    bench.pump()
    held_back = len(bench.sinks) == 0

    bench.client.resume_writing()
    bench.pump()

    assert held_back
    assert bench.sinks[0].data == b"x" * 1000


def test_the_rest_of_a_request_is_stopped_after_the_response() -> None:
    """Answered before the upload ended: the whole answer first, then RST_STREAM(NO_ERROR)."""
    bench = Bench(Http2Limits(stream_window_bytes=65_535))
    sink = Recorder()
    stream = bench.client.open_stream(REQUEST, sink) or 0
    bench.client.send(stream, b"x" * 500_000)
    bench.pump()

    bench.server.send_headers(bench.streams[0], [(b":status", b"200")])
    bench.server.send(bench.streams[0], b"y" * 100_000)
    bench.server.send_trailers(bench.streams[0], [(b"grpc-status", b"0")])
    bench.server.stop_reading(bench.streams[0])
    bench.pump()
    halfway = (len(sink.data), list(sink.closed))
    bench.client.acknowledge(stream, 65_535)
    bench.pump()

    assert halfway == (65_535, [])
    assert len(sink.data) == 100_000
    assert sink.closed == [0]
    assert bench.client.queued_bytes() == 0


def test_drain_answers_what_is_open_and_takes_nothing_new() -> None:
    """Notice, GOAWAY a moment later, close when the last stream has ended."""
    bench = Bench()
    stream = bench.client.open_stream(REQUEST, Recorder()) or 0
    bench.pump()

    bench.server.drain()
    bench.pump()
    refused = bench.client.open_stream(REQUEST, Recorder())
    for _ in range(4):
        bench.loop.now += 0.25
        bench.server.check(bench.loop.now)
        bench.pump()
    still_open = bench.server.closed_because
    bench.server.send_headers(bench.streams[0], [(b":status", b"200")], end_stream=True)
    bench.client.end_stream(stream)
    bench.pump()
    bench.loop.now += 1
    bench.server.check(bench.loop.now)

    assert refused is None
    assert still_open is None
    assert bench.server.closed_because is ClosedBecause.DRAINED


def test_a_drain_has_an_end() -> None:
    """Streams that never end are cut."""
    bench = Bench(Http2Limits(drain_seconds=5.0, idle_seconds=None))
    sink = Recorder()
    bench.client.open_stream(REQUEST, sink)
    bench.pump()

    bench.server.drain()
    for _ in range(12):
        bench.loop.now += 0.5
        bench.server.check(bench.loop.now)

    assert bench.server.closed_because is ClosedBecause.DRAINED


def test_who_is_sent_away_may_end_what_is_open_however_long_it_takes() -> None:
    """Unlike a drain; one that comes later sets a limit after all, and says GOAWAY no second time."""
    bench = Bench(Http2Limits(drain_seconds=5.0, idle_seconds=None))
    bench.client.open_stream(REQUEST, Recorder())
    bench.pump()

    def pass_seconds(seconds: int) -> None:
        for _ in range(2 * seconds):
            bench.loop.now += 0.5
            bench.server.check(bench.loop.now)
            bench.pump()

    bench.server.send_away()
    bench.server.send_away()
    pass_seconds(60)
    assert bench.client.draining
    assert bench.client.open_stream(REQUEST, Recorder()) is None
    assert bench.server.closed_because is None
    bench.server.drain()
    pass_seconds(4)
    assert bench.server.closed_because is None
    pass_seconds(2)

    assert bench.server.closed_because is ClosedBecause.DRAINED
    assert bench.client.closed_because is not ClosedBecause.PROTOCOL_VIOLATION


def test_who_was_sent_away_is_let_go_once_nothing_is_open() -> None:
    """As with a drain."""
    bench = Bench()

    bench.server.send_away()
    bench.pump()
    for _ in range(4):
        bench.loop.now += 0.5
        bench.server.check(bench.loop.now)

    assert bench.server.closed_because is ClosedBecause.DRAINED


def test_nothing_is_written_after_the_end() -> None:
    """Calls on a closed connection have no effect and raise nothing."""
    bench = Bench()
    stream = bench.client.open_stream(REQUEST, Recorder()) or 0
    bench.client.close()
    bench.client.connection_lost(None)

    bench.client.send(stream, b"x")
    bench.client.send_headers(stream, [])
    bench.client.send_trailers(stream, [])
    bench.client.end_stream(stream)
    bench.client.reset(stream)
    bench.client.acknowledge(stream, 5)
    bench.client.drain()
    bench.client.check(bench.loop.now + 1000)
    feed(bench.client, b"xx")
    bench.loop.turn()

    assert not bench.client.is_open
    assert bench.client.queued_bytes(stream) == 0


@given(st.lists(st.binary(max_size=60), max_size=10))
@settings(max_examples=150)
def test_any_bytes_after_the_preface_close_or_pass(pieces: list[bytes]) -> None:
    """Fuzz: no exception escapes; a closed connection has a reason."""
    bench = Bench()

    for piece in pieces:
        feed(bench.server, piece)
        bench.loop.turn()

    if bench.server_wire.is_closing():
        assert bench.server.closed_because is not None


def test_thumbprint_is_the_one_of_rfc_8705() -> None:
    """base64url of SHA-256, unpadded; none without a certificate."""
    assert certificate_thumbprint(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert certificate_thumbprint(None) is None


def test_a_connection_closed_in_the_midst_of_its_events_takes_no_answers() -> None:
    """A handler closes the connection, then answers the calls that came in the same bytes: no effect, no error."""
    bench = Bench()
    sinks = [Recorder() for _ in range(3)]
    streams = [bench.client.open_stream(REQUEST, sink) or 0 for sink in sinks]
    bench.pump()

    def close_and_answer(data: bytes, end_stream: bool) -> None:
        bench.server.close()
        for stream in streams:
            bench.server.send_headers(stream, [(b":status", b"200")], end_stream=True)
            bench.server.acknowledge(stream, 1)

    for sink in bench.sinks:
        sink.on_data = close_and_answer  # type: ignore[method-assign]
    for stream in streams:
        bench.client.send(stream, b"x")
    bench.pump()
    bench.server.connection_lost(None)

    assert bench.server.closed_because is ClosedBecause.CLOSED_HERE
    assert [len(sink.closed) for sink in bench.sinks] == [1, 1, 1]
