"""Interceptors that stand around every handler of a server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

# What grpcio passes to and takes from a servicer's method depends on its kind; nothing here looks inside.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class WrappingInterceptor(grpc.ServerInterceptor):
    """Wraps each handler at its first call; grpcio asks its interceptors at every call."""

    def __init__(self) -> None:
        # As many as the server has methods: of a method that it lacks grpcio knows no handler.
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The wrapped handler of one call, if there is a handler."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        bare, wrapped = self._wrapped.get(method, (None, None))
        if wrapped is None or bare is not handler:
            wrapped = self.wrap(handler, method)
            self._wrapped[method] = handler, wrapped
        return wrapped

    @abstractmethod
    def wrap(self, handler: Handler, method: str) -> Handler:
        """What is called in the place of ``handler``."""
