"""The official test server of gRPC as a ministry runs one: on a loopback address, over mutual TLS with its gateway.

``python -P official_server.py ADDRESS DIRECTORY``, with ``var/interop/python`` in ``PYTHONPATH`` for its ``tests``.
It differs from their ``tests/interop/server.py`` by the port alone: theirs listens on every address.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import grpc


def main(address: str, directory: Path) -> None:
    """Serve until killed."""
    server: grpc.Server = import_module("tests.unit.test_common").test_server()
    servicer = import_module("tests.interop.service").TestService()
    import_module("src.proto.grpc.testing.test_pb2_grpc").add_TestServiceServicer_to_server(servicer, server)
    pair = (directory / "adapter.key").read_bytes(), (directory / "adapter.crt").read_bytes()
    credentials = grpc.ssl_server_credentials(
        [pair], (directory / "root.crt").read_bytes(), require_client_auth=True
    )
    server.add_secure_port(address, credentials)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
