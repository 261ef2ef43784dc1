"""Joins the journals of both ends with both logs and evaluates the invariants of docs/reliability.md.

Independent of the gateways: it reads files only, and asks no process and no metric. A journal is a file of JSON lines,
written line by line by the program or the adapter that keeps it::

    {"event": "sent", "reference": "p0-17", "digest": "…"}
    {"event": "acknowledged", "reference": "p0-17", "request": "<leaf hash>", "digest": "…"}
    {"event": "received", "reference": "p0-18", "messages": 17}
    {"event": "ended", "reference": "p0-17", "reason": "PEER_LOST", "delivery": "unknown"}
    {"event": "delivered", "reference": "p0-17", "request": "<leaf hash>", "digest": "…"}
    {"event": "took", "request": "<leaf hash>", "messages": 4}

``received`` and ``took`` tell how many messages of a stream a program or an adapter was given, whatever became of the
stream afterwards. Digests may be left out by who compares bytes itself. A gateway with several workers has several logs.
``python -m tests.support.checker CONSUMER-LOG PROVIDER-LOG PROGRAM-JOURNAL ADAPTER-JOURNAL`` (several logs of one side
joined by commas) prints what was violated and exits 1 if anything was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from core.frames import FrameRecord
from core.heads import parse_head
from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash, root_of
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind

Event = dict[str, Any]

_ANSWERS = ("response", "refusal", "outcome")


class _Mark(msgspec.Struct):
    version: int


class Statement(msgspec.Struct):
    """What is read of a statement; whether it is one is the gateways' affair and that of ``audit verify-log``."""

    kind: str
    sequence: int
    final: bool
    payloads: list[str]
    reference: str | None
    request: str | None
    heard: int | None
    delivery: str | None
    configuration: _Mark | None


class Told(msgspec.Struct, frozen=True):
    """One statement, as little of it as is asked for: a log may hold millions.

    Attributes:
        kind: Its kind.
        delivery: What it says of the delivery.
        is_last: Whether the call ended with it, by a status or otherwise.
    """

    kind: str
    delivery: str | None
    is_last: bool


class Segments(msgspec.Struct):
    """One direction of a stream, as one side holds it.

    Attributes:
        messages: In all its segments.
        following: The sequence that has to come next.
        twice: A sequence that was there already.
        gap: A sequence that came before its predecessor.
        handed_on: The sequence that the side's own words say it handed on last.
        is_taken_back: It said less than it had said before.
    """

    messages: int = 0
    following: int = 0
    twice: int | None = None
    gap: int | None = None
    handed_on: int = 0
    is_taken_back: bool = False

    def take(self, statement: Statement) -> None:
        """Count one more segment in."""
        if statement.sequence < self.following:
            self.twice = statement.sequence
            return
        if statement.sequence > self.following:
            self.gap = statement.sequence
        self.following = statement.sequence + 1
        self.messages += _messages(statement)

    def hand_on(self, statement: Statement) -> None:
        """Note what is said to have been handed on of it; segment 0 is asked for by other rules."""
        if statement.heard is not None and statement.delivery != "not_sent":
            self.is_taken_back |= statement.heard < self.handed_on
            self.handed_on = statement.heard


def _messages(statement: Statement) -> int:
    """How many messages of the call it carries: without metadata, initial and trailing."""
    metadata = int(statement.sequence == 0)
    if statement.kind == "response":
        metadata += int(statement.final)
    return max(len(statement.payloads) - metadata, 0)


def _by_hash(found: dict[str, Segments], request: str) -> Segments:
    segments = found.get(request)
    if segments is None:
        segments = found[request] = Segments()
    return segments


@dataclass(slots=True)
class Held:
    """What one side's logs hold, by the leaf hash of a call's first request segment.

    ``said`` and ``taken`` are requests, ``answered`` what the provider said first, ``heard`` what the consumer heard: the
    last of it once there is one. ``asked``, ``accepted``, ``given`` and ``received`` count the segments of each
    direction: of requests said and taken, of responses said and taken.
    """

    said: dict[str, Told] = field(default_factory=dict)
    taken: dict[str, Told] = field(default_factory=dict)
    answered: dict[str, Told] = field(default_factory=dict)
    ended: dict[str, Told] = field(default_factory=dict)
    heard: dict[str, Told] = field(default_factory=dict)
    outcomes: dict[str, Told] = field(default_factory=dict)
    asked: dict[str, Segments] = field(default_factory=dict)
    accepted: dict[str, Segments] = field(default_factory=dict)
    given: dict[str, Segments] = field(default_factory=dict)
    received: dict[str, Segments] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    hashes_said: set[bytes] = field(default_factory=set)
    hashes_taken: set[bytes] = field(default_factory=set)

    def take(self, other: Held) -> None:
        """What another log of the same side holds, too; each call is in one of them only."""
        for one in fields(Held):
            getattr(self, one.name).update(getattr(other, one.name))


class Head(msgspec.Struct, frozen=True):
    """One signed head, as far as it is compared."""

    log: str
    size: int
    root: str
    iat: int


def _head(jws: bytes) -> Head:
    head = parse_head(jws).unverified
    return Head(head.log, head.size, head.root, head.iat)


@dataclass(slots=True)
class Found(Held):
    """What one log holds, as far as it has been read; ``follow`` reads on."""

    directory: Path = field(kw_only=True)
    reader: LogReader = field(init=False)
    version: int = 0
    went_back: bool = False
    heads: list[Head] = field(default_factory=list)
    peer_heads: list[Head] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = LogReader(self.directory, on_head=lambda jws: self.heads.append(_head(jws)))

    @property
    def log(self) -> str:
        """Its log id."""
        return self.reader.log_id

    def follow(self) -> None:
        """Take in what was appended since; raises if the log is damaged."""
        for stored in self.reader.follow():
            self._take(stored)

    def _take(self, stored: StoredLeaf) -> None:
        leaf, statement = parse_leaf(stored.leaf), None
        for kind, data in stored.attachments:
            if kind is AttachmentKind.STATEMENT:
                statement = _decode(data)
            elif kind is AttachmentKind.FRAME:
                self.peer_heads.append(_head(FrameRecord.decode(data).head))
        if leaf.label == SAID:
            self._say(stored.leaf, _decode(leaf.body))
        elif leaf.label == HEARD and statement is not None:
            heard = parse_heard(leaf.body)
            if not heard.verdict.startswith("refused"):
                self._hear(heard.leaf, heard.verdict, statement)

    def _say(self, leaf: bytes, statement: Statement) -> None:
        if statement.configuration is not None:
            self.went_back |= statement.configuration.version < self.version
            self.version = statement.configuration.version
        told, request, hashed = _told(statement), statement.request or "", leaf_hash(leaf)
        self.hashes_said.add(hashed)
        if statement.kind == "request":
            name = request or hashed.hex()
            _by_hash(self.asked, name).take(statement)
            if not request:
                self.said[name] = told
                if statement.reference is not None:
                    self.references[statement.reference] = name
        elif statement.kind in ("response", "refusal"):
            _keep(self.answered, request, told)
            _by_hash(self.accepted, request).hand_on(statement)
            if statement.kind == "response":
                _by_hash(self.given, request).take(statement)
        elif statement.kind == "outcome":
            self.outcomes[request] = told
        else:
            self.ended[request] = told
            _by_hash(self.received, request).hand_on(statement)

    def _hear(self, hashed: str, verdict: str, statement: Statement) -> None:
        told, request = _told(statement), statement.request or ""
        if verdict == "taken":
            self.hashes_taken.add(bytes.fromhex(hashed))
        if statement.kind == "request" and verdict == "taken":
            name = request or hashed
            _by_hash(self.accepted, name).take(statement)
            if not request:
                self.taken[name] = told
        elif statement.kind in _ANSWERS:
            _keep(self.heard, request, told)
            if statement.kind == "outcome":
                self.outcomes[request] = told
            elif statement.kind == "response" and verdict == "taken":
                _by_hash(self.received, request).take(statement)


def _keep(found: dict[str, Told], request: str, told: Told) -> None:
    """The first, until there is one that ends the call."""
    before = found.get(request)
    if before is None or (told.is_last and not before.is_last):
        found[request] = told


_decode = msgspec.json.Decoder(Statement).decode


def _told(statement: Statement) -> Told:
    is_last = statement.final if statement.kind in ("request", "response") else True
    return Told(statement.kind, statement.delivery, is_last)


def read(directory: Path) -> Found:
    """Read one log; raises if it is damaged."""
    found = Found(directory=directory)
    found.follow()
    return found


@dataclass(slots=True)
class Verdict:
    """What was violated, by invariant; all empty is good. ``unresolved`` lists requests still in doubt.

    ``segments_out_of_order``: a log said or took a segment of a stream twice, or without the one that it follows.
    ``handed_on_and_taken_back``: somebody said that it handed on less of a stream than it had said before.
    """

    acknowledged_and_unlogged: list[str] = field(default_factory=list)
    acknowledged_with_another_answer: list[str] = field(default_factory=list)
    delivered_and_unlogged: list[str] = field(default_factory=list)
    delivered_twice: list[str] = field(default_factory=list)
    delivered_and_called_undelivered: list[str] = field(default_factory=list)
    segments_out_of_order: list[str] = field(default_factory=list)
    taken_and_never_said: list[str] = field(default_factory=list)
    handed_on_and_never_taken: list[str] = field(default_factory=list)
    handed_on_and_taken_back: list[str] = field(default_factory=list)
    taken_and_never_answered: list[str] = field(default_factory=list)
    heads_that_do_not_extend: list[str] = field(default_factory=list)
    configurations_that_went_back: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not any(getattr(self, one.name) for one in fields(self))

    def __str__(self) -> str:
        """Each violation with how often, and the first few."""
        found = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return "; ".join(f"{name}: {len(some)} {some[:5]}" for name, some in found if some) or "clean"


def read_journal(path: Path) -> list[Event]:
    """The lines of a journal, whose last one may be torn."""
    lines = path.read_text("ascii").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Checker:
    """Both sides' logs, read as far as they go: asked again, only what was appended is read.

    Args:
        consumer: Log directories of the workers of the consumer's gateway.
        provider: Those of the provider's gateway.
    """

    def __init__(self, consumer: Sequence[Path], provider: Sequence[Path]) -> None:
        self._sides = [[Found(directory=one) for one in logs] for logs in (consumer, provider)]

    def follow(self) -> tuple[Held, Held]:
        """Read on; what each side holds."""
        for logs in self._sides:
            for one in logs:
                one.follow()
        mine, theirs = map(_held, self._sides)
        return mine, theirs

    def open_ends(self) -> int:
        """Read on; how many calls were taken and not answered, or are in doubt."""
        mine, theirs = self.follow()
        return len(_unanswered(theirs)) + len(_unresolved(mine))

    def verdict(self, told: Sequence[Event], delivered: Sequence[Event]) -> Verdict:
        """Evaluate invariants 1 to 4.

        Args:
            told: Journal of what programs sent and were told.
            delivered: Journal of what the adapter was given.
        """
        verdict = Verdict()
        mine, theirs = self.follow()
        _acknowledged(verdict, mine, theirs, told)
        _received(verdict, mine, theirs, told)
        _delivered(verdict, mine, theirs, told, delivered)
        require_order(verdict, mine, theirs)
        # After the last restart every request that was taken has an answer, be it that it was interrupted.
        verdict.taken_and_never_answered = _unanswered(theirs)
        verdict.unresolved = _unresolved(mine)
        for own_logs, others in (self._sides, reversed(self._sides)):
            for own in own_logs:
                _heads(verdict, own, others)
                if own.went_back:
                    verdict.configurations_that_went_back.append(own.log)
        return verdict


def check(
    consumer: Path | Sequence[Path],
    provider: Path | Sequence[Path],
    told: list[Event],
    delivered: list[Event],
) -> Verdict:
    """Evaluate invariants 1 to 4 once; arguments as those of ``Checker``, a side with one log may name it alone."""
    sides = [[at] if isinstance(at, Path) else at for at in (consumer, provider)]
    return Checker(*sides).verdict(told, delivered)


def _held(logs: list[Found]) -> Held:
    if len(logs) == 1:
        return logs[0]
    held = Held()
    for one in logs:
        held.take(one)
    return held


def _unanswered(theirs: Held) -> list[str]:
    return [one for one in theirs.taken if one not in theirs.answered or not theirs.answered[one].is_last]


def _unresolved(mine: Held) -> list[str]:
    return [one for one in mine.said if not _is_resolved(mine, one)]


def _is_resolved(mine: Held, request: str) -> bool:
    heard, ended = mine.heard.get(request), mine.ended.get(request)
    return (heard is not None and heard.is_last) or (ended is not None and ended.delivery == "not_sent")


def _acknowledged(verdict: Verdict, mine: Held, theirs: Held, told: Sequence[Event]) -> None:
    """1, 2: what a program was told is durable at both gateways, and is the answer to what it sent."""
    sent = {one["reference"]: one["digest"] for one in told if one["event"] == "sent"}
    for one in told:
        if one["event"] != "acknowledged":
            continue
        request = one["request"]
        is_logged = request in mine.said and request in theirs.taken
        for side in (mine.heard, theirs.answered):
            is_logged = is_logged and request in side and side[request].is_last
        if not is_logged:
            verdict.acknowledged_and_unlogged.append(request)
        if "digest" in one and one["digest"] != sent[one["reference"]]:
            verdict.acknowledged_with_another_answer.append(request)


_NONE = Segments()


def _received(verdict: Verdict, mine: Held, theirs: Held, told: Sequence[Event]) -> None:
    """1, 2, of streams: every message that a program got is in a segment that both gateways hold."""
    for one in told:
        if one["event"] != "received" or not one["messages"]:
            continue
        request = mine.references.get(one["reference"], "")
        for held in (mine.received, theirs.given):
            if held.get(request, _NONE).messages < one["messages"]:
                verdict.acknowledged_and_unlogged.append(f"{one['reference']}: {one['messages']} messages")
                break


def _delivered(
    verdict: Verdict, mine: Held, theirs: Held, told: Sequence[Event], delivered: Sequence[Event]
) -> None:
    """1 to 3: what the adapter got is durable at both, came once, and nobody says that it did not come."""
    requests: set[str] = set()
    references: set[str] = set()
    denials = (theirs.outcomes, theirs.answered, mine.ended)
    for one in delivered:
        request = one["request"]
        if one["event"] == "took":
            for held in (mine.asked, theirs.accepted):
                if held.get(request, _NONE).messages < one["messages"]:
                    verdict.delivered_and_unlogged.append(f"{request}: {one['messages']} messages")
                    break
            continue
        if request in requests:
            verdict.delivered_twice.append(request)
        requests.add(request)
        references.add(one["reference"])
        if request not in theirs.taken or request not in mine.said:
            verdict.delivered_and_unlogged.append(request)
        if any(said[request].delivery == "not_sent" for said in denials if request in said):
            verdict.delivered_and_called_undelivered.append(request)
    verdict.delivered_and_called_undelivered += [
        one["reference"]
        for one in told
        if one["event"] == "ended" and one["delivery"] == "not_sent" and one["reference"] in references
    ]


def require_order(verdict: Verdict, mine: Held, theirs: Held) -> None:
    """3, of streams: each segment is said and taken once, after the one before it; what is handed on was taken."""
    for taken in (theirs.accepted, mine.received):
        for request, one in taken.items():
            if one.twice is not None:
                verdict.delivered_twice.append(f"{request}: segment {one.twice}")
            # Segment 0 is what a call begins with: that one is asked for by other rules.
            if one.handed_on and one.handed_on >= one.following:
                verdict.handed_on_and_never_taken.append(f"{request}: segment {one.handed_on}")
            if one.is_taken_back:
                verdict.handed_on_and_taken_back.append(f"{request}: segment {one.handed_on}")
    for direction in (theirs.accepted, mine.received, mine.asked, theirs.given):
        for request, one in direction.items():
            if one.twice is not None or one.gap is not None:
                verdict.segments_out_of_order.append(f"{request}: segment {one.twice or one.gap}")
    for own, other in ((mine, theirs), (theirs, mine)):
        verdict.taken_and_never_said += [one.hex() for one in own.hashes_taken - other.hashes_said]


def _heads(verdict: Verdict, own: Found, others: list[Found]) -> None:
    """4: every head that the log signed, wherever it is kept, is one that the log as it stands now extends."""
    size = time = 0
    for head in own.heads:
        if head.size < size or head.iat < time:
            verdict.heads_that_do_not_extend.append(f"{own.log}: a head over {head.size} went back")
        size, time = head.size, head.iat
    roots: dict[int, str] = {}
    for head in (*own.heads, *(head for other in others for head in other.peer_heads)):
        if head.log != own.log:
            continue
        if head.size <= own.reader.size and head.size not in roots:
            roots[head.size] = root_of(own.reader.node, head.size).hex()
        if roots.get(head.size) != head.root:
            verdict.heads_that_do_not_extend.append(f"{own.log}: another root over {head.size}")


if __name__ == "__main__":
    consumer, provider = ([Path(one) for one in logs.split(",")] for logs in sys.argv[1:3])
    found = check(consumer, provider, *(read_journal(Path(one)) for one in sys.argv[3:5]))
    print(found)
    sys.exit(0 if found.is_clean else 1)
