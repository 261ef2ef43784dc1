"""One turn: what a wake-up gathered from all lanes, one commit, one signature, one write per peer (DESIGN section 5).

A turn plans leaves; nothing of it has an effect before its commit. Then, and only then: requests and responses go to
peers, requests to the adapter, responses to programs. A crash before the commit leaves no trace and no promise; a
crash after it leaves leaves whose exchange is taken up at the next start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from core.clock import Clock
from core.leaves import Note, Role
from core.statements import ANSWERS, Statement, encode_statement, is_within_stream
from gateway.worker.leaves import OwnLeaf
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.road import Road
from ledger.commit import Committed, Entry
from ledger.failpoints import hit
from ledger.records import AttachmentKind

MAX_TURN_ENTRIES: Final = 1024
MAX_TURN_BYTES: Final = 8 * 1024 * 1024
BATCH: Final = 64

Subject = TypeVar("Subject")


class LeafWriter(Protocol):
    """Makes leaves of our own log; ``station`` provides it."""

    def said(self, statement: bytes) -> tuple[bytes, bytes]:
        """The ``said`` leaf of a statement's bytes, and its leaf hash."""

    def heard(self, role: str, peer: str, entry: VerifiedEntry, verdict: str) -> tuple[bytes, bytes, bytes]:
        """Body, leaf and leaf hash that record a peer's statement."""

    def note(self, note: Note) -> tuple[bytes, bytes]:
        """The leaf of a note, and its leaf hash."""


@dataclass(slots=True)
class Turn:
    """What is planned so far, by the peer it concerns: entries of one commit are ordered by peer (PROTOCOL M3).

    Attributes:
        leaves: Makes the leaves.
        now_ms: The time of the turn, UTC: one reading serves all that it judges and writes.
        now_us: The same on the monotonic clock.
        effects: What happens once the turn is durable, and with what.
    """

    leaves: LeafWriter
    now_ms: int
    now_us: int
    own: list[OwnLeaf] = field(default_factory=list)
    by_road: dict[int, tuple[Road, list[OwnLeaf]]] = field(default_factory=dict)
    entries: int = 0
    planned_bytes: int = 0
    effects: dict[Callable[[list[Any]], None], list[Any]] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether the rest must wait for the next turn."""
        return self.entries >= MAX_TURN_ENTRIES or self.planned_bytes >= MAX_TURN_BYTES

    def batch(self, waiting: deque[Subject], size_of: Callable[[Subject], int]) -> list[Subject]:
        """Take from ``waiting`` what may go through the next steps together; the last one may pass the bound."""
        found: list[Subject] = []
        left = MAX_TURN_BYTES - self.planned_bytes
        while waiting and left > 0 and len(found) < BATCH:
            one = waiting.popleft()
            left -= size_of(one)
            found.append(one)
        return found

    def say(
        self, statement: Statement, road: Road | None, payloads: bytes = b"", salts: bytes = b""
    ) -> bytes:
        """Plan a statement of ours; with ``road`` it goes to that peer, ``salts`` stay. Returns its leaf hash."""
        beside = ((AttachmentKind.SALTS, salts),) if salts else ()
        return self.say_all([(statement, road, payloads)], beside)[0]

    def say_all(
        self,
        sayings: Sequence[tuple[Statement, Road | None, bytes]],
        beside: tuple[tuple[AttachmentKind, bytes], ...] = (),
    ) -> list[bytes]:
        """Plan statements of ours, each with the peer it goes to and what travels with it. Returns leaf hashes."""
        bodies = [encode_statement(statement) for statement, _, _ in sayings]
        leaves = [self.leaves.said(body) for body in bodies]
        for (statement, road, payloads), body, (leaf, leaf_hash) in zip(sayings, bodies, leaves, strict=True):
            role: Role = "response" if statement.kind in ANSWERS else "request"
            planned = OwnLeaf(
                leaf,
                leaf_hash,
                beside,
                payloads or None,
                statement.service or "",
                body,
                payloads,
                is_said=True,
                role=role,
                is_once=is_within_stream(statement),
            )
            self._plan(planned, road)
        return [leaf_hash for _, leaf_hash in leaves]

    def hear(self, road: Road, peer_entry: VerifiedEntry, role: Role, verdict: str) -> None:
        """Plan the record of a peer's statement, with its bytes and annex beside it; the peer gets it as its receipt."""
        self.hear_all(road, role, [(peer_entry, verdict)])

    def hear_all(self, road: Road, role: Role, heard: Sequence[tuple[VerifiedEntry, str]]) -> None:
        """Plan the records of a peer's statements, each with its verdict."""
        log, record = road.peer.log, road.peer.heard.add
        leaves = [self.leaves.heard(role, log, entry, verdict) for entry, verdict in heard]
        for (entry, verdict), (body, leaf, leaf_hash) in zip(heard, leaves, strict=True):
            said = entry.statement
            record(entry.index, taken=verdict == "taken")
            # A day key per service: only one that an agreement admitted gets one, not every name a peer makes up.
            is_admitted = said is not None and verdict == "taken" and said.kind in ("request", "response")
            beside: tuple[tuple[AttachmentKind, bytes], ...] = ((AttachmentKind.STATEMENT, entry.body),)
            if entry.annex is not None:
                beside += ((AttachmentKind.ANNEX, entry.annex[1]),)
            planned = OwnLeaf(
                leaf,
                leaf_hash,
                beside,
                entry.payloads if entry.parts else None,
                said.service or "" if said is not None and is_admitted else "",
                body,
            )
            self._plan(planned, road)

    def once_durable(self, act: Callable[[list[Subject]], None], subject: Subject) -> None:
        """Let ``act`` be called with ``subject``, and all others it is to be called with, after the commit."""
        self.effects.setdefault(act, []).append(subject)

    def note(self, leaf: bytes, leaf_hash: bytes, road: Road | None = None) -> None:
        """Plan a note; with ``road`` what was learnt of that peer's log becomes durable beside it."""
        planned = OwnLeaf(leaf, leaf_hash)
        if road is not None and road.records:
            planned.attachments, road.records = tuple(road.records), []
        self._plan(planned, None)

    def note_kept(self, note: Note, kept: bytes, service: str) -> None:
        """Plan a note with what it commits to, which is kept as a body of ``service``."""
        leaf, leaf_hash = self.leaves.note(note)
        self._plan(OwnLeaf(leaf, leaf_hash, (), kept, service), None)

    def concerns(self, road: Road) -> bool:
        """Whether a leaf is planned that what was learnt of this peer's log can go beside."""
        return id(road) in self.by_road

    def _plan(self, planned: OwnLeaf, road: Road | None) -> None:
        self.entries += 1
        self.planned_bytes += len(planned.leaf) + len(planned.secret or b"")
        if road is None:
            self.own.append(planned)
        elif (found := self.by_road.get(id(road))) is not None:
            found[1].append(planned)
        else:
            self.by_road[id(road)] = (road, [planned])

    def in_order(self) -> list[OwnLeaf]:
        """All that is planned, in the order in which it is appended.

        What was learnt of a peer's log goes beside the first leaf that concerns this peer: its edge becomes durable
        with what it was believed for.
        """
        planned = list(self.own)
        for road, found in self.by_road.values():
            if road.records:
                found[0].attachments += tuple(road.records)
                road.records = []
            planned += found
        return planned


class Commit(Protocol):
    """The one door to the disk; ``ledger.commit.GroupCommit`` is it."""

    @property
    def busy(self) -> bool:
        """Whether a commit is under way."""

    def submit(
        self, entries: Sequence[Entry], done: Callable[[Committed], None], head: bytes | None = None
    ) -> int:
        """Append, make durable, then call ``done`` on the loop."""


class Turns:
    """Runs turn after turn: one commits while the next fills; when idle, at once."""

    def __init__(
        self,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        commit: Commit,
        leaves: LeafWriter,
        clock: Clock,
        gather: Callable[[Turn], None],
        committed: Callable[[Committed, list[Road]], None],
        newest_head: Callable[[], bytes | None],
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._call_soon = call_soon
        self._commit = commit
        self._leaves = leaves
        self._clock = clock
        self._gather = gather
        self._committed = committed
        self._newest_head = newest_head
        self._on_defect = on_defect
        self._scheduled = False
        self.stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether no turn is due or under way: every end that was decided is durable, and handed to its road."""
        return not self._scheduled and not self._commit.busy

    def wake(self) -> None:
        """There is work in a lane."""
        if not self._scheduled and not self._commit.busy:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self._commit.busy or self.stopped:
            return
        try:
            self._turn()
        except Exception as error:
            # A defect of ours, half-way through a turn: stop. The restart says in public what was cut.
            self.stopped = True
            self._on_defect(error)

    def _turn(self) -> None:
        turn = Turn(self._leaves, self._clock.now_ms(), self._clock.monotonic_us())
        self._gather(turn)
        planned = turn.in_order()
        if not planned:
            return
        roads = [road for road, _ in turn.by_road.values()]

        def done(committed: Committed) -> None:
            try:
                hit("commit.done")
                self._take_effect(turn, planned, committed)
                self._committed(committed, roads)
            except Exception as error:
                self.stopped = True
                self._on_defect(error)
            self.wake()

        self._commit.submit(planned, done, self._newest_head())

    @staticmethod
    def _take_effect(turn: Turn, planned: list[OwnLeaf], committed: Committed) -> None:
        for index, one in enumerate(planned, committed.first):
            # On disk: not to be held with what waits for its receipt.
            one.index, one.attachments, one.secret = index, (), None
        for road, found in turn.by_road.values():
            for one in found:
                road.add(one)
        # Durable now: only from here on may anything leave, be delivered or be released.
        for act, subjects in turn.effects.items():
            act(subjects)
