"""Joins both logs with the journals that both ends kept, and evaluates the invariants of DESIGN section 11.

Independent of the gateways: it reads files only, and asks no process and no metric.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash
from core.statements import Statement, parse_statement
from ledger.reader import LogReader
from ledger.records import AttachmentKind


@dataclass(frozen=True, slots=True)
class Found:
    """What one log holds, by request leaf hash."""

    requests_said: dict[str, Statement]
    requests_taken: dict[str, Statement]
    answers_said: dict[str, Statement]
    answers_taken: set[str]


def read(directory: Path) -> Found:
    """Read one log."""
    reader = LogReader(directory)
    reader.read_all()
    found = Found({}, {}, {}, set())
    for stored in reader:
        leaf = parse_leaf(stored.leaf)
        if leaf.label == SAID:
            statement = parse_statement(leaf.body)
            if statement.kind == "request":
                found.requests_said[leaf_hash(stored.leaf).hex()] = statement
            elif statement.kind in ("response", "refusal") and statement.request:
                found.answers_said[statement.request] = statement
        elif leaf.label == HEARD:
            heard = parse_heard(leaf.body)
            statements = [data for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT]
            if heard.verdict == "taken" and statements:
                statement = parse_statement(statements[0])
                if statement.kind == "request":
                    found.requests_taken[heard.leaf] = statement
                elif statement.kind in ("response", "refusal"):
                    found.answers_taken.add(statement.request or "")
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was violated; all empty is good."""

    acknowledged_and_unlogged: list[str]
    delivered_and_unlogged: list[str]
    delivered_twice: list[str]
    unanswered: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not (
            self.acknowledged_and_unlogged
            or self.delivered_and_unlogged
            or self.delivered_twice
            or self.unanswered
        )


def check(consumer: Path, provider: Path, acknowledged: list[str], delivered: list[str]) -> Verdict:
    """Evaluate invariants 1 to 3.

    Args:
        consumer: Log directory of the consumer's gateway.
        provider: Log directory of the provider's gateway.
        acknowledged: Request hashes of the answers that the program got, from its own journal.
        delivered: Request hashes that the adapter was given, from its own journal.
    """
    mine, theirs = read(consumer), read(provider)
    return Verdict(
        acknowledged_and_unlogged=[
            one
            for one in acknowledged
            if not (
                one in mine.requests_said
                and one in mine.answers_taken
                and one in theirs.requests_taken
                and one in theirs.answers_said
            )
        ],
        delivered_and_unlogged=[
            one for one in delivered if one not in theirs.requests_taken or one not in mine.requests_said
        ],
        delivered_twice=[one for one, times in Counter(delivered).items() if times > 1],
        # After the last restart every request that was taken has an answer, be it that it was interrupted.
        unanswered=[one for one in theirs.requests_taken if one not in theirs.answers_said],
    )
