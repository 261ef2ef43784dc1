"""Has a checkpoint made of each worker's log whenever a segment of it ended, by a process beside the worker.

The process decides whether there is enough to be kept, runs at the lowest priority, and may be killed at any moment. It
is not asked how it ended: without a checkpoint a start reads more, and that is all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger("gateway.control.checkpoints")


def checkpoint_command(settings_file: Path, worker: int) -> list[str]:
    """The command line that makes a checkpoint of a worker's log."""
    module = "gateway.worker.checkpoint"
    return [sys.executable, "-m", module, "--config", str(settings_file), "--worker", str(worker)]


class CheckpointMakers:
    """Watches how many segments there are; at most one process for each log.

    Args:
        logs: Directory of each worker's log, by number.
        command: Gives the command line of a process from the number of the worker.
    """

    def __init__(self, logs: Sequence[Path], command: Callable[[int], list[str]]) -> None:
        self._logs = logs
        self._command = command
        self._seen: dict[int, int] = {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def look(self) -> None:
        """Start a process for each log that has more segments than when one was last started for it.

        Not for those of the first look: the worker that starts with this process makes its own.
        """
        for worker, log in enumerate(self._logs):
            running = self._running.get(worker)
            if running is not None and running.poll() is None:
                continue
            self._running.pop(worker, None)
            try:
                found = sum(1 for one in os.scandir(log) if one.name.endswith(".seg"))
            except OSError:  # its turn comes again; a log that cannot be read is its worker's to tell
                continue
            before = self._seen.get(worker, found)
            # Fewer than before: another log stands there, that of a successor.
            self._seen[worker] = found
            if found > before:
                self._start(worker)

    def _start(self, worker: int) -> None:
        try:
            self._running[worker] = subprocess.Popen(
                self._command(worker), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            _log.warning("checkpoint_not_made", worker=worker, error=str(error))

    def stop(self) -> None:
        """End what still runs: nothing is lost by it."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()
