"""What remains of a gateway's state in ``state/status.json``, and since when each part is as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.reasons import Reason
from gateway.channel import PeerState, StoppedReport, WorkerReport, WriteFailure
from gateway.control.chronicle import WRITE_EVERY_MS, Chronicle, read_status
from gateway.control.services import status_of
from gateway.control.state import AdapterState, Freshness, GatewayState, RegistryState
from gateway.control.supervisor import WorkerState

NOW = 1_795_000_000_000
RNPP = "BJ/GOV/ANIP/RNPP"
PEER = "cd" * 32


def state(at: int = 0, *, adapter: str = "up", refused: int = 0, peer: str = "open") -> GatewayState:
    """A gateway ``at`` milliseconds later."""
    report = WorkerReport(
        state="ready",
        log="ab" * 32,
        size=7,
        counters={"refused_ADAPTER_DOWN": refused},
        peers=(PeerState(gateway="BJ/GOV/PNS/gw1", log=PEER, state=peer, ahead_s=432),),
        adapters={RNPP: adapter},
    )
    return GatewayState(
        gateway="BJ/GOV/ANIP/gw1",
        now_ms=NOW + at,
        started_at=NOW,
        configuration=None,
        freshness=Freshness.EXPIRED,
        registry=RegistryState("127.0.0.1:7443", "refused", Reason.REGISTRY_UNREACHABLE),
        workers=(WorkerState(0, 42, 0, report, 0.0),),
        adapters=(AdapterState(RNPP, "127.0.0.1:9101", adapter),),
        indexed={},
    )


def seen(chronicle: Chronicle, found: GatewayState) -> GatewayState:
    """The same as control tells it after a look."""
    chronicle.look(found)
    return replace(found, since=chronicle.since, refused=chronicle.refused)


def test_a_state_lasts_since_it_was_first_seen(tmp_path: Path) -> None:
    """Until another comes."""
    chronicle = Chronicle(tmp_path / "status.json")
    seen(chronicle, state())
    seen(chronicle, state(5000))
    status = status_of(seen(chronicle, state(9000, peer="lost")))

    assert status.registry.since.ToMilliseconds() == NOW
    assert status.workers[0].since.ToMilliseconds() == NOW
    assert (status.peers[0].since.ToMilliseconds(), status.peers[0].clock_ahead_s) == (NOW + 9000, 432)
    assert status.as_of.ToMilliseconds() == NOW + 9000


def test_calls_refused_are_counted_since_the_adapter_is_down(tmp_path: Path) -> None:
    """Those of an earlier absence are not, and a worker that was started again counts from 0."""
    chronicle = Chronicle(tmp_path / "status.json")
    for at, adapter, refused in ((0, "down", 3), (1, "up", 3), (2, "down", 3)):
        seen(chronicle, state(at, adapter=adapter, refused=refused))
    before = status_of(seen(chronicle, state(3, adapter="down", refused=10))).adapters[0]
    found = seen(chronicle, state(4, adapter="down", refused=2))

    assert (before.since.ToMilliseconds(), before.refused) == (NOW + 2, 7)
    assert status_of(found).adapters[0].refused == 9


def test_the_next_process_goes_on_from_the_file(tmp_path: Path) -> None:
    """A restart of control makes nothing younger."""
    path = tmp_path / "state" / "status.json"
    chronicle = Chronicle(path)
    seen(chronicle, state(adapter="down"))
    found = seen(chronicle, state(1000, adapter="down", refused=5))
    chronicle.keep(found, status_of(found))

    adapter = status_of(seen(Chronicle(path), state(60_000, adapter="down", refused=6))).adapters[0]

    assert (adapter.since.ToMilliseconds(), adapter.refused) == (NOW, 11)
    assert path.stat().st_mode & 0o077 in (0, 0o044)


def test_it_is_written_when_faults_change_and_else_every_few_seconds(tmp_path: Path) -> None:
    """Not with every look."""
    path = tmp_path / "status.json"
    chronicle = Chronicle(path)

    def kept(found: GatewayState) -> int:
        chronicle.keep(found, status_of(found))
        status = read_status(path)
        assert status is not None
        return status.as_of.ToMilliseconds() - NOW

    assert kept(state()) == 0
    assert kept(state(1000)) == 0
    assert kept(state(2000, adapter="down")) == 2000
    assert kept(state(2000 + WRITE_EVERY_MS, adapter="down")) == 2000 + WRITE_EVERY_MS


def test_a_file_that_cannot_be_written_or_read_ends_nothing(tmp_path: Path) -> None:
    """A disk that is full; a file that was cut."""
    (tmp_path / "state").write_text("in the way of the directory")
    chronicle = Chronicle(tmp_path / "state" / "status.json")

    chronicle.keep(state(), status_of(state()))

    (tmp_path / "cut.json").write_text('{"gateway": "BJ/GO')
    assert read_status(tmp_path / "cut.json") is None
    assert Chronicle(tmp_path / "cut.json").since == {}


@pytest.mark.parametrize(("worker_state", "told"), [("closed", True), ("ready", False)])
def test_a_refused_write_is_a_fault_until_the_worker_is_ready_again(worker_state: str, told: bool) -> None:
    """It stays in sight afterwards, as something that happened."""
    failure = WriteFailure(at=NOW - 1000, error="EIO", segment="00.seg")
    stopped = StoppedReport(here=5, there=9, witness="BJ/GOV/PNS/gw1")
    report = WorkerReport(state=worker_state, stopped=stopped)
    found = replace(state(), workers=(WorkerState(0, 42, 1, report, 0.0, write_failure=failure),))

    status = status_of(found)

    assert (Reason.LOG_WRITE_FAILED in found.faults) is told
    assert (status.workers[0].write_failure.error, status.workers[0].write_failure.segment) == (
        "EIO",
        "00.seg",
    )
    assert (status.workers[0].stopped.here, status.workers[0].stopped.there) == (5, 9)
