"""The program of a soak: keeps calls in flight at full speed, checks each message it gets, and keeps a journal.

``python -m tests.support.soak.program HOST PORT JOURNAL LATENCIES --calls 864000 --ca … --certificate … --key …``

Calls are as ``plans`` says. A call that ends otherwise than planned, since a gateway died or an adapter was away, is
written down as ended and made up for by another one: ``--calls`` counts those that ended as planned. Who was told that
something is away waits a little before it tries again. Each second one line of JSON on standard output says how far it
is; ``LATENCIES`` gets begin and duration of each unary call that was answered, in seconds on the monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import random
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bench.tls import Identity
from gateway.worker.http2 import ErrorCode, Headers, Http2Connection, Http2Limits, Sweep
from gateway.worker.wire import request_headers
from tests.support.soak.journals import Journal
from tests.support.soak.plans import HEADER, REQUEST, RESPONSE, Messages, Plan, plans

_METADATA: Final = (
    (b"x-road-client", b"BJ/GOV/PNS/PORTAIL"),
    (b"x-road-purpose", b"P01"),
    (b"x-road-issue", b"ACT-202611-0001"),
)
_OK, _DEADLINE_EXCEEDED, _PERMISSION_DENIED = 0, 4, 7
# Nothing of ours keeps a call open so long behind its deadline.
_OVERDUE_S: Final = 60.0
_PAUSE_S: Final = (0.05, 0.4)
_REPORT_S: Final = 0.25


class Call:
    """One call of the program."""

    __slots__ = (
        "_connection",
        "_is_cancelled",
        "_messages",
        "_run",
        "_sent",
        "_status",
        "_stream",
        "_timers",
        "_trailers",
        "plan",
        "started",
    )

    def __init__(self, run: Run, connection: Http2Connection, plan: Plan) -> None:
        self._run = run
        self._connection = connection
        self.plan = plan
        self._messages = Messages(plan, RESPONSE)
        self._status: int | None = None
        self._trailers: dict[bytes, bytes] = {}
        self._is_cancelled = False
        self._sent = 0
        self._stream = 0
        self._timers: list[asyncio.TimerHandle] = []
        self.started = time.monotonic()

    def begin(self) -> bool:
        """Send it; false: the connection takes no more."""
        plan, connection = self.plan, self._connection
        metadata = (*_METADATA, (b"x-road-id", plan.reference.encode("ascii")), (HEADER, plan.encode()))
        headers = request_headers(plan.path, b"localhost", metadata, "identity", plan.deadline_ms * 1000)
        stream = connection.open_stream(headers, self)
        if stream is None:
            return False
        self._stream = stream
        loop = connection.loop
        if plan.kind == "pingpong":
            self._send_next()
        else:
            messages = [plan.message(REQUEST, index) for index in range(plan.requests)]
            connection.send(stream, b"".join(messages), end_stream=True)
        if plan.cancel_ms is not None:
            self._timers.append(loop.call_later(plan.cancel_ms / 1000, self._cancel))
        self._timers.append(loop.call_later(plan.deadline_ms / 1000 + _OVERDUE_S, self._give_up))
        return True

    def _send_next(self) -> None:
        message = self.plan.message(REQUEST, self._sent)
        self._sent += 1
        self._connection.send(self._stream, message, end_stream=self._sent == self.plan.requests)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._connection.reset(self._stream)

    def _give_up(self) -> None:
        self._run.counts["overdue"] += 1
        self._connection.reset(self._stream)

    def on_headers(self, headers: Headers, end_stream: bool) -> None:
        if end_stream:
            self.on_trailers(headers)

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self._connection.acknowledge(self._stream, len(data))
        came = self._messages.take(data)
        if self.plan.kind == "pingpong":
            for _ in range(came):
                if self._sent < self.plan.requests:
                    self._send_next()

    def on_trailers(self, headers: Headers) -> None:
        self._trailers = dict(headers)
        self._status = int(self._trailers.get(b"grpc-status", b"2"))

    def on_closed(self, error_code: int) -> None:
        for timer in self._timers:
            timer.cancel()
        self._run.end(self, self._told(error_code))

    def _told(self, error_code: int) -> str:
        """Write down how it ended; returns a word for it, ``planned`` if it was to end so."""
        plan, messages, journal = self.plan, self._messages, self._run.journal
        if messages.wrong:
            journal.write("wrong", why=messages.wrong)
        if messages.count and self.plan.is_stream:
            journal.write("received", reference=plan.reference, messages=messages.count)
        if self._status == _OK:
            request = self._trailers.get(b"x-road-request-hash", b"").decode("ascii")
            journal.write("acknowledged", reference=plan.reference, request=request)
            if messages.count != plan.responses or not messages.is_whole:
                journal.write("wrong", why=f"{plan.reference}: {messages.count} of {plan.responses} answers")
            return "acknowledged"
        reason, delivery = self._refusal()
        journal.write("ended", reference=plan.reference, reason=reason, delivery=delivery)
        if self._is_cancelled:
            return "cancelled"
        if self._status is None:
            return "connection lost" if error_code == ErrorCode.CONNECTION_LOST else f"reset {error_code}"
        if self._status == _DEADLINE_EXCEEDED and plan.linger_ms:
            return "out of time"
        if self._status in ((_PERMISSION_DENIED,) if plan.kind == "forbidden" else (plan.status or -1,)):
            return "refused"
        return reason

    def _refusal(self) -> tuple[str, str]:
        """Reason and delivery, as a gateway tells them; what an adapter said tells neither."""
        if self._status is None:
            return "CANCELLED" if self._is_cancelled else "UNAVAILABLE", "unknown"
        details = self._trailers.get(b"grpc-status-details-bin", b"")
        status, info = Status(), ErrorInfo()
        status.ParseFromString(base64.b64decode(details + b"=" * (-len(details) % 4)))
        for detail in status.details:
            if detail.Unpack(info):
                return info.reason, info.metadata.get("delivery", "unknown")
        return f"STATUS_{self._status}", "unknown"


# Everything else was not planned: its call is made up for.
PLANNED: Final = frozenset({"acknowledged", "cancelled", "out of time", "refused"})


class Run:
    """A closed loop of calls over a few connections, which are made again whenever they break."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.journal = Journal(options.journal)
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self._options = options
        self._identity = Identity(options.ca, options.certificate, options.key)
        self._context = self._identity.context(server=False)
        self._plans: Iterator[Plan] = plans(options.seed)
        self._chance = random.Random(options.seed)
        self._loop = asyncio.get_running_loop()
        self._sweep = Sweep()
        self._open: list[Http2Connection] = []
        self._waiting = 0
        self._in_flight = 0
        self._planned = 0
        self._next = 0
        self._done = self._loop.create_future()
        self._latencies = array("d")
        self._connecting: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """All calls; returns when the last has ended."""
        options = self._options
        self._connecting = [asyncio.create_task(self._keep_connected()) for _ in range(options.connections)]
        self._waiting = options.in_flight
        reporting = asyncio.create_task(self._report())
        await self._done
        reporting.cancel()
        for task in self._connecting:
            task.cancel()
        for connection in self._open:
            connection.close()
        with options.latencies.open("wb") as file:
            self._latencies.tofile(file)
        print(json.dumps(self._state()), flush=True)

    def _state(self) -> dict[str, object]:
        return {"planned": self._planned, "counts": self.counts, "kinds": self.kinds}

    async def _report(self) -> None:
        while True:
            print(json.dumps(self._state()), flush=True)
            await asyncio.sleep(_REPORT_S)

    async def _keep_connected(self) -> None:
        options = self._options
        while True:
            await self._connect_once(options.host, options.port)
            await asyncio.sleep(0.1)

    async def _connect_once(self, host: str, port: int) -> None:
        """Connect, and return when the connection has closed, or could not be made."""
        closed: asyncio.Future[None] = self._loop.create_future()

        def on_closed(one: Http2Connection) -> None:
            if one in self._open:
                self._open.remove(one)
            if not closed.done():
                closed.set_result(None)

        connection = Http2Connection(
            self._loop,
            Http2Limits(idle_seconds=None, connection_window_bytes=64 * 1024 * 1024),
            self._sweep,
            on_ready=self._on_ready,
            on_closed=on_closed,
        )
        making = self._loop.create_connection(
            lambda: connection, host, port, ssl=self._context, server_hostname="localhost"
        )
        try:
            await asyncio.wait_for(making, 10)
            await closed
        except OSError:  # TimeoutError and ssl.SSLError among them
            connection.close()

    def _on_ready(self, connection: Http2Connection) -> None:
        self._open.append(connection)
        waiting, self._waiting = self._waiting, 0
        for _ in range(waiting):
            self._call()

    def _call(self) -> None:
        """Make the next call, on the next connection that takes it."""
        if self._planned + self._in_flight >= self._options.calls:
            self._end_slot()
            return
        self._next += 1
        for offset in range(len(self._open)):
            connection = self._open[(self._next + offset) % len(self._open)]
            if not connection.is_open or connection.draining:
                continue
            if Call(self, connection, next(self._plans)).begin():
                self._in_flight += 1
                return
        self._waiting += 1
        # One that drains is replaced once it has closed; others may be on their way.
        self._loop.call_later(0.1, self._retry)

    def _retry(self) -> None:
        if self._waiting and self._open:
            self._waiting -= 1
            self._call()

    def _end_slot(self) -> None:
        if not self._in_flight and not self._done.done() and self._planned >= self._options.calls:
            self._done.set_result(None)

    def end(self, call: Call, told: str) -> None:
        """A call ended; another one takes its place."""
        self._in_flight -= 1
        self.counts[told] += 1
        if told in PLANNED:
            self._planned += 1
            self.kinds[call.plan.kind] += 1
            if told == "acknowledged" and call.plan.kind == "unary" and not call.plan.linger_ms:
                self._latencies.append(call.started)
                self._latencies.append(time.monotonic() - call.started)
            self._call()
        else:
            self._loop.call_later(self._chance.uniform(*_PAUSE_S), self._call)


async def _run(options: argparse.Namespace) -> None:
    run = Run(options)
    gc.freeze()
    await run.run()


def main() -> None:
    """Run all calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("journal", type=Path)
    parser.add_argument("latencies", type=Path)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
