"""One call through two gateways, step by step (DESIGN section 4; ``docs/protocol/exchange.md``).

Consumer's gateway (``consumer``):
  1 authenticate the program           2 resolve the service            3 find the agreement
  4 write the request statement        5 append, commit, sign           6 send
 12 verify the response               13 append, commit                14 release it to the program
Provider's gateway (``provider``):
  7 verify peer and request            8 authorise by agreement         9 append, commit
 10 call the adapter                  11 write the response; append, commit, sign, answer

No flag skips a step. A step never raises for one exchange and never waits: it returns a reason, and the refused
exchange stays in the turn, is logged and answered. What is to happen after a commit is handed to the turn. Here is
what both sides share: the state of a call, the parts they are built with, what holds for every statement of a peer.

Within a turn each step is done for all exchanges before the next begins, where their order does not matter: the code of a
step stays in the processor's caches, which halves its cost (docs/adr/0012).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Protocol

from core.clock import Clock
from core.leaves import Note
from core.payloads import Metadata, encode_metadata, salted_payloads
from core.reasons import Reason
from core.statements import Statement
from gateway.worker.budget import Backlog, Budget, EntryBudget
from gateway.worker.call import AdapterAnswer, AnswerHandler
from gateway.worker.callers import Caller, Callers
from gateway.worker.context import Claims, has_personal_number
from gateway.worker.flow import Flow
from gateway.worker.masks import Cutter
from gateway.worker.peerlog import FrameRefusedError, VerifiedEntry
from gateway.worker.refusal import Ending, Refusals
from gateway.worker.road import Road
from gateway.worker.routes import Door
from gateway.worker.subjects import Pseudonyms, Told
from gateway.worker.trust import Grant, MethodMarks, TrustView
from gateway.worker.wire import MAX_METADATA_BYTES, MAX_METADATA_COUNT, Message

# What a gateway may have read at its edge: values, names of 128 bytes, and the lengths before both.
MAX_METADATA_BLOB_BYTES: Final = MAX_METADATA_BYTES + MAX_METADATA_COUNT * (128 + 8)

# ``event`` of the note that a request came as JSON (docs/protocol/json-door.md).
JSON_REQUEST: Final = "json-request"

Messages = list[Message]


class ProgramCall(Protocol):
    """A program's call at the edge. ``deadline_us`` is on our clock; ``program`` is who pays for what it holds."""

    path: bytes
    metadata: Metadata
    deadline_us: int | None
    encoding: str
    peer_thumbprint: str
    door: Door
    program: str
    messages: Messages
    is_stated: bool

    @property
    def is_unary(self) -> bool:
        """Whether its door carries one message each way and no more."""

    @property
    def json(self) -> bytes:
        """The JSON that its request was made of; empty where it came as protobuf."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that the program has not taken yet."""

    def expect_stream(self) -> None:
        """Its request may take as long as the program likes."""

    def release(self, initial: Metadata, messages: Messages, ending: Ending) -> None:
        """Give the program its whole answer; without effect once it is gone."""

    def start(self, metadata: Metadata = ()) -> None:
        """Give the program initial metadata."""

    def deliver(self, flag: int, data: bytes) -> None:
        """Give the program one message."""

    def finish(self, status: int, message: str = "", metadata: Metadata = ()) -> None:
        """End the call."""

    def when_below(self, size: int, callback: Callable[[], None]) -> None:
        """Call back once the program has all but ``size`` bytes."""

    def hold(self) -> None:
        """Let the program's window shut: no more than is on its way."""

    def resume(self) -> None:
        """Open it again."""


class AdapterCall(Protocol):
    """A call under way at the adapter."""

    @property
    def has_left(self) -> bool:
        """Whether bytes of it may be at the adapter."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that the adapter has not taken yet."""

    def send(self, flag: int, data: bytes) -> None:
        """Send one message."""

    def send_last(self, flag: int, data: bytes) -> None:
        """Send a message and half-close."""

    def half_close(self) -> None:
        """No more messages follow."""

    def when_below(self, size: int, callback: Callable[[], None]) -> None:
        """Call back once the adapter has all but ``size`` bytes."""

    def cancel(self) -> None:
        """Tell the adapter at once that nobody waits any more."""

    def hold(self) -> None:
        """Let the adapter's window shut: no more than is on its way."""

    def resume(self) -> None:
        """Open it again."""


class Adapters(Protocol):
    """The ministry's own programs that serve, by subsystem."""

    def serves(self, subsystem: str) -> bool:
        """Whether this gateway is the way in to ``subsystem``."""

    def open(
        self,
        subsystem: str,
        path: bytes,
        metadata: Metadata,
        encoding: str,
        timeout_us: int | None,
        handler: AnswerHandler,
    ) -> AdapterCall:
        """Begin a call; its messages follow, ``handler`` gets what the adapter answers."""


class Roads(Protocol):
    """The roads to all peers."""

    def to(self, grant: Grant) -> Road | None:
        """An open road to the grant's provider; if there is none, one is dialled and ``None`` returned."""

    def known(self, log: str) -> Road | None:
        """The road to a peer log that the configuration knows, open or not."""

    def why_not(self, grant: Grant) -> Reason:
        """Why there is no road to the grant's provider."""

    def end_with(self, road: Road, error: FrameRefusedError) -> None:
        """End the stream of a peer that went too far, naming the reason."""


class Phase(IntEnum):
    """How far an exchange has come; it only rises."""

    WAITING = 0  # for a road whose Hello is verified
    COMMITTING = 1
    COMMITTED = 2
    SENT = 3
    ANSWERED = 4
    CLOSED = 5


@dataclass(slots=True, eq=False)
class Exchange:
    """A call of one of our programs."""

    call: ProgramCall
    messages: Messages
    size: int
    caller: Caller
    deadline_us: int | None
    waiting_until_us: int
    claims: Claims
    holder: str = ""
    id: str = ""
    method: str | None = None
    objection: Reason | None = None
    is_watched: bool = False
    phase: Phase = Phase.WAITING
    grant: Grant | None = None
    road: Road | None = None
    leaf_hash: bytes = b""
    index: int = -1
    statement: Statement | None = None
    flow: Flow | None = None  # unless one message goes each way
    asked: Told | None = None  # whom what was asked is about, until an answer's record notes it


@dataclass(slots=True, eq=False)
class Service:
    """A peer's call of one of our adapters."""

    road: Road
    request: VerifiedEntry
    statement: Statement
    size: int
    deadline_us: int | None
    phase: Phase = Phase.COMMITTING
    handle: AdapterCall | None = None
    initial: Metadata = ()
    encoding: str = "identity"
    messages: Messages = field(default_factory=list)
    answer: AdapterAnswer | None = None
    answer_bytes: int = 0
    delivered: bool = False
    flow: Flow | None = None  # unless one message goes each way
    cutter: Cutter | None = None  # unless all fields are granted
    streams_answer: bool = False
    marks: MethodMarks | None = None
    is_started: bool = False
    following: list[VerifiedEntry] = field(
        default_factory=list
    )  # segments that came before the adapter was called


@dataclass(frozen=True, slots=True)
class Terms:
    """Who we are, and our bounds."""

    log: str
    gateway: str
    member: str
    max_message: int
    peer_wait_us: int


@dataclass(slots=True)
class Parts:
    """What both sides are built with. ``trust`` is swapped whole, with its pattern; the rest is given at birth."""

    terms: Terms
    clock: Clock
    random: Callable[[int], bytes]
    budget: Budget
    answers: Backlog
    callers: Callers
    entries: EntryBudget
    roads: Roads
    adapters: Adapters
    refusals: Refusals
    are_predecessors_whole: bool
    objection_to_start: Callable[[], Reason | None]
    wake: Callable[[], None]
    fetch_configuration: Callable[[int], None]
    counters: Counter[str]
    pseudonyms: Pseudonyms
    trust: TrustView | None = None
    personal_number: re.Pattern[str] = field(default_factory=lambda: re.compile(r"(?!)"))

    def nonce(self) -> str:
        """16 random bytes, hex."""
        return self.random(16).hex()

    def salted(
        self, metadata: Metadata | None, messages: Messages, trailing: Metadata | None = None
    ) -> tuple[bytes, list[str]]:
        """Initial metadata, messages, trailing metadata, each with a salt of its own, and their digests (M11)."""
        parts = [*messages] if metadata is None else [(0, encode_metadata(metadata)), *messages]
        if trailing is not None:
            parts.append((0, encode_metadata(trailing)))
        return salted_payloads(parts, self.random)

    def objection_to_noting(self, grant: Grant, now_ms: int) -> Reason | None:
        """Why a call about persons cannot be recorded as one, and is refused (PROTOCOL M13)."""
        marks = grant.provision.marks
        return self.pseudonyms.objection(now_ms) if marks is not None and marks.names_persons else None

    def note_of_json(self, exchange: str, body: bytes, now_ms: int) -> tuple[Note, bytes]:
        """The note of the JSON that a request was made of, and what is kept of it, encrypted as all bodies are (M14).

        Salted: whoever reads the log must not find a personal number by trying all.
        """
        kept, (digest,) = salted_payloads([(0, body)], self.random)
        return Note(1, self.nonce(), now_ms, JSON_REQUEST, f"{exchange} {digest}", 1), kept

    def objection_to(self, road: Road, entry: VerifiedEntry, statement: Statement) -> Reason | None:
        """What holds for every statement of a peer."""
        view = self.trust
        if view is None:
            return Reason.CONFIG_MISSING
        if entry.objection is not None:
            return entry.objection
        if statement.to != self.terms.log or statement.from_ != road.peer.log:
            return Reason.STATEMENT_INVALID
        theirs, ours = statement.configuration, view.mark
        if theirs is not None and theirs != ours:
            if theirs.version == ours.version:
                return Reason.CONFIG_SPLIT
            if theirs.version > ours.version:
                self.fetch_configuration(theirs.version)
        if has_personal_number(statement, self.personal_number):
            return Reason.PERSONAL_NUMBER_IN_METADATA
        return None
