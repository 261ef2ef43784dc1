"""Two configurations under one version, shown to two gateways: noticed at the first message between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from core.configuration import decode_current, encode_current
from gateway.worker.main import Worker
from tests.support.calls import worker_of
from tests.support.federation import Federation, calling, metadata
from tests.support.hostile import heard, outcome_of, said
from tests.support.intruder import Intruder
from tests.support.waiting import until


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        yield found


async def _reload(worker: Worker) -> None:
    worker._load_configuration()


def show_two(federation: Federation) -> None:
    """Publish a version, and hand one of the two gateways another digest under the same number."""
    worker = worker_of(federation.pns)
    federation.pns.worker = None  # it is handed its own, below
    federation.publish()
    federation.pns.worker = worker
    current = decode_current(federation.pns.directory.current.read_bytes())
    federation.pns.directory.current.write_bytes(
        encode_current(msgspec.structs.replace(current, digest="f" * 64))
    )
    federation.do(_reload(worker))


def test_split_view_of_the_configuration_is_noticed_with_the_next_request(federation: Federation) -> None:
    """On an open road: neither side takes the other's word, both logs name the reason, nothing is delivered."""
    with federation.channel() as channel:
        call = partial(calling(channel), b"", metadata=metadata(), timeout=10)
        assert outcome_of(call) == "OK"
        show_two(federation)

        assert outcome_of(call) == "RESPONSE_INVALID"  # the provider's refusal names its own configuration

    assert len(federation.adapter.calls) == 1
    assert "refused:CONFIG_SPLIT" in [one.verdict for one in heard(federation.anip)]
    assert "CONFIG_SPLIT" in [one.reason for one in said(federation.anip)]
    assert "refused:CONFIG_SPLIT" in [one.verdict for one in heard(federation.pns)]


def test_split_view_of_the_configuration_is_noticed_with_hello(federation: Federation) -> None:
    """Before anything is asked: no road opens between the two, and the call ends as not sent."""
    show_two(federation)

    with federation.channel() as channel:
        assert outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=10)) == "CONFIG_SPLIT"

    states = {one.state for one in worker_of(federation.pns).station.peer_states()}
    assert "CONFIG_SPLIT" in states or "lost" in states
    assert federation.adapter.calls == []


def test_split_view_shown_by_a_peer_ends_its_stream_by_name(federation: Federation, tmp_path: Path) -> None:
    """The peer that says it has our version with another digest."""
    intruder = Intruder(federation, federation.pns)
    intruder.dial(federation.anip, tmp_path)

    intruder.hello(configuration_digest="0" * 64)

    assert intruder.ended() == "CONFIG_SPLIT"


def test_rollback_of_the_configuration_in_the_directory_is_not_taken(federation: Federation) -> None:
    """An operator who puts yesterday's file back: the worker keeps what it has (invariant 4)."""
    old = federation.pns.directory.current.read_bytes()
    federation.publish()
    version = federation._version
    federation.pns.directory.current.write_bytes(old)

    federation.do(_reload(worker_of(federation.pns)))

    view = worker_of(federation.pns).station.roads.trust
    assert view is not None
    assert view.mark.version == version
    with federation.channel() as channel:
        until(lambda: outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=10)) == "OK")
