"""Who is asked before our log signs: its last peers, the registry, and, for the time, both (PROTOCOL M5, M19).

A log that was just opened may be an older copy of itself, and a clock that was set may be wrong. Neither can be told from
what lies on this machine; those who hold a head of ours, and who have a clock of their own, can tell. Until they did, or
could not be reached for a while, statements are committed and nothing is signed, shown or sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from core.clock import Clock
from core.heads import parse_head
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import RegisteredLog
from core.succession import REGISTRY
from gateway.worker.headkeeper import ClockWatch
from gateway.worker.peerlog import FrameRefusedError
from gateway.worker.road import Road
from gateway.worker.trust import RegisteredGateway, TrustView

# How long a starting log waits for its last peers to say which of its heads they hold (PROTOCOL M5).
ASK_US: Final = 2_000_000
# How long a clock that was set waits for a peer's time to agree or to differ; alone, it is believed then.
DOUBT_US: Final = 30_000_000
# A peer that said once that our clock is wrong, and was not heard again, does not hold us up for longer.
CONTRADICTED_US: Final = 300_000_000

_events = structlog.get_logger("gateway.worker")


class Roads(Protocol):
    """The roads to all peers; ``roads.RoadTable`` is it."""

    holds_back: bool
    roads: dict[str, Road]

    def dial(self, gateway: RegisteredGateway, log: RegisteredLog) -> None:
        """Dial a peer's worker; its Hello tells which head of ours it holds, and its time."""

    def is_dialling(self, log: str) -> bool:
        """Whether a stream to this log is on its way and its Hello not judged yet."""

    def verify_held(self, held: bytes, view: TrustView, witness: str) -> int:
        """Size of a head of ours that somebody holds; one that our log cannot extend stops it, and raises."""

    def end_with(self, road: Road, error: FrameRefusedError) -> None:
        """End the stream of a peer, naming the reason."""


class Witnesses:
    """Whether our log may sign.

    Args:
        log: Our log's id.
        clock: Ours, which may be wrong.
        roads: The way to the peers.
        peers: Logs of the peers that we heard of before.
        asks_registry: Whether control asks the registry, and always tells what came of it; without control nobody does.
        on_settled: Called when the asking has ended.

    Attributes:
        is_asking: Whether nothing may be signed yet.
        is_confirmed: Whether anybody has said that this is the newest copy of our log.
        objection: Why new exchanges must wait for our clock.
    """

    def __init__(
        self,
        log: str,
        clock: Clock,
        roads: Roads,
        peers: Iterable[str],
        *,
        asks_registry: bool,
        on_settled: Callable[[], None],
    ) -> None:
        self._log = log
        self._clock = clock
        self._roads = roads
        self._on_settled = on_settled
        self._asked = set(peers)
        # Without peers the registry is the only witness there is; without control nobody can ask it.
        self._has_peers = bool(self._asked)
        self._awaits_registry = asks_registry
        self._registry_heads: tuple[bytes, ...] = ()
        self._ask_until_us = 0
        self.watch = ClockWatch(clock)
        self._doubts_clock = False
        self._contradicted_until_us = 0
        self.is_asking = True
        self.is_confirmed = not self._has_peers and not asks_registry
        self.objection: Reason | None = None

    # --- asking ---

    def ask(self, view: TrustView) -> None:
        """Is there a head of ours, out there, that this log cannot extend?

        Each Hello of a peer tells the newest that it holds. One answer is a witness; all are waited for, but not long.
        """
        for log in list(self._asked):
            gateway = view.by_log.get(log)
            if gateway is None or not gateway.admitted:
                self._asked.discard(log)
            else:
                self._roads.dial(gateway, next(one for one in gateway.logs if one.id == log))
        self.is_asking = bool(self._asked) or self._awaits_registry
        self._ask_until_us = self._clock.monotonic_us() + ASK_US

    def on_tick(self, now_us: int) -> None:
        """End the asking when every peer answered or cannot be reached, or when it took too long.

        A clock that a peer contradicts, and none bears out, signs nothing: neither at the start nor after it was set.
        """
        if not self.is_asking:
            return
        is_contradicted = now_us < self._contradicted_until_us
        waits = (
            self._doubts_clock
            or self._awaits_registry
            or any(self._roads.is_dialling(log) for log in self._asked)
        )
        if is_contradicted or (waits and now_us < self._ask_until_us):
            self.objection = Reason.CLOCK_SKEW if is_contradicted else self.objection
            return
        self.is_asking = self._doubts_clock = False
        self.objection = None
        self._let_go()
        if not self.is_confirmed:
            _events.warning("log.unconfirmed", peers=len(self._asked))
        self._on_settled()

    def _let_go(self) -> None:
        """Streams that were dialled only to ask for the time took nothing: others may be dialled now."""
        if not self._roads.holds_back:
            return
        self._roads.holds_back = False
        why = "dialled while our clock was in doubt: nothing began on it"
        for road in list(self._roads.roads.values()):
            if road.is_open and road.dialled_by == self._log:
                self._roads.end_with(road, FrameRefusedError(Reason.INTERRUPTED, why))

    # --- answers ---

    def on_road_opened(self, road: Road) -> None:
        """A peer's Hello was believed. One that holds no head of ours has witnessed nothing."""
        self._asked.discard(road.peer.log)
        self.is_confirmed = self.is_confirmed or road.sent_size > 0

    def on_receipt(self) -> None:
        """A peer verified a head of ours as going on from what it held: as good a witness as one that told it in Hello.

        The first stream of a successor, or to a peer that never met us, opens with nothing held.
        """
        self.is_confirmed = True

    def hear_registry(self, heads: tuple[bytes, ...], view: TrustView | None, *, answered: bool) -> None:
        """What the registry holds of our logs, or that it could not be asked. A head counts by our own seal alone."""
        self._awaits_registry = False
        # A log that neither a peer nor the registry ever saw a head of has shown none.
        self.is_confirmed = self.is_confirmed or (answered and not self._has_peers)
        self._registry_heads = tuple(one for one in heads if _log_of(one) == self._log)
        if view is not None:
            self.judge_registry(view)
            self.on_tick(self._clock.monotonic_us())

    def judge_registry(self, view: TrustView) -> None:
        """Compare what the registry told with our log, by a configuration that names our seal."""
        heads, self._registry_heads = self._registry_heads, ()
        for jws in heads:
            try:
                self.is_confirmed = self._roads.verify_held(jws, view, REGISTRY) > 0 or self.is_confirmed
            except ExchangeError as error:
                _events.error("registry.head", reason=str(error.reason), why=str(error))

    # --- the time ---

    def tell_time(self, is_ours: bool) -> None:
        """A peer's head, or its refusal, tells whether its clock is ours; while ours is in doubt that decides."""
        self._contradicted_until_us = 0 if is_ours else self._clock.monotonic_us() + CONTRADICTED_US
        if is_ours:
            self._doubts_clock = False

    def was_clock_set(self, view: TrustView) -> bool:
        """Whether the clock was set since the last call; then what time it is, is asked of all peers anew."""
        by_ms = self.watch.take()
        if not by_ms:
            return False
        _events.error("clock.set", by_s=by_ms // 1000)
        self.objection = Reason.CLOCK_SKEW
        why = f"our clock was set by {by_ms // 1000} s"
        for road in list(self._roads.roads.values()):
            if road.is_open:
                self._roads.end_with(road, FrameRefusedError(Reason.CLOCK_SKEW, why))
        self._asked = set(self._roads.roads)
        self.ask(view)
        self._doubts_clock = self._roads.holds_back = self.is_asking
        self._contradicted_until_us = 0
        self._ask_until_us = self._clock.monotonic_us() + DOUBT_US
        return True


def _log_of(jws: bytes) -> str:
    try:
        return parse_head(jws).unverified.log
    except MalformedError:
        return ""
