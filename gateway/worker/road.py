"""The road to one peer log: what we hold of it, what it still has to hear, and the stream between (PROTOCOL, "The road").

A frame to a peer passes over nothing that concerns this peer: every leaf of ours that does goes into the first frame
that covers its index. So a peer never has to be told later, with a proof of its own, what it has been led past.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from core.heads import head_digest
from core.leaves import Heard
from core.reasons import MalformedError, Reason
from gateway.worker.budget import Budget
from gateway.worker.flow import CREDIT
from gateway.worker.frames import (
    Chunk,
    Credit,
    Outcome,
    OutgoingRun,
    UnverifiedEntry,
    UnverifiedFrame,
    encode_chunk,
    encode_credit,
    encode_frame,
    encode_outcome,
)
from gateway.worker.leaves import OwnLeaf, taken_body, without_annex
from gateway.worker.peerlog import PeerLog
from ledger.records import AttachmentKind

CHUNK_BYTES: Final = 64 * 1024
MAX_INLINE_BYTES: Final = 2 * 1024 * 1024
# What goes out again after a break, and what may wait before new exchanges and answers wait too: one frame must hold
# it with the turn on top, in a message of 16 MiB, and its receiver as many bodies that came ahead of it.
MAX_RESENT: Final = 1_000
MAX_BACKLOG: Final = 2_048
MAX_ASSEMBLIES: Final = 4_096
# What may stand beside a message: two metadata blobs at their longest, and salts.
METADATA_BYTES: Final = 72 * 1024
STALL_US: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class RoadLimits:
    """What may be held for one peer that takes slowly, or gives no receipts."""

    sending_bytes: int = 64 * 1024 * 1024
    unreceipted: int = 65_536
    unreceipted_bytes: int = 64 * 1024 * 1024


class Channel(Protocol):
    """One gRPC stream between two gateways; ``edges`` provides it."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that the peer has not made room for yet."""

    def send_message(self, message: bytes) -> None:
        """Queue one message; it goes out with the turn's write."""

    def hold(self) -> None:
        """Let the peer's window shut."""

    def resume(self) -> None:
        """Open it again."""

    def close(self, reason: str) -> None:
        """End the stream, telling the peer why."""


class OwnLog(Protocol):
    """What a road needs of our own log."""

    def cover(self, begin: int, end: int) -> bytes:
        """Concatenated subtree hashes that tile leaves ``[begin, end)``."""


@dataclass(slots=True)
class _Assembly:
    """A long body on its way in."""

    total: int
    granted: int
    kept: bytearray = field(default_factory=bytearray)
    received: int = 0
    withheld: Reason | None = None


@dataclass(slots=True)
class _Sending:
    """A frame that waits until the chunks ahead of it have gone."""

    chunks: deque[Chunk]
    frame: bytes
    leaves: list[OwnLeaf]
    held_bytes: int


class Road:
    """One peer log, whether or not a stream to it is open.

    ``on_sent`` is called with leaves of which bytes may be given to TLS from then on.
    """

    def __init__(
        self,
        peer: PeerLog,
        member: str,
        own_log: str,
        *,
        max_message: int,
        budget: Budget,
        on_sent: Callable[[list[OwnLeaf]], None],
        limits: RoadLimits | None = None,
    ) -> None:
        self.limits = limits or RoadLimits()
        self._own_log = own_log
        self.peer = peer
        self.member = member
        self.channel: Channel | None = None
        self.dialled_by = ""
        self.draining = False
        self.state = "lost"
        self.outgoing: list[OwnLeaf] = []
        self.unreceipted: dict[bytes, OwnLeaf] = {}
        self.unreceipted_bytes = 0
        self.expected: dict[bytes, tuple[int, bytes]] = {}
        self.records: list[tuple[AttachmentKind, bytes]] = []
        self.sent_size = 0
        self.receipt_due_us: int | None = None
        self._max_message = max_message
        self._budget = budget
        self._on_sent = on_sent
        self._credits: dict[bytes, int] = {}
        self._sending: deque[_Sending] = deque()
        self._sending_bytes = 0
        self._queued = 0  # what the channel held when it was asked last
        self._taken = 0  # messages that the stream took, to see whether it still does
        self._watched = (0, 0)
        self._assemblies: dict[bytes, _Assembly] = {}

    @property
    def is_open(self) -> bool:
        """Whether Hello was verified on both sides."""
        return self.channel is not None

    @property
    def has_unsent(self) -> bool:
        """Whether anything waits to be put into a frame, or behind chunks for which the peer gives no credit yet."""
        return bool(self.outgoing or self._sending)

    @property
    def is_backed_up(self) -> bool:
        """Whether so much waits to be sent that nothing long should be added: no new exchange, no answer."""
        waiting = self._sending_bytes + self._queued
        return len(self.outgoing) >= MAX_BACKLOG or waiting > self.limits.sending_bytes

    def hold(self) -> None:
        """Frames of this peer wait for our commits: it is to send no more for now."""
        if self.channel is not None:
            self.channel.hold()

    def resume(self) -> None:
        """They have had their turn."""
        if self.channel is not None:
            self.channel.resume()

    def look(self) -> None:
        """See how much the peer has not made room for; called every few milliseconds, asking costs a little."""
        self._queued = self.channel.queued_bytes if self.channel is not None else 0

    @property
    def proven_size(self) -> int | None:
        """Size of our log in the head that the peer verified last, once it has read all we sent; ``None`` until then."""
        return self.sent_size if self.channel is not None and not self._sending else None

    def open(self, channel: Channel, dialled_by: str, held_size: int) -> None:
        """Take a stream whose Hello was verified; the first frame starts at what the peer holds.

        Leaves of ours at or above that size whose word still counts go out again, unchanged: no new attempt.
        """
        self.channel, self.dialled_by, self.draining, self.state = channel, dialled_by, False, "open"
        self.sent_size = held_size
        again = {one.index: one for one in (*self.unreceipted.values(), *self.outgoing)}
        # What lies below counts as passed: only Outcome can tell what became of it (PROTOCOL M4).
        self.outgoing = [
            again[index] for index in sorted(again) if index >= held_size and not again[index].is_once
        ][-MAX_RESENT:]

    def lose(self, state: str) -> None:
        """Forget the stream. What it left unsent waits for the next one."""
        self.channel = None
        self.state = state
        unsent = [leaf for sending in self._sending for leaf in sending.leaves]
        self.outgoing = unsent + self.outgoing
        self._sending.clear()
        self._sending_bytes = self._queued = 0
        self._credits.clear()
        self.expected.clear()
        for assembly in self._assemblies.values():
            self._budget.give_bytes(self.member, len(assembly.kept))
        self._assemblies.clear()

    def add(self, leaf: OwnLeaf) -> None:
        """Note a committed leaf of ours that the peer is to hear with the next frame."""
        self.outgoing.append(leaf)
        if leaf.is_said:
            self.unreceipted[leaf.leaf_hash] = leaf
            self.unreceipted_bytes += leaf.held_bytes
            limits = self.limits
            while (
                len(self.unreceipted) > limits.unreceipted
                or self.unreceipted_bytes > limits.unreceipted_bytes
            ):
                # A peer that gives no receipts must not make us hold what it was sent. What is pushed out stays in
                # the log; only its re-sending after a lost stream is given up.
                self._forget(next(iter(self.unreceipted)))

    def restore(self, leaves: list[OwnLeaf]) -> None:
        """Take over, after a start, what we said to this peer and have no receipt for."""
        for leaf in leaves:
            self.unreceipted[leaf.leaf_hash] = leaf
            self.unreceipted_bytes += leaf.held_bytes

    def withdraw(self, leaf_hash: bytes) -> None:
        """The word of this statement counts no more, its exchange ended: no later stream carries it."""
        self._forget(leaf_hash)
        if self.outgoing:
            self.outgoing = [one for one in self.outgoing if one.leaf_hash != leaf_hash]
        for sending in self._sending:
            sending.leaves = [one for one in sending.leaves if one.leaf_hash != leaf_hash]

    def _forget(self, leaf_hash: bytes) -> None:
        leaf = self.unreceipted.pop(leaf_hash, None)
        if leaf is not None:
            self.unreceipted_bytes -= leaf.held_bytes

    # --- out ---

    def send_frame(self, log: OwnLog, size: int, head: bytes) -> None:
        """Put everything outgoing into one frame under ``head`` and send it, long bodies ahead in chunks."""
        leaves, self.outgoing = self.outgoing, []
        if not leaves:
            return
        chunks = self._chunks(leaves)
        runs: list[OutgoingRun] = []
        reached = self.sent_size
        for leaf in leaves:
            index = leaf.index
            if not runs or index != reached:
                runs.append(OutgoingRun(index, _cover(log, reached, index), []))
            runs[-1].entries.append(leaf)
            reached = index + 1
        frame = encode_frame(runs, log.cover(reached, size), head)
        for leaf in leaves:
            if leaf.is_once and leaf.leaf_hash in self.unreceipted:
                # Its bytes are in the frame or in its chunks, and never go out again.
                self.unreceipted_bytes -= len(leaf.payloads)
                leaf.payloads = b""
        self._expect_receipts(leaves, head_digest(head))
        self.sent_size = size
        self.receipt_due_us = None
        sending = _Sending(chunks, frame, leaves, len(frame) + sum([len(one.data) for one in chunks]))
        self._sending.append(sending)
        self._sending_bytes += sending.held_bytes
        # From here on bytes may leave, chunks first: whoever asks is told that it may have been sent.
        self._on_sent(leaves)
        self.pump()
        self.look()

    def _expect_receipts(self, leaves: list[OwnLeaf], head: str) -> None:
        """A receipt says nothing that we do not know: note the bytes that it will have when all goes well."""
        own = self._own_log
        for leaf in leaves:
            if leaf.is_said:
                expected = taken_body(leaf.role, own, leaf.index, leaf.leaf_hash.hex(), head)
                self.expected[expected] = (leaf.index, leaf.leaf_hash)
        while len(self.expected) > self.limits.unreceipted:
            del self.expected[next(iter(self.expected))]

    def take_receipt(self, body: bytes, receipt: Heard | None) -> int | None:
        """Where the statement of ours stands that a receipt is about, once; ``None`` if none waits for it."""
        found = self.expected.pop(without_annex(body), None)
        if found is None and receipt is not None and receipt.log == self._own_log:
            said = self.unreceipted.get(bytes.fromhex(receipt.leaf))
            if said is not None and said.index == receipt.index:
                found = (said.index, said.leaf_hash)
                # Another verdict than the one that was expected: nor is that one awaited any longer.
                awaited = taken_body(receipt.role, self._own_log, receipt.index, receipt.leaf, receipt.head)
                self.expected.pop(awaited, None)
        if found is None:
            return None
        self._forget(found[1])
        return found[0]

    def _chunks(self, leaves: list[OwnLeaf]) -> deque[Chunk]:
        """What goes ahead of the frame: bodies that are long, or too many for it."""
        chunks: deque[Chunk] = deque()
        inline = 0
        for leaf in leaves:
            size = len(leaf.payloads)
            if size <= CREDIT and inline + size <= MAX_INLINE_BYTES:
                leaf.chunked = 0
                inline += size
                continue
            leaf.chunked = size
            for at in range(0, size, CHUNK_BYTES):
                chunks.append(Chunk(leaf.leaf_hash, size, leaf.payloads[at : at + CHUNK_BYTES]))
            self._credits[leaf.leaf_hash] = CREDIT
        return chunks

    def ask(self, question: Outcome) -> None:
        """Ask what became of a statement of ours; behind every frame that was sent."""
        if self.channel is not None:
            self.channel.send_message(encode_outcome(question))

    def pump(self) -> None:
        """Send what credit allows, in order: a frame never overtakes the chunks that belong to it."""
        channel = self.channel
        while channel is not None and self._sending:
            sending = self._sending[0]
            while sending.chunks:
                chunk = sending.chunks[0]
                credit = self._credits.get(chunk.leaf, 0)
                if credit < len(chunk.data):
                    return
                self._credits[chunk.leaf] = credit - len(chunk.data)
                channel.send_message(encode_chunk(chunk))
                self._taken += 1
                sending.chunks.popleft()
                if not sending.chunks or sending.chunks[0].leaf != chunk.leaf:
                    del self._credits[chunk.leaf]
            channel.send_message(sending.frame)
            self._taken += 1
            self._sending.popleft()
            self._sending_bytes -= sending.held_bytes

    def is_stalled(self, now_us: int) -> bool:
        """Whether the peer has given no credit for 10 s to what waits here."""
        if not self._sending or self._watched[0] != self._taken:
            self._watched = (self._taken, now_us)
        return now_us - self._watched[1] > STALL_US

    # --- in ---

    def give_credit(self, request: bytes, credit: int) -> None:
        """Tell the peer that our side of the stream ``request`` has room again for so much."""
        if self.channel is not None:
            self.channel.send_message(encode_credit(request, credit))

    def on_credit(self, credit: Credit) -> bool:
        """The peer takes further bytes of one body; false if no body of this name is on its way."""
        if credit.leaf not in self._credits:
            return False
        self._credits[credit.leaf] += min(credit.bytes, self._max_message)
        self.pump()
        return True

    def on_chunk(self, chunk: Chunk) -> None:
        """Keep bytes of a body whose frame is still to come.

        Raises:
            MalformedError: The peer sent more than its credit, or contradicts itself.
        """
        assembly = self._assemblies.get(chunk.leaf)
        if assembly is None:
            if len(self._assemblies) >= MAX_ASSEMBLIES:
                raise MalformedError(Reason.FRAME_INVALID, "too many bodies under way")
            assembly = self._assemblies[chunk.leaf] = _Assembly(chunk.total, CREDIT)
        assembly.received += len(chunk.data)
        within = assembly.received <= min(assembly.granted, assembly.total)
        if not within or assembly.total != chunk.total or not chunk.data:
            raise MalformedError(Reason.FRAME_INVALID, "a chunk beyond its credit")
        self._keep(assembly, chunk.data)
        is_short = assembly.granted - assembly.received < CREDIT and assembly.granted < assembly.total
        if is_short and self.channel:
            assembly.granted += CREDIT
            self.channel.send_message(encode_credit(chunk.leaf, CREDIT))

    def _keep(self, assembly: _Assembly, data: bytes) -> None:
        """Hold the bytes, or let them pass by: what is too much is refused by name once its frame verifies."""
        if assembly.withheld is not None:
            return
        if assembly.total > self._max_message + METADATA_BYTES:
            assembly.withheld = Reason.MESSAGE_TOO_LARGE
        elif self._budget.take_bytes(self.member, len(data)):
            assembly.kept += data
            return
        else:
            assembly.withheld = Reason.LIMIT_EXCEEDED
        self._budget.give_bytes(self.member, len(assembly.kept))
        assembly.kept.clear()

    def join_chunks(
        self, frame: UnverifiedFrame, hash_of: Callable[[UnverifiedEntry], bytes]
    ) -> UnverifiedFrame:
        """Fill in the bytes that came ahead.

        Raises:
            MalformedError: Chunks that were announced did not all come.
        """
        if not any(entry.chunked for run in frame.runs for entry in run.entries):
            return frame
        runs = tuple(
            replace(
                run,
                entries=tuple(
                    self._join(entry, hash_of) if entry.chunked else entry for entry in run.entries
                ),
            )
            for run in frame.runs
        )
        joined = sum(len(entry.payloads) for run in runs for entry in run.entries if entry.chunked)
        return replace(frame, runs=runs, size=frame.size + joined)

    def _join(self, entry: UnverifiedEntry, hash_of: Callable[[UnverifiedEntry], bytes]) -> UnverifiedEntry:
        assembly = self._assemblies.pop(hash_of(entry), None)
        if assembly is None:
            raise MalformedError(Reason.FRAME_INVALID, "a body was announced and did not come")
        self._budget.give_bytes(self.member, len(assembly.kept))
        if assembly.withheld is None and not len(assembly.kept) == assembly.total == entry.chunked:
            raise MalformedError(Reason.FRAME_INVALID, "a body came cut short")
        return replace(entry, payloads=bytes(assembly.kept), withheld=assembly.withheld)


def _cover(log: OwnLog, begin: int, end: int) -> bytes:
    """Subtree hashes for a receiver; at first contact leaf 0 stands alone: it is the log id (PROTOCOL M1)."""
    if begin == 0 and end > 0:
        return log.cover(0, 1) + log.cover(1, end)
    return log.cover(begin, end)
