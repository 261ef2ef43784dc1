"""Joins the journals of both ends with both logs and evaluates the invariants of docs/reliability.md.

Independent of the gateways: it reads files only, and asks no process and no metric. A journal is a file of JSON lines,
synced line by line by the program or the adapter that keeps it::

    {"event": "sent", "reference": "p0-17", "digest": "…"}
    {"event": "acknowledged", "reference": "p0-17", "request": "<leaf hash>", "digest": "…"}
    {"event": "ended", "reference": "p0-17", "reason": "PEER_LOST", "delivery": "unknown"}
    {"event": "delivered", "reference": "p0-17", "request": "<leaf hash>", "digest": "…"}

A gateway with several workers has several logs. ``python -m tests.support.checker CONSUMER-LOG PROVIDER-LOG
PROGRAM-JOURNAL ADAPTER-JOURNAL`` (several logs of one side joined by commas) prints what was violated and exits 1 if
anything was.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from core.frames import FrameRecord
from core.heads import parse_head
from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash, root_of
from core.statements import Statement, parse_statement
from ledger.reader import LogReader
from ledger.records import HEADER_BYTES, AttachmentKind, RecordType, RecordWriter

Event = dict[str, Any]


@dataclass(slots=True)
class Held:
    """What one side's logs hold, by request leaf hash."""

    said: dict[str, Statement] = field(default_factory=dict)
    taken: dict[str, Statement] = field(default_factory=dict)
    answered: dict[str, Statement] = field(default_factory=dict)
    ended: dict[str, Statement] = field(default_factory=dict)
    heard: dict[str, Statement] = field(default_factory=dict)
    outcomes: dict[str, Statement] = field(default_factory=dict)
    # Of calls of several segments, their numbers in the order of the log: by call, kind, and whether said or taken here.
    segments: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    # The highest number of segments that this side says it handed on: by call, and kind of what was handed on.
    handed: dict[tuple[str, str], int] = field(default_factory=dict)
    hashes_said: set[bytes] = field(default_factory=set)
    hashes_taken: set[bytes] = field(default_factory=set)

    def take(self, other: Held) -> None:
        """What another log of the same side holds, too; each request is in one of them only."""
        for one in fields(Held):
            getattr(self, one.name).update(getattr(other, one.name))


@dataclass(slots=True)
class Found(Held):
    """What one log holds."""

    reader: LogReader = field(kw_only=True)
    versions: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    peer_heads: list[bytes] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Its log id."""
        return self.reader.log_id


def read(directory: Path) -> Found:
    """Read one log; raises if it is damaged."""
    found = Found(reader=LogReader(directory))
    for stored in found.reader.follow():
        leaf = parse_leaf(stored.leaf)
        statements = []
        for kind, data in stored.attachments:
            if kind is AttachmentKind.STATEMENT:
                statements.append(parse_statement(data))
            elif kind is AttachmentKind.FRAME:
                found.peer_heads.append(FrameRecord.decode(data).head)
        if leaf.label == SAID:
            _said(found, leaf_hash(stored.leaf).hex(), parse_statement(leaf.body))
        elif leaf.label == HEARD and statements:
            heard, statement = parse_heard(leaf.body), statements[0]
            if heard.verdict == "taken":
                found.hashes_taken.add(bytes.fromhex(heard.leaf))
                _count(found, "taken", heard.leaf, statement)
            if statement.kind == "request":
                if heard.verdict == "taken" and statement.sequence == 0:
                    found.taken[heard.leaf] = statement
            elif _is_end(statement) and not heard.verdict.startswith("refused"):
                found.heard.setdefault(statement.request or "", statement)
                if statement.kind == "outcome":
                    found.outcomes[statement.request or ""] = statement
    found.heads = _own_heads(directory, found.log)
    return found


def _said(found: Found, hashed: str, statement: Statement) -> None:
    if statement.configuration is not None:
        found.versions.append(statement.configuration.version)
    request = statement.request or ""
    found.hashes_said.add(bytes.fromhex(hashed))
    _count(found, "said", hashed, statement)
    if statement.kind == "request":
        if statement.sequence == 0:
            found.said[hashed] = statement
    elif statement.kind == "response" and not statement.final:
        return
    elif statement.kind in ("response", "refusal"):
        found.answered.setdefault(request, statement)
    elif statement.kind == "outcome":
        found.outcomes[request] = statement
    else:
        found.ended[request] = statement


def _is_end(statement: Statement) -> bool:
    """Whether a peer's statement ends a call: of a stream, its final segment does."""
    return statement.kind in ("refusal", "outcome") or (statement.kind == "response" and statement.final)


def _count(found: Found, how: str, hashed: str, statement: Statement) -> None:
    """Note a segment, and what is said to have been handed on."""
    name = statement.request or hashed
    if statement.kind in ("request", "response") and (statement.sequence or not statement.final):
        found.segments.setdefault((name, statement.kind, how), []).append(statement.sequence)
    if how == "taken" or not statement.heard:
        return  # segment 0 is what a call begins with: that one is asked for by other rules
    if statement.kind in ("cancel", "deadline", "abandon"):
        found.handed[name, "response"] = statement.heard + 1
    elif statement.kind in ("response", "refusal") and statement.delivery != "not_sent":
        found.handed[name, "request"] = statement.heard + 1


def _own_heads(directory: Path, log: str) -> list[bytes]:
    """The HEAD records, as they stand in the segments."""
    writer, heads = RecordWriter(log), []
    for path in sorted(directory.glob("*.seg"), key=lambda one: one.stem.partition("-")[2]):
        data, at = path.read_bytes(), HEADER_BYTES
        while (commit := writer.read_commit(data, at)) is not None:
            heads += [one.data for one in commit.records if one.type is RecordType.HEAD]
            at = commit.end
    return heads


@dataclass(slots=True)
class Verdict:
    """What was violated, by invariant; all empty is good. ``unresolved`` lists requests still in doubt."""

    acknowledged_and_unlogged: list[str] = field(default_factory=list)
    acknowledged_with_another_answer: list[str] = field(default_factory=list)
    delivered_and_unlogged: list[str] = field(default_factory=list)
    delivered_twice: list[str] = field(default_factory=list)
    delivered_and_called_undelivered: list[str] = field(default_factory=list)
    taken_and_never_answered: list[str] = field(default_factory=list)
    segments_out_of_order: list[str] = field(default_factory=list)
    taken_and_never_said: list[str] = field(default_factory=list)
    handed_on_and_never_taken: list[str] = field(default_factory=list)
    heads_that_do_not_extend: list[str] = field(default_factory=list)
    configurations_that_went_back: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not any(getattr(self, one.name) for one in fields(self))


def read_journal(path: Path) -> list[Event]:
    """The lines of a journal, whose last one may be torn."""
    lines = path.read_text("ascii").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def check(
    consumer: Path | Sequence[Path],
    provider: Path | Sequence[Path],
    told: list[Event],
    delivered: list[Event],
) -> Verdict:
    """Evaluate invariants 1 to 4, of streams as of single messages.

    Args:
        consumer: Log directory of the consumer's gateway, or those of its workers.
        provider: Log directory of the provider's gateway, or those of its workers.
        told: Journal of what programs sent and were told.
        delivered: Journal of what the adapter was given.
    """
    verdict = Verdict()
    sides = [[read(one) for one in ([at] if isinstance(at, Path) else at)] for at in (consumer, provider)]
    mine, theirs = map(_held, sides)
    for ours, others_held in ((mine, theirs), (theirs, mine)):
        _segments(verdict, ours, others_held)
    sent = {one["reference"]: one["digest"] for one in told if one["event"] == "sent"}
    _acknowledged(verdict, mine, theirs, told, sent)
    _delivered(verdict, mine, theirs, told, delivered)
    # After the last restart every request that was taken has an answer, be it that it was interrupted.
    verdict.taken_and_never_answered = [one for one in theirs.taken if one not in theirs.answered]
    verdict.unresolved = [one for one in mine.said if not _is_resolved(mine, one)]
    for own_logs, others in (sides, reversed(sides)):
        for own in own_logs:
            _heads(verdict, own, others)
            if own.versions != sorted(own.versions):
                verdict.configurations_that_went_back.append(own.log)
    return verdict


def _held(logs: list[Found]) -> Held:
    held = Held()
    for one in logs:
        held.take(one)
    return held


def _acknowledged(
    verdict: Verdict, mine: Held, theirs: Held, told: list[Event], sent: dict[str, str]
) -> None:
    """1, 2: what a program was told is durable at both gateways, and is the answer to what it sent."""
    for one in told:
        if one["event"] != "acknowledged":
            continue
        request = one["request"]
        is_logged = (
            request in mine.said
            and request in mine.heard
            and request in theirs.taken
            and request in theirs.answered
        )
        if not is_logged:
            verdict.acknowledged_and_unlogged.append(request)
        if one["digest"] != sent[one["reference"]]:
            verdict.acknowledged_with_another_answer.append(request)


def _delivered(
    verdict: Verdict,
    mine: Held,
    theirs: Held,
    told: list[Event],
    delivered: list[Event],
) -> None:
    """1 to 3: what the adapter got is durable at both, came once, and nobody says that it did not come."""
    requests = [one["request"] for one in delivered]
    verdict.delivered_and_unlogged = [
        one for one in requests if one not in theirs.taken or one not in mine.said
    ]
    verdict.delivered_twice = [one for one, times in Counter(requests).items() if times > 1]
    references = {one["reference"] for one in delivered}
    verdict.delivered_and_called_undelivered = [
        one["reference"]
        for one in told
        if one["event"] == "ended" and one["delivery"] == "not_sent" and one["reference"] in references
    ]
    denials = (theirs.outcomes, theirs.answered, mine.ended)
    verdict.delivered_and_called_undelivered += [
        one for one in requests if any(said[one].delivery == "not_sent" for said in denials if one in said)
    ]


def _segments(verdict: Verdict, own: Held, other: Held) -> None:
    """3: each segment of a stream is said once and taken once, in order; what is handed on was taken, and was said."""
    verdict.segments_out_of_order += [
        f"{name} {kind} {how}: {numbers}"
        for (name, kind, how), numbers in own.segments.items()
        if numbers != list(range(len(numbers)))
    ]
    verdict.taken_and_never_said += [one.hex() for one in own.hashes_taken - other.hashes_said]
    verdict.handed_on_and_never_taken += [
        f"{name} {kind}: {count}"
        for (name, kind), count in own.handed.items()
        if count > len(own.segments.get((name, kind, "taken"), ()))
    ]


def _is_resolved(mine: Held, request: str) -> bool:
    ended = mine.ended.get(request)
    return request in mine.heard or (ended is not None and ended.delivery == "not_sent")


def _heads(verdict: Verdict, own: Found, others: list[Found]) -> None:
    """4: every head that the log signed, wherever it is kept, is one that the log as it stands now extends."""
    size = time = 0
    for jws in own.heads:
        head = parse_head(jws).unverified
        if head.size < size or head.iat < time:
            verdict.heads_that_do_not_extend.append(f"{own.log}: a head over {head.size} went back")
        size, time = head.size, head.iat
    for jws in (*own.heads, *(head for other in others for head in other.peer_heads)):
        head = parse_head(jws).unverified
        if head.log != own.log:
            continue
        if head.size > own.reader.size or root_of(own.reader.node, head.size).hex() != head.root:
            verdict.heads_that_do_not_extend.append(f"{own.log}: another root over {head.size}")


if __name__ == "__main__":
    consumer, provider = ([Path(one) for one in logs.split(",")] for logs in sys.argv[1:3])
    found = check(consumer, provider, *(read_journal(Path(one)) for one in sys.argv[3:5]))
    print(found)
    sys.exit(0 if found.is_clean else 1)
