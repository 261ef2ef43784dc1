"""One adapter as a process: a grpcio server over mTLS that only the member's own gateways may call."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.admission import admit_gateways
from adapters.interceptor import AdapterInterceptor
from adapters.refusals import Refusals
from adapters.settings import AdapterSettings
from core.clock import Clock
from pki.anchor import Anchor
from rpc.credentials import server_credentials
from rpc.files import read_private
from rpc.server import RpcServer

_log = structlog.get_logger()


def make_server(settings: AdapterSettings, clock: Clock) -> RpcServer:
    """A server to which plain servicers are added; every call passes ``adapters.interceptor`` first.

    Raises:
        ExchangeError: The key is unreadable or open to others, or the anchor is none.
        OSError: The certificate or the anchor cannot be read.
    """
    credentials = server_credentials(
        read_private(Path(settings.key)),
        Path(settings.certificate).read_bytes(),
        Anchor.read(Path(settings.anchor)).certificate.public_bytes(Encoding.PEM),
    )
    interceptor = AdapterInterceptor(
        settings.provider,
        admit_gateways(settings.pinned_gateways, clock),
        Refusals(settings.provider, settings.lang),
        # One more than may be followed: it refuses who comes after.
        ThreadPoolExecutor(settings.events.streams + 1, thread_name_prefix="streams"),
    )
    return RpcServer(credentials, limits=settings.limits, language=settings.lang, interceptors=(interceptor,))


def start(server: RpcServer, settings: AdapterSettings, services: Iterable[str]) -> int:
    """Listen and serve; returns the port.

    Raises:
        ExchangeError: ``PORT_IN_USE``.
    """
    port = server.listen(settings.listen)
    server.start(services)
    _log.info("adapter_started", adapter=settings.adapter, subsystem=settings.subsystem, port=port)
    return port
