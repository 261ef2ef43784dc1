"""Interceptors that wrap handlers: each once, none by mistake."""

from dataclasses import dataclass
from typing import Any

import grpc

from rpc.wrapping import Handler, WrappingInterceptor


@dataclass
class Call:
    """What an interceptor is told of a call."""

    method: str
    invocation_metadata: Any = ()


class Counting(WrappingInterceptor):
    """Notes what it wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.wrapped: list[str] = []

    def wrap(self, handler: Handler, method: str) -> Handler:
        self.wrapped.append(method)
        return handler


def handler(answer: str) -> Handler:
    return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)


def test_a_handler_is_wrapped_at_its_first_call_only() -> None:
    """For each method its own; nothing is kept of methods that nobody serves."""
    interceptor = Counting()
    served = {"/a/One": handler("one"), "/a/Two": handler("two")}

    for method in ("/a/One", "/a/Two", "/a/One", "/a/None", "/a/Two"):
        found = interceptor.intercept_service(lambda call: served.get(call.method), Call(method))
        assert found is served.get(method)

    assert interceptor.wrapped == ["/a/One", "/a/Two"]
    assert set(interceptor._wrapped) == set(served)


def test_another_handler_of_the_same_name_is_not_taken_for_the_first() -> None:
    """What is called is what the server found for this call."""
    interceptor = Counting()

    first, second = handler("first"), handler("second")
    assert interceptor.intercept_service(lambda _: first, Call("/a/One")) is first
    assert interceptor.intercept_service(lambda _: second, Call("/a/One")) is second

    assert interceptor.wrapped == ["/a/One", "/a/One"]
