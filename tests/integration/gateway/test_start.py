"""Before its first signature a log asks its last peers for the newest of its heads that they hold (PROTOCOL M5)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.reasons import ExchangeError, Reason
from gateway.worker.exchange import Phase, Service
from gateway.worker.main import LOG_UNCONFIRMED, Worker
from tests.support.calls import call, worker_of
from tests.support.federation import Federation, calling, metadata
from tests.support.waiting import until
from tests.support.worker_country import statement


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        call(found, b"first")
        yield found


async def _sign(worker: Worker) -> bytes | None:
    return worker.station._sign()


def test_a_restored_older_log_signs_nothing(federation: Federation, tmp_path: Path) -> None:
    """A snapshot of the whole directory knows no better; its peer does, and says so before a second head exists."""
    root, kept = federation.pns.directory.root, tmp_path / "snapshot"
    federation.stop(federation.pns)
    shutil.copytree(root, kept)
    federation.start(federation.pns)
    assert call(federation, b"second").answer == b"second"
    until(lambda: worker_of(federation.anip).station.peer_states()[0].size > 3)
    federation.stop(federation.pns)
    shutil.rmtree(root)
    shutil.copytree(kept, root)

    federation.start(federation.pns)

    worker = worker_of(federation.pns)
    stored = worker.station.heads.newest
    until(lambda: worker.station.state == "LOG_BEHIND_PEERS")
    stopped = worker.report().stopped
    assert stopped is not None
    assert (stopped.witness, stopped.here) == (federation.anip.gateway, worker.station.durable_size)
    assert stopped.there > stopped.here
    assert federation.do(_sign(worker)) is None
    assert worker.station.heads.newest == stored


def test_a_log_that_nobody_confirms_goes_on_and_says_so(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the first peer is there again."""
    monkeypatch.setattr("gateway.worker.witnesses.ASK_US", 300_000)
    federation.stop(federation.pns)
    federation.stop(federation.anip)

    federation.start(federation.pns)

    worker = worker_of(federation.pns)
    assert LOG_UNCONFIRMED in worker.report().faults
    until(lambda: worker.station.heads.size == worker.station.durable_size)
    assert worker.station.state == "ready"
    federation.start(federation.anip)
    assert call(federation, b"again").answer == b"again"
    assert LOG_UNCONFIRMED not in worker.report().faults


def test_nothing_is_signed_while_peers_are_asked(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed meanwhile waits for the first signature; nothing of it is lost."""
    federation.stop(federation.pns)
    monkeypatch.setattr("gateway.worker.witnesses.Witnesses.on_tick", lambda witnesses, now_us: None)

    federation.start(federation.pns)

    worker = worker_of(federation.pns)
    stored = worker.station.heads.newest
    until(lambda: worker.station.witnesses.is_confirmed)
    with federation.channel() as channel:
        waiting = calling(channel).future(b"waiting", metadata=metadata(), timeout=10)
        until(lambda: worker.station.durable_size > worker.station.heads.size)
        time.sleep(0.2)
        assert worker.station.heads.newest == stored
        monkeypatch.undo()

        assert waiting.result() == b"waiting"


def test_a_peer_answers_though_it_is_asking_itself(federation: Federation) -> None:
    """Both restarted at once: neither waits for the other's signature."""
    federation.stop(federation.pns)
    federation.stop(federation.anip)

    federation.start(federation.anip)
    federation.start(federation.pns)

    assert call(federation, b"both").answer == b"both"
    assert worker_of(federation.pns).station.witnesses.is_confirmed
    assert worker_of(federation.anip).station.witnesses.is_confirmed


def test_a_log_without_a_configuration_signs_nothing(federation: Federation) -> None:
    """It does not know yet whom to ask; what it left unfinished waits, too."""
    federation.stop(federation.pns)
    kept = federation.pns.directory.current.read_bytes()
    federation.pns.directory.current.unlink()
    federation.start(federation.pns)
    worker = worker_of(federation.pns)
    stored, size = worker.station.heads.newest, worker.station.durable_size

    time.sleep(1.3)  # a head is due 1 s after the oldest commit without one

    assert (worker.station.heads.newest, worker.station.durable_size) == (stored, size)
    federation.pns.directory.current.write_bytes(kept)
    federation.publish()
    assert call(federation, b"again").answer == b"again"


def test_a_stopped_log_delivers_nothing_and_ends_its_roads(federation: Federation) -> None:
    """What was durable when it stopped cannot be answered any more: the next start says so."""
    worker = worker_of(federation.anip)
    federation.adapter.calls.clear()
    provider = worker.station.pipeline.provider
    (road,) = worker.station.roads.roads.values()
    service = Service(road, None, statement(), 0, None)  # type: ignore[arg-type]  # not looked at

    federation.do(_stop(worker))
    federation.do(_deliver(worker, service))

    assert not road.is_open
    assert (service.phase, federation.adapter.calls) == (Phase.COMMITTING, [])
    assert provider.in_flight == 0


def test_a_clock_that_is_wrong_learns_by_how_much(federation: Federation) -> None:
    """It signs nothing, and can say so with a figure; heads are up to 30 s old."""
    federation.stop(federation.pns)
    federation.pns.clock.step(timedelta(seconds=432))
    federation.start(federation.pns)

    until(lambda: any(one.state == Reason.CLOCK_SKEW for one in worker_of(federation.pns).report().peers))

    (own,) = worker_of(federation.pns).report().peers
    assert own.ahead_s is not None
    assert 430 <= own.ahead_s <= 465


async def _stop(worker: Worker) -> None:
    worker.station._stop("FORKED", "BJ/GOV/ANIP/gw1", worker.station.heads.newest)


async def _deliver(worker: Worker, service: Service) -> None:
    worker.station.pipeline.provider._deliver_all([service])


def test_a_seal_certificate_of_another_key_is_named(federation: Federation) -> None:
    """No head that nobody can verify is signed: the start says what is wrong, and is good again with the right one."""
    member = federation.pns
    federation.stop(member)
    files = member.directory
    good = files.seal.certificate.read_bytes()
    files.seal.certificate.write_bytes(files.auth.certificate.read_bytes())

    with pytest.raises(ExchangeError) as refused:
        federation.start(member)

    assert refused.value.reason is Reason.KEY_UNREADABLE
    files.seal.certificate.write_bytes(good)
    federation.start(member)
