"""The adapter of a soak: does what each call's plan says, checks each message it gets, and keeps a journal.

``python -m tests.support.soak.adapter PORT JOURNAL --ca FILE --certificate FILE --key FILE``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path
from typing import Final

from bench.tls import Identity
from gateway.worker.http2 import Headers, Http2Connection, Http2Limits, Sweep
from tests.support.soak.journals import Journal
from tests.support.soak.plans import HEADER, REQUEST, RESPONSE, Messages, Plan

_LIMITS: Final = Http2Limits(idle_seconds=None, connection_window_bytes=64 * 1024 * 1024)
_RESPONSE: Final = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_OK: Final = [(b"grpc-status", b"0")]


class Service:
    """One call at the adapter."""

    __slots__ = (
        "_connection",
        "_is_begun",
        "_is_open",
        "_is_told",
        "_journal",
        "_messages",
        "_plan",
        "_request",
        "_stream",
    )

    def __init__(self, connection: Http2Connection, stream: int, headers: Headers, journal: Journal) -> None:
        told = dict(headers)
        self._connection = connection
        self._stream = stream
        self._plan = Plan.parse(told[HEADER])
        self._request = told[b"x-road-request-hash"].decode("ascii")
        self._messages = Messages(self._plan, REQUEST)
        self._journal = journal
        self._is_told = not self._plan.is_stream
        self._is_open = True
        self._is_begun = False
        journal.write("delivered", reference=self._plan.reference, request=self._request)
        # The connection knows us when this has returned.
        connection.loop.call_soon(self._begin)

    def _begin(self) -> None:
        """What is said before a message came: a refusal, or the headers of an answer that is a stream."""
        if self._is_begun:
            return
        self._is_begun = True
        if self._plan.status:
            status = (b"grpc-status", b"%d" % self._plan.status)
            self._connection.send_headers(self._stream, [*_RESPONSE, status], end_stream=True)
            self._connection.stop_reading(self._stream)
            self._is_open = False
        elif self._plan.is_stream:
            self._connection.send_headers(self._stream, _RESPONSE)

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        """Never: a server is given them with the stream."""

    def on_trailers(self, headers: Headers) -> None:
        """A request has none."""

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Take messages; answer those of a conversation one by one."""
        self._begin()
        self._connection.acknowledge(self._stream, len(data))
        first = self._messages.count
        came = self._messages.take(data)
        if self._messages.wrong or (end_stream and not self._messages.is_whole):
            self._journal.write("wrong", why=self._messages.wrong or f"{self._plan.reference}: torn")
        if end_stream:
            self._tell()
        if not self._is_open:
            return
        plan = self._plan
        if plan.kind in ("converse", "pingpong"):
            for index in range(first, first + came):
                self._connection.send(self._stream, plan.message(RESPONSE, index))
        if end_stream and plan.linger_ms:
            self._connection.loop.call_later(plan.linger_ms / 1000, self._finish)
        elif end_stream:
            self._finish()

    def on_closed(self, error_code: int) -> None:
        """The gateway left, or has everything."""
        self._is_open = False
        self._tell()

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._journal.write("took", request=self._request, messages=self._messages.count)

    def _finish(self) -> None:
        if not self._is_open:
            return
        connection, plan = self._connection, self._plan
        if not plan.is_stream:
            connection.send_headers(self._stream, _RESPONSE)
        if plan.kind not in ("converse", "pingpong"):
            answers = [plan.message(RESPONSE, index) for index in range(plan.responses)]
            connection.send(self._stream, b"".join(answers))
        connection.send_trailers(self._stream, _OK)


async def _serve(port: int, identity: Identity, journal: Journal) -> None:
    loop, sweep = asyncio.get_running_loop(), Sweep()

    def accept(connection: Http2Connection, stream: int, headers: Headers, end_stream: bool) -> Service:
        return Service(connection, stream, headers, journal)

    server = await loop.create_server(
        lambda: Http2Connection(loop, _LIMITS, sweep, accept=accept),
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
    parser.add_argument("journal", type=Path)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    options = parser.parse_args()
    gc.freeze()
    identity = Identity(options.ca, options.certificate, options.key)
    asyncio.run(_serve(options.port, identity, Journal(options.journal)))


if __name__ == "__main__":
    main()
