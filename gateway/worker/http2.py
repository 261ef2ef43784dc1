"""HTTP/2 on asyncio: bytes in, events out, one write per turn of the loop.

The only module that knows ``ngh2`` (a binding of libnghttp2, alpha, hence kept behind this seam: DESIGN
section 5).
It knows nothing of gRPC. What it guarantees to those above it:

- each stream has one ``StreamSink``, and its ``on_closed`` is called exactly once, whatever ends the stream;
- a receive window opens only when the owner of a stream says that its bytes are consumed (``acknowledge``);
- whatever the owners queue during one turn of the loop leaves in one write;
- a connection that abuses the protocol, stays silent, or leads nowhere is closed, and ``closed_because``
  says why.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Protocol, cast

import ngh2
from ngh2 import DataReceived, Event, RequestReceived, ResponseReceived, StreamClosed, TrailersReceived

from ledger.failpoints import hit

Header = tuple[bytes, bytes]
Headers = Sequence[Header]


class ErrorCode(IntEnum):
    """Why a stream was closed: the codes of RFC 9113, section 7, and one of our own."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    CONNECTION_LOST = 0x1_0000_0000
    """The connection went away under the stream. Wider than any code on the wire, so no peer can claim it."""


class ClosedBecause(StrEnum):
    """Why a connection ended."""

    CLOSED_HERE = "closed here"
    CLOSED_BY_PEER = "closed by peer"
    DRAINED = "drained"
    IDLE = "idle"
    SILENT = "silent"
    LINK_DEAD = "link dead"
    WRITE_STALLED = "write stalled"
    PROTOCOL_VIOLATION = "protocol violation"
    PEER_ABUSE = "peer abuse"
    TOO_MANY_CONNECTIONS = "too many connections"
    NO_HTTP2 = "no http2"


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Bounds of one connection. ``None`` switches a timeout off."""

    max_streams: int = 1_000
    """Streams the peer may have open at once; the next is refused (REFUSED_STREAM)."""
    stream_window_bytes: int = 256 * 1024
    connection_window_bytes: int = 16 * 1024 * 1024
    max_frame_bytes: int = 64 * 1024
    max_header_bytes: int = 64 * 1024
    """Header lists above this end the connection; ``wire`` refuses single calls far below it."""
    max_header_count: int = 512
    reset_burst: int = 2_000
    resets_per_second: int = 500
    """Rapid reset (CVE-2023-44487): a client may cancel ``reset_burst`` calls at once, then this many."""
    silence_seconds: float = 5.0
    """Time for the TLS handshake, and again for the first SETTINGS frame."""
    idle_seconds: float | None = 600.0
    """A connection without a stream for so long is sent home."""
    ping_after_seconds: float | None = None
    ping_timeout_seconds: float = 1.0
    """Liveness: nothing heard for ``ping_after_seconds`` -> PING; no answer in time -> the link is dead."""
    write_stall_seconds: float = 20.0
    """A peer that takes no byte for so long is cut off."""
    drain_seconds: float = 30.0
    """Time for open streams after GOAWAY; then they are cut."""


# A link between gateways: our own software at both ends, so pings are welcome, and one stream lives for ever.
ROAD_LIMITS: Final = Http2Limits(
    max_streams=8,
    stream_window_bytes=8 * 1024 * 1024,
    idle_seconds=None,
    # A dead link is noticed within 3 s (each of the two is looked at every 0.25 s); a peer that stalls for less than two
    # is not taken for dead.
    ping_after_seconds=0.5,
    ping_timeout_seconds=2.0,
)

_SWEEP_SECONDS: Final = 0.25
_GOAWAY_GRACE_SECONDS: Final = 0.25
_PEER_MAX_STREAMS: Final = 100  # of a peer that has not said
_WRITE_CHUNK_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 256 * 1024
_TCP_DEAD_AFTER_MS: Final = 3_000
_ABUSE_CODES: Final = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.ENHANCE_YOUR_CALM})


# What the engine says of a stream that it has closed while its events wait to be told, and of a connection that ends: who
# answers a request whose reset came in the same read cannot know.
_GONE: Final = (ngh2.ConnectionStateError, ngh2.StreamProtocolError)


class StreamSink(Protocol):
    """Whoever receives what happens on one stream."""

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """The response's headers (client role only; a server gets them with ``accept``)."""

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Bytes of the body. They stay in the window until acknowledged."""

    def on_trailers(self, headers: Headers) -> None:
        """Trailing headers; the peer sends nothing after them."""

    def on_closed(self, error_code: int) -> None:
        """The stream is gone. Called exactly once; an ``ErrorCode`` or whatever number the peer sent."""


class _Inbox(threading.local):
    """What a loop reads into, one for all its connections: asyncio fills it and says so with nothing in between."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_READ_BYTES))


_inbox: Final = _Inbox()

Accept = Callable[["Http2Connection", int, Headers, bool], StreamSink]
Closed = Callable[["Http2Connection"], None]


class Sweep:
    """One timer that looks after many connections; a timer each would cost a wake-up each."""

    def __init__(self) -> None:
        self.connections: set[Http2Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Http2Connection) -> None:
        """Look after ``connection`` until it is removed."""
        self.connections.add(connection)
        if self._timer is None:
            self._timer = connection.loop.call_later(_SWEEP_SECONDS, self._run, connection.loop)

    def remove(self, connection: Http2Connection) -> None:
        """Forget ``connection``; the timer stops with the last one."""
        self.connections.discard(connection)
        if not self.connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_SWEEP_SECONDS, self._run, loop)
        now = loop.time()
        for connection in tuple(self.connections):
            connection.check(now)


class Http2Connection(asyncio.BufferedProtocol):
    """One HTTP/2 connection, either end of it.

    Args:
        loop: The loop that all its callbacks run on.
        limits: Its bounds.
        sweep: Who calls ``check`` from time to time.
        accept: Server role: called with each new request, returns the stream's sink. ``None``: client role.
        on_ready: Called once, when the peer's first SETTINGS frame is there.
        on_closed: Called once, after every sink has been told; ``closed_because`` is set then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Http2Limits,
        sweep: Sweep,
        *,
        accept: Accept | None = None,
        on_ready: Closed | None = None,
        on_closed: Closed | None = None,
    ) -> None:
        self.loop = loop
        self.limits = limits
        self.peer_certificate_der: bytes | None = None
        self.peer_thumbprint: str | None = None
        """x5t#S256 of the peer's TLS certificate (RFC 8705: base64url of SHA-256, unpadded)."""
        self.peer_address = ""
        self.closed_because: ClosedBecause | None = None
        self.draining = False
        """No new streams: we or the peer said GOAWAY."""
        self.peer_max_streams = _PEER_MAX_STREAMS
        """How many streams the peer lets us have open at once."""
        self.turns_written = 0
        """Rises with each write; a stream opened at the same count has not left this process."""
        self.streams: dict[int, StreamSink] = {}
        self._orphans: dict[int, StreamSink] = {}
        self._accept = accept
        self._on_ready = on_ready
        self._on_closed = on_closed
        self._sweep = sweep
        self._transport: asyncio.Transport | None = None
        self._flush_pending = False
        self._watchers: dict[int, tuple[int, Callable[[], None]]] = {}
        self._finished_early: list[int] = []
        self._ready = False
        self._opened_at = self._heard_at = self._busy_at = loop.time()
        self._pinged_at: float | None = None
        self._paused_at: float | None = None
        self._draining_at: float | None = None
        self._drains_here = False  # where the peer drains, it decides how long its open streams may take
        self._is_sent_away = False
        self._goaway_sent = False
        self._h2 = ngh2.Connection(
            ngh2.Role.CLIENT if accept is None else ngh2.Role.SERVER,
            ngh2.Configuration(
                auto_window_update=False,
                stream_reset_rate_limit=(limits.reset_burst, limits.resets_per_second),
                max_inbound_header_list_size=limits.max_header_bytes,
                max_inbound_header_count=limits.max_header_count,
            ),
        )

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our preface; nothing is believed about the peer yet but its certificate."""
        self._transport = cast("asyncio.Transport", transport)
        self._sweep.add(self)
        _tune(transport.get_extra_info("socket"))
        peer = transport.get_extra_info("peername")
        self.peer_address = peer[0] if isinstance(peer, tuple) else ""
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if tls is not None:
            self.peer_certificate_der = tls.getpeercert(binary_form=True)
            self.peer_thumbprint = certificate_thumbprint(self.peer_certificate_der)
            if tls.selected_alpn_protocol() != "h2":
                self.close(ClosedBecause.NO_HTTP2)
                return
        settings = {
            ngh2.Setting.INITIAL_WINDOW_SIZE: self.limits.stream_window_bytes,
            ngh2.Setting.MAX_FRAME_SIZE: self.limits.max_frame_bytes,
            ngh2.Setting.MAX_HEADER_LIST_SIZE: self.limits.max_header_bytes // 2,
        }
        if self._accept is not None:
            settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] = self.limits.max_streams
        else:
            settings[ngh2.Setting.ENABLE_PUSH] = 0
        self._h2.initiate_connection(settings)
        self._h2.set_local_window_size(self.limits.connection_window_bytes)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio is to read into what comes next."""
        return _inbox.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Feed the engine, which keeps nothing of the buffer, and hand its events to the streams."""
        self._heard_at = self.loop.time()
        self._pinged_at = None
        if self.closed_because is not None:
            return
        try:
            self._h2.receive_data(_inbox.buffer[:nbytes])
        except ngh2.DenialOfServiceError:
            self.close(ClosedBecause.PEER_ABUSE)
            return
        except ngh2.NGH2Error:
            self.close(ClosedBecause.PROTOCOL_VIOLATION)
            return
        self._dispatch(self._h2.events())
        if not self._flush_pending:
            self._flush_pending = True
            self.loop.call_soon(self._flush)

    def eof_received(self) -> None:
        """The peer will send nothing more: gRPC knows no half-closed connections, so it ends."""
        self._set_closed(ClosedBecause.CLOSED_BY_PEER)

    def pause_writing(self) -> None:
        """The socket is full: what follows waits in the engine, where ``queued_bytes`` sees it."""
        self._paused_at = self.loop.time()

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        self._paused_at = None
        self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every stream, then the owner."""
        self._set_closed(ClosedBecause.CLOSED_BY_PEER)
        self._sweep.remove(self)
        self._transport = None
        orphans = self._orphans | self.streams
        self.streams, self._orphans = {}, {}
        self._watchers.clear()
        for sink in orphans.values():
            sink.on_closed(ErrorCode.CONNECTION_LOST)
        if self._on_closed is not None:
            self._on_closed(self)

    # What owners call

    @property
    def is_open(self) -> bool:
        """Whether streams on it may still get through."""
        return self._transport is not None and self.closed_because is None

    @property
    def is_ready(self) -> bool:
        """Whether the peer has sent its SETTINGS: it speaks HTTP/2."""
        return self._ready

    def open_stream(self, headers: Headers, sink: StreamSink) -> int | None:
        """Send a request's headers, the body follows; ``None`` if the connection takes no more."""
        if self.draining or self.closed_because is not None:
            return None
        try:
            stream_id = self._h2.send_request(headers)
        except ngh2.NGH2Error:
            self.draining = True
            return None
        self.streams[stream_id] = sink
        if not self._flush_pending:
            self.flush_soon()
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Send a response's headers. No effect on a stream that is gone."""
        if stream_id in self.streams:
            try:
                self._h2.send_response(stream_id, headers, end_stream=end_stream)
            except _GONE:
                return  # it has ended; its owner is told
            if not self._flush_pending:
                self.flush_soon()

    def send(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Queue bytes of a body, unbounded: ``queued_bytes`` tells when to stop. Dead streams ignore it."""
        if stream_id in self.streams:
            try:
                self._h2.send_data(stream_id, data, end_stream=end_stream)
            except _GONE:
                return  # it has ended; its owner is told
            if not self._flush_pending:
                self.flush_soon()

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """End our side of a stream. No effect on a stream that is gone."""
        if stream_id in self.streams:
            try:
                self._h2.send_trailers(stream_id, headers)
            except _GONE:
                return  # it has ended; its owner is told
            if not self._flush_pending:
                self.flush_soon()

    def end_stream(self, stream_id: int) -> None:
        """Half-close: we send nothing more on this stream."""
        if stream_id in self.streams:
            try:
                self._h2.end_stream(stream_id)
            except _GONE:
                return  # it has ended; its owner is told
            self.flush_soon()

    def stop_reading(self, stream_id: int) -> None:
        """The response is complete, the rest of the request unwanted: tell the peer once it has left."""
        self._finished_early.append(stream_id)
        self.flush_soon()

    def reset(self, stream_id: int, error_code: int = ErrorCode.CANCEL) -> None:
        """Give a stream up at once; what was queued on it does not leave."""
        if stream_id in self.streams:
            try:
                self._h2.reset_stream(stream_id, error_code)
            except _GONE:
                return  # it has ended; its owner is told
            self.flush_soon()

    def acknowledge(self, stream_id: int, size: int) -> None:
        """``size`` bytes of body are consumed: the peer may send as many. Also after the stream's end."""
        if self.closed_because is None:
            try:
                self._h2.acknowledge_received_data(size, stream_id)
            except ngh2.ConnectionStateError:
                return  # it is ending; its streams are told
            if not self._flush_pending:
                self.flush_soon()

    def queued_bytes(self, stream_id: int | None = None) -> int:
        """Body bytes that wait for a window or the socket, of one stream or of all."""
        if self._transport is None or (stream_id is not None and stream_id not in self.streams):
            return 0
        return self._h2.queued_body_size(stream_id)

    def when_below(self, stream_id: int, size: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as fewer than ``size`` bytes of the stream are queued."""
        self._watchers[stream_id] = (size, callback)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Write at the end of this turn, together with whatever is queued until then."""
        if not self._flush_pending:
            self._flush_pending = True
            self.loop.call_soon(self._flush)

    def drain(self) -> None:
        """Take no new streams, let the open ones end within ``drain_seconds``, then close."""
        if self.closed_because is not None or self._drains_here:
            return
        self.send_away()
        self._drains_here = True
        self._draining_at = self.loop.time()

    def send_away(self) -> None:
        """Take no new streams; the open ones take as long as they take, then it closes. A client opens another one."""
        if self.closed_because is not None or self._is_sent_away:
            return
        self._is_sent_away = self.draining = True
        self._draining_at = self.loop.time()
        if self._accept is not None and self._transport is not None:
            # RFC 9113, section 6.8: first a notice that excludes nothing, the true last stream a moment
            # later,
            # so that requests already under way are not lost.
            self._h2.send_shutdown_notice()
        self.flush_soon()

    def close(self, because: ClosedBecause = ClosedBecause.CLOSED_HERE) -> None:
        """End the connection now; queued control frames still leave if the socket takes them."""
        self._set_closed(because)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            if because is ClosedBecause.CLOSED_HERE or because is ClosedBecause.TOO_MANY_CONNECTIONS:
                self._h2.terminate_connection(ErrorCode.NO_ERROR)
            transport.write(self._h2.data_to_send(_WRITE_CHUNK_BYTES))
        except ngh2.NGH2Error:
            pass  # the engine has given up; there is nothing left to say
        if because in (ClosedBecause.LINK_DEAD, ClosedBecause.WRITE_STALLED, ClosedBecause.PEER_ABUSE):
            transport.abort()
        else:
            transport.close()

    def check(self, now: float) -> None:
        """Enforce the timeouts; ``now`` is on the loop's clock."""
        limits = self.limits
        if self.closed_because is not None:
            return
        if not self._ready:
            if now - self._opened_at > limits.silence_seconds:
                self.close(ClosedBecause.SILENT)
            return
        if self._paused_at is not None and now - self._paused_at > limits.write_stall_seconds:
            self.close(ClosedBecause.WRITE_STALLED)
            return
        if self.streams:
            self._busy_at = now
        elif limits.idle_seconds is not None and now - self._busy_at > limits.idle_seconds:
            self.close(ClosedBecause.IDLE)
            return
        self._check_drain(now)
        self._check_link(now)

    # Inside

    def _check_drain(self, now: float) -> None:
        if self._draining_at is None or self.closed_because is not None:
            return
        waited = now - self._draining_at
        if self._accept is not None and not self._goaway_sent and waited > _GOAWAY_GRACE_SECONDS:
            self._goaway_sent = True
            self._h2.send_goaway(ErrorCode.NO_ERROR)
            self.flush_soon()
        elif (self._drains_here and waited > self.limits.drain_seconds) or (
            not self.streams and waited > 2 * _GOAWAY_GRACE_SECONDS
        ):
            self.close(ClosedBecause.DRAINED)

    def _check_link(self, now: float) -> None:
        after = self.limits.ping_after_seconds
        if after is None or self.closed_because is not None:
            return
        if self._pinged_at is not None:
            if now - self._pinged_at > self.limits.ping_timeout_seconds:
                self.close(ClosedBecause.LINK_DEAD)
        elif now - self._heard_at > after:
            self._pinged_at = now
            self._h2.ping(b"alive?\0\0")
            self.flush_soon()

    def _dispatch(self, events: Iterable[Event]) -> None:
        streams = self.streams
        for event in events:
            if type(event) is DataReceived:
                sink = streams.get(event.stream_id)
                if sink is not None:
                    sink.on_data(event.data, event.end_stream)
            elif type(event) is StreamClosed:
                sink = streams.pop(event.stream_id, None)
                if sink is not None:
                    self._on_stream_closed(event, sink)
            elif type(event) is RequestReceived:
                if self._accept is not None:
                    headers = cast("Headers", event.headers)
                    streams[event.stream_id] = self._accept(self, event.stream_id, headers, event.end_stream)
            elif type(event) is ResponseReceived:
                sink = streams.get(event.stream_id)
                if sink is not None:
                    sink.on_headers(cast("Headers", event.headers), event.end_stream)
            elif type(event) is TrailersReceived:
                sink = streams.get(event.stream_id)
                if sink is not None:
                    sink.on_trailers(cast("Headers", event.headers))
            else:
                self._on_connection_event(event)

    def _on_stream_closed(self, event: StreamClosed, sink: StreamSink) -> None:
        self._watchers.pop(event.stream_id, None)
        self._busy_at = self._heard_at
        # A frame that we could not send (header list too long for the peer) ends the stream without a code.
        failed_here = event.local_error is not None and event.error_code == ErrorCode.NO_ERROR
        sink.on_closed(ErrorCode.INTERNAL_ERROR if failed_here else event.error_code)

    def _on_connection_event(self, event: Event) -> None:
        if isinstance(event, ngh2.SettingsReceived):
            # Kept: the engine makes a dictionary of all settings for whoever asks.
            settings = self._h2.remote_settings
            self.peer_max_streams = settings.get(ngh2.Setting.MAX_CONCURRENT_STREAMS, _PEER_MAX_STREAMS)
            if not self._ready:
                self._ready = True
                if self._on_ready is not None:
                    self._on_ready(self)
        elif isinstance(event, ngh2.GoAwayReceived):
            self.draining = True
            if self._draining_at is None:
                self._draining_at = self.loop.time()
        elif isinstance(event, ngh2.ConnectionClosed):
            self.close(self._reason_of(event.error_code))

    def _reason_of(self, error_code: int) -> ClosedBecause:
        """Why the engine ended the connection: our GOAWAY took effect, or it said one by itself."""
        if self._draining_at is not None and error_code == ErrorCode.NO_ERROR:
            return ClosedBecause.DRAINED
        # libnghttp2 names a limit that the peer ran into (rate of resets, of glitches) by these two codes.
        return ClosedBecause.PEER_ABUSE if error_code in _ABUSE_CODES else ClosedBecause.PROTOCOL_VIOLATION

    def _flush(self) -> None:
        self._flush_pending = False
        transport = self._transport
        if transport is None or self.closed_because is not None:
            return
        try:
            while self._paused_at is None:
                data = self._h2.data_to_send(_WRITE_CHUNK_BYTES)
                if not data:
                    break
                self.turns_written += 1
                transport.write(data)
                hit("socket.written")
                if len(data) < _WRITE_CHUNK_BYTES // 2:
                    break
            self._dispatch(self._h2.events())
            if self._finished_early:
                self._reset_finished()
            if not self._h2.want_read and not self._h2.want_write:
                drained = self._draining_at is not None
                self.close(ClosedBecause.DRAINED if drained else ClosedBecause.PROTOCOL_VIOLATION)
        except ngh2.NGH2Error:
            self.close(ClosedBecause.PROTOCOL_VIOLATION)
        if self._watchers:
            self._call_watchers()

    def _reset_finished(self) -> None:
        waiting = [s for s in self._finished_early if s in self.streams and self._h2.queued_body_size(s)]
        for stream_id in self._finished_early:
            if stream_id in self.streams and stream_id not in waiting:
                self._h2.reset_stream(stream_id, ErrorCode.NO_ERROR)
                self.flush_soon()
        self._finished_early = waiting

    def _call_watchers(self) -> None:
        for stream_id, (size, callback) in tuple(self._watchers.items()):
            if self.queued_bytes(stream_id) < size:
                del self._watchers[stream_id]
                callback()

    def _set_closed(self, because: ClosedBecause) -> None:
        if self.closed_because is None:
            self.closed_because = because
            # From here on nothing can be sent on them; they are told when the transport has gone.
            self.streams, self._orphans = {}, self.streams


def certificate_thumbprint(der: bytes | None) -> str | None:
    """x5t#S256 of a certificate (base64url of SHA-256 over its DER, unpadded); ``None`` without one."""
    if der is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def _tune(sock: socket.socket | None) -> None:
    """No delay for small writes; dead links show within 3 s by TCP alone (gRPC servers punish pings)."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_DEAD_AFTER_MS)
