"""One call of a program: one HTTP/2 stream of the programs' port.

A ``Call`` hands whole messages up as they arrive and takes whole messages down. It knows windows and knows nothing of
trust: of the caller it tells the thumbprint of the certificate that TLS presented, and hands the headers on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.payloads import Metadata
from core.reasons import ExchangeError, MalformedError, Reason
from gateway.worker.http2 import ErrorCode, Headers, Http2Connection
from gateway.worker.routes import PROGRAMS, Door
from gateway.worker.wire import (
    Message,
    MessageReader,
    RequestHead,
    frame_message,
    response_headers,
    trailers_for,
)


class Ending(Protocol):
    """How a call ends: gRPC status, message in clear text, trailing metadata."""

    @property
    def status(self) -> int:
        """The gRPC status code."""

    @property
    def message(self) -> str:
        """The status message; empty if the metadata holds a ``grpc-message`` that passes through."""

    @property
    def metadata(self) -> Metadata:
        """Trailing metadata."""


class CallHandler(Protocol):
    """What happens to calls: ``on_call`` first, then the others; ``on_cancel`` at most once and last."""

    def on_call(self, call: Call) -> None:
        """The headers are there."""

    def on_message(self, call: Call, flag: int, data: bytes) -> None:
        """One whole message."""

    def on_half_close(self, call: Call) -> None:
        """The program sends no more messages."""

    def on_cancel(self, call: Call) -> None:
        """The program went away (RST_STREAM, or its connection) before the call was finished."""

    def on_malformed(self, call: Call, error: ExchangeError) -> None:
        """The program broke gRPC's rules or a limit: end the call with ``error``. The last callback."""


class AnswerHandler(Protocol):
    """What comes back from the adapter for one call; ``on_end`` is called once and last."""

    def on_start(self, metadata: Metadata, encoding: str) -> None:
        """Its initial metadata. Left out if it answers with trailers only."""

    def on_message(self, flag: int, data: bytes) -> None:
        """One whole message; raises ``ExchangeError`` if it may not come."""

    def on_end(self, status: int | None, trailing: Metadata, failure: Reason | None) -> None:
        """Its status and trailing metadata, or why there is none.

        ``ADAPTER_DOWN``: no byte of the call can have been acted on. ``ADAPTER_LOST``: it may have been.
        """


class Assembly(Protocol):
    """Who bounds the bytes of messages under assembly, over all calls."""

    def resize(self, call: Call, by: int) -> bool:
        """The call holds ``by`` more (or fewer) bytes; false if that is too much."""

    def completed(self, call: Call) -> None:
        """Nothing more of the request is to come, or is waited for."""


class Call:
    """A program's call.

    Attributes:
        path: ``/package.Service/Method`` as received.
        metadata: All metadata in the order received, ``-bin`` decoded, reserved names included; with what its door
            fills in.
        deadline_us: When the caller stops waiting, on the clock's monotonic time; ``None`` if it waits for
        ever.
        encoding: ``grpc-encoding`` of its messages.
        peer_thumbprint: x5t#S256 of the program's certificate; empty without one.
        door: Where it came in.
        program: Whose share of the bytes under assembly it uses: the certificate's, until it is known who calls.
        cancelled: The program is gone; nothing sent will be read.
        finished: Its status was sent (or it was given up).
        is_stated: For whoever serves the call: what still comes of the request belongs to an exchange that has begun.
    """

    __slots__ = (
        "_assembly",
        "_connection",
        "_half_closed",
        "_handler",
        "_held",
        "_pending",
        "_reader",
        "_started",
        "_stream_id",
        "_unacknowledged",
        "cancelled",
        "deadline_us",
        "door",
        "encoding",
        "finished",
        "is_stated",
        "messages",
        "metadata",
        "path",
        "peer_thumbprint",
        "program",
    )

    is_unary = False
    """Whether its door carries one message each way and no more."""

    def __init__(
        self,
        connection: Http2Connection,
        stream_id: int,
        head: RequestHead,
        deadline_us: int | None,
        handler: CallHandler,
        assembly: Assembly,
        max_message_bytes: int,
        door: Door = PROGRAMS,
    ) -> None:
        self.path = head.path
        self.metadata = door.fill_in(head.metadata)
        self.door = door
        self.deadline_us = deadline_us
        self.encoding = head.encoding
        self.peer_thumbprint = self.program = connection.peer_thumbprint or ""
        self.messages: list[Message] = []
        """Those of a unary call that waits for its half-close; streams leave it empty."""
        self.is_stated = False
        self.cancelled = False
        self.finished = False
        self._connection = connection
        self._stream_id = stream_id
        self._handler = handler
        self._assembly = assembly
        self._reader = MessageReader(max_message_bytes)
        self._pending = 0
        self._half_closed = False
        self._started = False
        self._held = False
        self._unacknowledged = 0

    # Down to the program

    def start(self, metadata: Metadata = ()) -> None:
        """Send initial metadata, once; ``grpc-encoding`` among it says how messages are packed."""
        if not self._started and not self.finished:
            self._started = True
            self._connection.send_headers(self._stream_id, response_headers(metadata))

    def deliver(self, flag: int, data: bytes) -> None:
        """Send one message. ``queued_bytes`` tells how much the program has not taken yet."""
        if self.finished:
            return
        self.start()
        self._connection.send(self._stream_id, frame_message(flag, data))

    def finish(self, status: int, message: str = "", metadata: Metadata = ()) -> None:
        """End the call; without effect if it has ended. Before ``start``: a response of trailers only."""
        if self.finished:
            return
        self.finished = True
        trailers = trailers_for(status, message, metadata)
        if self._started:
            self._connection.send_trailers(self._stream_id, trailers)
        else:
            self._connection.send_headers(self._stream_id, response_headers(()) + trailers, end_stream=True)
        self._free()
        if not self._half_closed:
            self._connection.stop_reading(self._stream_id)

    def release(self, initial: Metadata, messages: list[Message], ending: Ending) -> None:
        """The whole answer at once; without effect once the program is gone or the call has ended."""
        if self.finished:
            return
        if initial or messages:
            self.start(initial)
            for flag, data in messages:
                self._connection.send(self._stream_id, frame_message(flag, data))
        self.finish(ending.status, ending.message, ending.metadata)

    def refuse_http(self, status: int) -> None:
        """Answer with a bare HTTP status: whoever asked does not speak gRPC."""
        self.finished = True
        self._connection.send_headers(self._stream_id, [(b":status", b"%d" % status)], end_stream=True)
        self._free()
        if not self._half_closed:
            self._connection.stop_reading(self._stream_id)

    def cancel(self, error_code: int = ErrorCode.CANCEL) -> None:
        """Give the call up without a status (RST_STREAM)."""
        if not self.finished:
            self.finished = True
            self._free()
            self._connection.reset(self._stream_id, error_code)

    @property
    def queued_bytes(self) -> int:
        """Bytes towards the program that wait for its window or the socket."""
        return self._connection.queued_bytes(self._stream_id)

    def when_below(self, size: int, callback: Callable[[], None]) -> None:
        """Call back once fewer than ``size`` bytes wait for the program; never once the stream has gone."""
        self._connection.when_below(self._stream_id, size, callback)

    # Up from the program

    def expect_stream(self) -> None:
        """Its request may take as long as the program likes."""
        self._assembly.completed(self)

    @property
    def json(self) -> bytes:
        """The JSON that its request was made of: none."""
        return b""

    def hold(self) -> None:
        """Let the program's window shut: at most one window of bytes still arrives."""
        self._held = True

    def resume(self) -> None:
        """Open the program's window again."""
        self._held = False
        if self._unacknowledged:
            size, self._unacknowledged = self._unacknowledged, 0
            self._connection.acknowledge(self._stream_id, size)

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """Never called: a server gets headers with the stream."""

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Cut into messages and hand them up."""
        if self._held:
            self._unacknowledged += len(data)
        elif data:
            # At once, so that a message longer than the window can be assembled; hold() comes between
            # messages.
            self._connection.acknowledge(self._stream_id, len(data))
        if end_stream:
            self._half_closed = True
            self._assembly.completed(self)
        if self.finished:
            return
        try:
            for flag, message in self._reader.feed(data):
                if flag and self.encoding == "identity":
                    raise MalformedError(
                        Reason.METADATA_INVALID, "a compressed message without grpc-encoding"
                    )
                self._handler.on_message(self, flag, message)
            self._account(end_stream)
        except ExchangeError as error:
            self._free()
            self._handler.on_malformed(self, error)
            return
        if end_stream and not self.finished:
            self._handler.on_half_close(self)

    def _account(self, end_stream: bool) -> None:
        """Tell the assembly how much is held here; most calls hold nothing, ever."""
        held = self._reader.pending
        if held and end_stream:
            raise MalformedError(Reason.METADATA_INVALID, "the call ends within a message")
        if held != self._pending:
            by, self._pending = held - self._pending, held
            if not self._assembly.resize(self, by):
                raise ExchangeError(Reason.LIMIT_EXCEEDED, "too many bytes of messages under assembly")

    def give_up(self, error: ExchangeError) -> None:
        """What has come of the request so far is not waited for any longer: end the call with ``error``."""
        if not self.finished:
            self._free()
            self._handler.on_malformed(self, error)

    def _free(self) -> None:
        self._assembly.completed(self)
        if self._pending:
            self._assembly.resize(self, -self._pending)
            self._pending = 0
            self._reader = MessageReader(0)

    def on_trailers(self, headers: Headers) -> None:
        """Requests of gRPC have no trailers; what they end, they end."""
        self._half_closed = True
        self._assembly.completed(self)
        if not self.finished:
            self._handler.on_half_close(self)

    def on_closed(self, error_code: int) -> None:
        """The stream is gone; unless we ended it, the program left."""
        if self._unacknowledged:
            self.resume()
        if not self.finished:
            self.finished = True
            self.cancelled = True
            self._free()
            self._handler.on_cancel(self)


@dataclass(frozen=True, slots=True)
class AdapterAnswer:
    """What the adapter made of a request.

    Attributes:
        initial: Its initial metadata.
        messages: Its messages; one, or none if it failed.
        trailing: Its trailing metadata, with grpc-message and details, without grpc-status.
        status: Its gRPC status; ``None`` if it never gave one.
        encoding: grpc-encoding of the messages.
        failure: Why there is no answer: ``ADAPTER_DOWN`` (nothing was delivered), ``ADAPTER_LOST`` …
    """

    initial: Metadata
    messages: list[Message]
    trailing: Metadata
    status: int | None
    encoding: str = "identity"
    failure: Reason | None = None
