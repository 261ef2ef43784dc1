"""Rehearsals: a log that was put back from a copy or forked is noticed, stays stopped, and is succeeded (PROTOCOL M5)."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import msgspec
import pytest

from audit.exchanges import Wanted
from audit.listing import Listing, foot
from audit.report import StepVerdict
from audit.verify import verify_evidence
from audit.wholelog import verify_logs
from core.clock import SystemClock
from core.evidence import MANIFEST, parse_manifest
from core.heads import parse_head
from core.leaves import HEARD, NOTE, SAID, Succession, parse_leaf, parse_note
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from core.statements import Statement, parse_statement
from core.succession import REGISTRY, read_gap
from gateway import closing as closing_of_logs
from gateway.channel import RegistryHeads, decode_for_control, encode_line
from gateway.closing import require_stopped, switch
from gateway.stopped import StoppedLog, read_stopped
from gateway.succession import Successor, finish_succession, open_successor, predecessors, read_old_log
from gateway.worker.exchange import Phase
from gateway.worker.main import LOG_UNCONFIRMED, Worker
from gateway.worker.recovery import LeafSource, Reading
from ledger.headfile import read_head_file
from ledger.places import closed_place
from ledger.reader import LogReader
from rpc.remote import RemoteError
from rpc.status import error_from_rpc
from tests.integration.gateway.test_doubts import lose_a_request
from tests.support.calls import call, worker_of
from tests.support.checkpoints import known_from_all, known_from_checkpoint, make_small
from tests.support.evidence import gather_evidence
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.waiting import until


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        yield found


def refusal(federation: Federation, **changes: str | None) -> RemoteError:
    """How a call of the portal is refused."""
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(**changes), timeout=20, wait_for_ready=True)
    return error_from_rpc(error.value)


def refused_reason(federation: Federation, **changes: str | None) -> str:
    """Why a call of the portal is refused."""
    return str(refusal(federation, **changes).reason)


def snapshot(federation: Federation, member: Member, to: Path) -> None:
    """A copy of the whole directory, made while the gateway stands still."""
    federation.stop(member)
    shutil.copytree(member.directory.root, to)
    federation.start(member)


def put_back(federation: Federation, member: Member, kept: Path) -> Path:
    """Put a copy in the place of the directory; returns where the original went."""
    federation.stop(member)
    original = kept.with_name(f"{kept.name}-original")
    member.directory.root.rename(original)
    shutil.copytree(kept, member.directory.root)
    # The configuration is the registry's: it comes back from there, not from the copy.
    shutil.copy(original / "configuration/current.json", member.directory.current)
    return original


def stopped(member: Member) -> StoppedLog:
    found = read_stopped(member.directory.stopped(0), worker_of(member).station.log_id)
    assert found is not None
    return found


def restored(federation: Federation, tmp_path: Path) -> tuple[str, str, Path]:
    """PNS runs on a copy that one exchange is missing of; ids of the exchanges before and in the gap, the original."""
    before = call(federation, b"before").id
    station = worker_of(federation.pns).station
    until(lambda: station.heads.size == station.durable_size)
    snapshot(federation, federation.pns, tmp_path / "copy")
    in_gap = call(federation, b"in the gap").id
    until(lambda: worker_of(federation.anip).station.peer_states()[0].size > 3)
    original = put_back(federation, federation.pns, tmp_path / "copy")
    federation.start(federation.pns)
    until(federation.pns.directory.stopped(0).exists)
    return before, in_gap, original


def succeed(federation: Federation, member: Member, reason: str = "copie restaurée") -> Successor:
    """What ``log succeed`` does, and the registration that follows it."""
    made = prepare(member, reason)
    federation.stop(member)
    switch(member.directory, 0)
    federation.start(member)
    federation.register_successor(member)
    return made


def prepare(member: Member, reason: str = "copie restaurée") -> Successor:
    old, _ = read_old_log(member.directory, member.settings, 0)
    return open_successor(member.directory, member.settings, 0, old, reason, SystemClock(), is_asked=True)


def statements(member: Member) -> list[Statement]:
    """What the open log of a member says."""
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    leaves = [parse_leaf(one.leaf) for one in reader]
    return [parse_statement(one.body) for one in leaves if one.label == SAID]


# --- noticed ---


def test_a_log_behind_its_peers_stays_stopped_and_keeps_both_heads(
    federation: Federation, tmp_path: Path
) -> None:
    """Over restarts, with the peer away: who showed what is on the disk, and in what control is told."""
    restored(federation, tmp_path)
    kept = stopped(federation.pns)
    witness, there = kept.highest
    federation.stop(federation.pns)
    federation.stop(federation.anip)

    federation.start(federation.pns)

    worker = worker_of(federation.pns)
    report = worker.report()
    assert (witness, report.state) == ("BJ/GOV/ANIP/gw1", "LOG_BEHIND_PEERS")
    assert there.size > kept.size >= parse_head(kept.own.encode()).unverified.size
    assert report.stopped is not None
    assert (report.stopped.witness, report.stopped.there) == (witness, there.size)
    assert refused_reason(federation) == "LOG_BEHIND_PEERS"
    assert worker.station.heads.newest == worker._log.last_head
    assert not report.head_is_new


def test_the_original_log_put_back_goes_on_by_itself(federation: Federation, tmp_path: Path) -> None:
    """It has the leaves of every head that was shown: nothing is left to be stopped for."""
    _, in_gap, original = restored(federation, tmp_path)
    log = federation.pns.directory.log(0)
    federation.stop(federation.pns)
    shutil.rmtree(log)
    shutil.copytree(original / "log/0", log)

    federation.start(federation.pns)

    assert not federation.pns.directory.stopped(0).exists()
    assert call(federation).id > in_gap


def test_a_fork_is_not_forgotten_over_a_restart(federation: Federation, tmp_path: Path) -> None:
    """Two processes went on from one copy; whoever is shown the other's head stops, whatever disk is put back."""
    call(federation)
    snapshot(federation, federation.pns, tmp_path / "copy")
    call(federation)
    until(lambda: worker_of(federation.anip).station.peer_states()[0].size > 3)
    shown = worker_of(federation.anip).station.peer_states()[0].size
    original = put_back(federation, federation.pns, tmp_path / "copy")
    federation.stop(federation.anip)
    federation.start(federation.pns)
    until(lambda: worker_of(federation.pns).station.state == "ready")
    while worker_of(federation.pns).station.durable_size <= shown:
        assert refused_reason(federation, x_road_purpose="P99") == "PURPOSE_NOT_ALLOWED"

    federation.start(federation.anip)
    federation.publish()
    with federation.channel() as channel, pytest.raises(grpc.RpcError):
        calling(channel)(b"", metadata=metadata(), timeout=20, wait_for_ready=True)
    until(lambda: worker_of(federation.pns).station.state == "FORKED")

    federation.stop(federation.pns)
    shutil.rmtree(federation.pns.directory.log(0))
    shutil.copytree(original / "log/0", federation.pns.directory.log(0))
    federation.start(federation.pns)
    assert worker_of(federation.pns).station.state == "FORKED"
    assert stopped(federation.pns).state == "FORKED"
    made = succeed(federation, federation.pns, "deux copies")
    assert not made.gap.is_certain
    call(federation)


def test_a_head_in_its_own_state_directory_stops_an_older_log(federation: Federation, tmp_path: Path) -> None:
    """Only the log was put back: the machine itself remembers, with no peer and no registry."""
    call(federation)
    federation.stop(federation.pns)
    log, kept = federation.pns.directory.log(0), tmp_path / "log"
    shutil.copytree(log, kept)
    federation.start(federation.pns)
    call(federation)
    federation.stop(federation.pns)
    federation.stop(federation.anip)
    shutil.rmtree(log)
    shutil.copytree(kept, log)

    federation.start(federation.pns)

    assert worker_of(federation.pns).station.state == "LOG_BEHIND_PEERS"
    assert stopped(federation.pns).highest[0] == "state"


def test_the_registry_s_word_stops_an_older_log_when_no_peer_answers(
    federation: Federation, tmp_path: Path
) -> None:
    """The head counts by our own seal, so it may come through anybody's hands."""
    call(federation)
    snapshot(federation, federation.pns, tmp_path / "copy")
    call(federation)
    until(
        lambda: worker_of(federation.pns).station.heads.size == worker_of(federation.pns).station.durable_size
    )
    newest = worker_of(federation.pns).station.heads.newest.decode()
    put_back(federation, federation.pns, tmp_path / "copy")
    federation.stop(federation.anip)
    ours, theirs = socket.socketpair()
    with ours:
        federation.start(federation.pns, theirs)
        worker = worker_of(federation.pns)
        stored = worker.station.heads.newest

        ours.sendall(encode_line(RegistryHeads(answered=True, heads=("nonsense", newest))))

        until(federation.pns.directory.stopped(0).exists)
        assert worker.station.heads.newest == stored
        assert stopped(federation.pns).highest[0] == REGISTRY


def test_a_head_that_our_seal_did_not_sign_stops_nothing(federation: Federation) -> None:
    """Else the registry, or whoever stands in its place, could stop a log by a lie."""
    call(federation)
    worker = worker_of(federation.pns)
    head = parse_head(worker.station.heads.newest)
    forged = msgspec.structs.replace(head.unverified, size=10_000, root="ab" * 32)
    lie = worker_of(federation.anip).station.heads._sign(forged)

    federation.do(_tell(worker, lie))

    assert worker.station.state == "ready"
    call(federation)


def test_a_log_is_not_closed_for_a_head_that_our_seal_did_not_sign(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``log succeed`` believes the registry as little as a worker does: a lie counts as no answer."""
    call(federation)
    pns = federation.pns
    good = worker_of(pns).station.heads.newest
    forged = msgspec.structs.replace(parse_head(good).unverified, size=10_000, root="ab" * 32)
    lie, longer = (worker_of(one).station.heads._sign(forged) for one in (federation.anip, pns))
    old, tree = read_old_log(pns.directory, pns.settings, 0)

    def told(head: bytes | None) -> tuple[list[str], bool]:
        monkeypatch.setattr(closing_of_logs, "newest_at_registry", lambda *_: head)
        found, is_asked = closing_of_logs.ask_registry(pns.directory, pns.settings, old, tree)
        return [one.witness for one in found.elsewhere], is_asked

    assert told(lie) == ([], False)
    assert told(longer) == ([REGISTRY], True)
    assert told(good) == told(None) == ([], True)


async def _tell(worker: Worker, head: bytes) -> None:
    worker.station.hear_registry((head,))


def test_nothing_is_signed_before_control_told_what_the_registry_holds(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peers alone are not enough; a registry that cannot be asked is told as such, and the log goes on."""
    call(federation)
    federation.stop(federation.pns)
    monkeypatch.setattr("gateway.worker.witnesses.ASK_US", 10**9)
    ours, theirs = socket.socketpair()
    with ours:
        federation.start(federation.pns, theirs)
        worker = worker_of(federation.pns)
        until(lambda: worker.station.witnesses.is_confirmed)
        assert not worker.station.has_signed

        ours.sendall(encode_line(RegistryHeads(answered=False)))

        until(lambda: worker.station.has_signed or worker.station.heads.size == worker.station.durable_size)
        call(federation)
        report = decode_for_control(ours.makefile("rb").readline())
        assert report.__class__.__name__ == "WorkerReport"


# --- succeeded ---


def test_exchanges_flow_again_once_the_successor_is_registered(
    federation: Federation, tmp_path: Path
) -> None:
    """One command, one registration; the old log is as it was, and its evidence still verifies."""
    before, in_gap, _ = restored(federation, tmp_path)
    pns, there = federation.pns, stopped(federation.pns).highest[1].size
    old_log, old_size = worker_of(pns).station.log_id, worker_of(pns).station.durable_size

    made = succeed(federation, pns)
    after = call(federation, b"after").id
    # Nobody held a head of it when the link opened; a peer that took what it says holds one.
    until(lambda: LOG_UNCONFIRMED not in worker_of(pns).report().faults)

    assert made.before == Succession(old_log, old_size, made.before.root, "copie restauree")
    assert (made.gap.begin, made.gap.end) == (old_size, there)
    assert closed_place(pns.directory.root, 0, old_log).head_file.exists()
    for exchange in (before, after):
        report = verify_evidence(gathered(pns, exchange), federation.ca.certificate)
        assert [one.number for one in report.steps if one.verdict is StepVerdict.FAILED] == []
    with pytest.raises(ExchangeError):
        gather_evidence(pns.directory.root, in_gap)
    # What was lost here the peer still proves, and lists.
    assert gathered(federation.anip, in_gap)
    assert listed(federation.anip, in_gap)[0] == [in_gap]


def test_an_auditor_sees_the_gap_that_was_declared(federation: Federation, tmp_path: Path) -> None:
    """Both logs of one worker are listed, one after the other, and what is missing between them by number."""
    before, in_gap, _ = restored(federation, tmp_path)
    made = succeed(federation, federation.pns)
    after = call(federation).id

    found, told = listed(federation.pns)

    assert before in found
    assert after in found
    assert in_gap not in found
    gap = made.gap
    assert f"leaves {gap.begin} to {gap.end - 1} ({gap.end - gap.begin})" in told
    assert "(copie restauree)" in told
    assert "which is not here" not in told
    reports = verify_logs(
        federation.pns.directory.root, certificates=[federation.pns.directory.seal.certificate]
    )
    assert [(one.fault, one.signatures) for one in reports] == [(None, "verified")] * 2
    assert reports[0].declared == gap


def test_the_successor_says_first_which_heads_others_hold(federation: Federation, tmp_path: Path) -> None:
    """With the heads themselves beside the notes: signed proof of what is missing."""
    restored(federation, tmp_path)
    kept = stopped(federation.pns)
    last = read_head_file(federation.pns.directory.head(0))

    succeed(federation, federation.pns)

    reader = LogReader(federation.pns.directory.log(0))
    reader.read_all()
    notes = [(parse_note(parse_leaf(one.leaf).body), one) for one in reader if one.leaf.startswith(NOTE)]
    events = [note.event for note, _ in notes[:3]]
    assert events == ["last-head", "head-elsewhere", "gap-declared"]
    assert notes[0][1].attachments[0][1] == last
    assert notes[1][1].attachments[0][1] == kept.shown[0].head.encode()
    gap = read_gap(notes[2][0])
    assert gap is not None
    assert gap.is_certain


def test_peers_take_nothing_of_a_closed_log(federation: Federation, tmp_path: Path) -> None:
    """Also when the original disk turns up and is started: the member closed it, by name."""
    _, _, original = restored(federation, tmp_path)
    succeed(federation, federation.pns)
    call(federation)
    current = federation.pns.directory.current.read_bytes()
    federation.stop(federation.pns)
    federation.pns.directory.root.rename(tmp_path / "successor")
    original.rename(federation.pns.directory.root)
    federation.pns.directory.current.write_bytes(current)

    federation.start(federation.pns)

    assert refused_reason(federation) == "LOG_CLOSED"
    faults = worker_of(federation.pns).report().faults
    assert str(Reason.LOG_CLOSED) in faults
    assert not any(one.state == "open" for one in worker_of(federation.anip).station.peer_states())


def test_exchanges_wait_for_the_registration_of_the_successor(federation: Federation, tmp_path: Path) -> None:
    """Deliberate: without the member key nobody speaks for it. Health and callers are told what is waited for."""
    restored(federation, tmp_path)
    prepare(federation.pns)
    federation.stop(federation.pns)

    federation.start(federation.pns)  # the worker itself switches to what was prepared

    assert "LOG_NOT_REGISTERED" in worker_of(federation.pns).report().faults
    refused = refusal(federation)
    assert (refused.reason, refused.metadata["side"]) == ("LOG_NOT_REGISTERED", "consumer")
    federation.register_successor(federation.pns)
    call(federation)
    assert "LOG_NOT_REGISTERED" not in worker_of(federation.pns).report().faults


def test_a_stopped_worker_ends_when_its_successor_was_opened(federation: Federation, tmp_path: Path) -> None:
    """So that control starts it again on the successor, with nobody at the keyboard."""
    restored(federation, tmp_path)

    prepare(federation.pns)

    until(worker_of(federation.pns)._stopped.is_set)


def test_a_log_that_goes_on_is_not_closed(federation: Federation) -> None:
    """Nobody holds a head that it lacks, and its worker runs."""
    call(federation)
    old, _ = read_old_log(federation.pns.directory, federation.pns.settings, 0)

    with pytest.raises(ExchangeError) as refused:
        require_stopped(federation.pns.directory, 0, old)

    assert refused.value.reason is Reason.STATE_CONFLICT
    federation.stop(federation.pns)
    require_stopped(federation.pns.directory, 0, old)


def test_a_switch_that_was_cut_is_gone_on_with(federation: Federation, tmp_path: Path) -> None:
    """After each rename a crash leaves a state that the next one takes to the same end."""
    restored(federation, tmp_path)
    directory = federation.pns.directory
    directory.next_log(0).mkdir()  # a successor that was not written whole counts for nothing
    assert not finish_succession(directory, 0)
    made = prepare(federation.pns)
    federation.stop(federation.pns)
    closed = closed_place(directory.root, 0, made.before.log)
    closed.segments.parent.mkdir(parents=True)

    directory.log(0).rename(closed.segments)  # the head file and the bodies are where they were

    assert finish_succession(directory, 0)
    assert not finish_succession(directory, 0)
    assert [one.log for one in predecessors(directory, 0)] == [made.before.log]
    assert closed.bodies.is_dir()
    federation.start(federation.pns)
    federation.register_successor(federation.pns)
    call(federation)


def test_a_lost_log_is_succeeded_by_what_the_registration_says(federation: Federation) -> None:
    """Nothing of it is here: the id comes from the configuration, and how much is missing nobody can say for sure."""
    call(federation)
    pns = federation.pns
    log = worker_of(pns).station.log_id
    federation.stop(pns)
    shutil.rmtree(pns.directory.log(0))
    shutil.rmtree(pns.directory.bodies(0))

    made = succeed(federation, pns, "disque mort")

    assert (made.before.log, made.before.size) == (log, 0)
    assert made.gap.end > 0
    assert not made.gap.is_certain
    call(federation)


def test_a_damaged_log_is_succeeded_by_what_can_be_read(federation: Federation) -> None:
    """The worker cannot open it; what stands before the damage stays evidence."""
    first = call(federation).id
    for _ in range(3):
        call(federation)
    pns = federation.pns
    federation.stop(pns)
    path = sorted(pns.directory.log(0).glob("*.seg"))[-1]
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ExchangeError):
        federation.start(pns)

    made = succeed(federation, pns, "secteur illisible")

    assert 0 < made.before.size < made.gap.end
    assert not made.gap.is_certain
    assert call(federation).id > first


# --- what the log before left open ---


def test_a_request_left_open_is_abandoned_by_the_successor_and_heard_by_the_peer(
    federation: Federation, tmp_path: Path
) -> None:
    """In its own name, naming the leaf of before; once, over all later starts."""
    federation.adapter.answer = slowly
    with federation.channel() as channel:
        pending = calling(channel).future(b"open", metadata=metadata(), timeout=20, wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))
        (exchange,) = worker_of(federation.pns).station.pipeline.consumer.exchanges.values()
        assert exchange.phase is Phase.SENT
        asked = exchange.leaf_hash.hex()
        federation.stop(federation.pns)
        with pytest.raises(grpc.RpcError):
            pending.result()
    federation.adapter.answer = lambda request, _: request

    made = succeed(federation, federation.pns, "fin de la machine")
    call(federation)

    (said,) = [one for one in statements(federation.pns) if one.kind == "abandon"]
    assert (said.request, said.from_, said.reason) == (asked, made.log, "INTERRUPTED")
    until(lambda: asked in heard_requests(federation.anip))
    federation.stop(federation.pns)
    federation.start(federation.pns)
    call(federation)
    assert len([one for one in statements(federation.pns) if one.kind == "abandon"]) == 1


def slowly(request: bytes, _: grpc.ServicerContext) -> bytes:
    """An adapter that takes its time."""
    time.sleep(1.5)
    return request


def heard_requests(member: Member) -> set[str]:
    """The requests that statements which a member heard are about."""
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    return {
        parse_statement(data).request or ""
        for one in reader
        if one.leaf.startswith(HEARD)
        for kind, data in one.attachments
        if kind.name == "STATEMENT"
    }


def test_a_request_taken_and_never_answered_is_refused_by_the_successor(federation: Federation) -> None:
    """Delivery unknown: nobody knows whether the adapter acted. The consumer hears it, late, and is in doubt no more."""
    federation.adapter.answer = slowly
    anip = federation.anip
    with federation.channel() as channel:
        pending = calling(channel).future(b"taken", metadata=metadata(), timeout=20, wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))
        federation.stop(anip)
        with pytest.raises(grpc.RpcError):
            pending.result()
    federation.adapter.answer = lambda request, _: request
    consumer = worker_of(federation.pns).station.pipeline.consumer
    until(lambda: len(consumer.doubts) == 1)
    until(lambda: any(one.kind == "abandon" for one in statements(federation.pns)))
    (asked,) = [one.request for one in statements(federation.pns) if one.kind == "abandon"]

    made = succeed(federation, anip, "panne du disque")
    call(federation)

    (said,) = [one for one in statements(anip) if one.kind == "refusal"]
    assert (said.request, said.from_, said.reason, said.delivery) == (
        asked,
        made.log,
        "INTERRUPTED",
        "unknown",
    )
    until(lambda: not len(consumer.doubts))
    (exchange,) = {one.exchange for one in statements(federation.pns) if one.request == asked}
    parts = gathered(federation.pns, exchange or "", leaves=4)
    report = verify_evidence(parts, federation.ca.certificate)
    assert [(one.number, one.findings) for one in report.steps if one.verdict is StepVerdict.FAILED] == []


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_was_sent_to_the_log_before_and_lost_is_told_by_its_successor(
    federation: Federation, tmp_path: Path, is_whole: bool
) -> None:
    """Never taken, where the log is here to its end. A copy cannot say so: the original may have delivered it."""
    anip = federation.anip
    call(federation)
    kept = shutil.copytree(anip.directory.root, tmp_path / "kept")
    call(federation)
    lose_a_request(federation)
    federation.stop(anip)
    if not is_whole:
        shutil.rmtree(anip.directory.root)
        shutil.copytree(kept, anip.directory.root)
        federation.start(anip)
        until(anip.directory.stopped(0).exists)

    succeed(federation, anip, "machine remplacee")
    call(federation)

    consumer = worker_of(federation.pns).station.pipeline.consumer
    until(lambda: not len(consumer.doubts))
    (outcome,) = [one for one in statements(anip) if one.kind == "outcome"]
    assert (outcome.delivery, outcome.heard) == ("not_sent" if is_whole else "unknown", None)


# --- helpers ---


def gathered(member: Member, exchange: str, leaves: int = 1) -> dict[str, bytes]:
    """The evidence of an exchange, once a head covers that many leaves."""
    end = time.monotonic() + 20
    while True:
        try:
            parts = gather_evidence(member.directory.root, exchange)
            if len(parse_manifest(parts[MANIFEST]).leaves) >= leaves or time.monotonic() > end:
                return dict(parts)
        except ExchangeError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def listed(member: Member, exchange: str | None = None) -> tuple[list[str], str]:
    """Ids of the exchanges in the list of a member's logs, and the foot of it."""
    with closing(Listing(member.directory.root, Wanted(exchange=exchange))) as listing:
        rows = [str(row["exchange"]) for row in listing.rows("en")]
        return rows, "\n".join(foot(listing, "en", 0, "test", "none"))


def test_the_state_of_a_stopped_log_can_be_read_by_people(federation: Federation, tmp_path: Path) -> None:
    """Plain JSON, with the heads as they are signed."""
    restored(federation, tmp_path)

    found = json.loads(federation.pns.directory.stopped(0).read_text())

    assert found["state"] == "LOG_BEHIND_PEERS"
    assert parse_head(found["shown"][0]["head"].encode()).unverified.log == found["log"]
    assert (
        leaf_hash(LogReader(federation.pns.directory.log(0)).follow().__next__().leaf).hex() == found["log"]
    )


def test_a_checkpoint_of_a_successor_knows_what_the_logs_before_left(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read once more for it, not at each start; and again if they are not what they were."""
    make_small(monkeypatch)
    member = federation.pns
    for _ in range(4):
        call(federation, b"before")
    lose_a_request(federation)
    made = succeed(federation, member, "fin de la machine")
    for number in range(3):
        with contextlib.suppress(grpc.RpcError):
            call(federation, b"after %d" % number)
        federation.stop(member)
        federation.start(member)
    are_whole = worker_of(member).predecessors.are_whole
    federation.stop(member)
    read = _note_what_is_read(monkeypatch)

    federation.start(member)

    assert worker_of(member)._log.resumed
    assert read == {made.log}
    assert worker_of(member).predecessors.are_whole == are_whole
    federation.stop(member)
    known, covered = known_from_checkpoint(member.directory)
    assert covered > 1
    assert known == known_from_all(member.directory)
    (closed,) = member.directory.closed()
    last = sorted(closed.segments.glob("*.seg"))[-1]
    last.write_bytes(last.read_bytes() + bytes(1))
    read.clear()
    federation.start(member)
    assert len(read) == 2


def _note_what_is_read(patch: pytest.MonkeyPatch) -> set[str]:
    """The logs of which a start takes leaves in."""
    found: set[str] = set()
    take = Reading.take

    def noted(reading: Reading, one: LeafSource) -> None:
        found.add(parse_leaf(one.leaf).log or reading._own_log)
        take(reading, one)

    patch.setattr(Reading, "take", noted)
    return found
