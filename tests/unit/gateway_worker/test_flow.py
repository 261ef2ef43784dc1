"""Credit of a stream: nothing is refused that was allowed, nothing waits for ever, what is held is bounded."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import ExchangeError, Reason
from core.streams import MAX_MESSAGES
from gateway.worker.flow import CREDIT, LOW, MESSAGE_COST, Flow, Intake, Outbox, Rota, cost_of

SIZES = st.one_of(st.integers(0, 100), st.integers(0, 2 * CREDIT), st.sampled_from([LOW, CREDIT, 4 * CREDIT]))


def filled(*sizes: int) -> Outbox:
    outbox = Outbox()
    for size in sizes:
        outbox.put(0, b"x" * size)
    return outbox


def test_a_segment_closes_at_its_messages() -> None:
    outbox = filled(*[0] * (MAX_MESSAGES + 1))

    assert (len(outbox.take()), len(outbox.take())) == (MAX_MESSAGES, 1)


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

    assert intake.take([(0, b"x" * (CREDIT - MESSAGE_COST))]) == CREDIT
    with pytest.raises(ExchangeError) as error:
        intake.take([(0, b"")])
    assert error.value.reason is Reason.LIMIT_EXCEEDED
    assert intake.held == CREDIT  # of what is refused nothing is counted


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
                assert intake.take(messages) == cost_of(messages)
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
    intake.take([(0, b"x" * CREDIT)])

    assert intake.taken(queued) == CREDIT + MESSAGE_COST - queued
    assert intake.due() == CREDIT + MESSAGE_COST - queued
    assert intake.due() == 0


def test_streams_take_their_turns() -> None:
    """Where a turn has room for two of five, each of them has said as much after five turns."""
    rota: Rota[int] = Rota(lambda: None)
    flows = [Flow() for _ in range(5)]
    for number, flow in enumerate(flows):
        rota.add(number, flow)
    said: list[int] = []

    for _ in range(5):
        room = 2

        def say(number: int, _: Flow) -> bool:
            nonlocal room
            room -= 1
            if room >= 0:
                said.append(number)
            return room >= 0

        rota.plan(say, lambda number, flow: True)

    assert sorted(said) == sorted([*range(5)] * 2)


def test_a_stream_stands_in_the_rota_once() -> None:
    woken: list[bool] = []
    rota: Rota[str] = Rota(lambda: woken.append(True))
    flow = Flow()
    rota.add("one", flow)
    rota.add("one", flow)
    seen: list[str] = []

    def say(one: str, _: Flow) -> bool:
        seen.append(one)
        return True

    rota.plan(say, lambda one, _: False)

    assert (seen, woken, bool(rota)) == (["one"], [True], False)


@pytest.mark.parametrize(
    ("heard", "is_possible"), [(None, True), (0, True), (1, True), (2, False), (2**62, False)]
)
def test_nobody_can_hand_on_what_was_not_said(heard: int | None, is_possible: bool) -> None:
    flow = Flow()
    flow.next_to_say = 2

    assert flow.is_possible(heard) is is_possible


def test_what_was_handed_on_stays_so() -> None:
    flow = Flow()
    flow.next_to_say = 9

    assert [flow.is_possible(heard) for heard in (3, 3, 2, None, 4)] == [True, True, False, True, True]


def test_a_segment_follows_in_order_in_one_encoding_and_cut_as_segments_are() -> None:
    flow, one, many = Flow(), [(0, b"x")], [(0, b"")] * (MAX_MESSAGES + 1)
    assert not flow.follows(1, "gzip", one)
    assert flow.follows(0, "gzip", one)
    flow.heard("gzip", final=False)

    assert flow.follows(1, "gzip", one)
    assert flow.follows(1, "gzip", [(0, b"x" * (CREDIT + 1))])
    assert not flow.follows(0, "gzip", one)
    assert not flow.follows(2, "gzip", one)
    assert not flow.follows(1, "identity", one)
    assert not flow.follows(1, "gzip", many)
    assert not flow.follows(1, "gzip", [(0, b"x" * CREDIT), (0, b"x")])
    flow.heard("gzip", final=True)
    assert not flow.follows(2, "gzip", one)
