"""Synchronous grpcio servers: limits, health, reflection, errors and events, the same for each (RELIABILITY 3b)."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from core.language import Language
from core.reasons import ExchangeError, Reason
from rpc.health import OVERALL, Health
from rpc.limits import Limits
from rpc.ports import require_free
from rpc.status import DETAILS_KEY, abort, status_of
from rpc.waiting import is_waiting
from rpc.wrapping import Handler, WrappingInterceptor

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
# Its final name, which clients ask for first; grpcio's package serves v1alpha, the same messages byte for byte.
REFLECTION_SERVICE: Final = "grpc.reflection.v1.ServerReflection"

_log = structlog.get_logger()
_Behaviour = Callable[..., Any]


class RpcServer:
    """One grpcio server over mTLS.

    Add services with the generated functions and ``grpc``, then ``listen``, then ``start``. ``interceptors`` stand
    around every handler, health and reflection included, inside the boundary that turns errors into status.

    Attributes:
        grpc: The server underneath.
        health: What the process says of itself.
    """

    def __init__(
        self,
        credentials: grpc.ServerCredentials,
        *,
        limits: Limits | None = None,
        language: Language = "fr",
        interceptors: Sequence[grpc.ServerInterceptor] = (),
    ) -> None:
        self._credentials = credentials
        self._boundary = _Boundary(language)
        limits = limits or Limits()
        self._pool = futures.ThreadPoolExecutor(limits.threads, thread_name_prefix="rpc")
        self.grpc: grpc.Server = grpc.server(
            self._pool, interceptors=[self._boundary, *interceptors], options=limits.options()
        )
        self.health = Health()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)

    def listen(self, address: str) -> int:
        """Open ``host:port``; returns the port, which the system chooses for port 0.

        Raises:
            ExchangeError: ``PORT_IN_USE``, naming the process that holds it.
        """
        require_free(address)
        try:
            port = self.grpc.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise ExchangeError(Reason.PORT_IN_USE, f"cannot listen on {address}: {error}") from None
        return port

    def start(self, services: Iterable[str]) -> None:
        """Serve; ``services`` are the full names of the services added, for health and reflection."""
        services = list(services)
        names = (*services, HEALTH_SERVICE, reflection.SERVICE_NAME)
        _add_reflection(names, self.grpc)
        self.grpc.start()
        for service in (OVERALL, *services):
            self.health.set(service, serving=True)

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more calls, end the streams that wait, let the others finish for ``grace_s`` seconds."""
        self.health.set(OVERALL, serving=False)
        stopping = self.grpc.stop(grace_s)
        self._boundary.end_waiting()
        stopping.wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _add_reflection(names: Iterable[str], server: grpc.Server) -> None:
    """Reflection on a thread of its own: its stream blocks, and must not take the pool away from calls."""
    servicer: Any = reflection.ReflectionServicer(names)
    own = functools.partial(servicer.ServerReflectionInfo)
    own.experimental_thread_pool = futures.ThreadPoolExecutor(1, "reflection")  # type: ignore[attr-defined]  # grpcio's own switch
    servicer.ServerReflectionInfo = own
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        own,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(REFLECTION_SERVICE, methods),))


class _Boundary(WrappingInterceptor):
    """What every call passes: errors become status, failures become events, waiting streams can be ended."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self._language = language
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[grpc.ServicerContext, Callable[[None], None]]] = {}

    def wrap(self, handler: Handler, method: str) -> Handler:
        """What every call passes, by the kind of its handler."""
        if handler.unary_unary:
            wrapped, make = self._answering(method, handler.unary_unary), grpc.unary_unary_rpc_method_handler
        elif handler.stream_unary:
            wrapped, make = (
                self._answering(method, handler.stream_unary),
                grpc.stream_unary_rpc_method_handler,
            )
        elif handler.unary_stream:
            wrap = self._waiting_on if is_waiting(handler.unary_stream) else self._streaming
            wrapped, make = wrap(method, handler.unary_stream), grpc.unary_stream_rpc_method_handler
        elif handler.stream_stream:
            wrapped, make = (
                self._streaming(method, handler.stream_stream),
                grpc.stream_stream_rpc_method_handler,
            )
        else:
            return handler
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def end_waiting(self) -> None:
        """End all streams that wait: the server goes away."""
        with self._lock:
            streams = list(self._waiting.values())
        code, message, details = status_of(ExchangeError(Reason.SHUTTING_DOWN), language=self._language)
        for context, write in streams:
            context.set_code(grpc.StatusCode[code.name])
            context.set_details(message)
            context.set_trailing_metadata(((DETAILS_KEY, details),))
            write(None)

    def _answering(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        @functools.wraps(behaviour)
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.monotonic()
            try:
                return behaviour(request, context)
            except Exception as error:
                self._fail(method, context, error, started)

        return answer

    def _streaming(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        @functools.wraps(behaviour)
        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.monotonic()
            try:
                yield from behaviour(request, context)
            except Exception as error:
                self._fail(method, context, error, started)

        return stream

    def _waiting_on(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        @functools.wraps(behaviour)
        def wait(request: Any, context: grpc.ServicerContext, write: Callable[[Any], None]) -> None:
            with self._lock:
                self._waiting[id(context)] = (context, write)
            if not context.add_callback(functools.partial(self._forget, id(context))):
                self._forget(id(context))
            try:
                behaviour(request, context, write)
            except Exception as error:
                self._fail(method, context, error, time.monotonic())

        return wait

    def _forget(self, key: int) -> None:
        with self._lock:
            self._waiting.pop(key, None)

    def _fail(self, method: str, context: grpc.ServicerContext, error: Exception, started: float) -> None:
        fields = {"method": method, "peer": context.peer(), "ms": int((time.monotonic() - started) * 1000)}
        if isinstance(error, ExchangeError):
            _log.info("call_refused", reason=str(error.reason), **fields)
            abort(context, error, language=self._language)
        # The handler has ended the call itself: ``context.abort`` raises a bare Exception.
        if type(error) is Exception and not error.args:
            raise error
        # The caller has gone, and reading on from its stream tells the handler so: nobody's mistake.
        if isinstance(error, grpc.RpcError) and not context.is_active():
            raise error
        # A mistake of ours: the caller learns that, the log keeps the rest.
        _log.error("call_failed", exc_info=error, **fields)
        abort(context, ExchangeError(Reason.INTERNAL), language=self._language)
