"""Which logs control shows: those that are written, and those that nobody writes any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.clock import ManualClock
from core.identifiers import GatewayId
from core.reasons import ExchangeError
from gateway.control.logbook import LogBook
from gateway.founding import new_genesis_leaf
from gateway.layout import GatewayDirectory
from ledger.log import create_log

pytestmark = pytest.mark.unit

GATEWAY = GatewayId.parse("BJ/GOV/ANIP/gw1")


def new_log(directory: GatewayDirectory, worker: int) -> str:
    genesis = new_genesis_leaf(GATEWAY, worker, ManualClock(1_795_000_000_000))
    return create_log(directory.log(worker), genesis)


def test_the_log_of_a_worker_that_is_no_more_can_still_be_read(tmp_path: Path) -> None:
    """``workers`` was lowered: its exchanges are found as those of a closed log are."""
    directory = GatewayDirectory(tmp_path)
    logs = [new_log(directory, worker) for worker in range(3)]

    book = LogBook(directory, 1)
    for one in (*book.logs, *book.closed):
        assert len(list(one.read_on(None))) == 1

    assert [one.log_id for one in book.logs] == logs[:1]
    assert [(one.worker, one.log_id) for one in book.closed] == [(1, logs[1]), (2, logs[2])]
    assert [book.require(log).log_id for log in logs] == logs
    assert book.require("").log_id == logs[0]


def test_of_several_logs_one_is_to_be_named(tmp_path: Path) -> None:
    """A proof is of one log; none is taken for another."""
    directory = GatewayDirectory(tmp_path)
    for worker in range(2):
        new_log(directory, worker)

    with pytest.raises(ExchangeError, match="several logs: name one"):
        LogBook(directory, 2).require("")


def test_a_gateway_without_any_log_has_an_empty_book(tmp_path: Path) -> None:
    """Its disk was lost: the worker says so, not this."""
    book = LogBook(GatewayDirectory(tmp_path), 1)

    assert book.closed == []
    with pytest.raises(ExchangeError, match="no log"):
        book.require("ab" * 32)
