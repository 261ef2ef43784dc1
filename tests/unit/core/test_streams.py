"""The order of segments, and what they repeat: one direction of a stream, segment by segment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.statements import Statement
from core.streams import MAX_MESSAGES, Direction, SegmentError, count_messages, messages_of
from tests.unit.core.test_statements import REQUEST

NAME = "7b" * 32


def segment(kind: str, sequence: int, messages: int = 1, *, final: bool = False, **fields: Any) -> Statement:
    payloads = messages + (sequence == 0) + (kind == "response" and final)
    of: dict[str, Any] = {"request": NAME if sequence or kind == "response" else None}
    of |= {"heard": 0, "status": 0 if final else None} if kind == "response" else {}
    values = of | {"kind": kind, "sequence": sequence, "final": final, "payloads": ["ee" * 32] * payloads}
    return replace(REQUEST, **(values | fields))


@pytest.mark.parametrize("kind", ["request", "response"])
@given(messages=st.lists(st.integers(0, MAX_MESSAGES), min_size=1, max_size=12))
def test_segments_in_order_are_taken_and_counted(kind: str, messages: list[int]) -> None:
    direction = Direction()

    for sequence, count in enumerate(messages):
        direction.take(segment(kind, sequence, count, final=sequence == len(messages) - 1))

    assert (direction.segments, direction.messages) == (len(messages), sum(messages))
    assert direction.is_final


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (segment("request", 2), "request segment 2: segment 1 is missing"),
        (segment("request", 0), "request segment 0: stands twice"),
        (segment("request", 1, MAX_MESSAGES + 1), "request segment 1 holds more than 64 messages"),
        (segment("request", 1, purpose="P09"), "request segment 1 differs from segment 0 in 'purpose'"),
        (segment("request", 1, encoding="gzip"), "request segment 1 differs from segment 0 in 'encoding'"),
        (segment("request", 1, to="dd" * 32), "request segment 1 differs from segment 0 in 'to'"),
    ],
    ids=["gap", "twice", "too many", "purpose", "encoding", "to"],
)
def test_what_does_not_follow_is_named(wrong: Statement, why: str) -> None:
    direction = Direction()
    direction.take(segment("request", 0))

    with pytest.raises(SegmentError) as refused:
        direction.take(wrong)

    assert str(refused.value) == why


def test_nothing_stands_behind_the_final_segment() -> None:
    direction = Direction()
    direction.take(segment("response", 0, final=True))

    with pytest.raises(SegmentError, match="response segment 1 stands behind the final one"):
        direction.take(segment("response", 1))


def test_a_status_makes_a_segment_final() -> None:
    with pytest.raises(SegmentError, match="has a status, and is not final"):
        Direction().take(segment("response", 0, status=0))


def test_metadata_is_no_message() -> None:
    """Initial metadata stands in segment 0, trailing metadata in a final response, and nowhere else."""
    assert messages_of(segment("request", 0, 3)) == 3
    assert messages_of(segment("response", 0, 3, final=True)) == 3
    assert count_messages("request", 1, 0, final=True) == 0
    assert count_messages("refusal", 0, 0, final=True) == 0
