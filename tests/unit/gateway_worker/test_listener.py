"""Who has not finished a handshake holds a place for a moment, and nothing else."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import ngh2
import pytest

from core.clock import SystemClock
from core.reasons import ExchangeError
from gateway.settings import HostPort
from gateway.shared_port import Share, SharedPorts
from gateway.worker.call import Call
from gateway.worker.edges import ProgramEdge, ProgramLimits
from gateway.worker.http2 import Http2Limits
from gateway.worker.link import LinkListener, RoadPortLimits
from gateway.worker.wire import frame_message, request_headers
from tests.support.edges import WholeRequests
from tests.support.loopback import Authority, LoopThread, make_authority
from tests.unit.gateway_worker.test_edges import End
from tests.unit.gateway_worker.test_http2 import RawClient

pytestmark = pytest.mark.unit

REQUEST = request_headers(b"/a.B/C", b"localhost", (), "identity", None)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


class Echo:
    """An echo edge behind TLS, and what was malformed about its calls."""

    def __init__(self, loop: LoopThread, authority: Authority | None, limits: ProgramLimits) -> None:
        self.malformed: list[str] = []
        self.loop = loop
        self.authority = authority
        handler = WholeRequests(
            lambda call, messages: call.release((), messages, End(0)), lambda call: None, self._malformed
        )
        self.edge = ProgramEdge(handler, clock=SystemClock(), limits=limits)
        tls = authority.tls(server=True) if authority else None
        _, self.port = loop.run(self.edge.serve("127.0.0.1", 0, tls))

    def _malformed(self, call: Call, error: ExchangeError) -> None:
        self.malformed.append(str(error.reason))
        call.finish(8, str(error))

    def is_served(self) -> bool:
        """Whether an honest program's TLS handshake and HTTP/2 preface are taken."""
        assert self.authority is not None
        tls = self.authority.tls(server=False)
        raw = socket.create_connection(("127.0.0.1", self.port), 10)
        with tls.wrap_socket(raw, server_hostname="localhost") as client:
            client.settimeout(10)
            return bool(client.recv(1))

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.do(self.edge.close)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def test_failed_handshakes_leave_nothing_behind(loop: LoopThread, authority: Authority) -> None:
    """However many strangers came with garbage: programs find every place free."""
    with Echo(loop, authority, ProgramLimits(max_connections=2)) as echo:
        for _ in range(20):
            with connected(echo.port) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while stranger.recv(4096):
                    pass

        loop.until(lambda: echo.edge.counters["handshakes_failed"] == 20)

        assert echo.is_served()
        assert echo.edge.counters["connections_refused"] == 0
        loop.until(lambda: not echo.edge.connections)


def test_silent_handshakes_make_room_for_honest_ones(loop: LoopThread, authority: Authority) -> None:
    """The one that waited longest goes; a flood of silence keeps nobody out."""
    with ExitStack() as stack, Echo(loop, authority, ProgramLimits(max_handshakes=5)) as echo:
        silent = [stack.enter_context(connected(echo.port)) for _ in range(50)]

        assert echo.is_served()
        assert loop.do(lambda: echo.edge._listeners[0].in_handshake) <= 5
        assert echo.edge.counters["handshakes_dropped"] >= 45
        assert silent[0].recv(1) == b""


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """This process can open no further file or socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_without_descriptors_comes_back(loop: LoopThread, authority: Authority) -> None:
    """It waits instead of spinning, and serves again once there are some."""
    with Echo(loop, authority, ProgramLimits()) as echo, socket.socket() as client:
        client.settimeout(10)
        with no_more_descriptors():
            client.connect(("127.0.0.1", echo.port))
            loop.until(lambda: echo.edge.counters["accept_paused"] > 0)

        assert echo.is_served()


def test_a_request_that_takes_too_long_is_ended(loop: LoopThread) -> None:
    """One byte now and then is no request: named, while others on the connection are served."""
    limits = ProgramLimits(http2=Http2Limits(), request_seconds=0.3)
    with Echo(loop, None, limits) as echo:
        client = RawClient(echo.port)
        slow = client.h2.send_request(REQUEST)
        client.h2.send_data(slow, b"\0")
        client.flush()
        client.read_until(lambda: bool(client.got(ngh2.StreamClosed)))

        quick = client.h2.send_request(REQUEST)
        client.h2.send_data(quick, frame_message(0, b"x"), end_stream=True)
        client.flush()
        client.read_until(lambda: len(client.got(ngh2.StreamClosed)) == 2)

        assert echo.malformed == ["LIMIT_EXCEEDED"]
        assert echo.edge.counters["requests_too_slow"] == 1
        loop.until(lambda: not echo.edge._incomplete_by_program)


def test_incomplete_requests_are_bounded_per_program(loop: LoopThread) -> None:
    """Over all its connections; what is complete does not count."""
    with Echo(loop, None, ProgramLimits(max_incomplete_per_program=4)) as echo:
        clients = [RawClient(echo.port) for _ in range(3)]
        for client in clients:
            for _ in range(2):
                client.h2.send_request(REQUEST)
            client.flush()
        loop.until(lambda: len(echo.malformed) == 2)

        clients[0].socket.close()
        loop.until(lambda: len(echo.edge._incomplete) < 4)

        assert echo.malformed == ["LIMIT_EXCEEDED"] * 2


def test_connections_are_bounded_in_sum(loop: LoopThread) -> None:
    """Whoever they are; one that leaves makes room."""
    with Echo(loop, None, ProgramLimits(max_connections=2)) as echo:
        first, _ = RawClient(echo.port), RawClient(echo.port)
        loop.until(lambda: len(echo.edge.connections) == 2)
        RawClient(echo.port).read_to_end()
        assert echo.edge.counters["connections_refused"] == 1

        first.socket.close()
        loop.until(lambda: len(echo.edge.connections) == 1)
        client = RawClient(echo.port)
        stream = client.h2.send_request(REQUEST)
        client.h2.send_data(stream, frame_message(0, b"x"), end_stream=True)
        client.flush()
        client.read_until(lambda: bool(client.got(ngh2.StreamClosed)))


def test_connections_of_peers_are_bounded_in_sum(loop: LoopThread, authority: Authority) -> None:
    """Over all certificates."""
    listener = LinkListener(lambda channel: None, limits=RoadPortLimits(max_connections=1))
    _, port = loop.run(listener.serve("127.0.0.1", 0, authority.tls(server=True)))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Peer(authority, port))
        loop.until(lambda: listener.counters["connections_refused"] == 1)
    loop.do(listener.close)


class Peer:
    """A connection to a road's port that speaks HTTP/2 and opens no stream."""

    def __init__(self, authority: Authority, port: int) -> None:
        tls = authority.tls(server=False)
        self._socket = tls.wrap_socket(connected(port), server_hostname="localhost")
        h2 = ngh2.Connection(ngh2.Role.CLIENT)
        h2.initiate_connection()
        self._socket.sendall(h2.data_to_send())

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_connections_of_one_peer_are_bounded(loop: LoopThread, authority: Authority) -> None:
    """A certificate of the country does not let its holder take all places."""
    listener = LinkListener(lambda channel: None, limits=RoadPortLimits(max_connections_per_peer=2))
    _, port = loop.run(listener.serve("127.0.0.1", 0, authority.tls(server=True)))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Peer(authority, port))
        loop.until(lambda: listener.counters["connections_refused"] == 1)
        loop.until(lambda: len(listener.connections) == 2)
    loop.until(lambda: not listener._by_peer)
    loop.do(listener.close)


def test_a_peer_that_opens_no_stream_is_sent_home(loop: LoopThread, authority: Authority) -> None:
    """Roads live for ever, connections without a road do not."""
    limits = RoadPortLimits(http2=Http2Limits(idle_seconds=0.2))
    listener = LinkListener(lambda channel: None, limits=limits)
    _, port = loop.run(listener.serve("127.0.0.1", 0, authority.tls(server=True)))
    with Peer(authority, port):
        loop.until(lambda: listener.counters["closed_idle"] == 1)
    assert RoadPortLimits().http2.idle_seconds is not None
    loop.do(listener.close)


@contextmanager
def two_workers(
    loop: LoopThread, authority: Authority
) -> Iterator[tuple[SharedPorts, list[Share], list[Echo]]]:
    """Two edges that accept from one port, as two workers do."""
    port = SharedPorts([HostPort("127.0.0.1", 0)], 2)
    port.bind()
    shares, workers = [], []
    for number in range(2):
        share = Share.inherited([os.dup(one) for one in port.descriptors], 2, number)
        share.is_open = True
        share.say(0)
        echo = Echo.__new__(Echo)
        echo.loop, echo.authority, echo.malformed, echo.port = loop, authority, [], port.ports[0]
        handler = WholeRequests(lambda *_: None, lambda call: None, echo._malformed)
        echo.edge = ProgramEdge(handler, clock=SystemClock(), limits=ProgramLimits())
        loop.run(echo.edge.serve("", 0, authority.tls(server=True), shared=(share, share.sockets[0])))
        shares.append(share)
        workers.append(echo)
    yield port, shares, workers
    for worker in workers:
        loop.do(worker.edge.close)
    port.close()


def _count(edge: ProgramEdge) -> int:
    return len(edge.connections)


def held(loop: LoopThread, workers: list[Echo]) -> list[int]:
    return [loop.do(partial(_count, one.edge)) for one in workers]


def test_connections_spread_evenly_over_workers(loop: LoopThread, authority: Authority) -> None:
    """Programs keep few connections for long: none of the workers gets more of them than another, give or take one."""
    with two_workers(loop, authority) as (port, _, workers), ExitStack() as clients:
        for number in range(1, 9):
            raw = clients.enter_context(connected(port.ports[0]))
            tls = clients.enter_context(
                authority.tls(server=False).wrap_socket(raw, server_hostname="localhost")
            )
            tls.settimeout(10)
            assert tls.recv(1)
            assert sum(held(loop, workers)) == number

        assert held(loop, workers) == [4, 4]


def test_a_worker_that_carries_no_exchanges_takes_no_connection(
    loop: LoopThread, authority: Authority
) -> None:
    """Unless none does: then a program is told why, instead of waiting."""
    with two_workers(loop, authority) as (_, shares, workers):
        shares[0].is_open = False
        loop.do(lambda: shares[0].say(0))
        assert all(workers[0].is_served() for _ in range(3))
        taken = [one.edge.counters["connections_opened"] for one in workers]
        shares[1].is_open = False
        loop.do(lambda: shares[1].say(0))

        assert workers[0].is_served()
        assert taken == [0, 3]


def test_a_worker_that_drains_leaves_the_port_to_the_others(loop: LoopThread, authority: Authority) -> None:
    """It closes its own end only."""
    with two_workers(loop, authority) as (_, _, workers):
        loop.do(workers[0].edge.drain)

        assert all(workers[0].is_served() for _ in range(3))
        assert workers[1].edge.counters["connections_opened"] == 3
