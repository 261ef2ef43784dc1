"""Cancellations and deadlines in each phase of a call: what the adapter sees, the program is told, and both logs say.

Phases as in DESIGN section 5: nothing committed yet, dropped and counted; committed and not sent, the ending is logged
and stays here; sent, it travels; delivered, the adapter is told at once and the statement follows. Disks are held to
reach them.
"""

from __future__ import annotations

import gc
import random
import ssl
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.leaves import HEARD, SAID, parse_heard, parse_leaf
from core.merkle import leaf_hash
from core.statements import Statement, parse_statement
from gateway.layout import KeyFiles
from gateway.settings import Limits
from gateway.worker.edges import AdapterEdge
from gateway.worker.exchange import Exchange, Phase, Service
from gateway.worker.main import Worker
from ledger.reader import LogReader
from pki.keys import certificate_pem
from tests.support.calls import worker_of
from tests.support.checker import Event, check
from tests.support.edges import call_adapter
from tests.support.federation import METHOD, Federation, Member, calling, metadata
from tests.support.slow_disks import held
from tests.support.waiting import until

PATIENT = Limits(peer_wait_ms=3000, reset_burst=1_000_000, resets_per_s=1_000_000)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("country"), limits=PATIENT) as found:
        with found.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10)
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: request
    federation.adapter.calls.clear()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The program's own reference (``x-road-id``): the exchange of this test and of no other."""
    return f"t-{zlib.crc32(request.node.name.encode()):08x}"


def record(federation: Federation, name: str, member: Member) -> list[str]:
    """What the log of ``member`` says of the exchange that its program named ``name``, in order."""
    said: dict[str, Statement] = {}
    found: dict[str, list[tuple[str, bytes]]] = {}
    for one in (federation.pns, federation.anip):
        reader = LogReader(one.directory.log(0))
        reader.read_all()
        found[one.id] = []
        for entry in reader:
            leaf = parse_leaf(entry.leaf)
            if leaf.label == SAID:
                statement = parse_statement(leaf.body)
                if statement.reference == name:
                    said[leaf_hash(entry.leaf).hex()] = statement
                    found[one.id].append(("said", entry.leaf))
            elif leaf.label == HEARD:
                found[one.id].append(("heard", entry.leaf))
    lines = []
    for word, leaf_bytes in found[member.id]:
        if word == "said":
            statement = said[leaf_hash(leaf_bytes).hex()]
            parts = (statement.kind, statement.reason, statement.delivery)
            lines.append("said " + " ".join(part for part in parts if part))
        else:
            heard = parse_heard(parse_leaf(leaf_bytes).body)
            if heard.leaf in said:
                lines.append(f"heard {said[heard.leaf].kind} {heard.verdict}")
    return lines


def require_record(federation: Federation, name: str, member: Member, *expected: str) -> None:
    """Wait until the log says so: what is decided is written with the next commit, not at once."""
    end = time.monotonic() + 10
    while (found := record(federation, name, member)) != list(expected) and time.monotonic() < end:
        time.sleep(0.01)
    assert found == list(expected)


def at_rest(federation: Federation) -> bool:
    """Nothing is open at either gateway."""
    return all(
        not one.station.pipeline.in_flight and not one.station.pipeline.consumer.doubts
        for one in map(worker_of, (federation.pns, federation.anip))
    )


class Slow:
    """An adapter's method that works until it is told that nobody waits any more."""

    def __init__(self) -> None:
        self.called: futures.Future[float | None] = futures.Future()
        self.told: futures.Future[bool] = futures.Future()

    def __call__(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(self._over)
        self.called.set_result(context.time_remaining())
        self.told.result(20)
        return request

    def _over(self) -> None:
        if not self.told.done():  # the test let it go on
            self.told.set_result(True)


class Patient:
    """A program that leaves its deadline to its gateway: a stock client ends its call by itself when time is up."""

    def __init__(self, federation: Federation, directory: Path) -> None:
        files = KeyFiles(directory / "portal.key", directory / "portal.crt", directory / "portal.csr")
        federation.portal.write(files)
        tls = ssl.create_default_context(cadata=certificate_pem(federation.pns.programs.certificate).decode())
        tls.load_cert_chain(files.certificate, files.key)
        tls.set_alpn_protocols(["h2"])
        self._federation = federation
        self._edge = AdapterEdge("localhost", federation.pns.programs_port, tls)

    def call(self, name: str, timeout_us: int) -> futures.Future[int | None]:
        """Make a call; its status comes later."""
        status: futures.Future[int | None] = futures.Future()
        entries = tuple((key.encode(), str(value).encode()) for key, value in metadata(x_road_id=name))

        async def begin() -> None:
            call_adapter(
                self._edge,
                METHOD.encode(),
                entries,
                "identity",
                timeout_us,
                [(0, b"")],
                lambda answer: status.set_result(answer.status),
            )

        self._federation.do(begin())
        return status

    def close(self) -> None:
        async def close() -> None:
            self._edge.close()

        self._federation.do(close())


@pytest.fixture
def patient(federation: Federation, tmp_path: Path) -> Iterator[Patient]:
    found = Patient(federation, tmp_path)
    yield found
    found.close()


# --- nothing committed yet ---


def test_a_call_that_waits_for_its_road_is_dropped_and_counted(tmp_path: Path, name: str) -> None:
    """Cancelled or out of time before any word of it was written: no leaf, and no adapter knows."""
    with Federation(tmp_path, limits=PATIENT) as other:
        other.stop(other.anip)
        worker = worker_of(other.pns)
        consumer = worker.station.pipeline.consumer
        with other.channel() as channel:
            call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
            until(lambda: bool(consumer._waiting))
            call.cancel()
            until(lambda: worker.station.counters["dropped"] == 1)
            patient = Patient(other, tmp_path)
            assert patient.call(name, 100_000).result(10) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
            patient.close()

        assert worker.station.counters["dropped"] == 2
        assert consumer.in_flight == 0
        require_record(other, name, other.pns)
        assert other.adapter.calls == []


def test_a_call_whose_time_is_up_when_it_arrives_is_dropped(
    federation: Federation, patient: Patient, name: str
) -> None:
    """No request is signed of which nothing can come."""
    assert patient.call(name, 1).result(10) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]

    require_record(federation, name, federation.pns)
    assert federation.adapter.calls == []


# --- committed, not sent ---


def test_a_cancellation_during_the_commit_is_logged_and_nothing_is_sent(
    federation: Federation, name: str
) -> None:
    """What was written stands, with its end beside it; the peer is led past both."""
    consumer = worker_of(federation.pns).station.pipeline.consumer
    with federation.channel() as channel:
        with held(federation.pns) as disk:
            call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
            assert disk.held.wait(10)
            call.cancel()
            until(lambda: not consumer.in_flight)
        until(lambda: len(record(federation, name, federation.pns)) == 2)
        calling(channel)(b"next", metadata=metadata(), timeout=10)

    require_record(federation, name, federation.pns, "said request", "said cancel CANCELLED not_sent")
    require_record(federation, name, federation.anip)
    assert [request for _, request, _ in federation.adapter.calls] == [b"next"]


def test_a_deadline_during_the_commit_is_logged_and_nothing_is_sent(
    federation: Federation, patient: Patient, name: str
) -> None:
    """A disk that is slower than the program is patient."""
    with held(federation.pns) as disk:
        status = patient.call(name, 200_000)
        assert disk.held.wait(10)
        assert status.result(10) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    until(lambda: len(record(federation, name, federation.pns)) == 2)

    require_record(
        federation, name, federation.pns, "said request", "said deadline DEADLINE_EXCEEDED not_sent"
    )
    require_record(federation, name, federation.anip)
    assert federation.adapter.calls == []


# --- sent, not delivered ---


def test_a_cancellation_that_comes_before_the_adapter_was_called_prevents_it(
    federation: Federation, name: str
) -> None:
    """The provider's disk still works on the request when its cancellation arrives (step 10)."""
    provider = worker_of(federation.anip).station.pipeline
    with federation.channel() as channel, held(federation.anip) as disk:
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
        until(lambda: bool(provider.provider.services))
        assert disk.held.wait(10)
        call.cancel()
        until(lambda: bool(provider._arrived))
    until(lambda: at_rest(federation))

    assert federation.adapter.calls == []
    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said cancel CANCELLED unknown",
        "heard refusal late",
    )
    require_record(
        federation,
        name,
        federation.anip,
        "heard request taken",
        "heard cancel taken",
        "said refusal CANCELLED not_sent",
    )


def test_a_deadline_that_passes_before_the_adapter_was_called_prevents_it(
    federation: Federation, patient: Patient, name: str
) -> None:
    """Both gateways count by themselves what remains."""
    provider = worker_of(federation.anip).station.pipeline
    with held(federation.anip) as disk:
        status = patient.call(name, 300_000)
        assert disk.held.wait(10)
        assert status.result(10) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        until(lambda: bool(provider._arrived))
    until(lambda: at_rest(federation))

    assert federation.adapter.calls == []
    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said deadline DEADLINE_EXCEEDED unknown",
        "heard refusal late",
    )
    require_record(
        federation,
        name,
        federation.anip,
        "heard request taken",
        "heard deadline taken",
        "said refusal DEADLINE_EXCEEDED not_sent",
    )


def test_a_stream_lost_before_the_adapter_was_called_prevents_it(tmp_path: Path, name: str) -> None:
    """Nobody could be told the answer; the next stream tells why there is none."""
    with Federation(tmp_path, limits=PATIENT) as other, other.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        other.adapter.calls.clear()
        (road,) = worker_of(other.anip).station.roads.roads.values()
        with held(other.anip) as disk:
            call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
            assert disk.held.wait(10)
            until(lambda: bool(worker_of(other.anip).station.pipeline.provider.services))
            other.stop(other.pns)
            until(lambda: not road.is_open)
        until(lambda: not worker_of(other.anip).station.pipeline.in_flight)

        assert other.adapter.calls == []
        require_record(other, name, other.anip, "heard request taken", "said refusal PEER_LOST not_sent")
        assert call.exception(10) is not None


# --- delivered ---


def test_a_cancelled_adapter_is_told_before_anything_is_written(federation: Federation, name: str) -> None:
    """RST to the adapter at once, the statements after: its work is stopped while the disk still waits."""
    slow = federation.adapter.answer = Slow()
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
        slow.called.result(10)
        station = worker_of(federation.anip).station
        with held(federation.anip):
            durable = station.durable_size
            call.cancel()
            assert slow.told.result(10)
            assert station.durable_size == durable
    until(lambda: at_rest(federation))

    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said cancel CANCELLED unknown",
        "heard refusal late",
    )
    require_record(
        federation,
        name,
        federation.anip,
        "heard request taken",
        "heard cancel taken",
        "said refusal CANCELLED delivered",
    )


def test_a_program_that_dies_is_a_cancellation(federation: Federation, name: str) -> None:
    """Its connection goes with all of its calls."""
    slow = federation.adapter.answer = Slow()
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
        slow.called.result(10)
    assert call.exception(10) is not None
    assert slow.told.result(10)
    until(lambda: at_rest(federation))

    assert record(federation, name, federation.pns)[:2] == ["said request", "said cancel CANCELLED unknown"]


def test_a_deadline_reaches_an_adapter_at_work(federation: Federation, patient: Patient, name: str) -> None:
    """The adapter is told, the program is told, both logs say that it was for time."""
    slow = federation.adapter.answer = Slow()
    status = patient.call(name, 500_000)

    assert status.result(10) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert slow.told.result(10)
    until(lambda: at_rest(federation))
    ours, theirs = (record(federation, name, one) for one in (federation.pns, federation.anip))
    # All three count: whoever comes to the end first, the adapter's own status among them, is the one that is told.
    assert ours[0] == "said request"
    assert ours[1] in (
        "said deadline DEADLINE_EXCEEDED unknown",
        "heard refusal taken",
        "heard response taken",
    )
    assert theirs[0] == "heard request taken"
    assert {"said response", "said refusal DEADLINE_EXCEEDED delivered"} & set(theirs)


def test_a_stock_client_that_gives_up_in_time_is_recorded_as_out_of_time(
    federation: Federation, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It resets its call when its time is up, a moment before the gateway's own clock says so."""
    monkeypatch.setattr("gateway.worker.consumer.DEADLINE_SLACK_US", 60_000_000)
    slow = federation.adapter.answer = Slow()
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name), timeout=30)
        slow.called.result(10)
        call.cancel()
        assert slow.told.result(10)

    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said deadline DEADLINE_EXCEEDED unknown",
        "heard refusal late",
    )


# --- answered ---


def test_an_answer_on_its_way_when_the_program_leaves_is_heard_as_late(
    federation: Federation, name: str
) -> None:
    """It was said, so it is heard; nothing is in doubt, and the adapter was called once."""
    with federation.channel() as channel:
        slow = federation.adapter.answer = Slow()
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
        slow.called.result(10)
        with held(federation.anip) as disk:
            slow.told.set_result(True)
            assert disk.held.wait(10)
            call.cancel()
            until(lambda: not worker_of(federation.pns).station.pipeline.consumer.in_flight)
    until(lambda: at_rest(federation))

    assert len(federation.adapter.calls) == 1
    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said cancel CANCELLED unknown",
        "heard response late",
    )
    assert record(federation, name, federation.anip)[:2] == ["heard request taken", "said response"]


def test_an_end_stands_before_the_late_answer_that_came_in_the_same_turn(
    federation: Federation, name: str
) -> None:
    """Both wait while the disk is slow; read in order, the log never tells of a late answer to an open exchange."""
    slow = Slow()
    federation.adapter.answer = lambda request, context: request if request else slow(request, context)
    pipeline = worker_of(federation.pns).station.pipeline
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata(x_road_id=name))
        slow.called.result(10)
        until(lambda: len(record(federation, name, federation.anip)) == 1)
        with held(federation.pns) as disk:
            other = calling(channel).future(b"x", metadata=metadata())
            assert disk.held.wait(10)
            call.cancel()
            until(lambda: bool(pipeline.consumer._endings))
            slow.told.set_result(True)
            until(lambda: bool(pipeline._arrived))
        other.result(10)
    until(lambda: at_rest(federation))

    require_record(
        federation,
        name,
        federation.pns,
        "said request",
        "said cancel CANCELLED unknown",
        "heard response late",
    )


# --- what remains ---


def test_what_remains_of_a_deadline_only_shrinks(federation: Federation, name: str) -> None:
    """Program, statement, adapter: each is given what is left, also when it waited for its turn and for a disk."""
    timeout, wait = 5.0, 0.3
    slow = Slow()
    slow.told.set_result(True)
    federation.adapter.answer = lambda request, context: slow(request, context) if request else request
    provider = worker_of(federation.anip).station.pipeline
    with federation.channel() as channel, held(federation.anip) as disk:
        before = calling(channel).future(b"", metadata=metadata())
        assert disk.held.wait(10)
        call = calling(channel).future(b"x", metadata=metadata(x_road_id=name), timeout=timeout)
        until(lambda: bool(provider._arrived))
        begun = time.monotonic()
        until(lambda: time.monotonic() >= begun + wait)
        disk.go_on.set()
        remaining = slow.called.result(10)
        call.result(10)
        before.result(10)

    reader = LogReader(federation.pns.directory.log(0))
    reader.read_all()
    said = [leaf.body for leaf in (parse_leaf(one.leaf) for one in reader) if leaf.label == SAID]
    (written,) = [
        one for one in map(parse_statement, said) if one.reference == name and one.kind == "request"
    ]
    assert written.deadline_us is not None
    assert remaining is not None
    assert written.deadline_us <= timeout * 1_010_000  # grpcio rounds up what it writes into its header
    assert 0 < remaining <= written.deadline_us / 1_000_000 - wait


def test_no_deadline_stays_none(federation: Federation, name: str) -> None:
    """A gateway does not make one up."""
    slow = federation.adapter.answer = Slow()
    slow.told.set_result(True)
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(x_road_id=name))

    remaining = slow.called.result(10)
    assert remaining is None or remaining > 10**9  # grpcio's "for ever"


# --- storms ---


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["cancel", "deadline"])
def test_a_storm_of_endings_leaves_nothing_open_and_delivers_nothing_twice(tmp_path: Path, kind: str) -> None:
    """Two thousand; fifty thousand: ``make test-cancellation``."""
    storm(tmp_path, kind, 2_000)


def storm(root: Path, kind: str, calls: int) -> None:
    """Calls that end before, while and after they are answered; then all is as if they had never been."""
    chance = random.Random(7)
    told: list[Event] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if request[-1] % 4 == 0:
            done = threading.Event()
            context.add_callback(done.set)
            done.wait(0.02)
        return request

    with Federation(root, limits=PATIENT) as other, other.channel() as channel:
        other.adapter.answer = answer
        call = calling(channel)
        call(b"first", metadata=metadata(), timeout=10)
        other.adapter.calls.clear()
        waiting: deque[tuple[str, Any]] = deque()
        for number in range(calls):
            name = f"s-{number}"
            timeout = chance.choice((0.002, 0.02, 0.2, 20)) if kind == "deadline" else None
            told.append({"event": "sent", "reference": name, "digest": name})
            waiting.append(
                (name, call.future(name.encode(), metadata=metadata(x_road_id=name), timeout=timeout))
            )
            if kind == "cancel" and chance.random() < 0.7:
                chance.choice(waiting)[1].cancel()
            while len(waiting) > 200:
                _note_end(told, *waiting.popleft())
        for one in waiting:
            _note_end(told, *one)
        until(lambda: at_rest(other), seconds=30)
        until(lambda: not any(map(_held, map(worker_of, (other.pns, other.anip)))))

        delivered: list[Event] = [
            {"event": "delivered", "reference": found["x-road-id"], "request": found["x-road-request-hash"]}
            for _, _, found in other.adapter.calls
        ]
        ours, theirs = (one.directory.log(0) for one in (other.pns, other.anip))
        verdict = check(ours, theirs, told, delivered)
        assert verdict.is_clean, verdict
        assert max(Counter(one["reference"] for one in delivered).values()) == 1
        assert 0 < sum(one["event"] == "acknowledged" for one in told) < calls
        assert _held_in_memory() == []
        assert call(b"last", metadata=metadata(), timeout=10) == b"last"


def _note_end(told: list[Event], name: str, call: Any) -> None:
    """An answer and whose; all else was cancelled here or out of time."""
    try:
        answer = call.result(30)
    except (grpc.RpcError, grpc.FutureCancelledError):
        return
    request = dict(call.trailing_metadata())["x-road-request-hash"]
    told.append({"event": "acknowledged", "reference": name, "request": request, "digest": answer.decode()})


def _held(worker: Worker) -> dict[str, int]:
    """What the tables, queues and budgets of a worker hold of exchanges; nothing when all ended."""
    station = worker.station
    consumer, provider = station.pipeline.consumer, station.pipeline.provider
    roads = station.roads.roads.values()
    adapters = [one for edge in worker._adapters.edges.values() for one in edge._connections]
    found = {
        "exchanges": len(consumer.exchanges),
        "waiting": len(consumer._waiting) + len(consumer._requests) + len(consumer._endings),
        "services": len(provider.services) + len(provider._answers) + len(provider._committed),
        "calls": station.budget.held_calls,
        "bytes": station.budget.held_bytes,
        "outgoing": sum(len(road.outgoing) for road in roads),
        "unreceipted": sum(len(road.unreceipted) for road in roads),
        "expected": sum(len(road.expected) for road in roads),
        "programs": sum(len(one.streams) for one in worker._programs.connections),
        "adapters": sum(len(one.streams) for one in adapters),
    }
    return {name: count for name, count in found.items() if count}


def _held_in_memory() -> list[object]:
    """Exchanges that something still holds on to, though they ended; what waits for a far deadline is not."""
    gc.collect()
    found = [one for one in gc.get_objects() if isinstance(one, Service | Exchange)]
    return [one for one in found if one.phase is not Phase.CLOSED or isinstance(one, Service)]
