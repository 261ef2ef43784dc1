"""Where a worker may connect to: a registered address must not turn a gateway into a way to its own machine."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from gateway.settings import GatewaySettings
from gateway.worker.link import LinkDialler
from gateway.worker.roads import RoadChannel


class PolicyDialler:
    """Dials peers at addresses that ``allowed_networks`` admits; a name is resolved once and pinned."""

    def __init__(self, settings: GatewaySettings, links: LinkDialler) -> None:
        self._settings = settings
        self._links = links
        self._tasks: set[asyncio.Task[None]] = set()

    def dial(
        self,
        host: str,
        port: int,
        on_open: Callable[[RoadChannel], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """Connect and open the stream; exactly one of the two is called, later."""
        task = asyncio.get_running_loop().create_task(self._dial(host, port, on_open, on_failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(
        self,
        host: str,
        port: int,
        on_open: Callable[[RoadChannel], None],
        on_failed: Callable[[str], None],
    ) -> None:
        try:
            address = await _resolve(host, port)
        except (OSError, UnicodeError) as error:  # the latter: a name that IDNA cannot write
            on_failed(f"name not found: {error}")
            return
        if not self._settings.is_dialable(ipaddress.ip_address(address)):
            on_failed("ADDRESS_NOT_ALLOWED: not in an allowed network")
            return
        self._links.dial(address, port, on_open, on_failed)


async def _resolve(host: str, port: int) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return str(found[0][4][0])
