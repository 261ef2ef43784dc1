"""Load generator: a program that keeps N calls in flight and checks every byte that comes back.

``python -m bench.generator HOST PORT --ca … --certificate … --key … --size 4096 --in-flight 128 --seconds 3``

It connects, warms up, prints ``ready``, waits for a line on stdin, runs, and prints its result as one line of JSON. A
response counts as good only with HTTP 200, grpc-status 0 and exactly the bytes that were sent: each request has its own.
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
from typing import Final

from bench.tls import Identity
from gateway.worker.http2 import Headers, Http2Connection, Http2Limits, Sweep
from gateway.worker.wire import request_headers

PATH: Final = "/bench.v1.EchoService/Call"
_HEADER_BYTES: Final = 5


def message_of(size: int) -> bytes:
    """A ``bench.v1.CallRequest`` of exactly ``size`` bytes, with its gRPC prefix.

    Raises:
        ValueError: No such message has this size (130 is one: its length takes one byte too few or too many).
    """
    for length_bytes in (1, 2, 3, 4):
        length = size - 1 - length_bytes
        encoded = _varint(length) if length >= 0 else b""
        if len(encoded) == length_bytes:
            body = (b"passerelle" * (length // 10 + 1))[:length]
            return b"\0" + size.to_bytes(4, "big") + b"\x0a" + encoded + body
    raise ValueError(f"no CallRequest has {size} bytes")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


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


async def _run(options: argparse.Namespace) -> None:
    identity = Identity(options.ca, options.certificate, options.key)
    metadata = tuple(tuple(one.encode("ascii").split(b"=", 1)) for one in options.metadata)
    headers = request_headers(
        options.path.encode("ascii"), b"localhost", metadata, "identity", options.timeout_ms * 1000
    )
    count = min(options.connections, options.in_flight)
    connections = [await _connect(options.host, options.port, identity) for _ in range(count)]
    load = Load(connections, headers, options.size, options.in_flight)
    gc.freeze()
    await load.run(options.warm_up)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    cpu = time.process_time()
    seconds = await load.run(options.seconds, options.calls)
    cpu = time.process_time() - cpu
    tally = load.tally
    latencies = sorted(tally.latencies)
    calls = tally.good + tally.bad
    result = {
        "calls": calls,
        "bad": tally.bad,
        "first_failure": tally.first_failure,
        "seconds": seconds,
        "per_second": tally.good / seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1e3,
        "generator_us": cpu / calls * 1e6,
    }
    print(json.dumps(result), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
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
    parser.add_argument("--path", default=PATH)
    parser.add_argument("--size", type=int, default=4096)
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
