"""Requests of ours of which nobody here knows the end, and how they are resolved (PROTOCOL M4).

A request is in doubt from the moment at which bytes of it may have left and its exchange ended without an answer:
cancelled, out of time, the stream lost, or this process killed. It is resolved by its late answer, or by the peer's said
``outcome``, for which it is asked whenever a stream to that peer is open. The log is what remembers: after a restart
``recovery`` finds the same doubts again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from core.clock import Clock
from gateway.worker.frames import Outcome
from gateway.worker.road import Road

MAX_IN_DOUBT: Final = 10_000
# A few with every tick, well below what a peer's entry budget lets it log for us.
ASKED_AT_ONCE: Final = 16
ASK_AGAIN_US: Final = 10_000_000
# The answers themselves come first: on an open stream by themselves, on a new one with its first frames.
LET_ANSWERS_COME_US: Final = 1_000_000

Prove = Callable[[int, int], list[bytes]]


@dataclass(slots=True)
class _Doubt:
    request: bytes
    index: int
    ask_at_us: int


class Doubts:
    """All requests in doubt, by peer log; past the bound the oldest are forgotten, until the next start.

    Args:
        clock: The monotonic clock says when to ask again.
        prove: RFC 9162 inclusion path of one of our leaves, given its index and a size of our log.
    """

    def __init__(self, clock: Clock, prove: Prove) -> None:
        self._clock = clock
        self._prove = prove
        self._by_peer: dict[str, OrderedDict[str, _Doubt]] = {}
        self._peer_of: OrderedDict[str, str] = OrderedDict()
        self._not_before_us: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._peer_of)

    def __contains__(self, request: str) -> bool:
        return request in self._peer_of

    def add(self, request: bytes, peer: str, index: int) -> None:
        """Remember a request that was sent to ``peer`` and stands at ``index`` of our log.

        A negative index: it stands in a log that ours succeeds, and nothing of it can be proved in ours. It is not
        asked for; its late answer still resolves it.
        """
        name = request.hex()
        self._peer_of[name] = peer
        self._by_peer.setdefault(peer, OrderedDict())[name] = _Doubt(
            request, index, self._clock.monotonic_us() + LET_ANSWERS_COME_US
        )
        if len(self._peer_of) > MAX_IN_DOUBT:
            self._remove(next(iter(self._peer_of)))

    def resolve(self, request: str | None, peer: str) -> bool:
        """Whether ``request`` was in doubt until now; only the peer that it was sent to can resolve it."""
        if request is None or self._peer_of.get(request) != peer:
            return False
        self._remove(request)
        return True

    def readdress(self, speaker_of: Callable[[str], str]) -> None:
        """A peer's log may have a successor by now, which answers for it (PROTOCOL M4)."""
        for peer in list(self._by_peer):
            speaker = speaker_of(peer)
            if speaker != peer:
                moved = self._by_peer.pop(peer)
                self._by_peer.setdefault(speaker, OrderedDict()).update(moved)
                self._peer_of.update(dict.fromkeys(moved, speaker))

    def _remove(self, request: str) -> None:
        peer = self._peer_of.pop(request)
        waiting = self._by_peer[peer]
        del waiting[request]
        if not waiting:
            del self._by_peer[peer]

    def on_open(self, road: Road) -> None:
        """A stream to a peer opened."""
        self._not_before_us[road.peer.log] = self._clock.monotonic_us() + LET_ANSWERS_COME_US

    def ask(self, road: Road) -> None:
        """Ask the peer of ``road`` about a few of its requests, those first that wait longest.

        Only about what lies below the head that its last frame carried: the peer has passed it, so its answer is final.
        """
        waiting = self._by_peer.get(road.peer.log)
        size = road.proven_size
        if not waiting or size is None:
            return
        now_us = self._clock.monotonic_us()
        if now_us < self._not_before_us.get(road.peer.log, 0):
            return
        for name, one in list(islice(waiting.items(), ASKED_AT_ONCE)):
            if one.ask_at_us > now_us:
                return
            waiting.move_to_end(name)
            if 0 <= one.index < size:
                one.ask_at_us = now_us + ASK_AGAIN_US
                road.ask(Outcome(one.index, one.request, size, tuple(self._prove(one.index, size))))
