"""Credit of a stream: nothing is refused that was allowed, nothing waits for ever, what is held is bounded."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.flow import CREDIT, LOW, MESSAGE_COST, SEGMENT_MESSAGES, Flow, Intake, Outbox, cost_of

SIZES = st.one_of(st.integers(0, 100), st.integers(0, 2 * CREDIT), st.sampled_from([LOW, CREDIT, 4 * CREDIT]))


def filled(*sizes: int) -> Outbox:
    outbox = Outbox()
    for size in sizes:
        outbox.put(0, b"x" * size)
    return outbox


def test_a_segment_closes_at_its_messages() -> None:
    outbox = filled(*[0] * (SEGMENT_MESSAGES + 1))

    assert (len(outbox.take()), len(outbox.take())) == (SEGMENT_MESSAGES, 1)


def test_a_segment_closes_at_its_bytes_and_a_long_message_stands_alone() -> None:
    outbox = filled(10, 3 * CREDIT, 10)

    assert [len(data) for _, data in outbox.take()] == [10]
    assert [len(data) for _, data in outbox.take()] == [3 * CREDIT]
    assert not outbox.is_open_for_next
    outbox.give_back(cost_of([(0, b"x" * (3 * CREDIT))]))
    assert [len(data) for _, data in outbox.take()] == [10]


def test_empty_messages_count() -> None:
    """Else a million of them would fit into any credit."""
    outbox = filled(*[0] * (CREDIT // MESSAGE_COST + 1))
    taken = 0
    while outbox.is_open_for_next:
        taken += len(outbox.take())

    assert taken == CREDIT // MESSAGE_COST


def test_credit_for_more_than_is_outstanding_is_void() -> None:
    outbox = filled(CREDIT, CREDIT)
    outbox.take()
    outbox.give_back(2**60)

    assert len(outbox.take()) == 1
    assert not filled_again(outbox).is_open_for_next


def filled_again(outbox: Outbox) -> Outbox:
    outbox.put(0, b"x")
    return outbox


def test_a_peer_that_goes_past_its_credit_is_not_admitted() -> None:
    intake = Intake()

    assert intake.admits([(0, b"x" * (CREDIT - MESSAGE_COST))])
    assert not intake.admits([(0, b"")])


def test_what_is_final_comes_behind_all_messages() -> None:
    flow = Flow()
    flow.outbox.put(0, b"a")
    flow.outbox.is_ended = True

    assert flow.next_segment() == ([(0, b"a")], 0, True)
    assert not flow.has_segment


@given(st.lists(SIZES, max_size=60), st.data())
def test_every_message_gets_through_and_no_more_is_held_than_allowed(
    sizes: list[int], data: st.DataObject
) -> None:
    """Segments, drains and credit in any order, each on its way for as long as it likes."""
    sender, intake = filled(*sizes), Intake()
    segments: deque[list[tuple[int, bytes]]] = deque()
    given_back: deque[int] = deque()
    queued = arrived = 0
    largest = max(sizes, default=0) + MESSAGE_COST
    while arrived < len(sizes):
        moves = ["send"] if sender and sender.is_open_for_next else []
        moves += ["arrive"] if segments else []
        moves += ["drain"] if queued else []
        moves += ["credit"] if given_back else []
        assert moves, "nothing can move, and messages are left"
        match data.draw(st.sampled_from(moves)):
            case "send":
                segments.append(sender.take())
                assert segments[-1]
            case "arrive":
                messages = segments.popleft()
                assert intake.admits(messages)
                arrived += len(messages)
                queued += cost_of(messages)
                assert intake.held <= max(CREDIT, LOW + largest)
            case "drain":
                # As the edge tells it: once when less than LOW is queued, and again when all has left.
                queued = data.draw(st.integers(0, LOW - 1)) if queued >= LOW else 0
                intake.taken(queued)
                credit = intake.due()
                if credit:
                    given_back.append(credit)
            case _:
                sender.give_back(given_back.popleft())
    assert not sender


@pytest.mark.parametrize("queued", [0, 10, LOW])
def test_what_is_queued_is_not_given_back(queued: int) -> None:
    intake = Intake()
    intake.admits([(0, b"x" * CREDIT)])

    assert intake.taken(queued) == CREDIT + MESSAGE_COST - queued
    assert intake.due() == CREDIT + MESSAGE_COST - queued
    assert intake.due() == 0
