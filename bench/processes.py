"""Child processes and their CPU clocks, read from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from cli.processes import listens


def cpu_ns(pid: int) -> int:
    """User and system time of a whole process, its dead threads too: POSIX process CPU clock of ``pid``."""
    return time.clock_gettime_ns(((~pid) << 3) | 2)


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += descendants(int(child))
        except OSError:
            continue
    return found


def cpu_of(pids: Iterable[int]) -> int:
    """CPU nanoseconds of several processes in sum; those that ended meanwhile count nothing."""
    total = 0
    for pid in pids:
        try:
            total += cpu_ns(pid)
        except OSError:
            continue
    return total


def pss_kib(pid: int) -> int:
    """Proportional set size of a process in KiB; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for_port(port: int, seconds: float = 15.0) -> None:
    """Wait until something listens on a local port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if listens(f"127.0.0.1:{port}"):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {seconds:.0f} s")


class Processes:
    """What this run started; it ends exactly that."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: list[str], *, pipe: bool = False) -> subprocess.Popen[bytes]:
        """Start a process; what it says on stderr goes to ``<name>.log``."""
        self._log.mkdir(parents=True, exist_ok=True)
        with (self._log / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def end(self, pid: int) -> None:
        """End one of them, by SIGKILL: it has nothing to bring to an end."""
        process = next(one for one in self._started if one.pid == pid)
        process.kill()
        process.wait()
        self._started.remove(process)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for those that stay, children first."""
        for process in reversed(self._started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._started):
            pids = descendants(process.pid) if process.poll() is None else []
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                for pid in reversed(pids):
                    os.kill(pid, signal.SIGKILL)
                process.wait()
        self._started.clear()
