"""The JSON door (PROTOCOL M14, docs/protocol/json-door.md): a call with a JSON body becomes the protobuf call it means.

Nothing of a body is read before the program is known and an agreement lets it call that method; until then, and for
what is no unary method, an empty message goes through the steps of all calls, which refuse it by name. What the
statement covers is the protobuf that was made here; the digest of the JSON stands in a note beside it.

A long body is transcoded by one thread beside the loop: protobuf's reader of JSON takes 3 us a byte at worst, and
other programs' calls go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from core.clock import Clock
from core.payloads import Metadata
from core.reasons import ExchangeError, Reason
from gateway.worker.call import Assembly, Call, CallHandler, Ending
from gateway.worker.connect import Violation, answer_headers, error_body
from gateway.worker.jsonqueue import Job, JsonQueue
from gateway.worker.masks import inflate
from gateway.worker.refusal import Ending as Ended
from gateway.worker.refusal import Refusals
from gateway.worker.transcoding import (
    MAX_JSON_BYTES,
    JsonRefusedError,
    MessageTypes,
    read_json,
    types_of,
    write_json,
)
from gateway.worker.trust import TrustView
from gateway.worker.wire import Message, RequestHead

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

    from gateway.worker.http2 import Http2Connection
    from gateway.worker.routes import Door

# Up to so many bytes are transcoded where they arrive: a thread would cost more than the longest of them holds the loop.
INLINE_BYTES: Final = 4 * 1024
MAX_POOLS: Final = 16

_events = structlog.get_logger("gateway.worker")


class JsonDoor:
    """Turns bodies into messages and back.

    Args:
        trust: The configuration in force.
        clock: What time it is.
        read_descriptors: The published FileDescriptorSet of a digest; raises ``OSError`` or ``ValueError``.
        refusals: Words for what goes wrong here.
        max_message_bytes: Bound of messages.

    Attributes:
        max_json_bytes: Bound of bodies, and of what a compressed answer may hold.
    """

    def __init__(
        self,
        *,
        trust: Callable[[], TrustView | None],
        clock: Clock,
        read_descriptors: Callable[[str], bytes],
        refusals: Refusals,
        max_message_bytes: int,
    ) -> None:
        self.max_json_bytes = min(MAX_JSON_BYTES, max_message_bytes)
        self._trust = trust
        self._clock = clock
        self._read_descriptors = read_descriptors
        self._refusals = refusals
        self._pools: OrderedDict[str, DescriptorPool] = OrderedDict()
        self._types: dict[tuple[str, str], MessageTypes] = {}
        self.queue = JsonQueue()

    def close(self) -> None:
        """Let the thread end."""
        self.queue.close()

    def types_for(self, call: JsonCall) -> MessageTypes | None:
        """The messages of the method that a call means, if its program may call it and it is unary.

        Raises:
            ExchangeError: ``INTERNAL``: the descriptors cannot be read.
        """
        view, method = self._trust(), call.door.method_of(call.path)
        if view is None or method is None:
            return None
        named = next((value for name, value in call.metadata if name == b"x-road-service"), None)
        provider = None if named is None else named.decode("ascii", "replace")
        client = call.program.rpartition("/")[0]
        grant = view.find_grant(client, provider, method, self._clock.now_ms())
        if isinstance(grant, Reason):
            return None
        provision = grant.provision
        if provision.method.client_streaming or provision.method.server_streaming:
            return None
        return self._types_of(provision.descriptors, method)

    def read(self, call: JsonCall, body: bytes, types: MessageTypes) -> None:
        """Make the request of a body, and hand it up."""

        def done(found: bytes | ExchangeError) -> None:
            if isinstance(found, ExchangeError):
                call.refuse(found)
            else:
                call.take(found, body)

        size = len(body)
        if size <= INLINE_BYTES:
            done(_read(body, types))
        elif self.queue.has_room(call.program, size):
            work = partial(_read, body, types)
            call.job = self.queue.submit(call.program, size, work, done, call.loop)
        else:
            raise ExchangeError(Reason.LIMIT_EXCEEDED, "too many bytes of JSON wait to be read")

    def write(
        self, call: JsonCall, messages: list[Message], types: MessageTypes | None, ending: Ending
    ) -> None:
        """Make the body of an answer, and send it."""
        if ending.status != 0 or types is None or len(messages) != 1:
            call.send_error(ending)
            return

        def done(body: bytes | ExchangeError) -> None:
            if isinstance(body, ExchangeError):
                call.send_error(self._unshown(ending, body.reason))
            else:
                call.send_body(body, ending.metadata)

        flag, data = messages[0]
        size = len(data)
        work = partial(_write, messages[0], types, self.max_json_bytes)
        # What is compressed is as long as its sender likes: never on the loop.
        if size <= INLINE_BYTES and not flag:
            done(work())
        elif self.queue.has_room_for_answer(size):
            call.job = self.queue.submit(call.program, size, work, done, call.loop)
        else:
            call.send_error(self._unshown(ending, Reason.LIMIT_EXCEEDED))

    def _unshown(self, ending: Ending, reason: Reason) -> Ended:
        """What a program is told whose answer was delivered and recorded, and has no JSON form."""
        told = dict(ending.metadata)
        return self._refusals.ending(
            reason,
            side="consumer",
            exchange=told.get(b"x-road-exchange-id", b"").decode("ascii") or None,
            delivery="delivered",
            # The provider acted on it: to send it again may be to do it twice.
            retry="ask" if reason.entry.retry == "safe" else None,
            request_hash=told.get(b"x-road-request-hash", b"").decode("ascii") or None,
        )

    def _types_of(self, digest: str, method: str) -> MessageTypes:
        found = self._types.get((digest, method))
        if found is not None and digest in self._pools:
            self._pools.move_to_end(digest)
            return found
        try:
            pool = self._pools.get(digest) or _linked(self._read_descriptors(digest))
            found = types_of(method, pool)
        except (OSError, ValueError, KeyError) as error:
            _events.error("descriptors.unreadable", digest=digest, method=method, why=str(error))
            raise ExchangeError(Reason.INTERNAL, f"the descriptors of {method} cannot be read") from None
        self._pools[digest] = pool
        self._types[digest, method] = found
        if len(self._pools) > MAX_POOLS:
            oldest, _ = self._pools.popitem(last=False)
            self._types = {key: types for key, types in self._types.items() if key[0] != oldest}
        return found


class JsonCall(Call):
    """A program's call with a JSON body.

    Attributes:
        job: What is transcoded for it beside the loop, last.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_initial",
        "_json",
        "_json_door",
        "_size",
        "_types",
        "_violations",
        "job",
    )

    is_unary = True

    def __init__(
        self,
        connection: Http2Connection,
        stream_id: int,
        head: RequestHead,
        deadline_us: int | None,
        handler: CallHandler,
        assembly: Assembly,
        json_door: JsonDoor,
        door: Door,
    ) -> None:
        super().__init__(connection, stream_id, head, deadline_us, handler, assembly, 0, door)
        self.job: Job[bytes | ExchangeError] | None = None
        self._json = b""
        self._json_door = json_door
        self._body: list[bytes] = []
        self._size = 0
        self._types: MessageTypes | None = None
        self._violations: list[Violation] = []
        self._initial: Metadata = ()
        self._answer: list[Message] = []

    @property
    def json(self) -> bytes:
        """The body that the request was made of; empty until it was."""
        return self._json

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all of it belongs to."""
        return self._connection.loop

    # Up from the program

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Gather the body; read it once it is whole."""
        if data:
            self._connection.acknowledge(self._stream_id, len(data))
        if end_stream:
            self._half_closed = True
            self._assembly.completed(self)
        if self.finished:
            return
        try:
            self._gather(data)
            if end_stream:
                self._read()
        except ExchangeError as error:
            self.refuse(error)

    def on_trailers(self, headers: object) -> None:
        """They end the body, and say nothing."""
        self.on_data(b"", True)

    def _gather(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._json_door.max_json_bytes:
            raise ExchangeError(Reason.MESSAGE_TOO_LARGE, "the JSON body is over its limit")
        if data:
            self._body.append(data)
            self._pending += len(data)
            if not self._assembly.resize(self, len(data)):
                raise ExchangeError(Reason.LIMIT_EXCEEDED, "too many bytes of messages under assembly")

    def _read(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        self._types = self._json_door.types_for(self)
        if self._types is None:
            # Refused by its steps, as if it were gRPC: what it holds makes no difference.
            self.take(b"", b"")
        else:
            self._json_door.read(self, body, self._types)

    def take(self, message: bytes, body: bytes) -> None:
        """The request, and the body that it was made of: hand it up."""
        self._let_go()
        if self.finished:
            return
        self._json = body
        try:
            self._handler.on_message(self, 0, message)
        except ExchangeError as error:
            self.refuse(error)
            return
        if not self.finished:
            self._handler.on_half_close(self)

    def refuse(self, error: ExchangeError) -> None:
        """End the call for what is wrong with its request."""
        self._let_go()
        if self.finished:
            return
        if isinstance(error, JsonRefusedError):
            self._violations = [(error.field, error.text)]
        self._handler.on_malformed(self, error)

    def _let_go(self) -> None:
        self._body.clear()
        self._free()

    def _free(self) -> None:
        # However the call ends: what still waits for the thread is for nobody.
        self._drop_job()
        super()._free()

    def _drop_job(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job = None

    def on_closed(self, error_code: int) -> None:
        """The stream is gone: its answer, if it still waits for the thread, is for nobody."""
        self._drop_job()
        super().on_closed(error_code)

    # Down to the program

    def start(self, metadata: Metadata = ()) -> None:
        """Keep initial metadata until the end."""
        self._initial = metadata

    def deliver(self, flag: int, data: bytes) -> None:
        """Keep the message until the end."""
        self._answer.append((flag, data))

    def finish(self, status: int, message: str = "", metadata: Metadata = ()) -> None:
        """End the call; without effect if it has ended."""
        self.release(self._initial, self._answer, Ended(status, message, metadata))

    def release(self, initial: Metadata, messages: list[Message], ending: Ending) -> None:
        """The whole answer at once; without effect once the program is gone or the call has ended."""
        if self.finished:
            return
        self.finished = True
        self._let_go()
        self._initial = initial
        self._json_door.write(self, messages, self._types, ending)

    def send_error(self, ending: Ending) -> None:
        """The body of a call that ended badly."""
        status, body = error_body(ending.status, ending.message, ending.metadata, self._violations)
        self._send(status, body, ending.metadata)

    def send_body(self, body: bytes, trailing: Metadata) -> None:
        """The body of an answer."""
        self._send(200, body, trailing)

    def _send(self, status: int, body: bytes, trailing: Metadata) -> None:
        headers = answer_headers(status, len(body), self._initial, trailing)
        self._connection.send_headers(self._stream_id, headers)
        self._connection.send(self._stream_id, body, end_stream=True)
        if not self._half_closed:
            self._connection.stop_reading(self._stream_id)


def _linked(file_descriptor_set: bytes) -> DescriptorPool:
    # At the first JSON call: a worker without any needs none of it.
    from rpc.descriptors import load_descriptors

    return load_descriptors(file_descriptor_set)


def _read(body: bytes, types: MessageTypes) -> bytes | ExchangeError:
    try:
        return read_json(body, types)
    except ExchangeError as error:
        return error


def _write(message: Message, types: MessageTypes, max_bytes: int) -> bytes | ExchangeError:
    flag, data = message
    try:
        # gzip is the only way that nobody has to be asked for.
        return write_json(inflate("gzip", data, max_bytes) if flag else data, types)
    except (ValueError, ExchangeError) as error:
        _events.warning("json.answer_not_shown", why=str(error))
        if isinstance(error, ExchangeError) and error.reason is Reason.MESSAGE_TOO_LARGE:
            return error
        return ExchangeError(Reason.ADAPTER_PROTOCOL, "the answer has no JSON form")
