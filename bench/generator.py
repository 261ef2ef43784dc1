"""Load generator: a program that keeps N calls in flight and checks every byte that comes back.

``python -m bench.generator HOST PORT --ca … --certificate … --key … --size 4096 --in-flight 128 --seconds 3``

It connects, warms up, prints ``ready``, waits for a line on stdin, runs, and prints its result as one line of JSON. A
response counts as good only with HTTP 200, grpc-status 0 and exactly the bytes that were sent: each request has its own.
With ``--messages`` the calls are server streams, and every message is compared with the one that belongs there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from bench.messages import CALL, COUNT, CountedMessages, count_request, message_of
from bench.tls import Identity
from gateway.worker.http2 import Headers, Http2Connection, Http2Limits, Sweep
from gateway.worker.wire import request_headers

WARM_UP_MESSAGES: Final = 2_000


@dataclass
class Tally:
    """What came of the calls."""

    good: int = 0
    bad: int = 0
    latencies: list[float] = field(default_factory=list)
    first_failure: str = ""

    def fail(self, why: str) -> None:
        self.bad += 1
        self.first_failure = self.first_failure or why


class _Slot:
    """One place in flight: sends, checks the answer, sends again."""

    __slots__ = (
        "_again",
        "_connection",
        "_data",
        "_headers",
        "_sent",
        "_started",
        "_status",
        "_stream",
        "_tail",
        "_tally",
    )

    def __init__(
        self,
        connection: Http2Connection,
        headers: Headers,
        template: bytes,
        again: Callable[[_Slot], None],
        tally: Tally,
    ) -> None:
        self._connection = connection
        self._headers = headers
        # The last eight bytes of the body are a number of its own, so that no answer can pass for another's.
        self._tail = template[:-8]
        self._again = again
        self._tally = tally
        self._data = b""
        self._status = b""
        self._sent = b""
        self._stream = 0
        self._started = 0.0

    def send(self, number: int) -> None:
        self._sent = self._tail + number.to_bytes(8, "big")
        self._data = b""
        self._status = b""
        self._started = time.perf_counter()
        stream = self._connection.open_stream(self._headers, self)
        if stream is None:
            raise ConnectionError("the connection takes no more streams")
        self._stream = stream
        self._connection.send(stream, self._sent, end_stream=True)

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        if headers[0] != (b":status", b"200"):
            self._status = b"http " + headers[0][1]
        elif end_stream:
            self.on_trailers(headers)

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self._connection.acknowledge(self._stream, len(data))
        self._data = self._data + data if self._data else data

    def on_trailers(self, headers: Headers) -> None:
        for name, value in headers:
            if name == b"grpc-status":
                self._status = value
            elif name == b"grpc-message" and value:
                self._tally.first_failure = self._tally.first_failure or value.decode("ascii", "replace")

    def on_closed(self, error_code: int) -> None:
        tally = self._tally
        tally.latencies.append(time.perf_counter() - self._started)
        if self._status == b"0" and self._data == self._sent:
            tally.good += 1
        else:
            tally.fail(f"status {self._status!r}, {len(self._data)} bytes, stream error {error_code}")
        self._again(self)


class Load:
    """A closed loop of ``in_flight`` calls over a few connections."""

    def __init__(
        self, connections: list[Http2Connection], headers: Headers, size: int, in_flight: int
    ) -> None:
        self._number = 0
        self._until = 0.0
        self._last = 0
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        self.tally = Tally()
        template = message_of(size)
        self._slots = [
            _Slot(connections[i % len(connections)], headers, template, self._again, self.tally)
            for i in range(in_flight)
        ]

    async def run(self, seconds: float, calls: int = 0) -> float:
        """Run for so long, or so many calls if ``calls`` is given; returns the time until the last answer."""
        tally = self.tally
        tally.good = tally.bad = 0
        tally.latencies.clear()
        self._done = asyncio.get_running_loop().create_future()
        self._left = len(self._slots)
        begun = time.perf_counter()
        self._until = begun + (math.inf if calls else seconds)
        self._last = self._number + calls if calls else sys.maxsize
        for slot in self._slots:
            self._next(slot)
        await self._done
        return time.perf_counter() - begun

    def _next(self, slot: _Slot) -> None:
        self._number += 1
        slot.send(self._number)

    def _again(self, slot: _Slot) -> None:
        if self._number < self._last and time.perf_counter() < self._until and self.tally.bad < 100:
            self._next(slot)
            return
        self._left -= 1
        if not self._left and self._done is not None and not self._done.done():
            self._done.set_result(None)


class Counting:
    """One server stream whose every byte is compared as it comes."""

    def __init__(
        self, connection: Http2Connection, headers: Headers, messages: int, size: int, tally: Tally
    ) -> None:
        self._connection = connection
        self._expected = CountedMessages(messages, size)
        self._received = 0
        self._status = b""
        self._messages = messages
        self._tally = tally
        self._started = time.perf_counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream = connection.open_stream(headers, self)
        if stream is None:
            raise ConnectionError("the connection takes no more streams")
        self._stream = stream
        connection.send(stream, count_request(messages, size), end_stream=True)

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        if headers[0] != (b":status", b"200"):
            self._status = b"http " + headers[0][1]
        elif end_stream:
            self.on_trailers(headers)

    def on_data(self, data: bytes, end_stream: bool) -> None:
        if not self._received:
            self._tally.latencies.append(time.perf_counter() - self._started)
        self._received += len(data)
        if data != self._expected.take(len(data)):
            self._tally.fail(f"other bytes than expected before byte {self._received}")
        self._connection.acknowledge(self._stream, len(data))

    def on_trailers(self, headers: Headers) -> None:
        for name, value in headers:
            if name == b"grpc-status":
                self._status = value
            elif name == b"grpc-message" and value:
                self._tally.first_failure = self._tally.first_failure or value.decode("ascii", "replace")

    def on_closed(self, error_code: int) -> None:
        good = self._received // self._expected.length
        self._tally.good += good
        if self._status != b"0" or good != self._messages:
            self._tally.fail(f"status {self._status!r}, {good} messages, stream error {error_code}")
        self.done.set_result(None)


class StreamLoad:
    """Server streams beside each other; ``run`` ends with the last of them. Each message counts as a call."""

    def __init__(
        self,
        connections: list[Http2Connection],
        headers: Headers,
        size: int,
        in_flight: int,
        messages: int,
    ) -> None:
        self._connections = connections
        self._headers = headers
        self._size = size
        self._in_flight = in_flight
        self._messages = messages
        self.tally = Tally()

    async def run(self, seconds: float, calls: int = 0) -> float:
        """Open the streams, of ``calls`` messages in all if given (warm-up); returns the time until the last ended."""
        self.tally.good = self.tally.bad = 0
        self.tally.latencies.clear()
        begun = time.perf_counter()
        each = (calls or self._messages) // self._in_flight
        streams = [
            Counting(
                self._connections[i % len(self._connections)], self._headers, each, self._size, self.tally
            )
            for i in range(self._in_flight)
        ]
        for stream in streams:
            await stream.done
        return time.perf_counter() - begun


async def _connect(host: str, port: int, identity: Identity) -> Http2Connection:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    connection = Http2Connection(
        loop, Http2Limits(idle_seconds=None), Sweep(), on_ready=lambda _: ready.set_result(None)
    )
    await loop.create_connection(
        lambda: connection, host, port, ssl=identity.context(server=False), server_hostname="localhost"
    )
    await asyncio.wait_for(ready, 5)
    return connection


class Loading(Protocol):
    """What makes calls and checks what comes back."""

    tally: Tally

    async def run(self, seconds: float, calls: int = 0) -> float:
        """Run for so long, or so many calls; returns the time until the last answer."""


async def report(
    load: Loading,
    seconds: float,
    calls: int,
    warm_up: float,
    warm_up_calls: int = 0,
    on_result: Callable[[], None] = lambda: None,
) -> None:
    """Warm up, say ``ready``, wait for a line, run, print the result, wait until nobody wants us any more."""
    await load.run(warm_up, warm_up_calls)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    cpu = time.process_time()
    took = await load.run(seconds, calls)
    cpu = time.process_time() - cpu
    tally = load.tally
    latencies = sorted(tally.latencies) or [0.0]
    done = tally.good + tally.bad
    result = {
        "calls": done,
        "bad": tally.bad,
        "first_failure": tally.first_failure,
        "seconds": took,
        "per_second": tally.good / took,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1e3,
        "generator_us": cpu / max(done, 1) * 1e6,
    }
    on_result()
    print(json.dumps(result), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


async def _run(options: argparse.Namespace) -> None:
    identity = Identity(options.ca, options.certificate, options.key)
    metadata = tuple(tuple(one.encode("ascii").split(b"=", 1)) for one in options.metadata)
    path = COUNT if options.messages else CALL
    headers = request_headers(
        path.encode("ascii"), b"localhost", metadata, "identity", options.timeout_ms * 1000
    )
    count = min(options.connections, options.in_flight)
    connections = [await _connect(options.host, options.port, identity) for _ in range(count)]
    load: Load | StreamLoad = (
        StreamLoad(connections, headers, options.size, options.in_flight, options.messages)
        if options.messages
        else Load(connections, headers, options.size, options.in_flight)
    )
    gc.freeze()
    warm_up_calls = WARM_UP_MESSAGES if options.messages else 0
    await report(load, options.seconds, options.calls, options.warm_up, warm_up_calls)
    for connection in connections:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument(
        "--messages", type=int, default=0, help="server streams of so many in all, not unary calls"
    )
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--calls", type=int, default=0, help="so many calls, however long they take")
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--timeout-ms", type=int, default=20_000)
    parser.add_argument("--metadata", action="append", default=[], help="name=value, as often as needed")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
