"""Bytes for a protocol that lends asyncio a buffer, as asyncio hands them over."""

from __future__ import annotations

import asyncio


def feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Let ``data`` arrive, in as many pieces as the buffer is long."""
    while data:
        buffer = memoryview(protocol.get_buffer(-1))
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]
