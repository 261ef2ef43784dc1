"""Ports that nobody else is given: bound from when they are chosen, so that no test of another run takes them.

A port that is free when it is asked for is anybody's a moment later: the kernel gives it to the next connection, or to
the next server that takes what is free, in this suite or in one beside it. One that is bound is given to nobody; who
listens says ``SO_REUSEADDR``, as all servers here do, and binds beside it, again after each of its deaths.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class HeldPorts:
    """Ports on 127.0.0.1, held until ``close``; nobody listens on them unless a test does."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def new(self) -> int:
        """One more port."""
        holder = self._held.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])

    def close(self) -> None:
        """Let go of all of them."""
        self._held.close()


@contextmanager
def held_port() -> Iterator[int]:
    """One port for as long as the block runs."""
    ports = HeldPorts()
    try:
        yield ports.new()
    finally:
        ports.close()
