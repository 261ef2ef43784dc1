"""Log injection: whatever strangers, programs, peers and adapters write, one event is one parseable line."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
import structlog

from rpc.logs import MAX_VALUE_CHARACTERS, configure_logs
from tests.support.federation import Federation, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.intruder import Intruder
from tests.support.rawprogram import RawProgram
from tests.support.waiting import until

HOSTILE = (
    '\r\n{"event":"forged","level":"critical"}\r\n',
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\x00nul\x00",
    "\u202eelgnatcer\u2066\u2028\u2029\u0085",
    "x" * 1_000_000,
    "\ud7ff\ufffe",
)


@pytest.fixture
def events() -> Iterator[io.StringIO]:
    """What the workers of the federation print, as in production, at the lowest level."""
    stream = io.StringIO()
    configure_logs("gateway-worker", level=logging.DEBUG, stream=stream)
    yield stream
    structlog.reset_defaults()


@pytest.mark.parametrize("text", HOSTILE, ids=["crlf", "ansi", "nul", "bidi", "megabyte", "noncharacters"])
def test_log_injection_leaves_one_parseable_line_for_each_event(
    events: io.StringIO, tmp_path: Path, text: str
) -> None:
    """In ids, metadata, status text, Hello and bare bytes on every port."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, text[:2_000])
        return request

    with Federation(tmp_path / "country") as federation:
        federation.adapter.answer = answer
        with federation.channel() as channel:
            assert outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=20)) == "NOT_FOUND"
        raw = text.encode("utf-8", "replace")[:3_000]
        for name in (b"x-road-client", b"x-road-id", b"x-road-userid", b"x-own"):
            with RawProgram(federation) as program:
                program.call(*((key.encode(), str(value).encode()) for key, value in metadata()), (name, raw))
        for port in (federation.pns.programs_port, federation.anip.road_port):
            with socket.create_connection(("127.0.0.1", port), 10) as stranger:
                stranger.sendall(raw or b"\0")
        intruder = Intruder(federation, federation.pns)
        for changes in ({"log": text[:5_000]}, {"configuration_digest": text[:5_000]}, {"head": raw}):
            intruder.dial(federation.anip, tmp_path)
            intruder.hello(**changes)
            intruder.ended()
        with federation.channel() as channel:
            federation.adapter.answer = lambda request, _: request
            until(lambda: outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=10)) == "OK")

    lines = events.getvalue().splitlines()
    assert len(lines) > 5
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        event = json.loads(line)
        assert event["event"] != "forged"
        assert {"level", "timestamp", "process"} <= event.keys()
        assert all(len(one) <= MAX_VALUE_CHARACTERS + 1 for one in event.values() if isinstance(one, str))
