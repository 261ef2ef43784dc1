"""A listening socket: what has not finished its TLS handshake is bounded, and makes room for what comes.

Anyone who reaches the port can open connections and say nothing, or half a handshake. asyncio's own server holds each
until its timeout, as many as there are, and never says that one failed. Here the one that has waited longest is let go
when a newcomer finds no room (as a SYN cache does): honest handshakes take milliseconds, so it is the silent ones that
go, and no stranger can keep programs or peers out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.shared_port import BACKLOG, LEFT_TO_OTHERS_S, Share

ACCEPTED_AT_ONCE: Final = 64
# Out of descriptors or memory: those that are served give some back sooner or later, the port comes back by itself.
PAUSE_SECONDS: Final = 0.1
_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """One port.

    Args:
        new_connection: Makes the protocol of each connection; asyncio tells it of those whose handshake succeeds.
        counters: Where ``connections_opened``, ``handshakes_failed``, ``handshakes_dropped`` and
            ``accept_paused`` are counted.
        handshakes: Connections that may be in their handshake at once.
        handshake_seconds: Time for one handshake.
    """

    def __init__(
        self,
        new_connection: Callable[[], asyncio.BaseProtocol],
        counters: Counter[str],
        *,
        handshakes: int,
        handshake_seconds: float,
    ) -> None:
        self._new_connection = new_connection
        self._counters = counters
        self._handshakes = handshakes
        self._handshake_seconds = handshake_seconds
        self._pending: dict[asyncio.Task[None], None] = {}
        self._socket: socket.socket | None = None
        self._share: Share | None = None
        self._tls: ssl.SSLContext | None = None

    @property
    def in_handshake(self) -> int:
        """Connections that have not finished their handshake."""
        return len(self._pending)

    def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Bind and accept; returns the address bound to.

        Raises:
            OSError: The address cannot be bound.
        """
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return self._begin_on(socket.create_server((host, port), family=family, backlog=BACKLOG), tls)

    def listen_together(
        self, share: Share, listening: socket.socket, tls: ssl.SSLContext | None
    ) -> tuple[str, int]:
        """Accept, in turn with other workers, from a socket that control bound; returns the address.

        Raises:
            OSError: Another program listens there.
        """
        listening.listen(BACKLOG)
        self._share = share
        return self._begin_on(listening, tls)

    def _begin_on(self, listening: socket.socket, tls: ssl.SSLContext | None) -> tuple[str, int]:
        listening.setblocking(False)
        self._socket, self._tls = listening, tls
        self._watch()
        bound = listening.getsockname()
        return bound[0], bound[1]

    def close(self) -> None:
        """Accept nothing more; handshakes under way are given up."""
        listening, self._socket = self._socket, None
        if self._share is not None:
            self._share.close()
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        for task in tuple(self._pending):
            task.cancel()

    # Inside

    def _watch(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        if self._share is None:
            self._accept_some(ACCEPTED_AT_ONCE)
        elif self._share.is_first:
            # One at a time: what comes at once is for all of us.
            self._accept_some(1)
        elif self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.call_later(LEFT_TO_OTHERS_S, self._accept_what_is_left)

    def _accept_what_is_left(self) -> None:
        """Whoever had fewer was given a moment; what still waits is taken here, if anything is to be taken here."""
        if self._socket is None or self._share is None:
            return
        self._watch()
        if self._share.is_open or not self._share.has_others:
            self._accept_some(1)

    def _accept_some(self, count: int) -> None:
        for _ in range(count):
            if self._socket is None:
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORTAGE:
                    raise
                self._pause(self._socket)
                return
            if self._share is not None:
                self._share.took()
            accepted.setblocking(False)
            self._begin(accepted)

    def _pause(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._counters["accept_paused"] += 1
        loop.remove_reader(listening)
        loop.call_later(PAUSE_SECONDS, self._watch)

    def _begin(self, accepted: socket.socket) -> None:
        self._counters["connections_opened"] += 1
        if len(self._pending) >= self._handshakes:
            self._counters["handshakes_dropped"] += 1
            longest = next(iter(self._pending))
            del self._pending[longest]
            longest.cancel()
        task = asyncio.get_running_loop().create_task(self._handshake(accepted))
        self._pending[task] = None
        task.add_done_callback(self._done)

    async def _handshake(self, accepted: socket.socket) -> None:
        """One task per connection, for its handshake only."""
        try:
            if self._tls is not None:
                # A TLS engine holds buffers of 256 KiB: nothing is set up for who says nothing.
                async with asyncio.timeout(self._handshake_seconds):
                    await _first_byte(accepted)
        except OSError:
            self._counters["handshakes_failed"] += 1
            accepted.close()
            return
        except asyncio.CancelledError:
            accepted.close()
            raise
        try:
            # From here on the socket is the transport's. Closed under it, its number would serve the next connection
            # while the transport still waits for what comes on it.
            await asyncio.get_running_loop().connect_accepted_socket(
                self._new_connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds if self._tls else None,
                ssl_shutdown_timeout=1.0 if self._tls else None,
            )
        except OSError:
            # Silence, garbage, a stranger's certificate, an older TLS: the peer's affair. What ssl and timeouts raise
            # are OSErrors.
            self._counters["handshakes_failed"] += 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._pending.pop(task, None)
        if self._share is not None:
            self._share.settled()


async def _first_byte(accepted: socket.socket) -> None:
    """Wait until there is something to read; in TLS the client speaks first."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(accepted, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(accepted)


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
