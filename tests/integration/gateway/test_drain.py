"""A gateway that is told to stop: what it accepted finishes, or ends by name at both ends; nothing is cut."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import pytest

from gateway.settings import Limits
from tests.support.calls import judge, reason_in, request_hash, worker_of
from tests.support.checker import read
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import said
from tests.support.slow_disks import slow_down
from tests.support.waiting import until

CALLERS = 6


class Program(threading.Thread):
    """A stock program that calls without end and keeps a journal of what it was told."""

    def __init__(self, federation: Federation, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._federation = federation
        self._stop_event = stop

    def run(self) -> None:
        with self._federation.channel() as channel:
            call = calling(channel)
            while not self._stop_event.is_set():
                try:
                    _, told = call.with_call(
                        b"x" * 3000, metadata=metadata(), timeout=10, wait_for_ready=True
                    )
                except grpc.RpcError as error:
                    self.refused.append(_reason(error))
                else:
                    self.acknowledged.append(request_hash(told))


def _reason(error: grpc.RpcError) -> str:
    assert isinstance(error, grpc.Call)
    if "grpc-status-details-bin" in dict(error.trailing_metadata() or ()):
        return str(reason_in(error)[1].reason)
    return f"{error.code().name}: {error.details()}"


def _pause(request: bytes, _: grpc.ServicerContext) -> bytes:
    threading.Event().wait(0.01)
    return request


def unended(member: Member) -> list[str]:
    """Requests of this member that its log sees no end of: neither an answer heard nor an ending said."""
    found = read(member.directory.log(0))
    return [one for one in found.said if one not in found.heard and one not in found.ended]


@pytest.mark.parametrize("who", ["anip", "pns"])
def test_under_load_every_accepted_exchange_has_its_end_in_both_logs(tmp_path: Path, who: str) -> None:
    """Stopped and started twice while programs call: nothing is in doubt afterwards, nothing was cut."""
    with Federation(tmp_path) as federation:
        federation.adapter.answer = _pause
        member = federation.anip if who == "anip" else federation.pns
        stop = threading.Event()
        programs = [Program(federation, stop) for _ in range(CALLERS)]
        for program in programs:
            program.start()
        codes = []
        for _ in range(2):
            before = sum(len(program.acknowledged) for program in programs)
            until(lambda before=before: sum(len(one.acknowledged) for one in programs) > before + 30, 30)  # type: ignore[misc]
            codes.append(federation.drain(member))
            federation.start(member)
        before = sum(len(program.acknowledged) for program in programs)
        until(lambda: sum(len(program.acknowledged) for program in programs) > before + 30, 30)
        stop.set()
        for program in programs:
            program.join(20)
        assert federation.drain(federation.pns) == federation.drain(federation.anip) == 0

    refused = {one for program in programs for one in program.refused}
    verdict = judge(federation, [one for program in programs for one in program.acknowledged])
    assert codes == [0, 0]
    assert verdict.is_clean, verdict
    assert unended(federation.pns) == []
    # On the wire a program may meet the closing of its connection; the layer itself names why it takes no more, or, on
    # a machine so busy that the time to drain ran out, that the provider was gone.
    assert {one for one in refused if not one.startswith("UNAVAILABLE: ")} <= {"SHUTTING_DOWN", "PEER_LOST"}


@pytest.fixture
def hanging() -> threading.Event:
    """Set: the adapter answers."""
    return threading.Event()


@pytest.fixture
def federation(tmp_path: Path, hanging: threading.Event) -> Federation:
    found = Federation(tmp_path, limits=Limits(drain_ms=300))

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        hanging.wait(20)
        return request

    found.adapter.answer = hang
    return found


def test_what_an_adapter_does_not_answer_in_time_is_ended_by_name_at_the_provider(
    federation: Federation, hanging: threading.Event
) -> None:
    """A said refusal, not a broken line: delivered, and the program is told to ask."""
    with federation, federation.channel() as channel:
        future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))

        code = federation.drain(federation.anip)
        told, info = reason_in(future.exception(timeout=20))
        hanging.set()

    assert code == 0
    assert (told, info.reason, info.metadata["delivery"]) == (
        grpc.StatusCode.UNAVAILABLE,
        "INTERRUPTED",
        "delivered",
    )
    (refusal,) = said(federation.anip, "refusal")
    assert (refusal.reason, refusal.delivery) == ("INTERRUPTED", "delivered")


def test_what_a_provider_does_not_answer_in_time_is_given_up_in_public_at_the_consumer(
    federation: Federation, hanging: threading.Event
) -> None:
    """The program is told, the abandonment is said, and it reaches the provider before the line goes."""
    with federation, federation.channel() as channel:
        future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))

        code = federation.drain(federation.pns)
        told, info = reason_in(future.exception(timeout=20))
        until(lambda: bool(said(federation.anip, "refusal")))
        hanging.set()

    assert code == 0
    assert (told, info.reason, info.metadata["delivery"]) == (
        grpc.StatusCode.UNAVAILABLE,
        "SHUTTING_DOWN",
        "unknown",
    )
    (abandoned,) = said(federation.pns, "abandon")
    assert abandoned.reason == "SHUTTING_DOWN"
    assert [one.reason for one in said(federation.anip, "refusal")] == ["PEER_LOST"]


def test_the_last_answer_leaves_although_its_commit_takes_long(tmp_path: Path) -> None:
    """Its end is planned and nothing is in flight any more: still the road is kept until the peer has it."""
    gate = threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        gate.wait(20)
        return request

    with Federation(tmp_path) as federation, federation.channel() as channel:
        federation.adapter.answer = slow
        future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))
        slow_down(0.5, federation.anip)
        stopping = threading.Thread(target=federation.drain, args=(federation.anip,))
        stopping.start()
        until(lambda: worker_of(federation.anip).station.state == "draining")

        gate.set()
        answer = future.result(timeout=20)
        stopping.join(20)

    assert answer == b"x"


def test_a_second_order_to_stop_cuts_nothing_short(tmp_path: Path) -> None:
    """A signal and the lifeline may both come: the call under way still gets its answer."""
    gate = threading.Event()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        gate.wait(20)
        return request

    with Federation(tmp_path) as federation, federation.channel() as channel:
        federation.adapter.answer = slow
        future = calling(channel).future(b"x", metadata=metadata(), wait_for_ready=True)
        until(lambda: bool(federation.adapter.calls))
        worker, running = federation.pns.worker, federation.pns.running
        assert worker is not None
        assert running is not None

        async def stop_twice() -> None:
            worker.stop()
            worker.stop()

        federation.do(stop_twice())
        gate.set()

        assert future.result(timeout=20) == b"x"
        assert running.result(20) == 0


def test_a_call_made_the_moment_a_peer_is_back_is_not_lost(tmp_path: Path) -> None:
    """The peer asks for its heads while we dial it: two streams cross, and the one that carries the call stays."""
    with Federation(tmp_path) as federation, federation.channel() as channel:
        call = calling(channel)
        for _ in range(4):
            assert call(b"x", metadata=metadata(), timeout=20, wait_for_ready=True) == b"x"
            assert federation.drain(federation.anip) == 0
            federation.start(federation.anip)


def test_receipts_leave_before_the_line_goes(tmp_path: Path) -> None:
    """The provider's log holds the consumer's receipt of its answer although the consumer stopped at once."""
    with Federation(tmp_path) as federation:
        with federation.channel() as channel:
            calling(channel)(b"x", metadata=metadata(), timeout=20, wait_for_ready=True)
            federation.drain(federation.pns)
        worker = federation.anip.worker
        assert worker is not None
        (road,) = worker.station.roads.roads.values()

        until(lambda: not road.unreceipted)
