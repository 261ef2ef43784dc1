"""Which of several logs is meant when the administrator closes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.heads import TreeHead
from core.reasons import ExchangeError
from gateway.closing import worker_to_succeed
from gateway.founding import InitResult, registered_logs
from gateway.settings import Listen
from gateway.stopped import Shown, StoppedLog, write_stopped
from gateway.succession import open_successor, read_old_log
from pki.heads import HeadSigner
from pki.keys import load_chain, read_key
from tests.unit.gateway_control.test_founding import NOW, PLAN, Founder

pytestmark = pytest.mark.unit


@pytest.fixture
def founder(tmp_path: Path) -> Founder:
    return Founder(tmp_path)


def stop(made: InitResult, worker: int) -> None:
    """As a peer would that holds another head."""
    log = registered_logs(made.directory, made.settings)[worker].id
    seal = made.directory.seal
    signer = HeadSigner(read_key(seal.key), load_chain(seal.certificate.read_bytes())[0])
    head = signer.sign(TreeHead(1, log, made.settings.gateway, 9, "ab" * 32, NOW // 1000, None))
    stopped = StoppedLog(1, log, "FORKED", NOW, 1, "", [Shown("BJ/GOV/PNS/gw1", head.decode("ascii"))])
    write_stopped(made.directory.stopped(worker), stopped)


def test_the_log_that_was_stopped_is_the_one_that_is_succeeded(founder: Founder) -> None:
    """Of several; where it is not plain which one is meant, it is to be named."""
    made = founder.init()
    founder.install(made)

    def refusal() -> str:
        with pytest.raises(ExchangeError) as refused:
            worker_to_succeed(made.directory, made.settings)
        assert refused.value.remedy is not None
        return refused.value.remedy.en

    assert refusal() == "name the worker: --worker 0 (or: 1)"
    stop(made, 1)
    assert worker_to_succeed(made.directory, made.settings) == 1
    stop(made, 0)
    assert refusal() == "name the worker: --worker 0 (or: 1)"


def test_a_log_that_is_gone_or_whose_successor_waits_is_the_one_that_is_meant(founder: Founder) -> None:
    """Its disk died; or the command was cut off."""
    made = founder.init()
    founder.install(made)
    old, _ = read_old_log(made.directory, made.settings, 1)

    made.directory.log(0).rename(founder.root / "lost")
    lost = worker_to_succeed(made.directory, made.settings)
    (founder.root / "lost").rename(made.directory.log(0))
    open_successor(made.directory, made.settings, 1, old, "cut", founder.clock, is_asked=False)

    assert lost == 0
    assert worker_to_succeed(made.directory, made.settings) == 1


def test_the_only_worker_is_meant_without_a_word(founder: Founder) -> None:
    """Whatever its log is like."""
    made = founder.init(plan=replace(PLAN, listen=Listen(road=("127.0.0.1:0",))))

    assert worker_to_succeed(made.directory, made.settings) == 0
