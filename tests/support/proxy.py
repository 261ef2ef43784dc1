"""A TCP proxy on loopback that stops forwarding as a dead link does: no reset, no end, in one direction or both."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

from tests.support.loopback import LoopThread

Direction = Literal["up", "down"]


class Link:
    """Forwards connections to a port of this machine.

    Bytes that come while a direction is dead are delivered when it heals, as TCP sends them again.

    Args:
        loop: Where it runs; not that of what it connects.
        target: The port that it forwards to.
        port: The port that it listens on; 0: one that is free.
    """

    def __init__(self, loop: LoopThread, target: int, port: int = 0) -> None:
        self._loop = loop
        self._target = target
        self._alive: dict[Direction, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = loop.run(self._serve(port))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.heal()

    def kill(self, *directions: Direction) -> None:
        """Nothing passes any more; ``up`` is from who dialled to the target."""

        def kill() -> None:
            for one in directions:
                self._alive[one].clear()

        self._loop.do(kill)

    def heal(self) -> None:
        """Everything passes again, what waited first."""

        def heal() -> None:
            for one in self._alive.values():
                one.set()

        self._loop.do(heal)

    def cut(self) -> None:
        """Reset every connection."""

        def cut() -> None:
            for one in tuple(self._writers):
                one.transport.abort()

        self._loop.do(cut)

    def close(self) -> None:
        """End all."""
        self.cut()
        self._loop.do(self._server.close)

    async def _serve(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            for one in self._alive.values():
                await one.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(far_writer)
            with contextlib.suppress(asyncio.IncompleteReadError):
                await asyncio.gather(
                    self._pump(reader, far_writer, self._alive["up"]),
                    self._pump(far_reader, writer, self._alive["down"]),
                )
            self._writers.discard(far_writer)
        # Nobody listens there: who dialled is told at once, as without a link between.
        writer.close()
        self._writers.discard(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alive: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await alive.wait()
                writer.write(data)
                await writer.drain()
        await alive.wait()
        writer.close()
