"""One plain proxy on ``grpc.aio``: takes a call, makes the same call, gives back what comes. It signs and keeps nothing.

``python -m bench.proxy PORT UPSTREAM --ca FILE --certificate FILE --key FILE``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio

from bench.messages import COUNT
from bench.stock import channel_to, server_credentials
from bench.tls import Identity

Context = grpc.aio.ServicerContext[bytes, bytes]


class Proxy(grpc.GenericRpcHandler):
    """Every method of every service, passed on."""

    def __init__(self, upstream: grpc.aio.Channel) -> None:
        self._upstream = upstream
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = handler_call_details.method
        if method not in self._handlers:
            self._handlers[method] = self._handler_of(method)
        return self._handlers[method]

    def _handler_of(self, method: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        if method == COUNT:
            stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._upstream.unary_stream(method)

            async def pass_stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
                call = stream(
                    request, metadata=context.invocation_metadata(), timeout=context.time_remaining()
                )
                async for message in call:
                    yield message
                context.set_trailing_metadata(tuple(await call.trailing_metadata()))

            return grpc.unary_stream_rpc_method_handler(pass_stream)
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._upstream.unary_unary(method)

        async def pass_unary(request: bytes, context: Context) -> bytes:
            call = unary(request, metadata=context.invocation_metadata(), timeout=context.time_remaining())
            response = await call
            context.set_trailing_metadata(tuple(await call.trailing_metadata()))
            return response

        return grpc.unary_unary_rpc_method_handler(pass_unary)


async def _serve(port: int, upstream: int, identity: Identity) -> None:
    channel = channel_to("127.0.0.1", upstream, identity)
    options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Proxy(channel),))
    server.add_secure_port(f"127.0.0.1:{port}", server_credentials(identity))
    await server.start()
    gc.freeze()
    await server.wait_for_termination()


def main() -> None:
    """Pass on until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", type=int)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    options = parser.parse_args()
    identity = Identity(options.ca, options.certificate, options.key)
    asyncio.run(_serve(options.port, options.upstream, identity))


if __name__ == "__main__":
    main()
