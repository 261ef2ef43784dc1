"""Starts the workers, starts them again when they die or fall silent, and keeps what they last reported.

A worker outlives control: when control is started again, it asks the worker that still runs to drain, waits
until it is gone (only one process may hold a log) and starts a new one. Workers end with the same lifeline as
control.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from core.reasons import ExchangeError
from gateway.channel import (
    MAX_LINE_BYTES,
    ConfigurationChanged,
    FailedStart,
    FetchConfiguration,
    MalformedMessageError,
    ToWorker,
    WorkerReport,
    WriteFailure,
    decode_for_control,
    encode_line,
)

_log = structlog.get_logger("gateway.control.supervisor")

# A worker that lived this long was healthy: its next death is not part of a crash loop.
_HEALTHY_S = 30.0
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
# Workers report once a second: such a one carries no exchange now, whatever it said last.
_SILENT_AFTER_S = 5.0
# A worker that hangs is killed, for it would hold its log and its ports for ever. Its reports wait for its
# commits: fifty of the slowest that a disk is allowed (300 ms) fit into this, so that no disk is taken for it.
_SILENCE_S = 15.0
# So many short lives in a row are no accident: something must be done before it will stay up.
_FAILING_AFTER = 3


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker as control knows it.

    Attributes:
        number: From 0.
        pid: Process id; 0 when it does not run.
        restarts: Times it was started again.
        report: What it last reported; ``None`` before the first report of this process.
        silent_s: Seconds since then, or since it was started.
        failed_start: Why the last process that tried did not start; ``None`` once one did.
        is_failing: It died again and again, soon after each start, and is tried again every few seconds.
        in_step: It has reported since it was last handed a configuration: it reads one at once, then reports. (A
            report that crossed the message on its way counts early, by as long as the reading takes.)
        write_failure: The last write that the disk refused to this worker, in this or an earlier process.
    """

    number: int
    pid: int
    restarts: int
    report: WorkerReport | None
    silent_s: float
    in_step: bool = False
    write_failure: WriteFailure | None = None
    is_failing: bool = False
    failed_start: FailedStart | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it runs and has said nothing for several reports."""
        return self.pid != 0 and self.silent_s > _SILENT_AFTER_S

    @property
    def state(self) -> str:
        """``stopped``, ``starting``, ``silent``, or what it last reported."""
        if not self.pid:
            return "stopped"
        if self.report is None:
            return "starting"
        return "silent" if self.is_silent else self.report.state


def worker_command(
    settings_file: Path, lifeline: int | None, more: Sequence[str], worker: int, channel: int
) -> list[str]:
    """The command line of a worker, whose end of the channel is the file descriptor ``channel``."""
    command = [sys.executable, "-m", "gateway.worker", "--config", str(settings_file)]
    command += ["--worker", str(worker), "--channel", str(channel)]
    if lifeline is not None:
        command += ["--lifeline", str(lifeline)]
    return command + list(more)


class Supervisor:
    """Runs the workers of one gateway.

    Args:
        command: Gives the command line of a worker from its number and its end of the channel.
        workers: How many.
        pid_file: Where the process id of a worker is kept.
        drain_s: How long a worker may take to finish calls in flight.
        greeting: What a worker is told when it starts; the configuration in force, if there is one.
        on_report: Called on the worker's thread with each report.
        on_fetch: Called when a worker asks for a newer configuration.
        on_start: Called when a worker was started and greeted; returns at once.
        on_end: Called when a worker's process has ended, with whether another one lives; none starts meanwhile.
        on_stop: Called when no worker is started any more, before those that run are told to stop.
        prepare: Called once, when no worker of before is left and none was started: takes what they need together.
            Refused, it is tried again; every worker tells why it did not start.
        inherited: More file descriptors that workers inherit: the lifeline.
        silence_s: A worker that reported once and then says nothing for so long is killed and started again. What
            it had promised is on its disk, as after any other death; before its first report it may be reading a
            log of any length.
    """

    def __init__(
        self,
        command: Callable[[int, int], list[str]],
        workers: int,
        pid_file: Callable[[int], Path],
        *,
        drain_s: float,
        greeting: Callable[[], Sequence[ToWorker]],
        on_report: Callable[[int, WorkerReport], None],
        on_fetch: Callable[[], None],
        on_start: Callable[[int], None] = lambda worker: None,
        on_end: Callable[[int, bool], None] = lambda worker, others: None,
        on_stop: Callable[[], None] = lambda: None,
        prepare: Callable[[], None] = lambda: None,
        inherited: tuple[int, ...] = (),
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._greeting = greeting
        self._silence_s = silence_s
        self._on_start = on_start
        self._on_end = on_end
        self._on_stop = on_stop
        self._prepare = prepare
        self._is_prepared = threading.Event()
        self._with_leftover = workers
        self._lock = threading.Lock()
        self._on_report = on_report
        self._on_fetch = on_fetch
        self._drain_s = drain_s
        self._stopping = threading.Event()
        self._slots = [_Slot(number, pid_file(number), command, inherited) for number in range(workers)]
        self._threads = [
            threading.Thread(target=self._run, args=(slot,), name=f"worker-{slot.number}", daemon=True)
            for slot in self._slots
        ]

    def start(self) -> None:
        """Start every worker and watch it."""
        for thread in self._threads:
            thread.start()

    def states(self) -> list[WorkerState]:
        """What is known of each worker, in order of number."""
        return [slot.state() for slot in self._slots]

    def broadcast(self, message: ToWorker) -> None:
        """Tell every worker that runs; one that cannot be told is started again by its own watcher."""
        for slot in self._slots:
            slot.send(message)

    def tell(self, worker: int, message: ToWorker) -> None:
        """Tell one worker, if it runs."""
        self._slots[worker].send(message)

    def stop(self) -> None:
        """Drain every worker, wait until all are gone, kill those that take too long."""
        with self._lock:
            # No process starts from here on.
            self._stopping.set()
        self._is_prepared.set()
        self._on_stop()
        for slot in self._slots:
            slot.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for slot in self._slots:
            slot.signal(signal.SIGKILL)
        for thread in self._threads:
            thread.join(5)

    def _run(self, slot: "_Slot") -> None:
        slot.end_leftover(self._drain_s)
        self._until_prepared()
        delay = _FIRST_DELAY_S
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._live(slot)
            if self._stopping.is_set():
                break
            with self._lock:
                self._on_end(slot.number, any(one.pid for one in self._slots))
            lived = time.monotonic() - started
            is_healthy = lived > _HEALTHY_S
            slot.short_lives = 0 if is_healthy else slot.short_lives + 1
            delay = _FIRST_DELAY_S if is_healthy else min(delay * 2, _LONGEST_DELAY_S)
            # Asked to stop by somebody else, it ended in good order; it is started again all the same.
            told = _log.info if code == 0 else _log.error
            told("worker_died", worker=slot.number, code=code, lived_s=round(lived, 1), restart_in_s=delay)
            self._stopping.wait(delay)
            slot.restarts += 1

    def _until_prepared(self) -> None:
        """The last one to find no leftover of before prepares for all."""
        with self._lock:
            self._with_leftover -= 1
            is_last = self._with_leftover == 0
        while is_last and not self._is_prepared.is_set():
            try:
                self._prepare()
                self._is_prepared.set()
            except ExchangeError as error:
                _log.error("workers_not_prepared", reason=str(error.reason), error=str(error))
                failed = FailedStart(reason=str(error.reason), why=str(error))
                for slot in self._slots:
                    slot.fail(failed)
                self._stopping.wait(_LONGEST_DELAY_S)
        self._is_prepared.wait()

    def _live(self, slot: "_Slot") -> int:
        """One life of a worker; returns its exit code."""
        try:
            with self._lock:
                if self._stopping.is_set():
                    return 0
                slot.spawn()
            _log.info("worker_started", worker=slot.number, pid=slot.pid)
            for message in self._greeting():
                slot.send(message)
            self._on_start(slot.number)
            for line in slot.lines(self._silence_s):
                self._receive(slot, line)
        except Exception:
            # No memory for a process, a defect of ours: a worker that nobody listens to would miss a revocation.
            _log.exception("worker_not_watched", worker=slot.number)
            slot.signal(signal.SIGKILL)
        return slot.wait()

    def _receive(self, slot: "_Slot", line: bytes) -> None:
        try:
            message = decode_for_control(line)
        except MalformedMessageError as error:
            _log.error("worker_message_malformed", worker=slot.number, error=str(error))
            return
        if isinstance(message, FetchConfiguration):
            self._on_fetch()
        else:
            slot.hear(message)
            self._on_report(slot.number, message)


class _Slot:
    """The process that is, or will be, worker ``number``."""

    def __init__(
        self,
        number: int,
        pid_file: Path,
        command: Callable[[int, int], list[str]],
        inherited: tuple[int, ...],
    ) -> None:
        self.number = number
        self.restarts = 0
        self.short_lives = 0
        self.report: WorkerReport | None = None
        self._heard_at = time.monotonic()
        self._answer_due = False
        self._write_failure: WriteFailure | None = None
        self._failed_start: FailedStart | None = None
        self._pid_file = pid_file
        self._command = command
        self._inherited = inherited
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def pid(self) -> int:
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    def state(self) -> WorkerState:
        report = self.report if self.pid else None
        silent_s = time.monotonic() - self._heard_at
        in_step = report is not None and not self._answer_due
        return WorkerState(
            self.number,
            self.pid,
            self.restarts,
            report,
            silent_s,
            in_step,
            self._write_failure,
            self.short_lives >= _FAILING_AFTER,
            self._failed_start,
        )

    def hear(self, report: WorkerReport) -> None:
        self._answer_due = False
        self.report, self._heard_at = report, time.monotonic()
        self._write_failure = report.write_failure or self._write_failure
        self._failed_start = report.failed_start

    def fail(self, failed: FailedStart) -> None:
        self._failed_start = failed

    def spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.report, self._heard_at = None, time.monotonic()
            process = subprocess.Popen(
                self._command(self.number, theirs.fileno()),
                pass_fds=(theirs.fileno(), *self._inherited),
                stdin=subprocess.DEVNULL,
                # A signal to control's terminal must not reach workers: control drains them in order.
                start_new_session=True,
            )
        ours.settimeout(None)
        with self._lock:
            self._process, self._channel = process, ours
        try:
            self._pid_file.parent.mkdir(parents=True, exist_ok=True)
            self._pid_file.write_text(str(process.pid), encoding="ascii")
        except OSError as error:
            # A full disk; the log's own lock still keeps a second worker out.
            _log.warning("worker_pid_not_written", worker=self.number, error=str(error))

    def lines(self, silence_s: float) -> Iterator[bytes]:
        """Lines from the worker until it closes the channel, or hangs and is killed."""
        channel = self._channel
        if channel is None:
            return
        waiting = select.poll()
        waiting.register(channel, select.POLLIN)
        buffer = b""
        # What waits in the channel counts as said: a control that was itself held up accuses nobody.
        while waiting.poll(None if self.report is None else silence_s * 1000):
            try:
                data = channel.recv(65_536)
            except ConnectionResetError:
                # A worker killed with unread messages resets the channel.
                return
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            yield from lines
            if len(buffer) > MAX_LINE_BYTES:
                yield buffer
                buffer = b""
        _log.error("worker_hangs", worker=self.number, pid=self.pid, silent_s=round(silence_s))
        self.signal(signal.SIGKILL)

    def send(self, message: ToWorker) -> None:
        with self._lock:
            if self._channel is None:
                return
            line = encode_line(message)
            if isinstance(message, ConfigurationChanged):
                self._answer_due = True
            try:
                whole = self._channel.send(line, socket.MSG_DONTWAIT) == len(line)
            except OSError:
                whole = False
            if not whole:
                # Its buffer holds hundreds of messages: it reads no more, so it would miss a revocation.
                _log.error("worker_channel_blocked", worker=self.number, pid=self.pid)
                self.signal(signal.SIGKILL)

    def wait(self) -> int:
        process = self._process
        code = process.wait() if process is not None else -1
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = None
        with contextlib.suppress(OSError):
            self._pid_file.unlink(missing_ok=True)
        return code

    def signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def end_leftover(self, drain_s: float) -> None:
        """End a worker that outlived the control process before this one."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not _is_worker(pid):
                return
            _log.warning("worker_left_over", worker=self.number, pid=pid, signal=number.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            _wait_until_gone(pid, drain_s)


def _is_worker(pid: int) -> bool:
    # A pid may have been given to another process since; only ours has this command line.
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"gateway.worker" in command


def _wait_until_gone(pid: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while _is_worker(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
