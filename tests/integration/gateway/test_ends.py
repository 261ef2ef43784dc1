"""Every call has an end, whatever happens to its road and whenever (invariants 8 and 9 of docs/reliability.md)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.settings import Limits
from gateway.worker.consumer import Consumer
from gateway.worker.main import Worker
from tests.support.federation import Federation, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.waiting import until


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=Limits(peer_wait_ms=300)) as found:
        yield found


def consuming(federation: Federation) -> tuple[Worker, Consumer]:
    worker = federation.pns.worker
    assert worker is not None
    return worker, worker.station.pipeline.consumer


async def _retry(consumer: Consumer) -> None:
    consumer.retry_waiting()


def test_a_call_whose_time_is_up_between_two_turns_ends(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for its road, was to try again, and a commit took longer than it had left; it has no deadline."""
    federation.stop(federation.anip)
    worker, consumer = consuming(federation)
    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata())
        until(lambda: bool(consumer._waiting))
        monkeypatch.setattr(worker.station.turns, "_run", lambda: None)
        federation.do(_retry(consumer))
        until(lambda: bool(consumer._refusals))
        monkeypatch.undo()
        worker.station.turns._scheduled = False
        federation.do(_wake(worker))

        assert outcome_of(partial(call.result, 10)) == "PEER_UNREACHABLE"
    assert consumer.in_flight == 0


async def _wake(worker: Worker) -> None:
    worker.station.turns.wake()


def test_a_call_whose_road_is_lost_while_it_commits_ends(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durable and unsent, it waits for the next stream as long as any call does, and not for ever."""
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        worker, consumer = consuming(federation)
        committed = consumer._requests_committed
        (road,) = worker.station.roads.roads.values()

        def lost_first(exchanges: list[object]) -> None:
            worker.station.roads._lose(road, "lost")
            committed(exchanges)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(consumer, "_requests_committed", lost_first)
        call = calling(channel).future(b"", metadata=metadata())

        assert outcome_of(partial(call.result, 10)) == "PEER_UNREACHABLE"
    assert consumer.in_flight == 0


def test_calls_that_wait_for_one_peer_are_not_tried_with_each_frame_to_another(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of them would slow all others down."""
    _, consumer = consuming(federation)
    tried: list[int] = []
    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        monkeypatch.setattr(consumer, "retry_waiting", lambda: tried.append(1))

        calling(channel)(b"", metadata=metadata(), timeout=10)

    assert tried == []
