"""What happens around every call of an adapter, in this order.

1. The caller is a gateway of this member (``admission``); before that, not one byte of the request is parsed.
2. Its metadata are a caller's context, addressed to this subsystem.
3. The request is a message of its type and keeps the rules of its proto.
4. The servicer is called, with the context in ``current_caller``.
5. Whatever is raised on the way becomes a status that tells the caller what it may know.

Health and reflection belong to the layer, not to the register: for them only step 1 holds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError, Message

from adapters.context import SERVICE, CallerContext, parse_context, serving
from adapters.reasons import InvalidFieldsError
from adapters.validation import require_valid
from core.identifiers import GatewayId, SubsystemId
from core.reasons import ExchangeError, Reason
from rpc.wrapping import Handler, WrappingInterceptor

_Behaviour = Callable[..., Any]

_LAYER_SERVICES: Final = ("/grpc.health.v1.", "/grpc.reflection.")

_KINDS: Final[dict[tuple[bool, bool], tuple[str, Callable[..., Handler]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Refusals(Protocol):
    """How an exception ends a call."""

    def __call__(
        self, context: grpc.ServicerContext, error: Exception, method: str, exchange_id: str | None
    ) -> None:
        """End the call with the status for ``error``; never returns."""
        ...


class AdapterInterceptor(WrappingInterceptor):
    """Puts the steps above around every handler of a server.

    A stream keeps its thread while it lasts: those of the register run in ``streams``, so that calls never wait for them.
    """

    def __init__(
        self,
        provider: SubsystemId,
        admit: Callable[[grpc.ServicerContext], GatewayId],
        refuse: Refusals,
        streams: ThreadPoolExecutor,
    ) -> None:
        super().__init__()
        self._streams = streams
        self._provider = provider
        self._admit = admit
        self._refuse = refuse

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Put the steps around one handler."""
        kind, build = _KINDS[handler.request_streaming, handler.response_streaming]
        behaviour: _Behaviour = getattr(handler, kind)
        if method.startswith(_LAYER_SERVICES):
            wrapped, deserializer = self._admitted(behaviour, method), handler.request_deserializer
        else:
            # Bytes are parsed by step 3: grpcio would do so before step 1, and answer INTERNAL to bad ones.
            wrapped, deserializer = self._served(behaviour, handler, method), None
        return build(
            wrapped, request_deserializer=deserializer, response_serializer=handler.response_serializer
        )

    def _admitted(self, behaviour: _Behaviour, method: str) -> _Behaviour:
        # The copied attributes tell grpcio of handlers that wait without a thread.
        @functools.wraps(behaviour)
        def call(request: Any, context: grpc.ServicerContext, *callback: Any) -> Any:
            try:
                self._admit(context)
            except Exception as error:
                self._tell(context, error, method, None)
                raise
            return behaviour(request, context, *callback)

        return call

    def _served(self, behaviour: _Behaviour, handler: Handler, method: str) -> _Behaviour:
        read = functools.partial(_read, handler.request_deserializer)

        def call(data: Any, context: grpc.ServicerContext) -> Any:
            caller = None
            try:
                caller = self._caller(context)
                with serving(caller):
                    return behaviour(map(read, data) if handler.request_streaming else read(data), context)
            except Exception as error:
                self._tell(context, error, method, caller)
                raise

        def stream(data: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            caller = None
            try:
                caller = self._caller(context)
                with serving(caller):
                    yield from behaviour(
                        map(read, data) if handler.request_streaming else read(data), context
                    )
            except Exception as error:
                self._tell(context, error, method, caller)
                raise

        # The boundary around this one copies the attribute (functools.wraps).
        stream.experimental_thread_pool = self._streams  # type: ignore[attr-defined]  # grpcio's own switch
        return stream if handler.response_streaming else call

    def _caller(self, context: grpc.ServicerContext) -> CallerContext:
        """Steps 1 and 2."""
        gateway = self._admit(context)
        caller = parse_context(gateway, context.invocation_metadata())
        if caller.service != self._provider:
            raise ExchangeError(Reason.METADATA_INVALID, f"{SERVICE} is not {self._provider}")
        return caller

    def _tell(
        self, context: grpc.ServicerContext, error: Exception, method: str, caller: CallerContext | None
    ) -> None:
        """Step 5; an ending that is nobody's mistake passes as it is."""
        if not _is_abort(context, error) and not _has_left(context, error):
            self._refuse(context, error, method, caller.exchange_id if caller else None)


def _is_abort(context: grpc.ServicerContext, error: Exception) -> bool:
    """A plain servicer may end its call itself; grpcio then unwinds it by an exception without a word."""
    code = context.code()  # type: ignore[attr-defined]  # the published types lack it
    return type(error) is Exception and not error.args and code is not None


def _has_left(context: grpc.ServicerContext, error: Exception) -> bool:
    """When the caller has gone, reading on from its stream raises: nobody's mistake."""
    return isinstance(error, grpc.RpcError) and not context.is_active()


def _read(deserialize: Callable[[bytes], Message] | None, data: bytes) -> Message:
    """Step 3."""
    if deserialize is None:
        raise TypeError("an adapter's handlers are typed")
    try:
        message = deserialize(data)
    except DecodeError:
        raise InvalidFieldsError({"": "the bytes are not a message of this type"}) from None
    require_valid(message)
    return message
