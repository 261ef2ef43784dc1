"""The stream between two gateways: messages both ways over real mTLS, refusals, and a peer that is stock gRPC."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace

import grpc
import pytest

from gateway.worker.http2 import ROAD_LIMITS
from gateway.worker.link import ROAD_PATH, LinkChannel, LinkDialler, LinkListener, RoadPortLimits
from tests.support.loopback import Authority, LoopThread, make_authority

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


class End:
    """What one gateway sees of its channel."""

    def __init__(self) -> None:
        self.channels: list[LinkChannel] = []
        self.messages: list[bytes] = []
        self.closed: list[str] = []
        self.failed: list[str] = []

    def opened(self, channel: LinkChannel) -> None:
        self.channels.append(channel)
        channel.on_message = self.messages.append
        channel.on_closed = self.closed.append

    @property
    def channel(self) -> LinkChannel:
        return self.channels[0]


class Pair:
    def __init__(self, loop: LoopThread, authority: Authority) -> None:
        self.loop = loop
        self.near, self.far = End(), End()
        self.listener = LinkListener(self.far.opened)
        _, self.port = loop.run(self.listener.serve("127.0.0.1", 0, authority.tls(server=True)))
        self.dialler = LinkDialler(authority.tls(server=False))

    def dial(self) -> None:
        self.loop.do(
            lambda: self.dialler.dial("127.0.0.1", self.port, self.near.opened, self.near.failed.append)
        )

    def open(self) -> None:
        self.dial()
        self.loop.until(lambda: bool(self.near.channels and self.far.channels))

    def close(self) -> None:
        self.loop.do(self.dialler.close)
        self.loop.do(self.listener.close)


@pytest.fixture
def pair(loop: LoopThread, authority: Authority) -> Iterator[Pair]:
    pair = Pair(loop, authority)
    yield pair
    pair.close()


def test_messages_travel_both_ways_in_order(pair: Pair) -> None:
    """Small and large, many at once."""
    pair.open()
    there = [b"%d" % i * 40 for i in range(500)] + [b"x" * 3_000_000]
    back = [b"y" * 2_000_000, b"z"]

    def send() -> None:
        for one in there:
            pair.near.channel.send_message(one)
        for one in back:
            pair.far.channel.send_message(one)

    pair.loop.do(send)
    pair.loop.until(lambda: len(pair.far.messages) == len(there) and len(pair.near.messages) == len(back))

    assert pair.far.messages == there
    assert pair.near.messages == back
    assert pair.near.channel.peer_thumbprint == pair.far.channel.peer_thumbprint != ""
    assert pair.near.channel.peer_certificate_der


def test_the_listener_tells_why_it_ends_a_stream(pair: Pair) -> None:
    """The reason travels in grpc-message."""
    pair.open()

    pair.loop.do(lambda: pair.far.channel.close("LOG_NOT_REGISTERED"))
    pair.loop.until(lambda: bool(pair.near.closed))

    assert pair.near.closed == ["LOG_NOT_REGISTERED"]
    assert pair.far.closed == []
    assert not pair.near.channel.is_open


def test_the_dialler_ends_a_stream(pair: Pair) -> None:
    """The listener sees it go; afterwards sending has no effect."""
    pair.open()

    pair.loop.do(lambda: pair.near.channel.close("no longer admitted"))
    pair.loop.until(lambda: bool(pair.far.closed))
    pair.loop.do(lambda: pair.near.channel.send_message(b"too late"))
    pair.loop.do(lambda: pair.near.channel.close("twice"))

    assert len(pair.far.closed) == 1
    assert pair.near.closed == []
    pair.loop.until(lambda: not pair.listener.connections)


def test_a_lost_connection_is_told_to_both(pair: Pair) -> None:
    """Once each, with a word on why."""
    pair.open()

    pair.loop.do(lambda: next(iter(pair.listener.connections)).close())
    pair.loop.until(lambda: bool(pair.near.closed and pair.far.closed))

    assert len(pair.near.closed) == len(pair.far.closed) == 1
    assert "connection" in pair.far.closed[0]


def test_bytes_queue_where_they_can_be_counted(pair: Pair) -> None:
    """What the peer has not taken yet is visible, and its end is told."""
    pair.open()
    counted: list[int] = []

    def send() -> None:
        for _ in range(40):
            pair.near.channel.send_message(b"x" * 1_000_000)
        counted.append(pair.near.channel.queued_bytes)

    pair.loop.do(send)
    pair.loop.until(lambda: len(pair.far.messages) == 40)

    assert counted[0] > 30_000_000
    pair.loop.until(lambda: pair.near.channel.queued_bytes == 0)


def test_nobody_there_is_a_failure(pair: Pair) -> None:
    """Told once, with the system's word for it."""
    pair.loop.do(pair.listener.close)

    pair.dial()
    pair.loop.until(lambda: bool(pair.near.failed))

    assert pair.near.channels == []
    assert len(pair.near.failed) == 1


def test_a_peer_without_our_authority_is_a_failure(
    pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """TLS decides first."""
    stranger = LinkDialler(make_authority(tmp_path_factory.mktemp("other")).tls(server=False))

    pair.loop.do(lambda: stranger.dial("127.0.0.1", pair.port, pair.near.opened, pair.near.failed.append))
    pair.loop.until(lambda: bool(pair.near.failed))

    assert pair.far.channels == []


def road_call(
    channel: grpc.Channel, path: str = ROAD_PATH.decode()
) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream(path)


def stock_call(authority: Authority, port: int, path: str, messages: list[bytes]) -> grpc.RpcError:
    with grpc.secure_channel(f"localhost:{port}", authority.channel_credentials()) as channel:
        call = road_call(channel, path)(iter(messages), timeout=10)
        with pytest.raises(grpc.RpcError) as raised:
            list(call)
        return raised.value


def test_another_path_is_unimplemented(pair: Pair, authority: Authority) -> None:
    """The road's port serves the road."""
    error = stock_call(authority, pair.port, "/other.v1.Service/Call", [])

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert pair.listener.counters["streams_refused"] == 1


def test_a_peer_that_half_closes_ends_the_stream(pair: Pair, authority: Authority) -> None:
    """A road that carries one way only is none."""
    with (
        grpc.secure_channel(f"localhost:{pair.port}", authority.channel_credentials()) as channel,
        pytest.raises(grpc.RpcError),
    ):
        list(road_call(channel)(iter([b"only this"]), timeout=10))

    assert pair.far.messages == [b"only this"]
    pair.loop.until(lambda: pair.far.closed == ["half-closed by the peer"])


def test_a_second_stream_on_one_connection_is_refused(pair: Pair, authority: Authority) -> None:
    """One road, one stream."""
    with grpc.secure_channel(f"localhost:{pair.port}", authority.channel_credentials()) as channel:
        stop = threading.Event()

        def quiet() -> Iterator[bytes]:
            stop.wait(10)
            yield b""

        first = road_call(channel)(quiet(), timeout=10)
        pair.loop.until(lambda: len(pair.far.channels) == 1)
        with pytest.raises(grpc.RpcError) as raised:
            list(road_call(channel)(iter([]), timeout=10))
        stop.set()
        first.cancel()

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_malformed_message_ends_the_stream(pair: Pair, authority: Authority) -> None:
    """Compressed frames are not part of the protocol."""
    with grpc.secure_channel(
        f"localhost:{pair.port}", authority.channel_credentials(), compression=grpc.Compression.Gzip
    ) as channel:
        call = road_call(channel)(iter([b"x" * 10_000]), timeout=10)
        with pytest.raises(grpc.RpcError):
            list(call)

    pair.loop.until(lambda: bool(pair.far.closed))
    assert pair.far.closed == ["a compressed frame"]


def test_a_stock_grpc_server_can_be_the_peer(loop: LoopThread, authority: Authority) -> None:
    """The road is plain gRPC: grpcio could speak it too; a half-close ends it."""
    server = grpc.server(futures.ThreadPoolExecutor(2))

    def exchange(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for message in messages:
            yield message
            return

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(exchange)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("passerelle.gateway.v1.RoadService", {"Exchange": handler}),)
    )
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials())
    server.start()
    end = End()
    dialler = LinkDialler(authority.tls(server=False), limits=replace(ROAD_LIMITS, ping_after_seconds=None))

    loop.do(lambda: dialler.dial("127.0.0.1", port, end.opened, end.failed.append))
    loop.until(lambda: bool(end.channels))
    loop.do(lambda: end.channel.send_message(b"hello"))
    loop.until(lambda: bool(end.closed))

    assert end.messages == [b"hello"]
    assert end.closed == ["ended with status 0"]
    loop.do(dialler.close)
    server.stop(None)


def test_connections_that_never_get_through_tls_are_not_held(loop: LoopThread, authority: Authority) -> None:
    """Scans, strangers and peers lost in mid-handshake must not use up the room of those who come after."""
    far = End()
    limits = RoadPortLimits(http2=replace(ROAD_LIMITS, silence_seconds=0.2), max_connections=2)
    listener = LinkListener(far.opened, limits=limits)
    _, port = loop.run(listener.serve("127.0.0.1", 0, authority.tls(server=True)))
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for one in silent[:3]:
        one.sendall(b"GET / HTTP/1.1\r\n\r\n")
    for one in silent:
        one.settimeout(10)
        while one.recv(1000):
            pass  # an alert, then the end
        one.close()

    pair = Pair.__new__(Pair)
    pair.loop, pair.near, pair.far, pair.listener, pair.port = loop, End(), far, listener, port
    pair.dialler = LinkDialler(authority.tls(server=False))
    pair.open()

    assert loop.do(lambda: len(listener.connections)) == 1
    pair.close()
