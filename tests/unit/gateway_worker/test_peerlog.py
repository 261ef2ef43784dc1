"""A frame is believed whole or not at all, and our edge of a peer's log moves by verified leaves only (M3, M4)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.leaves import Heard, heard_leaf
from core.merkle import Edge, inclusion_proof, verify_inclusion
from core.payloads import Payload, encode_payloads
from core.reasons import Reason
from core.statements import encode_statement
from gateway.worker.frames import UnverifiedEntry, UnverifiedFrame, UnverifiedRun
from gateway.worker.peerlog import FrameRefusedError, PeerLog
from gateway.worker.trust import TrustView
from tests.support.worker_country import NOW_MS, OWN_LOG, WorkerCountry, WrittenLog, statement

PAYLOAD = (b"s" * 16, 0, b"hello")


@pytest.fixture(scope="module")
def country() -> WorkerCountry:
    return WorkerCountry()


@pytest.fixture(scope="module")
def view(country: WorkerCountry) -> TrustView:
    return country.view()


@pytest.fixture
def peer(country: WorkerCountry) -> WrittenLog:
    """The registered log, back at its genesis leaf."""
    country.peer.hashes = country.peer.hashes[:1]
    return country.peer


def refused(log: PeerLog, frame: UnverifiedFrame, view: TrustView, now_ms: int = NOW_MS) -> Reason:
    before = (log.edge.size, log.edge.root(), log.head)
    with pytest.raises(FrameRefusedError) as error:
        log.accept(frame, view, now_ms)
    assert (log.edge.size, log.edge.root(), log.head) == before
    return error.value.reason


def test_a_first_frame_starts_at_the_log_id(peer: WrittenLog, view: TrustView) -> None:
    """Its statement is verified, and the record proves it by the RFC's rules."""
    peer.pad(3)
    index, entry = peer.say((PAYLOAD,))
    peer.pad(2)
    log = PeerLog(peer.log)

    (found,), record = log.accept(peer.frame(0, [(index, entry)]), view, NOW_MS)

    assert (found.index, found.body, found.objection) == (index, entry.body, None)
    assert found.statement is not None
    assert log.edge.size == peer.size
    verify_inclusion(
        found.leaf_hash,
        index=index,
        size=peer.size,
        path=inclusion_proof(record.nodes(), index, peer.size),
        root=peer.root(),
    )


def test_frames_follow_each_other(peer: WrittenLog, view: TrustView) -> None:
    """Each from where the one before ended; a log restored from its record goes on alike."""
    log = PeerLog(peer.log)
    for round_ in range(4):
        verified = log.edge.size
        peer.pad(round_)
        entries = [peer.say(), peer.say()]
        peer.pad(1)
        found, record = log.accept(peer.frame(verified, entries), view, NOW_MS)
        assert [one.index for one in found] == [index for index, _ in entries]
        log = PeerLog.restored(record, log.heard)

    assert log.edge.root() == peer.root()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=5))
def test_any_layout_of_frames_leads_to_the_log_s_root(
    country: WorkerCountry, view: TrustView, layout: list[tuple[int, int, int]]
) -> None:
    """Gaps before, between and behind the entries."""
    peer = country.peer
    peer.hashes = peer.hashes[:1]
    log = PeerLog(peer.log)
    for before, count, behind in layout:
        verified = log.edge.size
        entries = []
        for _ in range(count):
            peer.pad(before)
            entries.append(peer.say())
        peer.pad(behind)
        log.accept(peer.frame(verified, entries), view, NOW_MS)

        assert log.edge.root() == peer.root()


def test_a_receipt_is_read(peer: WrittenLog, view: TrustView) -> None:
    """A heard leaf of the peer about one of ours."""
    heard = Heard(1, "request", OWN_LOG, 4, "d" * 64, "e" * 64, "taken", None)
    body = heard_leaf(peer.log, heard).split(b"\n", 2)[2]
    entry = peer.put(UnverifiedEntry(False, body))

    (found,), _ = PeerLog(peer.log).accept(peer.frame(0, [entry]), view, NOW_MS)

    assert (found.statement, found.receipt) == (None, heard)


def test_a_foreseen_receipt_need_not_be_parsed(peer: WrittenLog, view: TrustView) -> None:
    """Its bytes are of our own making."""
    heard = Heard(1, "request", OWN_LOG, 4, "d" * 64, "e" * 64, "taken", None)
    body = heard_leaf(peer.log, heard).split(b"\n", 2)[2]
    entry = peer.put(UnverifiedEntry(False, body))

    (found,), _ = PeerLog(peer.log).accept(peer.frame(0, [entry]), view, NOW_MS, {body})

    assert (found.body, found.receipt) == (body, None)


@pytest.mark.parametrize(
    ("payloads", "rest"),
    [
        ((), b""),
        ((PAYLOAD, PAYLOAD), b""),
        (((b"s" * 16, 0, b"hullo"),), b""),
        (((b"s" * 16, 1, b"hello"),), b""),
        (((b"t" * 16, 0, b"hello"),), b""),
        ((PAYLOAD,), b"x"),
    ],
    ids=["missing", "one-more", "changed", "other-flag", "other-salt", "malformed"],
)
def test_other_payloads_than_were_signed_are_an_objection(
    peer: WrittenLog, view: TrustView, payloads: tuple[Payload, ...], rest: bytes
) -> None:
    """The frame is authentic and heard; the statement will be refused by name (M11)."""
    index, entry = peer.say((PAYLOAD,))
    changed = UnverifiedEntry(True, entry.body, encode_payloads(payloads) + rest)

    (found,), _ = PeerLog(peer.log).accept(peer.frame(0, [(index, changed)]), view, NOW_MS)

    assert found.objection is Reason.STATEMENT_INVALID


def test_withheld_bytes_are_an_objection_by_their_own_name(peer: WrittenLog, view: TrustView) -> None:
    """Too large, or over a budget."""
    index, entry = peer.say((PAYLOAD,))
    withheld = UnverifiedEntry(True, entry.body, withheld=Reason.MESSAGE_TOO_LARGE)

    (found,), _ = PeerLog(peer.log).accept(peer.frame(0, [(index, withheld)]), view, NOW_MS)

    assert found.objection is Reason.MESSAGE_TOO_LARGE


def test_a_frame_cannot_be_heard_twice(peer: WrittenLog, view: TrustView) -> None:
    """The log is the replay guard: what lies below the edge is not taken again (M4)."""
    entry = peer.say()
    log = PeerLog(peer.log)
    frame = peer.frame(0, [entry])
    log.accept(frame, view, NOW_MS)

    assert refused(log, frame, view) in (Reason.PROOF_INVALID, Reason.FRAME_INVALID)


def test_a_statement_below_the_edge_is_not_taken(peer: WrittenLog, view: TrustView) -> None:
    """Not even when the rest of the frame is in order."""
    old = peer.say()
    log = PeerLog(peer.log)
    log.accept(peer.frame(0, [old]), view, NOW_MS)
    fresh = peer.say()
    frame = peer.frame(log.edge.size, [fresh])

    again = UnverifiedFrame((UnverifiedRun(old[0], b"", (old[1],)), *frame.runs), frame.after, frame.head)

    assert refused(log, again, view) is Reason.PROOF_INVALID


def test_a_frame_without_entries_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """Nothing in it concerns us."""
    peer.pad(2)
    log = PeerLog(peer.log)

    assert refused(log, UnverifiedFrame((), b"", peer.head()), view) is Reason.FRAME_INVALID


def test_another_genesis_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """The first leaf is the log's name."""
    entry = peer.say()
    frame = peer.frame(0, [entry])
    run = frame.runs[0]
    forged = UnverifiedFrame(
        (UnverifiedRun(run.first, b"\0" * 32 + run.before[32:], run.entries),), frame.after, frame.head
    )

    assert refused(PeerLog(peer.log), forged, view) is Reason.FRAME_INVALID


@pytest.mark.parametrize("where", ["before", "after", "longer", "shorter"])
def test_hashes_that_do_not_add_up_are_refused(peer: WrittenLog, view: TrustView, where: str) -> None:
    """Changed, added or left out."""
    peer.pad(3)
    entry = peer.say()
    peer.pad(3)
    frame = peer.frame(0, [entry])
    run = frame.runs[0]
    other = b"\x01" * 32
    before, after = {
        "before": (run.before[:-32] + other, frame.after),
        "after": (run.before, frame.after[:-32] + other),
        "longer": (run.before, frame.after + other),
        "shorter": (run.before[:-32], frame.after),
    }[where]

    found = refused(
        PeerLog(peer.log),
        UnverifiedFrame((UnverifiedRun(run.first, before, run.entries),), after, frame.head),
        view,
    )

    assert found in (Reason.FRAME_INVALID, Reason.PROOF_INVALID)


def test_a_rewritten_log_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """One leaf changed below our edge, and the head signed anew: a fork, caught at the next contact."""
    log = PeerLog(peer.log)
    log.accept(peer.frame(0, [peer.say()]), view, NOW_MS)
    verified = log.edge.size
    peer.hashes[1] = b"\x07" * 32
    entry = peer.say()

    assert refused(log, peer.frame(verified, [entry]), view) is Reason.FRAME_INVALID


def test_a_shorter_log_is_a_fork(peer: WrittenLog, view: TrustView) -> None:
    """A head below our edge, be it ever so well signed."""
    log = PeerLog(peer.log)
    peer.pad(5)
    log.accept(peer.frame(0, [peer.say()]), view, NOW_MS)
    peer.hashes = peer.hashes[:3]
    entry = peer.say()

    assert refused(log, UnverifiedFrame((UnverifiedRun(3, b"", (entry[1],)),), b"", peer.head()), view) is (
        Reason.FORKED
    )


HEADS: dict[str, tuple[dict[str, Any], Reason]] = {
    "other-log": ({"log": "1" * 64}, Reason.HEAD_INVALID),
    "other-gateway": ({"gateway": "BJ/GOV/PNS/gw2"}, Reason.HEAD_INVALID),
    "other-root": ({"root": "1" * 64}, Reason.FRAME_INVALID),
    "larger-size": ({"size": 99}, Reason.PROOF_INVALID),
    "clock-ahead": ({"iat": NOW_MS // 1000 + 61}, Reason.CLOCK_SKEW),
    "clock-behind": ({"iat": NOW_MS // 1000 - 59}, Reason.CLOCK_SKEW),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_say_something_else_are_refused(peer: WrittenLog, view: TrustView, name: str) -> None:
    """Well signed, and wrong."""
    fields, reason = HEADS[name]
    entry = peer.say()
    # Seen a little later, so that the certificate is valid at each of these times.
    now_ms = NOW_MS + 10_000 if name == "clock-behind" else NOW_MS

    assert refused(PeerLog(peer.log), peer.frame(0, [entry], peer.head(**fields)), view, now_ms) is reason


def test_a_time_that_falls_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """While the size grows, ``iat`` never falls (M6)."""
    log = PeerLog(peer.log)
    log.accept(peer.frame(0, [peer.say()]), view, NOW_MS)
    entry = peer.say()

    earlier = peer.head(iat=NOW_MS // 1000 - 1)

    assert refused(log, peer.frame(log.edge.size, [entry], earlier), view) is Reason.CLOCK_SKEW


def test_a_head_before_its_certificate_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """The certificate must be in force at the head's time."""
    entry = peer.say()
    long_ago = NOW_MS - 86_400_000

    frame = peer.frame(0, [entry], peer.head(iat=long_ago // 1000))

    assert refused(PeerLog(peer.log), frame, view, long_ago) is Reason.CERTIFICATE_EXPIRED


def test_a_head_signed_by_a_stranger_is_refused(
    country: WorkerCountry, peer: WrittenLog, view: TrustView
) -> None:
    """With a certificate of the right CA and the right name, which the member never registered."""
    stranger = country.written(country.pns)
    stranger.hashes, stranger.log = peer.hashes, peer.log
    entry = stranger.say()

    assert refused(PeerLog(peer.log), stranger.frame(0, [entry]), view) is Reason.HEAD_INVALID


def test_a_log_that_nobody_registered_is_refused(country: WorkerCountry, view: TrustView) -> None:
    """By name."""
    unknown = country.written(country.pns)
    unknown.log = "8" * 64
    entry = unknown.say()

    assert refused(PeerLog(unknown.log), unknown.frame(1, [entry]), view) is Reason.LOG_NOT_REGISTERED


def test_a_suspended_gateway_is_not_heard(country: WorkerCountry, peer: WrittenLog) -> None:
    """One operator suffices to stop it."""
    document = country.pns.document
    suspended = [msgspec.structs.replace(one, state="suspended") for one in document.registrations]
    country.pns.change(registrations=suspended)
    view = country.view()
    country.pns.document = document
    entry = peer.say()

    assert refused(PeerLog(peer.log), peer.frame(0, [entry]), view) is Reason.GATEWAY_SUSPENDED


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", encode_statement(statement()) + b" ", encode_statement(statement(from_="1" * 64))],
    ids=["empty", "no-statement", "not-canonical", "another-log's"],
)
def test_a_frame_with_a_malformed_statement_is_refused_whole(
    peer: WrittenLog, view: TrustView, body: bytes
) -> None:
    """Nothing of it is heard: the entry before was in order."""
    good = peer.say()
    bad = peer.put(UnverifiedEntry(True, body))

    assert refused(PeerLog(peer.log), peer.frame(0, [good, bad]), view) is Reason.STATEMENT_INVALID


def test_a_malformed_receipt_is_refused(peer: WrittenLog, view: TrustView) -> None:
    """As a malformed statement is."""
    entry = peer.put(UnverifiedEntry(False, b"{}"))

    assert refused(PeerLog(peer.log), peer.frame(0, [entry]), view) is Reason.STATEMENT_INVALID


@pytest.mark.parametrize("head", [b"", b"a.b.c", b"x" * 5000])
def test_what_is_no_head_is_refused(peer: WrittenLog, view: TrustView, head: bytes) -> None:
    """In a frame and in Hello."""
    entry = peer.say()
    log = PeerLog(peer.log)
    frame = peer.frame(0, [entry])

    assert refused(log, UnverifiedFrame(frame.runs, frame.after, head), view) is Reason.HEAD_INVALID
    with pytest.raises(FrameRefusedError):
        log.check_newest(head, view, NOW_MS)


def test_the_newest_head_is_checked_without_moving(peer: WrittenLog, view: TrustView) -> None:
    """What Hello shows is remembered, and proved by the first frame."""
    peer.pad(4)
    log = PeerLog(peer.log)

    head = log.check_newest(peer.head(), view, NOW_MS)

    assert head.size == 5
    assert log.edge.size == Edge().size
    with pytest.raises(FrameRefusedError) as skewed:
        log.check_newest(peer.head(), view, NOW_MS + 61_000)
    assert skewed.value.reason is Reason.CLOCK_SKEW
