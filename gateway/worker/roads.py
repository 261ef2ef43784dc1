"""The roads to all peers: dialling, Hello, and which of two streams stays (PROTOCOL M5, "The road").

Nothing but Hello is read from a stream before it is verified: the log must be registered for the gateway whose pinned
certificate TLS presented, and the head of our own log that the peer holds must be one that we can extend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from core.clock import Clock
from core.heads import parse_head
from core.identifiers import require_log_id
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import RegisteredLog, parse_address
from gateway.stopped import StoppedState, Tree, verdict_on
from gateway.worker.frames import (
    Chunk,
    Credit,
    Drain,
    Hello,
    Message,
    Outcome,
    UnverifiedFrame,
    decode_message,
    encode_drain,
    encode_hello,
)
from gateway.worker.peerlog import FrameRefusedError
from gateway.worker.road import Road
from gateway.worker.trust import Grant, RegisteredGateway, TrustView
from pki.heads import verify_head

VERSIONS: Final = (1,)
REDIAL_FIRST_US: Final = 200_000
REDIAL_LONGEST_US: Final = 1_000_000
UNREGISTERED_WAIT_US: Final = 2_000_000
# What a peer, whose certificate TLS verified, may tell as the reason for which it took no stream of ours; and what
# calls that waited for it are told in place of PEER_UNREACHABLE.
NAMED: Final = frozenset(
    {
        Reason.CLOCK_SKEW,
        Reason.CONFIG_SPLIT,
        Reason.GATEWAY_SUSPENDED,
        Reason.LOG_CLOSED,
        Reason.LOG_NOT_REGISTERED,
        Reason.VERSION_NOT_SUPPORTED,
    }
)
_TOLD_BY_HELLO: Final = (Reason.FORKED, Reason.CLOCK_SKEW)
NAMED_US: Final = 10_000_000
MAX_WHY: Final = 200

_events = structlog.get_logger("gateway.worker.roads")


class RoadChannel(Protocol):
    """One gRPC stream to a peer's worker."""

    peer_thumbprint: str
    on_message: Callable[[bytes], None]
    on_closed: Callable[[str], None]

    @property
    def queued_bytes(self) -> int:
        """Bytes that the peer has not made room for yet."""

    def send_message(self, message: bytes) -> None:
        """Queue one message."""

    def hold(self) -> None:
        """Let the peer's window shut."""

    def resume(self) -> None:
        """Open it again."""

    def close(self, reason: str) -> None:
        """End the stream, telling the peer why."""


class Dialler(Protocol):
    """Reaches a peer's road port; ``edges`` provides it."""

    def dial(
        self, host: str, port: int, on_open: Callable[[RoadChannel], None], on_failed: Callable[[str], None]
    ) -> None:
        """Connect and open the stream; exactly one of the two is called, later."""


@dataclass(frozen=True, slots=True)
class Self:
    """Who we are towards peers."""

    log: str
    gateway: str


@dataclass(slots=True, eq=False)
class _Session:
    """A stream before and after its Hello."""

    channel: RoadChannel
    dialled: str | None
    opened_us: int
    road: Road | None = None
    pending: Hello | None = None


@dataclass(slots=True)
class _Dialling:
    """A peer that calls wait for, and when it may be dialled again."""

    log: RegisteredLog
    under_way: bool = False
    not_before_us: int = 0
    delay_us: int = REDIAL_FIRST_US


class RoadTable:
    """Every peer log we know, with its road."""

    def __init__(
        self,
        me: Self,
        *,
        clock: Clock,
        tree: Tree,
        newest_head: Callable[[], bytes],
        new_road: Callable[[str, str], Road],
        dialler: Dialler,
        on_open: Callable[[Road], None],
        on_lost: Callable[[Road], None],
        on_arrival: Callable[[Road, UnverifiedFrame | Outcome], None],
        on_credit: Callable[[Road, Credit], None],
        on_time: Callable[[bool], None],
        stop_log: Callable[[StoppedState, str, bytes], None],
        fetch_configuration: Callable[[int], None],
    ) -> None:
        self._me = me
        self._clock = clock
        self._tree = tree
        self._newest_head = newest_head
        self._new_road = new_road
        self._dialler = dialler
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_arrival = on_arrival
        self._on_credit = on_credit
        self._on_time = on_time
        self._stop_log = stop_log
        self._fetch_configuration = fetch_configuration
        self._dialling: dict[str, _Dialling] = {}
        self._objections: dict[str, tuple[Reason, int]] = {}
        self._sessions: dict[int, _Session] = {}
        self._turns: dict[str, int] = {}
        self._closed_for: Reason | None = None
        self.trust: TrustView | None = None
        self.holds_back = False
        self.roads: dict[str, Road] = {}

    # --- use ---

    def to(self, grant: Grant) -> Road | None:
        """An open road to the grant's provider, each of its workers in turn; those that are not open are dialled.

        So a worker that was away has its share again soon after it came back, although others were there all the time. A
        peer that drains is dialled once its stream has gone: a second one would end what is under way on the first.
        """
        view = self.trust
        if view is None:
            return None
        ready, away = [], []
        for gateway, log in view.provider_logs(grant):
            road = self.roads.get(log.id)
            if road is None or not road.is_open or road.draining:
                away.append((gateway, log))
            elif not road.is_backed_up:
                ready.append(road)
        for gateway, log in away:
            self.dial(gateway, log)
        if not ready:
            return None
        # In turn for each provider: calls that alternate between two would else go to one worker of each.
        turn = self._turns[grant.provider] = (self._turns.get(grant.provider, -1) + 1) % len(ready)
        return ready[turn]

    def why_not(self, grant: Grant) -> Reason:
        """Why there is no road to the grant's provider: what its gateway, or ours, objected to, if it was that."""
        view = self.trust
        for _, log in view.provider_logs(grant) if view else ():
            reason = self._objection(log.id)
            if reason in NAMED:
                return reason
        return Reason.PEER_UNREACHABLE

    def dial(self, gateway: RegisteredGateway, log: RegisteredLog) -> None:
        """Dial a peer's worker unless that is under way or was tried a moment ago; ``on_tick`` tries again."""
        dialling = self._dialling.setdefault(log.id, _Dialling(log))
        now_us = self._clock.monotonic_us()
        road = self.roads.get(log.id)
        if dialling.under_way or now_us < dialling.not_before_us or (road is not None and road.is_open):
            return
        dialling.under_way = True
        host, port = parse_address(log.address)

        def opened(channel: RoadChannel) -> None:
            # Under way until Hello is judged: a second stream would take the place of the first.
            session = self._begin(channel, log.id)
            if channel.peer_thumbprint not in gateway.auth:
                self._refuse(session, Reason.LOG_NOT_REGISTERED)
                return
            road = self.road(log.id, gateway.member)
            channel.send_message(encode_hello(self._hello(road)))
            if self.holds_back:
                # The peer must not begin anything on a stream that its own Hello may end.
                channel.send_message(encode_drain())

        def failed(why: str) -> None:
            dialling.under_way = False
            dialling.not_before_us = self._clock.monotonic_us() + dialling.delay_us
            dialling.delay_us = min(2 * dialling.delay_us, REDIAL_LONGEST_US)
            self._not_reached(log.id, gateway.member)
            _events.warning("road.unreachable", peer=gateway.id, log=log.id, why=why)

        self._dialler.dial(host, port, opened, failed)

    def _not_reached(self, log: str, member: str) -> None:
        """Somebody waits for this road and nobody answers there: other than a road that is merely not in use."""
        road = self.road(log, member)
        if not road.is_open:
            road.state = str(Reason.PEER_UNREACHABLE)

    def is_dialling(self, log: str) -> bool:
        """Whether a stream to this log is on its way and its Hello not judged yet."""
        dialling = self._dialling.get(log)
        return dialling is not None and dialling.under_way

    def accept(self, channel: RoadChannel) -> None:
        """A peer opened a stream to us; it must say Hello first."""
        self._begin(channel, None)

    def road(self, log: str, member: str) -> Road:
        """The road to a peer log, made at first need."""
        found = self.roads.get(log)
        if found is None:
            found = self.roads[log] = self._new_road(log, member)
        return found

    def known(self, log: str) -> Road | None:
        """The road to a peer log that the configuration knows, open or not."""
        gateway = self.trust.by_log.get(log) if self.trust else None
        return self.road(log, gateway.member) if gateway else self.roads.get(log)

    def swap(self, view: TrustView) -> None:
        """A new configuration: streams of gateways that are no longer admitted end; waiting Hellos are judged."""
        self.trust = view
        for session in list(self._sessions.values()):
            if session.pending is not None:
                self._judge(session, session.pending)
            elif session.road is not None:
                gateway = view.by_log.get(session.road.peer.log)
                if view.refusal_of_log(session.road.peer.log) is Reason.LOG_CLOSED:
                    self._refuse(session, Reason.LOG_CLOSED)
                elif (
                    gateway is None
                    or not gateway.admitted
                    or session.channel.peer_thumbprint not in gateway.auth
                ):
                    self._refuse(session, Reason.GATEWAY_SUSPENDED)

    def on_tick(self) -> None:
        """Dial again what calls wait for; refuse Hellos that waited in vain for a newer configuration."""
        now_us = self._clock.monotonic_us()
        for dialling in list(self._dialling.values()):
            road = self.roads.get(dialling.log.id)
            registered = self.trust.by_log.get(dialling.log.id) if self.trust else None
            if registered is None or (road is not None and road.is_open and not road.draining):
                del self._dialling[dialling.log.id]
            elif not dialling.under_way:
                # Its address may have changed since; ``by_log`` names the gateway that registers this very log.
                self.dial(registered, next(one for one in registered.logs if one.id == dialling.log.id))
        for session in list(self._sessions.values()):
            if session.road is None and now_us - session.opened_us > UNREGISTERED_WAIT_US:
                gateway = self.trust.by_log.get(session.dialled or "") if self.trust else None
                if session.dialled is not None and gateway is not None:
                    # It took the connection, and says nothing: a process that hangs.
                    self._not_reached(session.dialled, gateway.member)
                self._refuse(session, Reason.LOG_NOT_REGISTERED if session.pending else Reason.FRAME_INVALID)

    # --- Hello ---

    def _begin(self, channel: RoadChannel, dialled: str | None) -> _Session:
        session = _Session(channel, dialled, self._clock.monotonic_us())
        self._sessions[id(session)] = session
        channel.on_message = lambda data: self._on_message(session, data)
        channel.on_closed = lambda why: self._on_closed(session, why)
        return session

    def _hello(self, road: Road) -> Hello:
        mark = self.trust.mark if self.trust else None
        return Hello(
            versions=VERSIONS,
            log=self._me.log,
            head=self._newest_head(),
            held=road.peer.head,
            configuration_version=mark.version if mark else 0,
            configuration_digest=mark.digest if mark else "",
        )

    def _judge(self, session: _Session, hello: Hello) -> None:
        """Believe a Hello, wait for the configuration that would explain it, or end the stream."""
        view = self.trust
        gateway = view.by_log.get(hello.log) if view else None
        if view is not None and view.refusal_of_log(hello.log) is Reason.LOG_CLOSED:
            # Its member closed it: no configuration to come will open it again.
            self._refuse(session, Reason.LOG_CLOSED)
            return
        if view is None or gateway is None:
            if session.pending is None:
                session.pending = hello
                self._fetch_configuration(0)
            return
        session.pending = None
        try:
            held_size = self._verify_hello(session, hello, gateway, view)
        except ExchangeError as error:
            _events.warning("road.refused", peer=gateway.id, reason=str(error.reason), why=str(error))
            road = self.road(hello.log, gateway.member)
            self._object(road, error.reason)
            if error.reason is Reason.CLOCK_SKEW and hello.head:
                self._on_time(False)
            shown = self._hello(road)
            if error.reason in _TOLD_BY_HELLO and session.dialled is None and shown.head:
                # A peer whose log fell behind, or whose clock is wrong, learns it from our head, not from our refusal.
                # Without a head it would take our Hello for a welcome, and begin on this stream.
                session.channel.send_message(encode_hello(shown))
            # Both times are told to the peer, too: nothing of it is secret, and either clock may be the wrong one.
            is_skew = error.reason is Reason.CLOCK_SKEW
            self._refuse(session, error.reason, str(error) if is_skew else "")
            return
        if hello.head:
            self._on_time(True)
        if self._closed_for is not None:
            # What the peer holds was looked at; nothing is sent or taken here any more.
            self._refuse(session, self._closed_for)
            return
        self._open(session, self.road(hello.log, gateway.member), held_size)

    def _verify_hello(
        self, session: _Session, hello: Hello, gateway: RegisteredGateway, view: TrustView
    ) -> int:
        if not set(hello.versions) & set(VERSIONS):
            raise ExchangeError(Reason.VERSION_NOT_SUPPORTED)
        if session.channel.peer_thumbprint not in gateway.auth:
            raise ExchangeError(Reason.LOG_NOT_REGISTERED, "TLS presented another gateway than the log's")
        if not gateway.admitted:
            raise ExchangeError(Reason.GATEWAY_SUSPENDED)
        if session.dialled is not None and session.dialled != hello.log:
            raise ExchangeError(Reason.LOG_NOT_REGISTERED, "another log answered than was dialled")
        if hello.log == self._me.log:
            raise ExchangeError(Reason.LOG_NOT_REGISTERED, "a stream to ourselves")
        mark = view.mark
        if hello.configuration_version > mark.version:
            self._fetch_configuration(hello.configuration_version)
        elif hello.configuration_version == mark.version and hello.configuration_digest != mark.digest:
            raise ExchangeError(Reason.CONFIG_SPLIT)
        if hello.head:
            self.road(hello.log, gateway.member).peer.check_newest(hello.head, view, self._clock.now_ms())
        return self.verify_held(hello.held, view, gateway.id)

    def verify_held(self, held: bytes, view: TrustView, witness: str) -> int:
        """The head of ours that ``witness`` holds counts only if our own seal signed it (PROTOCOL M5).

        Returns its size. One that our log cannot extend stops the log.

        Raises:
            ExchangeError: ``HEAD_INVALID``: it is not one of ours. ``LOG_BEHIND_PEERS``, ``FORKED``.
        """
        if not held:
            return 0
        own = view.by_log.get(self._me.log)
        unverified = parse_head(held).unverified
        if own is None or unverified.log != self._me.log:
            raise ExchangeError(Reason.HEAD_INVALID, "the held head is not one of ours")
        head = verify_head(held, own.seal).head
        verdict = verdict_on(self._tree, head)
        if verdict is not None:
            self._stop_log(verdict, witness, held)
            raise ExchangeError(
                Reason(verdict), f"{self._tree.size} entries here, {witness} holds a head over {head.size}"
            )
        return head.size

    def _open(self, session: _Session, road: Road, held_size: int) -> None:
        """Both dialled: the stream dialled by the smaller log id stays; the same dialled anew: the newer stays."""
        dialled_by = self._me.log if session.dialled is not None else road.peer.log
        older = next((one for one in self._sessions.values() if one.road is road), None)
        if older is not None:
            # A stream of ours that the peer answered is open at both ends and may carry calls already: what the peer
            # dialled meanwhile is given up, so that a restart of either costs none of them.
            is_answered = older.dialled is not None and session.dialled is None
            if is_answered or road.dialled_by < dialled_by:
                self._forget(session)
                session.channel.close("another stream stays")
                return
            self._forget(older)
            older.channel.close("a newer stream took over")
            self._lose(road, "connecting")
        session.road = road
        if session.dialled is None:
            session.channel.send_message(encode_hello(self._hello(road)))
        self._dialling.pop(road.peer.log, None)
        road.open(session.channel, dialled_by, held_size)
        _events.info("road.open", log=road.peer.log, held=held_size)
        self._on_open(road)

    # --- messages ---

    def _on_message(self, session: _Session, data: bytes) -> None:
        if id(session) not in self._sessions:
            return  # of a stream that was closed here: it speaks for this peer no more
        try:
            message = decode_message(data)
            if session.road is None:
                if not isinstance(message, Hello) or session.pending is not None:
                    raise MalformedError(Reason.FRAME_INVALID, "only one Hello may come first")
                require_log_id(message.log)
                self._judge(session, message)
            else:
                self._on_road_message(session.road, message)
        except MalformedError as error:
            _events.warning("road.malformed", why=str(error), reason=str(error.reason))
            self._refuse(session, error.reason)

    def _on_road_message(self, road: Road, message: Message) -> None:
        match message:
            case UnverifiedFrame() | Outcome():
                self._on_arrival(road, message)
            case Credit():
                if not road.on_credit(message):
                    self._on_credit(road, message)
            case Chunk():
                road.on_chunk(message)
            case Drain():
                road.draining = True
            case Hello():
                raise MalformedError(Reason.FRAME_INVALID, "a second Hello")

    def close(self, reason: Reason) -> None:
        """Our log was stopped: end every stream, open none; who waits there learns it now."""
        self._closed_for = reason
        self._dialling.clear()
        for session in [one for one in self._sessions.values() if one.road is not None]:
            self._refuse(session, reason)

    def end_with(self, road: Road, error: FrameRefusedError) -> None:
        """Nothing of a frame was heard: end the stream it came on, naming the reason."""
        _events.warning("frame.refused", log=road.peer.log, reason=str(error.reason), why=str(error))
        if error.reason is Reason.FORKED:
            _events.error("peer.forked", log=road.peer.log)
        for session in list(self._sessions.values()):
            if session.road is road:
                self._refuse(session, error.reason)

    def _refuse(self, session: _Session, reason: Reason, why: str = "") -> None:
        self._forget(session)
        session.channel.close(f"{reason}: {why}" if why else str(reason))
        if session.road is not None:
            self._lose(session.road, str(reason))
        else:
            self._dial_later(session)

    def _on_closed(self, session: _Session, why: str) -> None:
        known = self._sessions.get(id(session)) is session
        self._forget(session)
        if not known:
            return
        road = session.road or self.roads.get(session.dialled or "")
        reason = next((one for one in NAMED if why.partition(":")[0] == one), None)
        if road is not None and reason is not None:
            self._object(road, reason)
            if session.road is None and reason is Reason.CLOCK_SKEW:
                self._on_time(False)
        if session.road is not None:
            _events.warning("road.lost", log=session.road.peer.log, why=why[:MAX_WHY])
            self._lose(session.road, "lost")
        else:
            _events.warning("road.not_opened", log=session.dialled or "", why=why[:MAX_WHY])
            self._dial_later(session)

    def _object(self, road: Road, reason: Reason) -> None:
        """Remember by what name one side of a road refused the other: calls that wait for it will be told."""
        self._objections[road.peer.log] = (reason, self._clock.monotonic_us())
        if not road.is_open:
            road.state = str(reason)

    def _objection(self, log: str) -> Reason | None:
        reason, since_us = self._objections.get(log, (None, 0))
        return reason if self._clock.monotonic_us() - since_us < NAMED_US else None

    def _dial_later(self, session: _Session) -> None:
        """A stream of ours ended before its Hello was believed; calls may still wait for that peer."""
        dialling = self._dialling.get(session.dialled or "")
        if dialling is not None:
            dialling.under_way = False
            dialling.not_before_us = self._clock.monotonic_us() + REDIAL_LONGEST_US

    def _forget(self, session: _Session) -> None:
        self._sessions.pop(id(session), None)

    def _lose(self, road: Road, state: str) -> None:
        road.lose(state if state != "lost" else str(self._objection(road.peer.log) or state))
        self._on_lost(road)
