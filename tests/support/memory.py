"""Memory of real workers while exchanges go through them."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc

from tests.support.federation import Member, calling, metadata
from tests.support.processes import ProcessFederation

IN_FLIGHT = 32


@dataclass(frozen=True)
class Curve:
    """Resident memory of one worker over the exchanges done, in KiB."""

    member: str
    exchanges: tuple[int, ...]
    kib: tuple[int, ...]

    @property
    def slope_kib_per_1000(self) -> float:
        """Of the straight line through the second half: a worker first fills its caches and pools."""
        half = len(self.exchanges) // 2
        xs, ys = self.exchanges[half:], self.kib[half:]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
        return 1000 * above / sum((x - mean_x) ** 2 for x in xs)

    def __str__(self) -> str:
        first, last = self.kib[0], self.kib[-1]
        return (
            f"{self.member}: {first} -> {last} KiB over {self.exchanges[-1]} exchanges, "
            f"{self.slope_kib_per_1000:+.1f} KiB per 1,000 in the second half"
        )


def measure(
    federation: ProcessFederation, count: int, *, samples: int = 20, message: bytes = b"x" * 200
) -> list[Curve]:
    """Let ``count`` exchanges go through, 32 at a time, every one of them answered; memory is read between batches."""
    members = (federation.pns, federation.anip)
    at: list[int] = []
    kib: dict[str, list[int]] = {one.id: [] for one in members}
    with federation.channel() as channel:
        for done in range(0, count + 1, count // samples):
            if done:
                exchange(channel, count // samples, message)
            federation.adapter.calls.clear()
            at.append(done)
            for one in members:
                kib[one.id].append(federation.memory_kib(one))
    return [Curve(one.id, tuple(at), tuple(kib[one.id])) for one in members]


def exchange(channel: grpc.Channel, count: int, message: bytes) -> None:
    """So many calls, each answered with what was asked; raises if one fails."""
    call = calling(channel)
    open_: deque[Any] = deque()
    for number in range(count):
        # With a deadline as programs have one: what the gateway keeps until then must be let go before.
        open_.append(call.future(message, metadata=metadata(x_road_id=f"n-{number}"), timeout=60))
        if len(open_) == IN_FLIGHT:
            assert open_.popleft().result() == message
    for one in open_:
        assert one.result() == message


def silent_connections(stack: ExitStack, members: tuple[Member, ...], count: int) -> None:
    """Strangers who connect to both ports of each member and say nothing."""
    for member in members:
        for port in (member.programs_port, member.road_port):
            for _ in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
