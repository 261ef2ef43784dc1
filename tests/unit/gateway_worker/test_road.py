"""A road to one peer: nothing that concerns it is passed over, chunks wait for credit, bounds are fair (M3, M4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.heads import head_digest
from core.leaves import parse_heard
from core.payloads import Payload
from core.reasons import MalformedError, Reason
from gateway.worker.budget import Budget, BudgetLimits
from gateway.worker.flow import CREDIT
from gateway.worker.frames import Chunk, Credit, UnverifiedFrame, decode_message
from gateway.worker.leaves import OwnLeaf, heard_body, taken_body
from gateway.worker.link import MAX_FRAME_MESSAGE_BYTES
from gateway.worker.peerlog import PeerLog
from gateway.worker.road import (
    CHUNK_BYTES,
    MAX_BACKLOG,
    MAX_RESENT,
    STALL_US,
    Road,
    RoadLimits,
)
from gateway.worker.trust import TrustView
from gateway.worker.turn import BATCH
from tests.support.worker_country import NOW_MS, WorkerCountry, WrittenLog

MAX_MESSAGE = 1024 * 1024


class Channel:
    """What the peer would get."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = ""
        self.queued_bytes = 0
        self.held: list[bool] = []

    def hold(self) -> None:
        self.held.append(True)

    def resume(self) -> None:
        self.held.append(False)

    def send_message(self, message: bytes) -> None:
        self.sent.append(message)

    def close(self, reason: str) -> None:
        self.closed = reason

    @property
    def frames(self) -> list[UnverifiedFrame]:
        return [one for one in map(decode_message, self.sent) if isinstance(one, UnverifiedFrame)]

    @property
    def chunks(self) -> list[Chunk]:
        return [one for one in map(decode_message, self.sent) if isinstance(one, Chunk)]


@pytest.fixture(scope="module")
def country() -> WorkerCountry:
    return WorkerCountry()


@pytest.fixture(scope="module")
def view(country: WorkerCountry) -> TrustView:
    return country.view()


@pytest.fixture
def own(country: WorkerCountry) -> WrittenLog:
    """Our log; it is the one that the view knows, so that a frame of ours can be accepted in the test."""
    country.peer.hashes = country.peer.hashes[:1]
    return country.peer


@pytest.fixture
def budget() -> Budget:
    return Budget(BudgetLimits(2 * MAX_MESSAGE, 4 * MAX_MESSAGE, 10, 20))


def road(
    own: WrittenLog,
    budget: Budget,
    held: int = 0,
    on_sent: Callable[[list[OwnLeaf]], None] = lambda _: None,
) -> tuple[Road, Channel]:
    made = Road(
        PeerLog("1" * 64),
        "BJ/GOV/ANIP",
        own.log,
        max_message=MAX_MESSAGE,
        budget=budget,
        on_sent=on_sent,
    )
    channel = Channel()
    made.open(channel, own.log, held)
    return made, channel


def said(own: WrittenLog, *payloads: Payload) -> OwnLeaf:
    index, entry = own.say(payloads)
    return OwnLeaf(
        b"", own.hashes[index], body=entry.body, payloads=entry.payloads, is_said=True, index=index
    )


def payload(size: int, letter: bytes = b"x") -> Payload:
    return (b"s" * 16, 0, letter * size)


def test_what_is_sent_is_believed_by_the_peer(own: WrittenLog, budget: Budget, view: TrustView) -> None:
    """From genesis on, over gaps and neighbours, frame after frame."""
    made, channel = road(own, budget)
    peer = PeerLog(own.log)

    for gap in (2, 0, 5):
        own.pad(gap)
        made.add(said(own, payload(10)))
        made.add(said(own))
        own.pad(gap)
        made.add(said(own))
        made.send_frame(own, own.size, own.head())
        entries, _ = peer.accept(channel.frames[-1], view, NOW_MS)
        assert len(entries) == 3

    assert peer.edge.root() == own.root()
    assert made.sent_size == own.size


def test_nothing_to_say_sends_nothing(own: WrittenLog, budget: Budget) -> None:
    """The peer is not told of what concerns others."""
    made, channel = road(own, budget)
    own.pad(3)

    made.send_frame(own, own.size, own.head())

    assert channel.sent == []


def test_whoever_asks_is_told_that_it_may_have_left(own: WrittenLog, budget: Budget) -> None:
    """From the moment when the first byte may go to TLS."""
    told: list[OwnLeaf] = []
    made, _ = road(own, budget, on_sent=told.extend)
    leaf = said(own)
    made.add(leaf)

    assert told == []
    made.send_frame(own, own.size, own.head())

    assert told == [leaf]


def test_a_foreseen_receipt_is_taken_once(own: WrittenLog, budget: Budget) -> None:
    """The bytes that the peer will send when all goes well."""
    made, _ = road(own, budget)
    leaf = said(own)
    made.add(leaf)
    head = own.head()
    made.send_frame(own, own.size, head)
    body = taken_body("request", own.log, leaf.index, leaf.leaf_hash.hex(), head_digest(head))

    assert body in made.expected
    assert made.take_receipt(body, None) == leaf.index
    assert made.take_receipt(body, None) is None
    assert made.unreceipted == {}


def test_another_receipt_is_read(own: WrittenLog, budget: Budget) -> None:
    """A refusal is no less a receipt; one about another index is none."""
    made, _ = road(own, budget)
    leaf = said(own)
    made.add(leaf)
    head = own.head()
    made.send_frame(own, own.size, head)

    def receipt(index: int, log: str = own.log) -> bytes:
        verdict = "refused:NO_AGREEMENT"
        return heard_body("request", log, index, leaf.leaf_hash.hex(), head_digest(head), verdict)

    wrong, foreign, right = receipt(leaf.index + 1), receipt(leaf.index, "2" * 64), receipt(leaf.index)
    assert made.take_receipt(wrong, parse_heard(wrong)) is None
    assert made.take_receipt(foreign, parse_heard(foreign)) is None
    assert made.take_receipt(right, parse_heard(right)) == leaf.index
    assert (
        made.expected == {}
    )  # nor is the other one awaited: each refused or late statement would be held for ever


def test_after_a_lost_stream_what_still_counts_goes_out_again(
    own: WrittenLog, budget: Budget, view: TrustView
) -> None:
    """Unchanged, at or above what the peer holds; what it holds counts as passed (M4)."""
    made, _ = road(own, budget)
    first, second = said(own), said(own)
    made.add(first)
    made.add(second)
    made.send_frame(own, own.size, own.head())

    made.lose("lost")
    assert not made.is_open
    again = Channel()
    made.open(again, own.log, second.index)
    made.send_frame(own, own.size, own.head())

    (run,) = again.frames[0].runs
    assert (run.first, [entry.body for entry in run.entries]) == (second.index, [second.body])


def test_what_was_withdrawn_is_not_sent(own: WrittenLog, budget: Budget) -> None:
    """Its exchange ended unsent."""
    made, channel = road(own, budget)
    leaf = said(own)
    made.add(leaf)

    made.withdraw(leaf.leaf_hash)
    made.send_frame(own, own.size, own.head())

    assert channel.sent == []


def test_a_long_body_goes_ahead_in_chunks_within_credit(
    own: WrittenLog, budget: Budget, view: TrustView
) -> None:
    """The frame waits for the last of them; the receiver grants credit as it takes them."""
    made, channel = road(own, budget)
    leaf = said(own, payload(600_000))
    made.add(leaf)
    made.send_frame(own, own.size, own.head())
    assert sum(len(one.data) for one in channel.chunks) <= CREDIT
    assert channel.frames == []

    receiver, grants = road(own, budget)
    taken = 0
    while not channel.frames:
        assert taken < len(channel.sent)
        for message in channel.sent[taken:]:
            found = decode_message(message)
            taken += 1
            assert isinstance(found, Chunk)
            receiver.on_chunk(found)
        for message in grants.sent:
            credit = decode_message(message)
            assert isinstance(credit, Credit)
            made.on_credit(credit)
        grants.sent.clear()
    for message in channel.sent[taken:-1]:
        found = decode_message(message)
        assert isinstance(found, Chunk)
        receiver.on_chunk(found)
    peer = PeerLog(own.log)
    joined = receiver.join_chunks(channel.frames[0], peer.hash_of)
    (entry,), _ = peer.accept(joined, view, NOW_MS)

    assert entry.objection is None
    assert entry.payloads == leaf.payloads
    assert budget.held_bytes == 0


def test_credit_for_nothing_is_void(own: WrittenLog, budget: Budget) -> None:
    """A peer cannot pile it up."""
    made, channel = road(own, budget)

    made.on_credit(Credit(b"x" * 32, 10**9))
    made.add(said(own, payload(600_000)))
    made.send_frame(own, own.size, own.head())

    assert channel.frames == []


@pytest.mark.parametrize(
    "chunks",
    [
        [Chunk(b"l" * 32, 10**6, b"x" * (CREDIT + 1))],
        [Chunk(b"l" * 32, 100, b"x"), Chunk(b"l" * 32, 101, b"x")],
        [Chunk(b"l" * 32, 100, b"")],
    ],
    ids=["beyond-credit", "another-total", "empty"],
)
def test_chunks_out_of_order_end_the_stream(own: WrittenLog, budget: Budget, chunks: list[Chunk]) -> None:
    """By one reason."""
    made, _ = road(own, budget)
    *good, bad = chunks
    for chunk in good:
        made.on_chunk(chunk)

    with pytest.raises(MalformedError) as refused:
        made.on_chunk(bad)

    assert refused.value.reason is Reason.FRAME_INVALID


def _announced(own: WrittenLog, size: int, made: Road) -> tuple[UnverifiedFrame, PeerLog]:
    """A frame whose one body of ``size`` bytes is said to have come ahead."""
    index, entry = own.say((payload(size),))
    announced = replace(entry, payloads=b"", chunked=len(entry.payloads))
    return own.frame(0, [(index, announced)]), PeerLog(own.log)


def test_a_body_that_did_not_come_ends_the_stream(own: WrittenLog, budget: Budget) -> None:
    """Or came cut short."""
    made, _ = road(own, budget)
    frame, peer = _announced(own, 100_000, made)

    with pytest.raises(MalformedError):
        made.join_chunks(frame, peer.hash_of)
    made.on_chunk(Chunk(peer.hash_of(frame.runs[0].entries[0]), 100_000, b"x" * 10))
    with pytest.raises(MalformedError):
        made.join_chunks(frame, peer.hash_of)


def test_a_body_over_the_limit_is_let_pass_and_refused_by_name(
    own: WrittenLog, budget: Budget, view: TrustView
) -> None:
    """Its bytes are not kept, its frame is believed."""
    made, _ = road(own, budget)
    size = MAX_MESSAGE + 2 * CHUNK_BYTES
    frame, peer = _announced(own, size, made)

    made.on_chunk(Chunk(peer.hash_of(frame.runs[0].entries[0]), size, b"x" * CHUNK_BYTES))
    (entry,), _ = peer.accept(made.join_chunks(frame, peer.hash_of), view, NOW_MS)

    assert budget.held_bytes == 0
    assert entry.objection is Reason.MESSAGE_TOO_LARGE


def test_a_member_over_its_budget_is_refused_by_name(own: WrittenLog, view: TrustView) -> None:
    """Others go on."""
    budget = Budget(BudgetLimits(CHUNK_BYTES, MAX_MESSAGE, 10, 20))
    made, _ = road(own, budget)
    frame, peer = _announced(own, 100_000, made)
    leaf = peer.hash_of(frame.runs[0].entries[0])

    made.on_chunk(Chunk(leaf, 100_000, b"x" * CHUNK_BYTES))
    made.on_chunk(Chunk(leaf, 100_000, b"x" * (100_000 - CHUNK_BYTES)))
    (entry,), _ = peer.accept(made.join_chunks(frame, peer.hash_of), view, NOW_MS)

    assert entry.objection is Reason.LIMIT_EXCEEDED
    assert budget.held_bytes == 0


def test_a_lost_stream_gives_back_what_it_held(own: WrittenLog, budget: Budget) -> None:
    """Bodies under assembly are forgotten."""
    made, _ = road(own, budget)
    made.on_chunk(Chunk(b"l" * 32, 100_000, b"x" * 1000))
    assert budget.held_bytes == 1000

    made.lose("lost")

    assert budget.held_bytes == 0


def test_a_peer_that_gives_no_receipts_does_not_fill_our_memory(own: WrittenLog, budget: Budget) -> None:
    """What was sent is held for a re-sending up to a bound of bytes; its receipt is taken all the same."""
    made, _ = road(own, budget)
    size = RoadLimits().unreceipted_bytes // 4 + 1
    head, leaves = own.head(), []
    for number in range(5):
        leaves.append(
            OwnLeaf(
                b"",
                bytes([number]) * 32,
                body=b"%d" % number,
                payloads=bytes(size),
                is_said=True,
                index=own.size,
            )
        )
        own.pad(1)
        made.add(leaves[-1])
        made.send_frame(own, own.size, head)

    assert list(made.unreceipted) == [one.leaf_hash for one in leaves[-3:]]
    assert made.unreceipted_bytes == 3 * (size + 1)
    for leaf in leaves:
        body = taken_body("request", own.log, leaf.index, leaf.leaf_hash.hex(), head_digest(head))
        assert made.take_receipt(body, None) == leaf.index
    assert made.unreceipted_bytes == 0


def test_statements_without_receipts_are_bounded_in_number(own: WrittenLog, budget: Budget) -> None:
    """Short ones too; the oldest are given up for a re-sending."""
    made, _ = road(own, budget)
    made.limits = RoadLimits(unreceipted=3)
    leaves = [OwnLeaf(b"", bytes([at]) * 32, body=b"", is_said=True, index=at) for at in range(5)]
    for leaf in leaves:
        made.add(leaf)

    assert list(made.unreceipted) == [one.leaf_hash for one in leaves[-3:]]


def test_bodies_under_way_are_bounded_in_number(
    own: WrittenLog, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that begins bodies and never ends them loses the stream."""
    monkeypatch.setattr("gateway.worker.road.MAX_ASSEMBLIES", 3)
    made, _ = road(own, budget)
    for number in range(3):
        made.on_chunk(Chunk(bytes([number]) * 32, 1000, b"x"))

    with pytest.raises(MalformedError) as refused:
        made.on_chunk(Chunk(b"z" * 32, 1000, b"x"))

    assert refused.value.reason is Reason.FRAME_INVALID


def test_a_peer_that_gives_no_credit_is_taken_for_unreachable(own: WrittenLog, budget: Budget) -> None:
    """After a while without any, not while it goes on; what waited is sent on the next stream."""
    made, _ = road(own, budget)
    leaf = said(own, payload(600_000))
    made.add(leaf)
    made.send_frame(own, own.size, own.head())
    assert not made.is_stalled(0)
    assert not made.is_stalled(STALL_US)
    assert made.is_stalled(STALL_US + 1)

    made.on_credit(Credit(leaf.leaf_hash, CREDIT))

    assert not made.is_stalled(STALL_US + 2)
    made.lose("lost")
    assert not made.is_stalled(3 * STALL_US)
    assert made.outgoing == [leaf]


def test_a_road_with_much_that_waits_for_credit_takes_nothing_long(own: WrittenLog, budget: Budget) -> None:
    """It is slow, not stalled: what was begun goes on, and room comes back with the credit."""
    made, _ = road(own, budget)
    made.limits = RoadLimits(sending_bytes=1_000_000)
    leaves = []
    for _ in range(2):
        assert not made.is_backed_up
        leaves.append(said(own, payload(600_000)))
        made.add(leaves[-1])
        made.send_frame(own, own.size, own.head())

    assert made.is_backed_up
    assert not made.is_stalled(0)
    made.on_credit(Credit(leaves[0].leaf_hash, 600_000))
    assert not made.is_backed_up


def test_a_statement_whose_exchange_ended_is_not_sent_again(own: WrittenLog, budget: Budget) -> None:
    """Neither what waits for a frame nor what waits in one for credit."""
    made, channel = road(own, budget)
    ended = said(own, payload(600_000))
    made.add(ended)
    made.send_frame(own, own.size, own.head())

    made.withdraw(ended.leaf_hash)
    made.lose("lost")
    made.open(channel, own.log, 0)

    assert made.outgoing == []


def test_the_longest_frame_is_taken(own: WrittenLog, view: TrustView) -> None:
    """As many leaves as may wait, each with a body; else the peer would refuse that frame again and again."""
    budget = Budget(BudgetLimits(64 * 1024 * 1024, 64 * 1024 * 1024, 10, 20))
    made, channel = road(own, budget)
    for number in range(MAX_BACKLOG + BATCH):
        index, entry = own.say((payload(4096),), nonce=f"{number:032x}")
        made.add(
            OwnLeaf(
                b"", own.hashes[index], body=entry.body, payloads=entry.payloads, is_said=True, index=index
            )
        )
    made.send_frame(own, own.size, own.head())

    receiver, _ = road(own, budget)
    for chunk in channel.chunks:
        receiver.on_chunk(chunk)
    peer = PeerLog(own.log)
    entries, _ = peer.accept(receiver.join_chunks(channel.frames[0], peer.hash_of), view, NOW_MS)

    assert len(channel.sent[-1]) <= MAX_FRAME_MESSAGE_BYTES
    assert len(entries) == MAX_BACKLOG + BATCH
    assert all(one.objection is None for one in entries)


def test_after_a_break_no_more_goes_out_again_than_one_frame_holds(own: WrittenLog, budget: Budget) -> None:
    """The newest; a frame that no peer takes would be sent again and again, and nothing behind it."""
    made, channel = road(own, budget)
    leaves = []
    for number in range(MAX_RESENT + 50):
        index, entry = own.say(nonce=f"{number:032x}")
        leaves.append(OwnLeaf(b"", own.hashes[index], body=entry.body, is_said=True, index=index))
        own.pad(1)
        made.add(leaves[-1])
    made.lose("lost")

    made.open(channel, own.log, 0)

    assert made.outgoing == leaves[-MAX_RESENT:]
    made.send_frame(own, own.size, own.head())
    assert len(channel.frames[0].runs) == MAX_RESENT


def test_a_road_with_too_much_to_send_takes_no_new_exchange(
    own: WrittenLog, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a frame took it along."""
    monkeypatch.setattr("gateway.worker.road.MAX_BACKLOG", 2)
    made, _ = road(own, budget)
    made.add(said(own))
    assert not made.is_backed_up
    made.add(said(own))
    assert made.is_backed_up

    made.send_frame(own, own.size, own.head())

    assert not made.is_backed_up


def test_a_channel_that_takes_nothing_backs_the_road_up(own: WrittenLog, budget: Budget) -> None:
    """What the peer has not made room for counts like what waits for its credit."""
    made, channel = road(own, budget)

    channel.queued_bytes = made.limits.sending_bytes + 1
    before = made.is_backed_up
    made.look()

    assert (before, made.is_backed_up) == (False, True)
    made.lose("lost")
    assert not made.is_backed_up
