"""The two edges of a gateway: programs that call come in, the ministry's own programs that serve are called.

``ProgramEdge`` accepts connections and turns streams into ``Call``; ``AdapterEdge`` reaches one adapter.
Both know HTTP/2,
gRPC and windows, and nothing of trust: that belongs to ``exchange``. Callbacks per event, no task per
message.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from core.clock import Clock
from core.payloads import Metadata
from core.reasons import ExchangeError, Reason
from gateway.shared_port import Share
from gateway.worker.call import AnswerHandler, Call, CallHandler
from gateway.worker.connect import is_json, read_json_request
from gateway.worker.http2 import (
    ClosedBecause,
    ErrorCode,
    Headers,
    Http2Connection,
    Http2Limits,
    StreamSink,
    Sweep,
)
from gateway.worker.jsondoor import JsonCall, JsonDoor
from gateway.worker.listener import Listener
from gateway.worker.routes import JSON, PROGRAMS, Door
from gateway.worker.wire import (
    DEFAULT_MAX_MESSAGE_BYTES,
    MessageReader,
    NotGrpcError,
    RequestHead,
    code_of_reset,
    frame_message,
    read_encoding,
    read_metadata,
    read_request,
    read_status,
    request_headers,
    require_grpc,
)

ADAPTER_HTTP2_LIMITS: Final = Http2Limits(idle_seconds=None)
MAX_DEADLINE_US: Final = 100 * 365 * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Bounds of the programs' port."""

    http2: Http2Limits = field(default_factory=Http2Limits)
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_connections: int = 1_024
    max_anonymous_connections: int = 256
    """Connections without a client certificate: of programs with tokens, and of strangers."""
    max_connections_per_program: int = 64
    """Of one client certificate; without one, of one address."""
    max_handshakes: int = 256
    """Connections in their TLS handshake; the longest waiting one makes room for the next."""
    max_assembly_bytes: int = 128 * 1024 * 1024
    """Bytes of messages under assembly over all calls."""
    max_assembly_bytes_per_program: int = 32 * 1024 * 1024
    max_incomplete_per_program: int = 4_000
    """Calls whose request has not all come, over all connections of a program."""
    request_seconds: float = 60.0
    """Time for a request to come, from its headers to its end; one byte a second is no request."""


class ProgramEdge:
    """The ports that programs call, within one set of bounds.

    Args:
        handler: Receives the calls.
        clock: Deadlines are counted on its monotonic time.
        limits: Bounds.
        json_door: Takes calls whose body is JSON, at the programs' port; without one there are none.

    Attributes:
        counters: ``connections_refused``, ``calls_started``, ``calls_json``, ``calls_malformed``, ``peer_abuse``,
            ``closed_<reason>`` and those of ``Listener``, as plain integers.
    """

    def __init__(
        self,
        handler: CallHandler,
        *,
        clock: Clock,
        limits: ProgramLimits | None = None,
        json_door: JsonDoor | None = None,
    ) -> None:
        self.limits = limits or ProgramLimits()
        self._json_door = json_door
        self.counters: Counter[str] = Counter()
        self._handler = handler
        self._clock = clock
        self._sweep = Sweep()
        self._listeners: list[Listener] = []
        self._by_holder: Counter[str] = Counter()
        self._anonymous = 0
        self._assembling = 0
        self._assembling_by_program: Counter[str] = Counter()
        self._incomplete: dict[Call, float] = {}  # since when, the oldest first
        self._incomplete_by_program: Counter[str] = Counter()
        self._watch: asyncio.TimerHandle | None = None

    async def serve(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        shared: tuple[Share, socket.socket] | None = None,
        door: Door = PROGRAMS,
    ) -> tuple[str, int]:
        """Listen, once per door; returns the address bound to. Several workers have a ``shared`` socket that is bound."""
        loop = asyncio.get_running_loop()
        listener = Listener(
            lambda: self._new_connection(loop, door),
            self.counters,
            handshakes=self.limits.max_handshakes,
            handshake_seconds=self.limits.http2.silence_seconds,
        )
        self._listeners.append(listener)
        return listener.listen(host, port, tls) if shared is None else listener.listen_together(*shared, tls)

    @property
    def connections(self) -> set[Http2Connection]:
        """Connections past their TLS handshake."""
        return self._sweep.connections

    def drain(self) -> None:
        """Stop listening, say GOAWAY on every connection; open calls may end."""
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.drain()

    def close(self) -> None:
        """Stop at once; open calls see their connection go."""
        if self._watch is not None:
            self._watch.cancel()
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.close()

    def disconnect(self, thumbprint: str) -> None:
        """Drain the connections of one program, whose certificate is no longer admitted."""
        for connection in tuple(self.connections):
            if connection.peer_thumbprint == thumbprint:
                connection.drain()

    # Inside

    def _new_connection(self, loop: asyncio.AbstractEventLoop, door: Door) -> Http2Connection:
        return Http2Connection(
            loop,
            self.limits.http2,
            self._sweep,
            accept=partial(self._accept, door),
            on_ready=self._admit,
            on_closed=self._forget,
        )

    def _admit(self, connection: Http2Connection) -> None:
        holder = _holder_of(connection)
        self._by_holder[holder] += 1
        self._anonymous += connection.peer_thumbprint is None
        too_many = (
            len(self.connections) > self.limits.max_connections
            or self._by_holder[holder] > self.limits.max_connections_per_program
            # Strangers must not take the places of programs that show who they are at once.
            or (
                connection.peer_thumbprint is None and self._anonymous > self.limits.max_anonymous_connections
            )
        )
        if too_many:
            self.counters["connections_refused"] += 1
            connection.close(ClosedBecause.TOO_MANY_CONNECTIONS)

    def _forget(self, connection: Http2Connection) -> None:
        if connection.is_ready:
            holder = _holder_of(connection)
            self._by_holder[holder] -= 1
            self._anonymous -= connection.peer_thumbprint is None
            if not self._by_holder[holder]:
                del self._by_holder[holder]
        if connection.closed_because is ClosedBecause.PEER_ABUSE:
            self.counters["peer_abuse"] += 1
        self.counters[f"closed_{connection.closed_because}".replace(" ", "_")] += 1

    def _accept(
        self, door: Door, connection: Http2Connection, stream_id: int, headers: Headers, end_stream: bool
    ) -> StreamSink:
        self.counters["calls_started"] += 1
        refusal: ExchangeError | None = None
        json_door = self._json_door if door is PROGRAMS else None
        is_json = False
        try:
            head = read_request(headers)
        except ExchangeError as error:
            head, refusal = RequestHead(b"", (), None, "identity"), error
            is_json = json_door is not None and _is_json_request(headers)
        if is_json:
            self.counters["calls_json"] += 1
            head, refusal = _json_head(connection, headers)
        deadline_us = None
        if head.timeout_us is not None:
            deadline_us = self._clock.monotonic_us() + min(head.timeout_us, MAX_DEADLINE_US)
        call: Call
        if is_json and json_door is not None:
            call = JsonCall(connection, stream_id, head, deadline_us, self._handler, self, json_door, JSON)
        else:
            call = Call(
                *(connection, stream_id, head, deadline_us, self._handler, self),
                self.limits.max_message_bytes,
                door,
            )
        connection.streams[stream_id] = call
        if refusal is None and not end_stream and not self._await_request(call, connection.loop):
            refusal = ExchangeError(Reason.LIMIT_EXCEEDED, "too many requests of this program are incomplete")
        if refusal is None:
            self._handler.on_call(call)
            if end_stream:
                call.on_data(b"", True)
        elif isinstance(refusal, NotGrpcError):
            self.counters["calls_malformed"] += 1
            call.refuse_http(refusal.http_status)
        else:
            self.counters["calls_malformed"] += 1
            self._handler.on_malformed(call, refusal)
        return call

    def resize(self, call: Call, by: int) -> bool:
        """Keep count of bytes under assembly, in sum and per program."""
        program = call.program
        self._assembling += by
        self._assembling_by_program[program] += by
        if not self._assembling_by_program[program]:
            del self._assembling_by_program[program]
        return by <= 0 or (
            self._assembling <= self.limits.max_assembly_bytes
            and self._assembling_by_program[program] <= self.limits.max_assembly_bytes_per_program
        )

    def _await_request(self, call: Call, loop: asyncio.AbstractEventLoop) -> bool:
        """Note a call whose request is still to come; false if its program has too many of them."""
        program = call.peer_thumbprint
        if self._incomplete_by_program[program] >= self.limits.max_incomplete_per_program:
            return False
        self._incomplete_by_program[program] += 1
        self._incomplete[call] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(self.limits.request_seconds, self._give_up, loop)
        return True

    def completed(self, call: Call) -> None:
        """A request is whole, or nobody waits for the rest of it."""
        if self._incomplete.pop(call, None) is not None:
            program = call.peer_thumbprint
            self._incomplete_by_program[program] -= 1
            if not self._incomplete_by_program[program]:
                del self._incomplete_by_program[program]

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the calls whose request took too long; one timer for all, none while nothing is incomplete."""
        self._watch = None
        allowed = self.limits.request_seconds
        while self._incomplete:
            call, since = next(iter(self._incomplete.items()))
            if since + allowed > loop.time():
                self._watch = loop.call_at(since + allowed, self._give_up, loop)
                return
            self.counters["requests_too_slow"] += 1
            text = "the request did not come whole in the time that it has"
            call.give_up(ExchangeError(Reason.LIMIT_EXCEEDED, text))


def _is_json_request(headers: Headers) -> bool:
    """Whether what could not be read as a call of gRPC is a POST with a JSON body."""
    return (b":method", b"POST") in headers and is_json(headers)


def _json_head(connection: Http2Connection, headers: Headers) -> tuple[RequestHead, ExchangeError | None]:
    """The head of a JSON call, and why it is refused. A token stands in for no certificate at this door."""
    try:
        head = read_json_request(headers)
    except ExchangeError as error:
        return RequestHead(b"", (), None, "identity"), error
    if connection.peer_thumbprint is None:
        return head, ExchangeError(Reason.PROGRAM_UNKNOWN, "a JSON call without a client certificate")
    return head, None


def _holder_of(connection: Http2Connection) -> str:
    return connection.peer_thumbprint or connection.peer_address


# --- The adapter ---


@dataclass(frozen=True, slots=True)
class AdapterLimits:
    """Bounds towards one adapter."""

    http2: Http2Limits = ADAPTER_HTTP2_LIMITS
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_connections: int = 2
    """A second connection is opened when the first one's streams are all in use."""
    max_waiting: int = 1_024
    """Calls that wait for a connection or a free stream; the next is refused (``LIMIT_EXCEEDED``)."""
    connect_seconds: float = 3.0
    silent_after: int = 3
    """Calls in a row that were given up without an answer, after which the adapter is told as ``silent``. A server of
    gRPC punishes pings, so that only calls show whether it lives."""
    patience_seconds: float = 1.0
    """A call given up sooner says nothing about the adapter: its caller was in a hurry."""
    backoff_first_seconds: float = 0.1
    backoff_longest_seconds: float = 1.0


class AdapterCall:
    """A call under way at an adapter: one stream, or a place in the queue for one."""

    __slots__ = (
        "_edge",
        "_ended",
        "_half_closed",
        "_handler",
        "_held",
        "_opened_at",
        "_patient_until",
        "_queue",
        "_reader",
        "_stream_id",
        "_unacknowledged",
        "_watcher",
        "connection",
        "headers",
    )

    def __init__(
        self, edge: AdapterEdge, headers: Headers, handler: AnswerHandler, max_message_bytes: int
    ) -> None:
        self.headers = headers
        self.connection: Http2Connection | None = None
        self._edge = edge
        self._handler = handler
        self._reader = MessageReader(max_message_bytes)
        self._queue: list[bytes] = []
        self._watcher: tuple[int, Callable[[], None]] | None = None
        self._stream_id = 0
        self._opened_at = 0
        self._patient_until = 0.0
        self._half_closed = False
        self._ended = False
        self._held = False
        self._unacknowledged = 0

    # Down to the adapter

    def send(self, flag: int, data: bytes) -> None:
        """Send one message; without effect once the call has ended."""
        self._send(frame_message(flag, data), end=False)

    def half_close(self) -> None:
        """No more messages follow."""
        self._half_closed = True
        if self.connection is not None and not self._ended:
            self.connection.end_stream(self._stream_id)

    def send_last(self, flag: int, data: bytes) -> None:
        """Send a message and half-close."""
        self._half_closed = True
        self._send(frame_message(flag, data), end=True)

    def cancel(self) -> None:
        """Tell the adapter at once that nobody waits any more. ``on_end`` is not called."""
        if self._ended:
            return
        self._ended = True
        if self.connection is None:
            self._edge.withdraw(self)
        else:
            if self.connection.loop.time() >= self._patient_until:
                self._edge.unanswered += 1
            self.connection.reset(self._stream_id, ErrorCode.CANCEL)

    @property
    def has_left(self) -> bool:
        """Whether bytes of it may be at the adapter: its stream was opened before the last write."""
        connection = self.connection
        return connection is not None and connection.turns_written != self._opened_at

    @property
    def queued_bytes(self) -> int:
        """Bytes towards the adapter that wait for a connection, its window or the socket."""
        if self.connection is None:
            return sum(map(len, self._queue))
        return self.connection.queued_bytes(self._stream_id)

    def when_below(self, size: int, callback: Callable[[], None]) -> None:
        """Call back once fewer than ``size`` bytes are queued on the stream; never once it has gone."""
        if self.connection is None:
            self._watcher = (size, callback)
        else:
            self.connection.when_below(self._stream_id, size, callback)

    def hold(self) -> None:
        """Let the adapter's window shut."""
        self._held = True

    def resume(self) -> None:
        """Open the adapter's window again."""
        self._held = False
        if self._unacknowledged and self.connection is not None:
            size, self._unacknowledged = self._unacknowledged, 0
            self.connection.acknowledge(self._stream_id, size)

    # Between the edge and the stream

    def open(self, connection: Http2Connection) -> bool:
        """Begin on ``connection``; false if it takes no more streams."""
        stream_id = connection.open_stream(self.headers, self)
        if stream_id is None:
            return False
        self.connection = connection
        self._stream_id = stream_id
        self._opened_at = connection.turns_written
        self._patient_until = connection.loop.time() + self._edge.limits.patience_seconds
        queue, self._queue = self._queue, []
        for data in queue[:-1]:
            connection.send(stream_id, data)
        if queue:
            connection.send(stream_id, queue[-1], end_stream=self._half_closed)
        elif self._half_closed:
            connection.end_stream(stream_id)
        if self._watcher is not None:
            connection.when_below(stream_id, *self._watcher)
        return True

    def fail(self, reason: Reason) -> None:
        """End without an answer."""
        self._end(None, (), reason)

    def _send(self, data: bytes, *, end: bool) -> None:
        if self._ended:
            return
        if self.connection is None:
            self._queue.append(data)
        else:
            self.connection.send(self._stream_id, data, end_stream=end)

    def _end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
        if not self._ended:
            self._ended = True
            self._handler.on_end(status, trailing, failure)

    # What the stream says

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """Initial metadata, or a response of trailers only."""
        # The adapter lives. What of this answer is missing later may wait behind a window that we hold shut.
        self._edge.unanswered, self._patient_until = 0, math.inf
        if self._ended:
            return
        try:
            found = dict(headers)
            if found.get(b":status") != b"200":
                raise NotGrpcError(502, "the adapter answered with an HTTP error")
            require_grpc(found.get(b"content-type", b""))
            if end_stream:
                self._conclude(headers)
                return
            encoding = read_encoding(found.get(b"grpc-encoding", b"identity"))
            self._handler.on_start(read_metadata(headers), encoding)
        except ExchangeError:
            self._break_off()

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Cut into messages and hand them up."""
        if self._held:
            self._unacknowledged += len(data)
        elif data and self.connection is not None:
            self.connection.acknowledge(self._stream_id, len(data))
        if self._ended:
            return
        try:
            for flag, message in self._reader.feed(data):
                self._handler.on_message(flag, message)
                if self._ended:
                    return
        except ExchangeError as error:
            too_large = error.reason is Reason.MESSAGE_TOO_LARGE
            self._break_off(Reason.MESSAGE_TOO_LARGE if too_large else Reason.ADAPTER_PROTOCOL)
            return
        if end_stream:
            self._break_off()

    def on_trailers(self, headers: Headers) -> None:
        """Status and trailing metadata."""
        if self._ended:
            return
        if self._reader.pending:
            self._break_off()
            return
        try:
            self._conclude(headers)
        except ExchangeError:
            self._break_off()

    def on_closed(self, error_code: int) -> None:
        """The stream is gone; if that is all there was, say what may have happened."""
        if self._unacknowledged:
            self.resume()
        self._edge.stream_closed(self)
        if self._ended:
            return
        if not self.has_left or error_code == ErrorCode.REFUSED_STREAM:
            # Never written, refused, or above the last stream of a GOAWAY: not processed (RFC 9113, section
            # 8.7).
            self._end(None, (), Reason.ADAPTER_DOWN)
        elif error_code == ErrorCode.CONNECTION_LOST:
            self._end(None, (), Reason.ADAPTER_LOST)
        elif error_code == ErrorCode.PROTOCOL_ERROR:
            # Its headers are not HTTP/2: nothing of what it meant can be passed on.
            self._end(None, (), Reason.ADAPTER_PROTOCOL)
        else:
            self._end(int(code_of_reset(error_code)), (), None)

    def _conclude(self, headers: Headers) -> None:
        status = read_status(headers)
        if status is None:
            self._break_off()
        else:
            self._end(status, read_metadata(headers), None)
            if not self._half_closed and self.connection is not None:
                self.connection.reset(self._stream_id, ErrorCode.NO_ERROR)

    def _break_off(self, reason: Reason = Reason.ADAPTER_PROTOCOL) -> None:
        """The adapter does not speak gRPC as it should: nothing more is believed of this stream."""
        if self.connection is not None:
            self.connection.reset(self._stream_id, ErrorCode.CANCEL)
        self._end(None, (), reason)


class AdapterEdge:
    """The way to one adapter: a few connections, opened at first need, reopened with back-off.

    A call made while the adapter is known to be away fails at once; the first call after the back-off tries
    again.

    Attributes:
        counters: ``connections_opened``, ``connections_failed``, ``calls_started``, ``calls_refused`` as
        integers.
        last_error: Why the last attempt to connect failed; empty when it did not.
        unanswered: Calls given up without an answer, for all their patience, since the adapter last answered one.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        server_name: str | None = None,
        limits: AdapterLimits | None = None,
        accepts: Callable[[str], bool] = lambda thumbprint: True,
    ) -> None:
        """``accepts`` judges the adapter's certificate by its x5t#S256, after TLS has verified it."""
        self.host = host
        self.port = port
        self.limits = limits or AdapterLimits()
        self.counters: Counter[str] = Counter()
        self.last_error = ""
        self.unanswered = 0
        self._tls = tls
        self._server_name = server_name or host
        self._authority = f"{self._server_name}:{port}".encode("ascii")
        self._accepts = accepts
        self._sweep = Sweep()
        self._connections: list[Http2Connection] = []
        self._waiting: deque[AdapterCall] = deque()
        self._connecting: asyncio.Task[None] | None = None
        self._backoff = self.limits.backoff_first_seconds
        self._closed_until = 0.0
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether a connection is open now."""
        return any(connection.is_ready and connection.is_open for connection in self._connections)

    @property
    def state(self) -> str:
        """``up``; ``silent``: connected, but calls get no answer; ``down``; ``unknown`` before the first call."""
        if self.is_up:
            return "silent" if self.unanswered >= self.limits.silent_after else "up"
        return "down" if self.last_error else "unknown"

    def open(
        self, path: bytes, metadata: Metadata, encoding: str, timeout_us: int | None, handler: AnswerHandler
    ) -> AdapterCall:
        """Begin a call of any kind; messages follow with ``send``."""
        self.counters["calls_started"] += 1
        headers = request_headers(path, self._authority, metadata, encoding, timeout_us)
        call = AdapterCall(self, headers, handler, self.limits.max_message_bytes)
        if not self._place(call):
            self._queue(call)
        return call

    def withdraw(self, call: AdapterCall) -> None:
        """Forget a call that still waits."""
        if call in self._waiting:
            self._waiting.remove(call)

    def stream_closed(self, call: AdapterCall) -> None:
        """A stream is free again: the longest waiting call takes it."""
        while self._waiting and self._place(self._waiting[0]):
            self._waiting.popleft()

    def drain(self) -> None:
        """Take no more calls; open ones may end."""
        self._closed = True
        for connection in tuple(self._connections):
            connection.drain()

    def close(self) -> None:
        """Give everything up at once."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        for connection in tuple(self._connections):
            connection.close()
        self._fail_waiting()

    # Inside

    def _place(self, call: AdapterCall) -> bool:
        for connection in self._connections:
            if not connection.is_ready or not connection.is_open or connection.draining:
                continue
            room = min(connection.peer_max_streams, self.limits.http2.max_streams)
            if len(connection.streams) < room and call.open(connection):
                return True
        return False

    def _queue(self, call: AdapterCall) -> None:
        loop = asyncio.get_running_loop()
        busy = any(c.is_open and not c.draining for c in self._connections)
        if self._closed or (not busy and self._connecting is None and loop.time() < self._closed_until):
            loop.call_soon(call.fail, Reason.ADAPTER_DOWN)
        elif len(self._waiting) >= self.limits.max_waiting:
            self.counters["calls_refused"] += 1
            loop.call_soon(call.fail, Reason.LIMIT_EXCEEDED)
        else:
            self._waiting.append(call)
            # One that drains carries its open streams to their end, however long that takes: it is not counted.
            open_now = sum(not one.draining for one in self._connections)
            if self._connecting is None and open_now < self.limits.max_connections:
                self._connecting = loop.create_task(self._connect(loop))

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open one connection; one task per connection, never per call."""
        connection = Http2Connection(
            loop, self.limits.http2, self._sweep, on_ready=self._on_ready, on_closed=self._on_closed
        )
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                await loop.create_connection(
                    lambda: connection,
                    self.host,
                    self.port,
                    ssl=self._tls,
                    server_hostname=self._server_name if self._tls else None,
                    ssl_shutdown_timeout=1.0 if self._tls else None,
                )
            if not self._accepts(connection.peer_thumbprint or ""):
                connection.close()
                raise ConnectionRefusedError("another certificate than the adapter's")
        except (OSError, TimeoutError) as error:
            self._connecting = None
            self._failed(loop, str(error) or type(error).__name__)
            return
        self._connections.append(connection)
        self._connecting = None
        if connection.is_ready:
            self._on_ready(connection)

    def _on_ready(self, connection: Http2Connection) -> None:
        if connection in self._connections:
            self.counters["connections_opened"] += 1
            self.last_error = ""
            self._backoff = self.limits.backoff_first_seconds
            while self._waiting and self._place(self._waiting[0]):
                self._waiting.popleft()

    def _on_closed(self, connection: Http2Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            if not connection.is_ready:
                self._failed(connection.loop, str(connection.closed_because))
            elif self._waiting and self._connecting is None and not self._closed:
                self._connecting = connection.loop.create_task(self._connect(connection.loop))

    def _failed(self, loop: asyncio.AbstractEventLoop, why: str) -> None:
        self.counters["connections_failed"] += 1
        self.last_error = why
        if any(not one.draining for one in self._connections):
            return
        # Jitter, so that many gateways do not come back to a restarted adapter in step.
        self._closed_until = loop.time() + self._backoff * random.uniform(0.8, 1.2)  # noqa: S311
        self._backoff = min(2 * self._backoff, self.limits.backoff_longest_seconds)
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            call.fail(Reason.ADAPTER_DOWN)


class AdapterTable:
    """The ministry's adapters by subsystem."""

    def __init__(self, edges: Mapping[str, AdapterEdge]) -> None:
        self.edges = dict(edges)

    def serves(self, subsystem: str) -> bool:
        """Whether this gateway is the way in to ``subsystem``."""
        return subsystem in self.edges

    def open(
        self,
        subsystem: str,
        path: bytes,
        metadata: Metadata,
        encoding: str,
        timeout_us: int | None,
        handler: AnswerHandler,
    ) -> AdapterCall:
        """Begin a call at the subsystem's adapter; its messages follow."""
        return self.edges[subsystem].open(path, metadata, encoding, timeout_us, handler)
