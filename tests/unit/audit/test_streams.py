"""Any segments at all, against a rule that can be read at a glance."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from audit.opencalls import OpenCalls
from audit.streams import BrokenOrderError, Progress, Saying, judge_calls
from core.statements import Statement
from core.streams import SegmentError
from tests.unit.core.test_statements import REQUEST

NAME = "7b" * 32
FIRST = replace(REQUEST, final=False)


class Act(NamedTuple):
    """A later segment of one call."""

    kind: str
    sequence: int
    is_final: bool
    heard: int
    verdict: str | None

    @property
    def statement(self) -> Statement:
        values = {"kind": self.kind, "sequence": self.sequence, "final": self.is_final, "request": NAME}
        if self.kind == "response":
            ends = {"from_": FIRST.to, "to": FIRST.from_}
            values |= ends | {"heard": self.heard, "status": 0 if self.is_final else None}
        return replace(FIRST, **values)

    @property
    def counts(self) -> bool:
        return self.verdict in (None, "taken")


# Mostly what follows, so that long calls come about, and now and then anything.
@st.composite
def calls(draw: st.DrawFn) -> list[Act]:
    found: list[Act] = []
    numbers = {"request": 1, "response": 0}
    handed = 0
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["request", "response"]))
        is_odd = draw(st.integers(0, 7)) == 0
        sequence = draw(st.integers(kind == "request", 4)) if is_odd else numbers[kind]
        handed = (
            draw(st.integers(0, 4))
            if is_odd
            else draw(st.integers(handed, max(handed, numbers["request"] - 1)))
        )
        verdict = draw(
            st.sampled_from(["taken", "taken", "taken", None, "late", "refused:STATEMENT_INVALID"])
        )
        is_final = draw(st.integers(0, 5)) == 0
        found.append(Act(kind, sequence, is_final, handed, verdict))
        numbers[kind] += found[-1].counts and sequence == numbers[kind]
    return found


def is_good(acts: list[Act]) -> bool:
    """In the order of the log: 0, 1, 2 …, the final one last; what is handed on is there, and only rises."""
    counted = {
        kind: [one for one in acts if one.kind == kind and one.counts] for kind in ("request", "response")
    }
    asked, answered = (
        [one.sequence for one in counted["request"]],
        [one.sequence for one in counted["response"]],
    )
    handed = [
        one.heard for one in acts if one.kind == "response" and not (one.verdict or "").startswith("refused")
    ]
    return (
        asked == list(range(1, len(asked) + 1))
        and answered == list(range(len(answered)))
        and not any(one.is_final for some in counted.values() for one in some[:-1])
        and handed == sorted(handed)
        and all(one <= len(asked) for one in handed)
    )


def judged(acts: list[Act]) -> Progress | None:
    first = Saying("0", 0, NAME, FIRST, "taken", 0)
    later = [
        Saying(str(at), at, f"{at:064x}", one.statement, one.verdict, at if one.verdict else None)
        for at, one in enumerate(acts, 1)
    ]
    try:
        (found,), _ = judge_calls([first, *later])
    except BrokenOrderError:
        return None
    return found


@settings(max_examples=150, deadline=None)
@given(calls())
def test_evidence_holds_just_those_segments_that_follow(acts: list[Act]) -> None:
    found = judged(acts)

    assert (found is not None) is is_good(acts)
    if found is not None:
        taken = [one for one in acts if one.kind == "request" and one.verdict == "taken"]
        assert found.asked.segments >= 1 + sum(one.kind == "request" and one.counts for one in acts)
        assert found.asked.taken >= 1 + len(taken)
        assert found.asked.handed is None or found.asked.handed <= found.asked.segments
        assert found.answered.taken <= found.answered.segments


@settings(max_examples=150, deadline=None)
@given(calls())
def test_a_whole_log_says_the_same_of_what_was_taken(acts: list[Act]) -> None:
    """``verify-log`` and ``verify`` follow one rule, the one leaf by leaf and the other when all is there."""
    taken = [one._replace(verdict="taken") for one in acts if one.counts]
    open_calls = OpenCalls()
    open_calls.take(FIRST, NAME)
    try:
        for at, one in enumerate(taken, 1):
            open_calls.take(one.statement, f"{at:064x}")
        is_whole = True
    except SegmentError:
        is_whole = False

    # A log is asked at each leaf: what is handed on must be there by then, and nothing follows an end of both ways.
    if is_whole:
        assert judged(taken) is not None
    elif judged(taken) is not None:
        assert any(
            one.kind == "response"
            and one.heard > sum(before.kind == "request" for before in taken[: taken.index(one)])
            for one in taken
        )


def told_late(*late: Act) -> tuple[Progress, list[str]]:
    """A call of one segment each way, what its peer said when nobody waited any more; and what of it is untrue."""
    acts = [Act("response", 0, False, 0, "taken"), *late]
    first = Saying("0", 0, NAME, FIRST, "taken", 0)
    (found,), untrue = judge_calls(
        [first]
        + [
            Saying(str(at), at, f"{at:064x}", one.statement, one.verdict, at, is_peers=True)
            for at, one in enumerate(acts, 1)
        ]
    )
    return found, [one.said.path for one in untrue]


def test_a_late_lie_counts_for_nothing() -> None:
    """It is laid on the peer, and neither its segment nor its end is part of the way."""
    found, untrue = told_late(Act("response", 1, True, 7, "late"))

    assert untrue == ["2"]
    assert (found.answered.segments, found.answered.is_final) == (1, False)
    assert found.asked.handed == 1
    assert found.ends == ()


def test_what_came_behind_a_late_lie_follows_nothing() -> None:
    """A segment that is true by itself has no place without the one before it."""
    found, untrue = told_late(Act("response", 1, False, 7, "late"), Act("response", 2, True, 0, "late"))

    assert untrue == ["2"]
    assert (found.answered.segments, found.answered.is_final) == (1, False)


def test_a_true_segment_stands_in_the_place_of_a_late_lie() -> None:
    """As if the lie had never been told."""
    found, untrue = told_late(Act("response", 1, False, 7, "late"), Act("response", 1, True, 0, "late"))

    assert untrue == ["2"]
    assert (found.answered.segments, found.answered.is_final) == (2, True)
