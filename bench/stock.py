"""The ends as people have them: a program and an adapter on stock grpcio (``grpc.aio``).

``python -m bench.stock serve PORT …`` is the adapter, ``python -m bench.stock load HOST PORT …`` the program; the
latter speaks with ``bench.measure`` as ``bench.generator`` does. Messages stay bytes:
what protobuf costs is no gateway's affair.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from bench.generator import Tally, report
from bench.messages import CALL, COUNT, CountedMessages, message_of, read_count_request
from bench.tls import Identity

_PREFIX_BYTES: Final = 5
_PATIENCE: Final = 100
_PAUSE_SECONDS: Final = 0.05
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.ssl_target_name_override", "localhost"),
)


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """MTLS, a client's certificate demanded."""
    pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], identity.ca.read_bytes(), require_client_auth=True)


def channel_to(host: str, port: int, identity: Identity) -> grpc.aio.Channel:
    """MTLS to ``localhost``."""
    credentials = grpc.ssl_channel_credentials(
        identity.ca.read_bytes(), identity.key.read_bytes(), identity.certificate.read_bytes()
    )
    return grpc.aio.secure_channel(f"{host}:{port}", credentials, _OPTIONS)


# --- the adapter ---


async def _call(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _count(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
    counted = CountedMessages(*read_count_request(b"\0" + len(request).to_bytes(4, "big") + request))
    while not counted.is_empty:
        yield counted.take(counted.length)[_PREFIX_BYTES:]


async def serve(port: int, identity: Identity) -> None:
    """Echo until ended."""
    service, _, call = CALL[1:].partition("/")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        call: grpc.unary_unary_rpc_method_handler(_call),
        COUNT.rpartition("/")[2]: grpc.unary_stream_rpc_method_handler(_count),
    }
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_secure_port(f"127.0.0.1:{port}", server_credentials(identity))
    await server.start()
    gc.freeze()
    await server.wait_for_termination()


# --- the program ---


class StockLoad:
    """A closed loop of ``in_flight`` calls, a task each, as a program on grpcio makes them."""

    def __init__(
        self,
        channels: Sequence[grpc.aio.Channel],
        metadata: Sequence[tuple[str, str]],
        size: int,
        in_flight: int,
        timeout: float,
        journal: Path | None = None,
    ) -> None:
        self._calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(CALL) for channel in channels
        ]
        self._metadata = tuple(metadata)
        self._tail = message_of(size)[_PREFIX_BYTES:-8]
        self._in_flight = in_flight
        self._timeout = timeout
        self._number = 0
        self._journal = None if journal is None else journal.open("w", encoding="ascii")
        self.tally = Tally()

    async def run(self, seconds: float, calls: int = 0) -> float:
        """Run for so long, or so many calls; returns the time until the last answer."""
        self.tally.good = self.tally.bad = 0
        self.tally.latencies.clear()
        begun = time.perf_counter()
        until = None if calls else begun + seconds
        last = self._number + calls
        async with asyncio.TaskGroup() as group:
            for slot in range(self._in_flight):
                group.create_task(self._keep_calling(slot, until, last))
        return time.perf_counter() - begun

    async def _keep_calling(self, slot: int, until: float | None, last: int) -> None:
        call, tally = self._calls[slot % len(self._calls)], self.tally
        # Who keeps a journal is there to see gateways die.
        patience = _PATIENCE if self._journal is None else sys.maxsize
        while tally.bad < patience and (
            self._number < last if until is None else time.perf_counter() < until
        ):
            self._number += 1
            reference = str(self._number)
            sent = self._tail + self._number.to_bytes(8, "big")
            begun = time.perf_counter()
            made = call(sent, metadata=self._metadata, timeout=self._timeout)
            self._note("sent", reference, digest=hashlib.sha256(sent).hexdigest())
            try:
                answer = await made
            except grpc.RpcError:
                code = await made.code()
                tally.fail(f"{code}: {await made.details()}")
                self._note("ended", reference, reason=code.name, delivery="unknown")
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            tally.latencies.append(time.perf_counter() - begun)
            if answer == sent:
                tally.good += 1
            else:
                tally.fail(f"{len(answer)} bytes came back that are not those sent")
            if self._journal is not None:
                told = {str(name): str(value) for name, value in await made.trailing_metadata()}
                self._note(
                    "acknowledged",
                    reference,
                    request=told.get("x-road-request-hash", ""),
                    exchange=told.get("x-road-exchange-id", ""),
                    digest=hashlib.sha256(answer).hexdigest(),
                )

    def _note(self, event: str, reference: str, **values: str) -> None:
        """A line of the journal that ``tests.support.checker`` reads."""
        if self._journal is not None:
            self._journal.write(json.dumps({"event": event, "reference": reference, **values}) + "\n")

    def close(self) -> None:
        """Write the journal out."""
        if self._journal is not None:
            self._journal.close()


async def _load(options: argparse.Namespace) -> None:
    identity = Identity(options.ca, options.certificate, options.key)
    count = min(options.connections, options.in_flight)
    channels = [channel_to(options.host, options.port, identity) for _ in range(count)]
    metadata = [(name, value) for name, _, value in (one.partition("=") for one in options.metadata)]
    timeout = options.timeout_ms / 1000
    load = StockLoad(channels, metadata, options.size, options.in_flight, timeout, options.journal)
    gc.freeze()
    await report(load, options.seconds, options.calls, options.warm_up, on_result=load.close)
    for channel in channels:
        await channel.close()


def main() -> None:
    """Serve or load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving, loading = commands.add_parser("serve"), commands.add_parser("load")
    loading.add_argument("host")
    for one in (serving, loading):
        one.add_argument("port", type=int)
        for name in ("--ca", "--certificate", "--key"):
            one.add_argument(name, type=Path, required=True)
    loading.add_argument("--size", type=int, default=4096)
    loading.add_argument("--in-flight", type=int, default=128)
    # As many programs make one channel as make several; two processes of grpcio never saturate one.
    loading.add_argument("--connections", type=int, default=4)
    loading.add_argument("--seconds", type=float, default=3.0)
    loading.add_argument("--calls", type=int, default=0)
    loading.add_argument("--warm-up", type=float, default=0.5)
    loading.add_argument("--timeout-ms", type=int, default=20_000)
    loading.add_argument("--metadata", action="append", default=[])
    loading.add_argument(
        "--journal", type=Path, help="what was sent and told goes there; failures do not end the run"
    )
    options = parser.parse_args()
    if options.command == "serve":
        asyncio.run(serve(options.port, Identity(options.ca, options.certificate, options.key)))
    else:
        asyncio.run(_load(options))


if __name__ == "__main__":
    main()
