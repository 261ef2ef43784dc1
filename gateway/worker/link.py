"""The stream between two gateways: one long-lived gRPC call that carries whole messages both ways.

``LinkListener`` accepts it on the road's port, ``LinkDialler`` opens it. What the messages say is ``road``'s
business;
nothing here is believed about the peer but the thumbprint of the certificate that TLS verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from core.reasons import Code, ExchangeError
from gateway.worker.http2 import (
    ROAD_LIMITS,
    ClosedBecause,
    ErrorCode,
    Headers,
    Http2Connection,
    Http2Limits,
    StreamSink,
    Sweep,
)
from gateway.worker.listener import Listener
from gateway.worker.wire import (
    MessageReader,
    NotGrpcError,
    decode_status_message,
    message_prefix,
    read_request,
    request_headers,
    response_headers,
    trailers_for,
)

ROAD_PATH: Final = b"/passerelle.gateway.v1.RoadService/Exchange"
MAX_FRAME_MESSAGE_BYTES: Final = 16 * 1024 * 1024
CONNECT_SECONDS: Final = 3.0
# The network answers at once or not at all. While it is away an attempt is given up early and made anew: after it has
# healed, the next SYN is never more than a second off.
TCP_SECONDS: Final = 1.5
# Our own side of a road dials and asks at once; whoever opens no stream for so long only holds a place.
ROAD_PORT_LIMITS: Final = replace(ROAD_LIMITS, idle_seconds=10.0)


class LinkChannel:
    """One end of the stream.

    Attributes:
        peer_thumbprint: x5t#S256 of the peer's TLS certificate.
        peer_certificate_der: That certificate.
        on_message: Called with each message, in order; set it before control returns to the loop.
        on_closed: Called once with a sentence that says why the stream ended, unless it was closed here.
    """

    def __init__(self, connection: Http2Connection, *, is_server: bool) -> None:
        self.peer_thumbprint = connection.peer_thumbprint or ""
        self.peer_certificate_der = connection.peer_certificate_der or b""
        self.on_message: Callable[[bytes], None] = _ignore
        self.on_closed: Callable[[str], None] = _ignore
        self.stream_id = 0
        self._connection = connection
        self._is_server = is_server
        self._reader = MessageReader(MAX_FRAME_MESSAGE_BYTES)
        self._open = True
        self._held = False
        self._unacknowledged = 0
        self._broken = False
        self._why = ""

    @property
    def is_open(self) -> bool:
        """Whether messages may still get through."""
        return self._open

    @property
    def queued_bytes(self) -> int:
        """Bytes that the peer has not made room for yet."""
        return self._connection.queued_bytes(self.stream_id)

    def send_message(self, message: bytes) -> None:
        """Queue one message; it goes out with the turn's write. Without effect once the stream has ended."""
        if self._open:
            # In two pieces: a frame is long, and would be copied once more to be put behind its prefix.
            self._connection.send(self.stream_id, message_prefix(0, len(message)))
            self._connection.send(self.stream_id, message)

    def hold(self) -> None:
        """Let the peer's window shut: at most one window of bytes still arrives."""
        self._held = True

    def resume(self) -> None:
        """Open the peer's window again."""
        self._held = False
        if self._unacknowledged:
            size, self._unacknowledged = self._unacknowledged, 0
            self._connection.acknowledge(self.stream_id, size)

    def close(self, reason: str) -> None:
        """End the stream, telling the peer why. ``on_closed`` is not called."""
        if not self._open:
            return
        self._open = False
        if self._is_server:
            self._connection.send_trailers(
                self.stream_id, trailers_for(int(Code.PERMISSION_DENIED), reason, ())
            )
            self._connection.stop_reading(self.stream_id)
        else:
            # A client has no trailers to say it with: the peer sees the stream cancelled.
            self._connection.reset(self.stream_id, ErrorCode.CANCEL)
        self._connection.drain()

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """The peer took the call, or refused it at once."""
        found = dict(headers)
        if found.get(b":status") != b"200" or end_stream:
            self._refused(headers)

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Bytes of the road are taken in at once: credits bound them (DESIGN section 5), and our commits their pace."""
        if self._held:
            self._unacknowledged += len(data)
        elif data:
            self._connection.acknowledge(self.stream_id, len(data))
        if self._broken:
            return
        try:
            for flag, message in self._reader.feed(data):
                if not self._open:
                    return
                if flag:
                    raise NotGrpcError(415, "a compressed frame")
                self.on_message(message)
        except ExchangeError as error:
            self._break_off(str(error))
            return
        if end_stream and self._open:
            self._break_off("half-closed by the peer")

    def _break_off(self, why: str) -> None:
        """The peer does not keep to the road's form: nothing more of this stream is read."""
        self._broken = True
        self._why = why
        self._connection.reset(self.stream_id, ErrorCode.CANCEL)

    def on_trailers(self, headers: Headers) -> None:
        """The peer ended the stream and says why."""
        self._refused(headers)

    def on_closed_stream(self, error_code: int) -> None:
        """The stream is gone."""
        if self._unacknowledged:
            self.resume()
        if self._open:
            self._open = False
            lost = error_code == ErrorCode.CONNECTION_LOST
            why = f"connection {self._connection.closed_because}" if lost else f"reset by peer ({error_code})"
            self.on_closed(self._why or why)
            self._connection.drain()

    def _refused(self, headers: Headers) -> None:
        found = dict(headers)
        status = found.get(b"grpc-status", found.get(b":status", b"?")).decode("ascii", "replace")
        self._why = decode_status_message(found.get(b"grpc-message", b"")) or f"ended with status {status}"


class _Sink:
    """Lets a channel keep ``on_closed`` for its owner."""

    __slots__ = ("_channel", "on_data", "on_headers", "on_trailers")

    def __init__(self, channel: LinkChannel) -> None:
        self._channel = channel
        self.on_data = channel.on_data
        self.on_headers = channel.on_headers
        self.on_trailers = channel.on_trailers

    def on_closed(self, error_code: int) -> None:
        self._channel.on_closed_stream(error_code)


def _ignore(_: object) -> None:
    """Nobody listens yet."""


@dataclass(frozen=True, slots=True)
class RoadPortLimits:
    """Bounds of the road's port."""

    http2: Http2Limits = ROAD_PORT_LIMITS
    max_connections: int = 1_024
    max_connections_per_peer: int = 128
    """Of one auth certificate: its workers have a stream each, and a newer one before the older ends."""
    max_handshakes: int = 256


class LinkListener:
    """The road's port.

    Attributes:
        counters: ``connections_refused``, ``streams_refused``, ``closed_<reason>`` and those of ``Listener``.
    """

    def __init__(
        self, on_open: Callable[[LinkChannel], None], *, limits: RoadPortLimits | None = None
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._on_open = on_open
        self._limits = limits or RoadPortLimits()
        self._sweep = Sweep()
        self._by_peer: Counter[str] = Counter()
        self._listener: Listener | None = None

    @property
    def connections(self) -> set[Http2Connection]:
        """Connections past their TLS handshake."""
        return self._sweep.connections

    async def serve(self, host: str, port: int, tls: ssl.SSLContext) -> tuple[str, int]:
        """Listen; returns the address bound to. There is no road without TLS."""
        loop = asyncio.get_running_loop()
        self._listener = Listener(
            lambda: self._new_connection(loop),
            self.counters,
            handshakes=self._limits.max_handshakes,
            handshake_seconds=self._limits.http2.silence_seconds,
        )
        return self._listener.listen(host, port, tls)

    def close(self) -> None:
        """Stop listening and end every stream."""
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self.connections):
            connection.close()

    def _new_connection(self, loop: asyncio.AbstractEventLoop) -> Http2Connection:
        return Http2Connection(
            loop,
            self._limits.http2,
            self._sweep,
            accept=self._accept,
            on_ready=self._admit,
            on_closed=self._forget,
        )

    def _admit(self, connection: Http2Connection) -> None:
        """A certificate of the country's auth CA lets in, but not as often as its holder likes."""
        peer = connection.peer_thumbprint or ""
        self._by_peer[peer] += 1
        too_many = len(self.connections) > self._limits.max_connections
        if too_many or self._by_peer[peer] > self._limits.max_connections_per_peer:
            self.counters["connections_refused"] += 1
            connection.close(ClosedBecause.TOO_MANY_CONNECTIONS)

    def _forget(self, connection: Http2Connection) -> None:
        if connection.is_ready:
            peer = connection.peer_thumbprint or ""
            self._by_peer[peer] -= 1
            if not self._by_peer[peer]:
                del self._by_peer[peer]
        self.counters[f"closed_{connection.closed_because}".replace(" ", "_")] += 1

    def _accept(
        self, connection: Http2Connection, stream_id: int, headers: Headers, end_stream: bool
    ) -> StreamSink:
        channel = LinkChannel(connection, is_server=True)
        channel.stream_id = stream_id
        sink = connection.streams[stream_id] = _Sink(channel)
        status, message = self._judge(connection, headers)
        if status is not None:
            self.counters["streams_refused"] += 1
            channel._open = False
            connection.send_headers(
                stream_id, response_headers(()) + trailers_for(int(status), message, ()), end_stream=True
            )
            connection.stop_reading(stream_id)
        else:
            connection.send_headers(stream_id, response_headers(()))
            self._on_open(channel)
        return sink

    def _judge(self, connection: Http2Connection, headers: Headers) -> tuple[Code | None, str]:
        try:
            head = read_request(headers)
        except ExchangeError as error:
            return Code.INVALID_ARGUMENT, str(error)
        if head.path != ROAD_PATH:
            return Code.UNIMPLEMENTED, "this port serves the road between gateways only"
        if connection.peer_certificate_der is None:
            return Code.UNAUTHENTICATED, "no client certificate"
        if len(connection.streams) > 1:
            return Code.RESOURCE_EXHAUSTED, "too many streams"
        return None, ""


class LinkDialler:
    """Opens streams to peers' road ports."""

    def __init__(self, tls: ssl.SSLContext, *, limits: Http2Limits = ROAD_LIMITS) -> None:
        self._tls = tls
        self._limits = limits
        self._sweep = Sweep()
        self._tasks: set[asyncio.Task[None]] = set()

    def dial(
        self, host: str, port: int, on_open: Callable[[LinkChannel], None], on_failed: Callable[[str], None]
    ) -> None:
        """Connect and open the stream; exactly one of the two is called, later."""
        task = asyncio.get_running_loop().create_task(self._dial(host, port, on_open, on_failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def connections(self) -> set[Http2Connection]:
        """Those that are open, and those on their way."""
        return self._sweep.connections

    def close(self) -> None:
        """Give up what is under way and end every stream."""
        for task in tuple(self._tasks):
            task.cancel()
        for connection in tuple(self._sweep.connections):
            connection.close()

    async def _dial(
        self, host: str, port: int, on_open: Callable[[LinkChannel], None], on_failed: Callable[[str], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        connection = Http2Connection(
            loop,
            self._limits,
            self._sweep,
            on_ready=lambda _: _settle(ready, True),
            on_closed=lambda _: _settle(ready, False),
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(
                    lambda: connection,
                    sock=await _reach(host, port),
                    ssl=self._tls,
                    server_hostname=host,
                    ssl_shutdown_timeout=1.0,
                )
                if not await ready:
                    raise ConnectionRefusedError(str(connection.closed_because))
        except (OSError, TimeoutError) as error:
            connection.close()
            on_failed(str(error) or "no answer in time")
            return
        channel = LinkChannel(connection, is_server=False)
        headers = request_headers(ROAD_PATH, f"{host}:{port}".encode("ascii"), (), "identity", None)
        stream_id = connection.open_stream(headers, _Sink(channel))
        if stream_id is None:
            connection.close()
            on_failed("the peer takes no streams")
            return
        channel.stream_id = stream_id
        on_open(channel)


async def _reach(host: str, port: int) -> socket.socket:
    """A TCP connection to an address; raises ``OSError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reached = socket.socket(family, socket.SOCK_STREAM)
    reached.setblocking(False)
    try:
        async with asyncio.timeout(TCP_SECONDS):
            await asyncio.get_running_loop().sock_connect(reached, (host, port))
    except BaseException:
        reached.close()
        raise
    return reached


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
