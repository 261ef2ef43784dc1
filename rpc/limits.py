"""Bounds of one grpcio server, as a part of a TOML file; loads without grpcio, so that any settings can name them."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one server; the defaults held against floods in tests (RELIABILITY section 3b).

    Attributes:
        threads: Calls that are worked on at once; streams that wait take none.
        max_concurrent_streams: Calls of one connection at once.
        handshake_timeout_ms: A silent connection is closed after it.
        max_metadata_bytes: Metadata of one call.
        max_message_bytes: One message, in both directions.
    """

    threads: int = 8
    max_concurrent_streams: int = 100
    handshake_timeout_ms: int = 3_000
    max_metadata_bytes: int = 16 * 1024
    max_message_bytes: int = 4 * 1024 * 1024

    def options(self) -> list[tuple[str, int]]:
        """The same as grpcio's options."""
        return [
            ("grpc.max_concurrent_streams", self.max_concurrent_streams),
            ("grpc.server_handshake_timeout_ms", self.handshake_timeout_ms),
            ("grpc.max_metadata_size", self.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            # A second process on the same port must fail, not share it.
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ]
