"""Captured bytes sent again: to the same worker, another one, after a restart, with another clock.

Whatever is sent again, the adapter was called once (PROTOCOL M4: the log is the replay guard).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from core.clock import SystemClock
from core.leaves import Genesis, genesis_leaf
from core.registrations import RegisteredLog
from core.statements import Statement, parse_statement
from gateway.worker.frames import UnverifiedFrame, decode_message
from gateway.worker.link import LinkChannel, LinkDialler
from gateway.worker.main import Worker
from ledger.log import create_log
from tests.support.federation import Federation, _stop
from tests.support.hostile import heard
from tests.support.intruder import Intruder, road_tls

STREAMS, COPIES = 100, 10


class Shifted:
    """The machine's clock, set wrong."""

    def __init__(self, by_ms: int) -> None:
        self._inner = SystemClock()
        self._by_ms = by_ms

    def now_ms(self) -> int:
        return self._inner.now_ms() + self._by_ms

    def monotonic_us(self) -> int:
        return self._inner.monotonic_us()


@dataclass(frozen=True)
class Captured:
    """All bytes of one exchange as the consumer's gateway sent them, and what is needed to send them again."""

    federation: Federation
    dialler: LinkDialler
    messages: tuple[bytes, ...]

    def again(self, port: int, times: int, copies: int = 1) -> list[str]:
        """Send them on ``times`` new streams, the frame as often as ``copies``; how each ended."""
        return [self.federation.do(self._once(port, copies)) for _ in range(times)]

    async def _once(self, port: int, copies: int) -> str:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def opened(channel: LinkChannel) -> None:
            def hear(data: bytes) -> None:
                # The first answer comes again, as nobody gave a receipt: not that is waited for.
                for refusal in (one for one in said_in(data) if one.kind == "refusal"):
                    channel.close("heard enough")
                    ended.set_result(f"refusal:{refusal.reason}")
                    return

            channel.on_message = hear
            channel.on_closed = ended.set_result
            hello, frame = self.messages
            channel.send_message(hello)
            for _ in range(copies):
                channel.send_message(frame)

        self.dialler.dial("127.0.0.1", port, opened, ended.set_result)
        async with asyncio.timeout(20):
            return await ended


def said_in(data: bytes) -> list[Statement]:
    """The statements in a message of the road."""
    message = decode_message(data)
    if not isinstance(message, UnverifiedFrame):
        return []
    return [parse_statement(one.body) for run in message.runs for one in run.entries if one.is_said]


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "country") as found:
        yield found


@pytest.fixture
def captured(federation: Federation, tmp_path: Path) -> Captured:
    """One request that was answered, all its bytes kept."""
    consumer = Intruder(federation, federation.pns)
    sent: list[bytes] = []
    send = consumer.send
    consumer.send = lambda data: (sent.append(data), send(data))[1]  # type: ignore[method-assign, func-returns-value]
    consumer.met(federation.anip, tmp_path)
    assert consumer.answer_to(consumer.ask(federation.anip, b"once")).kind == "response"
    consumer.hang_up()
    dialler = LinkDialler(road_tls(federation, federation.pns.auth, tmp_path))
    return Captured(federation, dialler, tuple(sent))


def delivered(federation: Federation) -> list[bytes]:
    return [request for _, request, _ in federation.adapter.calls]


def test_replay_to_the_same_worker_is_refused_each_time(federation: Federation, captured: Captured) -> None:
    """A thousand times: the frame leads on from nothing we hold. Each time it costs a stream, and the log nothing."""
    ended = captured.again(federation.anip.road_port, STREAMS, COPIES)

    assert ended == ["PROOF_INVALID"] * STREAMS
    assert delivered(federation) == [b"once"]
    assert [one.verdict for one in heard(federation.anip)] == ["taken"]


def test_replay_to_another_worker_is_refused(federation: Federation, captured: Captured) -> None:
    """A second worker of the same gateway has never heard of that log: the frame is authentic, the request not its."""
    anip = federation.anip
    genesis = Genesis(1, anip.gateway, 1, SystemClock().now_ms(), "ab" * 16, None)
    log = create_log(anip.directory.log(1), genesis_leaf(genesis))
    listen = msgspec.structs.replace(
        anip.settings.listen, programs="127.0.0.1:0", road=(anip.settings.listen.road[0], "127.0.0.1:0")
    )
    worker = Worker(msgspec.structs.replace(anip.settings, workers=2, listen=listen), anip.directory, 1)
    started = federation.do(worker.start())
    anip.more_logs.append(RegisteredLog(log, 1, f"127.0.0.1:{started.road[1]}"))
    federation.publish()
    federation.do(_reload(worker))
    running = asyncio.run_coroutine_threadsafe(worker.run(), federation._loop)

    ended = captured.again(started.road[1], 20)

    assert set(ended) <= {"refusal:STATEMENT_INVALID", "PROOF_INVALID"}
    assert [one.verdict for one in heard(anip, 1)] == ["refused:STATEMENT_INVALID"]
    assert delivered(federation) == [b"once"]
    federation.do(_stop(worker))
    running.result(10)


async def _reload(worker: Worker) -> None:
    worker._load_configuration()


def test_replay_to_another_member_is_refused(federation: Federation, captured: Captured) -> None:
    """What was said to ANIP was not said to PNS: refused for its ``to``, once; then as above."""
    ended = captured.again(federation.pns.road_port, 20)

    assert set(ended) <= {"refusal:STATEMENT_INVALID", "PROOF_INVALID"}
    assert [one.verdict for one in heard(federation.pns)] == ["refused:STATEMENT_INVALID"]
    assert delivered(federation) == [b"once"]


def test_replay_after_a_restart_is_refused(federation: Federation, captured: Captured) -> None:
    """The guard is the log itself: it was durable before the adapter was called."""
    federation.stop(federation.anip)
    federation.start(federation.anip)

    ended = captured.again(federation.anip.road_port, 50)

    assert set(ended) == {"PROOF_INVALID"}
    assert delivered(federation) == [b"once"]


@pytest.mark.parametrize("minutes", [-10, -0.5, 0.5, 10, 2 * 24 * 60])
def test_replay_with_a_changed_clock_is_refused(
    federation: Federation, captured: Captured, minutes: float
) -> None:
    """No clock makes an old frame new: neither one that was set back nor one that is ahead."""
    federation.stop(federation.anip)
    federation.start(federation.anip, clock=Shifted(int(minutes * 60_000)))

    ended = captured.again(federation.anip.road_port, 20)

    assert set(ended) <= {"PROOF_INVALID", "CLOCK_SKEW"}
    assert delivered(federation) == [b"once"]
