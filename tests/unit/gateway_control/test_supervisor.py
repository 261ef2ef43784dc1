"""Workers are started, told, restarted and stopped; real processes, a small script in the worker's place."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from core.reasons import ExchangeError, Reason
from gateway.channel import (
    ConfigurationChanged,
    ConfigurationConfirmed,
    Drain,
    RegistryHeads,
    ToWorker,
    WorkerReport,
)
from gateway.control.supervisor import Supervisor, worker_command
from tests.support.waiting import until

# Says what a worker says; "gateway.worker" on its command line makes it recognisable, as a real one is.
_WORKER = """
import json, os, signal, socket, sys
mode, number, fd = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
channel = socket.socket(fileno=fd)
stream = channel.makefile("rb")
def say(**message):
    channel.sendall(json.dumps(message).encode() + b"\\n")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if mode != "stubborn" else None)
if mode == "starts" and number == 0:
    signal.pause()
if mode == "nonsense":
    channel.sendall(b"nonsense\\n")
say(type="status", state="ready", size=number)
if mode == "asks":
    say(type="fetch", version=7)
if mode == "dies":
    os._exit(3)
if mode in ("deaf", "starts"):
    signal.pause()
for line in stream:
    say(type="status", state=json.loads(line)["type"], size=number)
signal.pause()
"""


def _command(mode: str, worker: int, channel: int) -> list[str]:
    return [sys.executable, "-c", _WORKER, "gateway.worker", mode, str(worker), str(channel)]


class Heard:
    """What the supervisor was told, with waiting that never sleeps for a fixed time."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, WorkerReport]] = []
        self.fetches = 0
        self.started: list[int] = []
        self._changed = threading.Condition()

    def report(self, number: int, report: WorkerReport) -> None:
        with self._changed:
            self.reports.append((number, report))
            self._changed.notify_all()

    def fetch(self) -> None:
        with self._changed:
            self.fetches += 1
            self._changed.notify_all()

    def start(self, worker: int) -> None:
        with self._changed:
            self.started.append(worker)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=20)

    def states(self) -> list[str]:
        return [report.state for _, report in self.reports]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def supervise(tmp_path: Path, heard: Heard) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(
        mode: str = "obedient",
        workers: int = 1,
        greeting: tuple[ToWorker, ...] = (),
        silence_s: float = 60.0,
        **more: Callable[..., None],
    ) -> Supervisor:
        supervisor = Supervisor(
            partial(_command, mode),
            workers,
            lambda number: tmp_path / f"worker-{number}.pid",
            drain_s=0.5 if mode == "stubborn" else 10,
            greeting=lambda: greeting,
            on_report=heard.report,
            on_fetch=heard.fetch,
            on_start=heard.start,
            silence_s=silence_s,
            **more,  # type: ignore[arg-type]  # by name
        )
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def test_each_worker_reports_under_its_number(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """Two workers, two reports, two states."""
    supervisor = supervise(workers=2)

    heard.wait_for(lambda: len(heard.reports) == 2)

    assert sorted((number, report.size) for number, report in heard.reports) == [(0, 0), (1, 1)]
    assert all(state.pid and state.report and state.restarts == 0 for state in supervisor.states())


def test_a_new_worker_is_greeted(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """A worker that starts is told the configuration in force."""
    supervise(greeting=(ConfigurationConfirmed(version=1, fetched_at=2, expires_at=3),))

    heard.wait_for(lambda: "confirmed" in heard.states())


def test_a_broadcast_reaches_all(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """What one worker is told, all are told."""
    supervisor = supervise(workers=2)
    heard.wait_for(lambda: len(heard.reports) == 2)

    supervisor.broadcast(Drain())

    heard.wait_for(lambda: heard.states().count("drain") == 2)


def test_one_worker_is_told_what_is_for_it_alone(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """What the registry holds is asked anew with each start, and told to the one that started."""
    supervisor = supervise(workers=2)
    heard.wait_for(lambda: len(heard.reports) == 2)
    assert sorted(heard.started) == [0, 1]

    supervisor.tell(1, RegistryHeads(answered=True))

    heard.wait_for(lambda: "registry_heads" in heard.states())
    assert heard.states().count("registry_heads") == 1


def test_a_worker_is_in_step_once_it_reports_behind_a_configuration(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """Not before: until then it may go by the one before."""
    deaf, obedient = supervise("deaf"), supervise()
    heard.wait_for(lambda: len(heard.reports) == 2)
    assert [one.states()[0].in_step for one in (deaf, obedient)] == [True, True]

    for one in (deaf, obedient):
        one.broadcast(ConfigurationChanged(path="x", version=2, digest="ab" * 32))

    heard.wait_for(lambda: "configuration" in heard.states())
    assert [one.states()[0].in_step for one in (deaf, obedient)] == [False, True]


def test_a_worker_that_dies_is_started_again(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """Without anybody's help, and counted."""
    supervisor = supervise("dies")

    heard.wait_for(lambda: len(heard.reports) >= 2)

    assert supervisor.states()[0].restarts >= 1


def test_a_worker_that_dies_again_and_again_is_told(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """It is tried again every few seconds, and health says that this is no accident."""
    supervisor = supervise("dies")
    assert not supervisor.states()[0].is_failing

    heard.wait_for(lambda: len(heard.reports) >= 4)

    assert supervisor.states()[0].is_failing


def test_a_worker_is_watched_although_its_pid_cannot_be_written(
    supervise: Callable[..., Supervisor], heard: Heard, tmp_path: Path
) -> None:
    """A full disk must not leave a worker that nobody starts again."""
    (tmp_path / "worker-0.pid").mkdir()

    supervise("dies")

    heard.wait_for(lambda: len(heard.reports) >= 2)


def test_a_fault_of_the_listener_does_not_leave_a_worker_unwatched(
    supervise: Callable[..., Supervisor], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with a report, the worker is replaced and heard again."""
    taken = heard.report

    def report(number: int, report: WorkerReport) -> None:
        taken(number, report)
        if len(heard.reports) == 1:
            raise ValueError("a defect")

    monkeypatch.setattr(heard, "report", report)
    supervise()

    heard.wait_for(lambda: len(heard.reports) >= 2)


def test_a_killed_worker_is_started_again(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """kill -9 included."""
    supervisor = supervise()
    heard.wait_for(lambda: len(heard.reports) == 1)

    os.kill(supervisor.states()[0].pid, signal.SIGKILL)

    heard.wait_for(lambda: len(heard.reports) == 2)


def test_a_worker_may_ask_for_a_newer_configuration(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """A peer that has a newer version wakes one fetch."""
    supervise("asks")

    heard.wait_for(lambda: heard.fetches == 1)


def test_nonsense_on_the_channel_is_passed_over(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """One bad line costs one line."""
    supervise("nonsense")

    heard.wait_for(lambda: heard.states() == ["ready"])


def test_stop_ends_workers_and_removes_their_pid_files(
    supervise: Callable[..., Supervisor], heard: Heard, tmp_path: Path
) -> None:
    """Nothing is left behind."""
    supervisor = supervise(workers=2)
    heard.wait_for(lambda: len(heard.reports) == 2)

    supervisor.stop()

    assert [state.pid for state in supervisor.states()] == [0, 0]
    assert list(tmp_path.glob("*.pid")) == []


def test_a_worker_that_does_not_drain_is_killed(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """Draining is bounded."""
    supervisor = supervise("stubborn")
    heard.wait_for(lambda: len(heard.reports) == 1)

    supervisor.stop()

    assert supervisor.states()[0].pid == 0


def test_a_worker_that_reads_no_more_is_replaced(supervise: Callable[..., Supervisor], heard: Heard) -> None:
    """It would miss the next revocation."""
    supervisor = supervise()
    heard.wait_for(lambda: len(heard.reports) == 1)
    pid = supervisor.states()[0].pid

    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while supervisor.states()[0].pid == pid and time.monotonic() < deadline:
        supervisor.broadcast(Drain())

    assert supervisor.states()[0].pid != pid


def test_a_worker_that_hangs_is_killed_and_started_again(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """It holds its log and its ports, and would hold them for ever."""
    supervisor = supervise("deaf", silence_s=0.2)

    heard.wait_for(lambda: len(heard.reports) >= 2)

    assert supervisor.states()[0].restarts >= 1


def test_a_worker_that_still_reads_its_log_is_left_in_peace(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """A long log takes its time: silence counts from the first report on."""
    supervisor = supervise("starts", workers=2, silence_s=0.2)

    # The other one reported, hung and was replaced, twice, while the first said nothing.
    heard.wait_for(lambda: len(heard.reports) >= 3)

    reading = supervisor.states()[0]
    assert (reading.restarts, reading.state) == (0, "starting")


def test_a_worker_that_hangs_is_told_as_silent_not_as_ready(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """What it said before it hung is not what it does now."""
    supervisor = supervise("deaf")
    heard.wait_for(lambda: len(heard.reports) == 1)
    state = supervisor.states()[0]
    assert state.state == "ready"

    assert replace(state, silent_s=6.0).state == "silent"


def test_a_worker_left_over_from_a_control_that_died_is_ended_first(
    supervise: Callable[..., Supervisor], heard: Heard, tmp_path: Path
) -> None:
    """Only one process may hold a log."""
    script = "import signal, sys; print('up', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "gateway.worker"], stdout=subprocess.PIPE
    ) as leftover:
        assert leftover.stdout is not None
        leftover.stdout.readline()
        (tmp_path / "worker-0.pid").write_text(str(leftover.pid), encoding="ascii")
        # The test is its parent: reap it, so that it does not linger as a zombie.
        reaper = threading.Thread(target=leftover.wait)
        reaper.start()

        supervise()
        heard.wait_for(lambda: len(heard.reports) == 1)
        reaper.join(20)

        assert leftover.returncode == -signal.SIGTERM


@pytest.mark.parametrize("content", ["", "not a pid", str(os.getpid())], ids=["empty", "text", "own"])
def test_a_stale_pid_file_harms_nobody(
    content: str, supervise: Callable[..., Supervisor], heard: Heard, tmp_path: Path
) -> None:
    """A pid that belongs to another program now is left alone."""
    (tmp_path / "worker-0.pid").write_text(content, encoding="ascii")

    supervise()

    heard.wait_for(lambda: len(heard.reports) == 1)


def test_the_command_line_of_a_worker() -> None:
    """As the worker's own main reads it."""
    command = worker_command(Path("/g/gateway.toml"), 7, (), 1, 9)

    assert command[1:3] == ["-m", "gateway.worker"]
    assert command[3:] == [
        *("--config", "/g/gateway.toml"),
        *("--worker", "1"),
        *("--channel", "9"),
        *("--lifeline", "7"),
    ]
    assert "--lifeline" not in worker_command(Path("/g/gateway.toml"), None, (), 0, 9)


def test_what_workers_need_together_is_taken_when_no_old_one_is_left(
    supervise: Callable[..., Supervisor], heard: Heard, tmp_path: Path
) -> None:
    """Once, before the first of them starts: only then is a port of theirs free."""
    left = subprocess.Popen(_command("stubborn", 1, 0), stdin=subprocess.DEVNULL)
    (tmp_path / "worker-1.pid").write_text(str(left.pid), encoding="ascii")
    seen: list[tuple[bool, list[int]]] = []

    supervise(workers=2, prepare=lambda: seen.append((_runs(left.pid), list(heard.started))))
    reaper = threading.Thread(target=left.wait, daemon=True)  # as init does for an orphan
    reaper.start()
    heard.wait_for(lambda: sorted(heard.started) == [0, 1])
    reaper.join(20)

    assert seen == [(False, [])]
    assert left.returncode is not None


def _runs(pid: int) -> bool:
    """Asked of the system: ``Popen.poll`` knows nothing while another thread waits for the process."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def test_workers_that_cannot_have_what_they_need_say_why_and_try_again(
    supervise: Callable[..., Supervisor], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that another program holds: told of every worker until it is free."""
    monkeypatch.setattr("gateway.control.supervisor._LONGEST_DELAY_S", 0.05)
    refused, free = threading.Event(), threading.Event()

    def prepare() -> None:
        if not free.is_set():
            refused.set()
            raise ExchangeError(Reason.PORT_IN_USE, "held by nginx (pid 1)")

    supervisor = supervise(workers=2, prepare=prepare)
    assert refused.wait(20)
    until(lambda: all(one.failed_start is not None for one in supervisor.states()))
    told = [one.failed_start for one in supervisor.states()]
    free.set()
    heard.wait_for(lambda: len(heard.reports) == 2)

    assert {(one.reason, one.why) for one in told if one} == {("PORT_IN_USE", "held by nginx (pid 1)")}
    assert all(one.failed_start is None for one in supervisor.states())


def test_the_end_of_a_worker_is_told_with_whether_another_one_lives(
    supervise: Callable[..., Supervisor], heard: Heard
) -> None:
    """And that they are to stop, before they are told; what they share is let go of first."""
    told: list[object] = []
    supervisor: Supervisor = supervise(
        workers=2, on_end=lambda *what: told.append(what), on_stop=lambda: told.append(supervisor.states())
    )
    heard.wait_for(lambda: len(heard.reports) == 2)

    os.kill(supervisor.states()[1].pid, signal.SIGKILL)
    heard.wait_for(lambda: len(heard.reports) == 3)
    supervisor.stop()

    ended, at_stop = told
    assert ended == (1, True)
    assert isinstance(at_stop, list)
    assert all(one.pid for one in at_stop)
