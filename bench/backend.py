"""The adapter of the benchmark: gives back every message, as cheaply as this machine allows.

``python -m bench.backend PORT --ca FILE --certificate FILE --key FILE``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path

from bench.tls import Identity
from core.clock import SystemClock
from gateway.worker.call import Call
from gateway.worker.edges import ProgramEdge, ProgramLimits, WholeRequests
from gateway.worker.http2 import Http2Limits
from gateway.worker.wire import Message


class _Ok:
    status = 0
    message = ""
    metadata = ()


_OK = _Ok()


def _echo(call: Call, messages: list[Message]) -> None:
    call.release((), messages, _OK)


def _gone(call: Call) -> None:
    """The caller left; nothing is held for it."""


async def _serve(port: int, identity: Identity) -> None:
    limits = ProgramLimits(
        http2=Http2Limits(idle_seconds=None), max_connections=4096, max_connections_per_program=4096
    )
    edge = ProgramEdge(WholeRequests(_echo, _gone), clock=SystemClock(), limits=limits)
    await edge.serve("127.0.0.1", port, identity.context(server=True))
    await asyncio.Event().wait()


def main() -> None:
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
