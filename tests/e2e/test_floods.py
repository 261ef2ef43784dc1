"""Floods by one program, and by strangers, against real worker processes while another program calls.

RELIABILITY, sections 3b and 6: the others' calls all succeed, memory stays bounded. What was measured is printed; what is
asserted of memory is ten times wider than what the table asks for, since machines differ.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import grpc
import ngh2
import pytest

from gateway.settings import Limits
from gateway.worker.wire import frame_message, message_prefix, request_headers
from tests.support.federation import CLIENT, METHOD, Issued, calling, metadata
from tests.support.hostile import outcome_of
from tests.support.processes import ProcessFederation
from tests.support.rawprogram import RawProgram, http2_frame
from tests.support.waiting import until

pytestmark = pytest.mark.e2e

MIB = 1024
HONEST = tuple((name.encode(), str(value).encode()) for name, value in metadata())


class Country(ProcessFederation):
    """With a second program of the same subsystem, which was taken over."""

    rogue: Issued

    def raw(self, *, preface: bool = True) -> RawProgram:
        """A connection of the rogue program."""
        return RawProgram(self, self.rogue, preface=preface)


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    limits = Limits(request_ms=1_000, handshake_ms=1_000)
    country = Country(tmp_path_factory.mktemp("country"), limits=limits)
    country.rogue = country.admit(country.pns, f"{CLIENT}/rogue")
    with country, country.channel() as channel:
        assert outcome_of(partial(calling(channel), b"", metadata=metadata(), timeout=30)) == "OK"
        yield country


class Victim:
    """Another program that calls all the while."""

    def __init__(self, country: Country) -> None:
        self._country = country
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.outcomes: list[str] = []
        self.longest_s = 0.0

    def _run(self) -> None:
        # One channel for the steady calls, and a new one now and then: connecting must work, too.
        with self._country.channel() as steady:
            while not self._stop.is_set():
                self._call(steady)
                options = [("grpc.use_local_subchannel_pool", 1)]
                with grpc.secure_channel(
                    f"localhost:{self._country.pns.programs_port}", self._country.credentials(), options
                ) as fresh:
                    self._call(fresh)
                self._stop.wait(0.02)

    def _call(self, channel: grpc.Channel) -> None:
        begun = time.monotonic()
        self.outcomes.append(outcome_of(partial(calling(channel), b"mine", metadata=metadata(), timeout=30)))
        self.longest_s = max(self.longest_s, time.monotonic() - begun)

    def call_on(self) -> None:
        """Let a few more calls through, so that one follows the end of the attack."""
        wanted = len(self.outcomes) + 4
        until(lambda: len(self.outcomes) >= wanted)

    def __enter__(self) -> Victim:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def huge_message(country: Country) -> None:
    """1 GiB and 4 GiB are refused at their prefix."""
    with country.raw() as program:
        for size in (1 << 30, (1 << 32) - 1):
            stream = program.begin(*HONEST)
            program.h2.send_data(stream, message_prefix(0, size) + b"x" * 60_000)
            program.flush()
            program.read_until_closed(stream)
            assert program.status_of(stream) == b"8"


def gzip_bomb(country: Country) -> None:
    """256 MiB in 256 KiB: passed on as it is, unpacked by nobody but the adapter, which refuses."""
    bomb = gzip.compress(bytes(256 << 20), 1)
    with country.channel(country.rogue) as channel:
        sent = (*metadata(), ("grpc-encoding", "gzip"))
        assert outcome_of(partial(calling(channel), bomb, metadata=metadata(), timeout=30)) == "OK"
        assert outcome_of(partial(calling(channel), bomb, metadata=sent, timeout=30)) != "INTERNAL"
    with country.raw() as program:
        headers = request_headers(METHOD.encode(), b"localhost", HONEST, "gzip", None)
        stream = program.h2.send_request(headers)
        program.h2.send_data(stream, frame_message(1, bomb), end_stream=True)
        program.flush()
        program.read_until_closed(stream)
        assert program.status_of(stream) == b"8"


def header_bomb(country: Country) -> None:
    """Two megabytes of metadata in one call; and one header that never ends."""
    with country.raw() as program:
        program.begin(*HONEST, *((b"x-%d" % number, b"v" * 1_000) for number in range(2_000)))
        program.flush()
        while program.read(0.5):
            assert not any(isinstance(one, ngh2.ResponseReceived) for one in program.events)
            program.flush()
            if program.events:
                break
    with country.raw() as program:
        program.send(http2_frame(1, 0, b"\0\1a\1b"))
        for _ in range(2_000):
            if not program.send(http2_frame(9, 0, b"\0\1a\1b" * 1_000)):
                break
        program.read_to_end()


def rapid_reset(country: Country) -> None:
    """20,000 calls begun and cancelled at once: cut off."""
    with country.raw() as program:
        with suppress(ngh2.NGH2Error):  # the engine notices that it was cut off
            for _ in range(20_000 // 500):
                begun = [program.begin(*HONEST) for _ in range(500)]
                program.flush()  # else the engine would take back what it has not sent
                for stream in begun:
                    program.h2.reset_stream(stream, 8)
                program.flush()
                if not program.read(0):
                    break
        program.read_to_end()


def ping_flood(country: Country) -> None:
    """As many PING and SETTINGS as the socket takes: answered or cut off, nothing is kept."""
    for frame in (http2_frame(6, 0, b"flooding", 0), http2_frame(4, 0, b"", 0)):
        with country.raw() as program:
            for _ in range(200):
                if not program.send(frame * 200):
                    break
            program.read(0.2)


def half_open_streams(country: Country) -> None:
    """2,000 calls whose requests never come: refused above the bound, ended after their time."""
    with country.raw() as program:
        for _ in range(2_000):
            program.begin(*HONEST)
        program.flush()
        end = time.monotonic() + 20
        while program.closed_streams() < 2_000 and program.read(0.5):
            assert time.monotonic() < end
        assert program.closed_streams() >= 1_000


def slow_bodies(country: Country) -> None:
    """A byte now and then on a hundred calls: none holds its place for longer than a request may take."""
    with country.raw() as program:
        streams = [program.begin(*HONEST) for _ in range(100)]
        program.h2.send_data(streams[0], b"\0")
        program.flush()
        end = time.monotonic() + 20
        while program.closed_streams() < 100 and program.read(0.1):
            assert time.monotonic() < end
            for stream in [one for one in streams if not program.is_closed(one)][:100]:
                program.h2.send_data(stream, b"\0")
            program.flush()
        assert program.closed_streams() == 100


def connection_flood(country: Country) -> None:
    """200 silent strangers on each port, 100 of the rogue behind TLS, all held open."""
    with ExitStack() as stack:
        for port in (country.pns.programs_port, country.anip.road_port):
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        for _ in range(100):
            try:
                stack.enter_context(country.raw())
            except OSError:
                continue
        time.sleep(0.5)


ATTACKS: tuple[Callable[[Country], None], ...] = (
    huge_message,
    gzip_bomb,
    header_bomb,
    rapid_reset,
    ping_flood,
    half_open_streams,
    slow_bodies,
    connection_flood,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_flood_by_one_program_fails_no_call_of_another(
    country: Country, attack: Callable[[Country], None], record_property: Callable[[str, object], None]
) -> None:
    """0 failed calls; memory of both workers bounded."""
    before = {one.id: country.memory_kib(one) for one in (country.pns, country.anip)}

    with Victim(country) as victim:
        attack(country)
        victim.call_on()

    grown = {one.id: country.memory_kib(one) - before[one.id] for one in (country.pns, country.anip)}
    record_property("grown_kib", grown)
    print(f"{attack.__name__}: {grown} KiB, {len(victim.outcomes)} calls, longest {victim.longest_s:.3f} s")
    assert set(victim.outcomes) == {"OK"}
    assert max(grown.values()) < 10 * 64 * MIB


def test_a_worker_may_open_as_many_files_as_the_system_lets_it(country: Country) -> None:
    """Its own bounds decide how many connections there are; the log always finds a descriptor."""
    for process in country.running.values():
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
        (line,) = [one for one in limits.splitlines() if one.startswith("Max open files")]
        soft, hard = line.split()[3:5]
        assert soft == hard
