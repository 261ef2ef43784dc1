"""Server-streaming RPCs that wait for news, without a thread each (DESIGN section 5).

A plain grpcio handler of a stream holds a thread of the pool for as long as somebody listens: 50 watchers starved
an admin API. grpcio has non-blocking handlers (an attribute on the function, used by its own health service);
all use of them is here. A handler gets a ``WaitingStream``, sends what there is to say now, keeps the stream
somewhere and returns; whoever has news calls ``send`` later, from any thread, and is never held up by a reader.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar, cast

import grpc
import structlog

from core.language import Language
from core.reasons import Code, ExchangeError
from rpc.status import DETAILS_KEY, status_of

SENDER_THREADS: Final = 2
STALLED_AFTER_S: Final = 10.0

_S = TypeVar("_S")
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_log = structlog.get_logger()
_NOTHING: Final = object()


class WaitingStream(Generic[_Response]):
    """One stream that waits. Of several unsent responses only the newest is kept: this is for states, not queues."""

    def __init__(self, context: grpc.ServicerContext, write: Callable[[_Response | None], None]) -> None:
        self._context = context
        self._write = write
        self._lock = threading.Lock()
        self._newest: Any = _NOTHING
        self._ending = False
        self._ended = False
        self._queued = False
        self._closed = not context.add_callback(self._on_closed)
        self._on_close: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more."""
        return self._closed

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the stream has ended, whoever ended it; at once if it has already."""
        with self._lock:
            if not self._closed:
                self._on_close.append(callback)
                return
        callback()

    def send(self, response: _Response) -> None:
        """Send ``response`` soon, in place of one that has not left yet. Never blocks, never raises."""
        with self._lock:
            if self._closed or self._ending:
                return
            self._newest = response
            self._enqueue()

    def end(self, error: ExchangeError | None = None, *, language: Language = "fr") -> None:
        """End the stream after what was sent: with OK, or with the status of ``error``."""
        with self._lock:
            if self._closed or self._ending:
                return
            if error is not None:
                code, message, details = status_of(error, language=language)
                self._context.set_code(_status_code(code))
                self._context.set_details(message)
                self._context.set_trailing_metadata(((DETAILS_KEY, details),))
            self._ending = True
            self._enqueue()

    def _enqueue(self) -> None:
        if not self._queued:
            self._queued = True
            _senders().put(self)

    def flush(self) -> None:
        """Write what there is. Called by a sender thread only; may block while the reader's window is shut."""
        while (response := self._take()) is not _NOTHING:
            self._write(response)

    def _take(self) -> Any:
        """The newest unsent response; None once for the end; nothing, and then the stream is not queued."""
        with self._lock:
            response, self._newest = self._newest, _NOTHING
            if response is _NOTHING and self._ending and not self._ended:
                self._ended = True
                return None
            if response is _NOTHING:
                self._queued = False
            return response

    def cut(self) -> None:
        """Cancel the call: its reader has stopped reading."""
        self._context.cancel()

    def _on_closed(self) -> None:
        with self._lock:
            self._closed = True
            self._newest = _NOTHING
            callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            callback()


class Watchers(Generic[_Response]):
    """All streams that wait for the same news."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[WaitingStream[_Response]] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: WaitingStream[_Response]) -> None:
        """Let ``stream`` have all news from now on, until it closes."""
        with self._lock:
            self._streams.add(stream)
        stream.on_close(lambda: self._discard(stream))

    def publish(self, response: _Response) -> None:
        """Send ``response`` to all; returns at once."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.send(response)

    def _discard(self, stream: WaitingStream[_Response]) -> None:
        with self._lock:
            self._streams.discard(stream)


def waiting(
    method: Callable[[_S, _Request, WaitingStream[_Response], grpc.ServicerContext], None],
) -> Callable[[_S, _Request, grpc.ServicerContext], Iterator[_Response]]:
    """Make a servicer's method wait without a thread.

    The method takes ``(self, request, stream, context)``; what is returned looks to type checkers like the
    generated one. An ``ExchangeError`` that it raises ends the call with its status.
    """

    @functools.wraps(method)
    def behaviour(
        self: _S, request: _Request, context: grpc.ServicerContext, write: Callable[[_Response | None], None]
    ) -> None:
        method(self, request, WaitingStream(context, write), context)

    behaviour.experimental_non_blocking = True  # type: ignore[attr-defined]  # grpcio's own switch
    return cast("Callable[[_S, _Request, grpc.ServicerContext], Iterator[_Response]]", behaviour)


def is_waiting(behaviour: Callable[..., Any]) -> bool:
    """Whether ``behaviour`` is a non-blocking handler."""
    return bool(getattr(behaviour, "experimental_non_blocking", False))


def _status_code(code: Code) -> grpc.StatusCode:
    return next(status for status in grpc.StatusCode if status.value[0] == int(code))


class _Senders:
    """The few threads that write to all waiting streams, and one that cuts readers who hold a writer up."""

    def __init__(self, threads: int, stalled_after_s: float) -> None:
        self._queue: queue.SimpleQueue[WaitingStream[Any]] = queue.SimpleQueue()
        self._writing: dict[int, tuple[float, WaitingStream[Any]]] = {}
        self._stalled_after_s = stalled_after_s
        for number in range(threads):
            threading.Thread(target=self._send, args=(number,), name=f"waiting-{number}", daemon=True).start()
        threading.Thread(target=self._watch, name="waiting-watch", daemon=True).start()

    def put(self, stream: WaitingStream[Any]) -> None:
        self._queue.put(stream)

    def _send(self, number: int) -> None:
        while True:
            stream = self._queue.get()
            self._writing[number] = (time.monotonic(), stream)
            try:
                stream.flush()
            except Exception:
                # One broken stream must not take the writer away from all others.
                _log.exception("waiting_stream_failed")
            finally:
                del self._writing[number]

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._stalled_after_s / 4))
            now = time.monotonic()
            for since, stream in list(self._writing.values()):
                if now - since > self._stalled_after_s:
                    _log.warning("waiting_stream_cut", reason="the reader has stopped reading")
                    self._cut(stream)

    def _cut(self, stream: WaitingStream[Any]) -> None:
        try:
            stream.cut()
        except Exception:
            # The watch goes on: the next stalled reader is cut all the same.
            _log.exception("waiting_stream_not_cut")


@functools.cache
def _senders() -> _Senders:
    """Made at first use: a process that serves no waiting RPC has no such thread."""
    return _Senders(SENDER_THREADS, STALLED_AFTER_S)
