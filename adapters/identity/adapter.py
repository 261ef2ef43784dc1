"""ANIP's adapter, put together."""

from __future__ import annotations

from adapters.identity.service import SERVICE_NAME, IdentityService
from adapters.identity.store import PersonStore, open_store
from adapters.server import make_server
from adapters.settings import AdapterSettings
from bj.identity.v1 import identity_pb2_grpc
from core.clock import Clock
from rpc.server import RpcServer

SERVICES = (SERVICE_NAME,)


def make_adapter(settings: AdapterSettings, clock: Clock) -> tuple[RpcServer, PersonStore]:
    """The server with its servicer, and the store to be closed after it.

    Raises:
        ExchangeError: The store's schema is not this version's, or the server's files cannot be used.
    """
    store = open_store(settings.database)
    server = make_server(settings, clock)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(IdentityService(store, clock), server.grpc)
    return server, store
