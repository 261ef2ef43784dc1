"""The adapter of the benchmark: gives back every message, as cheaply as this machine allows.

``python -m bench.backend PORT --ca FILE --certificate FILE --key FILE``

It is written on the bare HTTP/2 connection: no gateway's code for calls stands in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path
from typing import Final

from bench.messages import COUNT, CountedMessages, read_count_request
from bench.tls import Identity
from gateway.worker.http2 import Headers, Http2Connection, Http2Limits, Sweep

_LIMITS: Final = Http2Limits(idle_seconds=None, connection_window_bytes=64 * 1024 * 1024)
_RESPONSE: Final = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_OK: Final = [(b"grpc-status", b"0")]
_INVALID: Final = [*_RESPONSE, (b"grpc-status", b"3")]
_COUNT_PATH: Final = COUNT.encode("ascii")
# Enough to keep the socket busy; the rest is made when this has left.
_QUEUE_BYTES: Final = 256 * 1024


class Echo:
    """One call: gathers the request, then sends it back, or counts."""

    __slots__ = ("_connection", "_counts", "_data", "_left", "_stream")

    def __init__(self, connection: Http2Connection, stream: int, headers: Headers) -> None:
        self._connection = connection
        self._stream = stream
        self._counts = any(name == b":path" and value == _COUNT_PATH for name, value in headers)
        self._data: list[bytes] = []
        self._left: CountedMessages | None = None

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """Never: a server is given them with the stream."""

    def on_trailers(self, headers: Headers) -> None:
        """A request has none."""

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self._connection.acknowledge(self._stream, len(data))
        self._data.append(data)
        if end_stream:
            self._answer(b"".join(self._data))

    def on_closed(self, error_code: int) -> None:
        """The caller left, or has everything; nothing is held for it."""
        self._left = None

    def _answer(self, request: bytes) -> None:
        connection, stream = self._connection, self._stream
        if not self._counts:
            connection.send_headers(stream, _RESPONSE)
            connection.send(stream, request)
            connection.send_trailers(stream, _OK)
            return
        try:
            self._left = CountedMessages(*read_count_request(request))
        except ValueError:
            connection.send_headers(stream, _INVALID, end_stream=True)
            return
        connection.send_headers(stream, _RESPONSE)
        self._go_on()

    def _go_on(self) -> None:
        left, connection = self._left, self._connection
        if left is None:
            return
        connection.send(self._stream, left.take(_QUEUE_BYTES))
        if left.is_empty:
            self._left = None
            connection.send_trailers(self._stream, _OK)
        else:
            connection.when_below(self._stream, _QUEUE_BYTES // 2, self._go_on)


def _accept(connection: Http2Connection, stream: int, headers: Headers, end_stream: bool) -> Echo:
    return Echo(connection, stream, headers)


async def _serve(port: int, identity: Identity) -> None:
    loop, sweep = asyncio.get_running_loop(), Sweep()
    server = await loop.create_server(
        lambda: Http2Connection(loop, _LIMITS, sweep, accept=_accept),
        "127.0.0.1",
        port,
        ssl=identity.context(server=True),
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    options = parser.parse_args()
    gc.freeze()
    asyncio.run(_serve(options.port, Identity(options.ca, options.certificate, options.key)))


if __name__ == "__main__":
    main()
