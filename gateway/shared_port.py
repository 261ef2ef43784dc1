"""The ports of programs of a gateway with several workers: sockets that control binds and all workers accept from.

Bound without SO_REUSEPORT: with it, any process of the same user, a second gateway or a grpcio server that sets it by
default, would be given a share of the connections and nobody would be told (ADR 0023). So the kernel refuses whoever
comes second, and control names who came first.

Programs keep few connections for long, so that each new one matters. Workers say in memory that they share how many
they have: who has the fewest takes the next at once, the others leave it a moment. Nobody is ever waited for longer
than that, and what is written there decides nothing else.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from core.reasons import ExchangeError, Reason
from gateway.settings import HostPort
from rpc.ports import require_free

BACKLOG: Final = 512
# For longer than an idle worker takes to wake up on a busy machine, shorter than a person notices.
LEFT_TO_OTHERS_S: Final = 0.02
# A worker that takes no connections: it does not run, drains, or cannot carry exchanges now.
_ABSENT: Final = 0xFFFF_FFFF
_SLOT: Final = struct.Struct("=I")


class Loads:
    """How many connections of programs each worker has, in memory of all of them.

    Args:
        descriptor: Of the memory, a memfd; it may be closed afterwards.
        workers: How many there are.
    """

    def __init__(self, descriptor: int, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, workers * _SLOT.size)
        self._workers = workers

    def say(self, worker: int, connections: int) -> None:
        """Tell the others how many there are here."""
        # Four aligned bytes: a reader sees the old number or the new one.
        _SLOT.pack_into(self._memory, worker * _SLOT.size, connections)

    def withdraw(self, worker: int) -> None:
        """This worker takes none."""
        self.say(worker, _ABSENT)

    def of(self, worker: int) -> int | None:
        """How many a worker has; ``None`` if it takes none."""
        (found,) = _SLOT.unpack_from(self._memory, worker * _SLOT.size)
        return None if found == _ABSENT else int(found)

    def others(self, worker: int) -> list[int]:
        """How many each other worker has, of those that take any."""
        found = [self.of(one) for one in range(self._workers) if one != worker]
        return [one for one in found if one is not None]


class SharedPorts:
    """Control's end: holds the ports as long as it runs, and the memory beside them.

    The sockets exist from the start, so that workers can be told their numbers; they are bound by ``bind`` and listen
    from when the first worker does.

    Raises:
        ExchangeError: ``PORT_IN_USE``: an address is a name that nobody knows.
    """

    def __init__(self, addresses: Sequence[HostPort], workers: int) -> None:
        self._sockets = [(address, _new_socket(address)) for address in addresses]
        self._memory = os.memfd_create("passerelle-loads")
        os.ftruncate(self._memory, workers * _SLOT.size)
        self.loads = Loads(self._memory, workers)
        for worker in range(workers):
            self.loads.withdraw(worker)
        self._bound: set[socket.socket] = set()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What workers inherit: the memory, then the sockets in the order of their addresses."""
        return self._memory, *(one.fileno() for _, one in self._sockets)

    @property
    def arguments(self) -> list[str]:
        """The same for their command line."""
        return ["--shared-ports", ",".join(map(str, self.descriptors))]

    @property
    def ports(self) -> list[int]:
        """The ports that are bound, in the order of their addresses."""
        return [int(one.getsockname()[1]) for _, one in self._sockets]

    def bind(self) -> None:
        """Take the ports, for as long as any process of this gateway has the sockets.

        Raises:
            ExchangeError: ``PORT_IN_USE``, naming the process that holds one; it may be called again.
        """
        for address, one in self._sockets:
            if one in self._bound:
                continue
            require_free(str(address))
            try:
                one.bind((address.host, address.port))
            except OSError as error:
                text = f"cannot listen on {address}: {error.strerror}"
                raise ExchangeError(Reason.PORT_IN_USE, text) from error
            self._bound.add(one)

    def hang_up(self) -> None:
        """No worker runs: programs learn at once that nobody is there, instead of waiting in the queue.

        The ports stay ours. A worker that starts listens again.
        """
        for _, one in self._sockets:
            with suppress(OSError):  # nobody listened
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go: the workers that still drain hold them until they are gone, and accept nothing."""
        for _, one in self._sockets:
            one.close()
        os.close(self._memory)


def _new_socket(address: HostPort) -> socket.socket:
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise ExchangeError(Reason.PORT_IN_USE, f"cannot listen on {address}: {error.strerror}") from error
    made = socket.socket(family, socket.SOCK_STREAM)
    # As ``socket.create_server`` does for a worker that is alone.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


class Share:
    """A worker's end: accepts from the sockets that control bound, in turn with the others.

    Args:
        sockets: The sockets; closed by whoever listens on them.
        loads: The memory.
        worker: Whose share it is.
    """

    def __init__(self, sockets: Sequence[socket.socket], loads: Loads, worker: int) -> None:
        self.sockets = sockets
        self._loads = loads
        self._worker = worker
        self._connections = 0
        self._in_handshake = 0
        self.is_open = False

    @classmethod
    def inherited(cls, descriptors: Sequence[int], workers: int, worker: int) -> Share:
        """What control handed over at the start, as ``SharedPorts.arguments`` tells."""
        memory, *ports = descriptors
        share = cls([socket.socket(fileno=one) for one in ports], Loads(memory, workers), worker)
        os.close(memory)
        for one in share.sockets:
            os.set_inheritable(one.fileno(), False)
        return share

    def say(self, connections: int) -> None:
        """Tell the others how many connections there are here past their handshake, and whether there may be more."""
        self._connections = connections
        if self.is_open:
            self._loads.say(self._worker, self._held)
        else:
            self._loads.withdraw(self._worker)

    def took(self) -> None:
        """One more connection was accepted here."""
        self._in_handshake += 1
        self.say(self._connections)

    def settled(self) -> None:
        """The handshake of one has ended; whether it stayed, ``say`` will tell."""
        self._in_handshake -= 1
        self._connections += 1

    @property
    def _held(self) -> int:
        return self._connections + self._in_handshake

    @property
    def has_others(self) -> bool:
        """Whether another worker takes connections."""
        return bool(self._loads.others(self._worker))

    @property
    def is_first(self) -> bool:
        """Whether the next connection is for us: nobody who takes any has fewer."""
        others = self._loads.others(self._worker)
        if not self.is_open:
            # Where nobody can carry exchanges somebody must say why.
            return not others
        return self._held <= min(others, default=self._held)

    @property
    def surplus(self) -> int:
        """How many connections there are here more than at the worker that has the fewest."""
        others = self._loads.others(self._worker)
        return max(0, self._held - min(others)) if self.is_open and others else 0

    def close(self) -> None:
        """Take no more, for good."""
        self.is_open = False
        self._loads.withdraw(self._worker)
