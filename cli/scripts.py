"""Programs as the demo runs them: heard line by line and kept in a log, or read at their end; ended in time, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import click

_PASSERELLE: Final = (sys.executable, "-m", "cli")


def run_script(
    command: Sequence[str], *, cwd: Path, log: Path, hear: Callable[[str], None], timeout_s: float
) -> int:
    """Run a program to its end, with all that it started; returns its exit code.

    Args:
        command: The interpreter, the program and its arguments.
        cwd: Where it writes its files.
        log: Where all that it says is kept, for this run alone.
        hear: Is told each line, without its end.
        timeout_s: So long it may take, what ``hear`` does included.

    Raises:
        click.ClickException: It took longer, and was ended; the text names program and log.
    """
    log.parent.mkdir(exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            start_new_session=True,
        ) as running,
        _ended_whole(running, timeout_s) as has_hung,
    ):
        for line in running.stdout or ():
            kept.write(line)
            kept.flush()
            hear(line.rstrip())
    if has_hung.is_set():
        name = next((Path(one).name for one in command if one.endswith(".py")), command[0])
        raise click.ClickException(
            f"{name} n'a pas fini en {timeout_s:.0f} s et a été arrêté ; son journal : {log}\n"
            f"{name} did not end within {timeout_s:.0f} s and was stopped; its log: {log}"
        )
    return running.returncode


def run_command(
    arguments: Sequence[str], *, timeout_s: float, program: Sequence[str] = _PASSERELLE
) -> subprocess.CompletedProcess[str]:
    """Run ``passerelle`` to its end, with all that it started; returns its exit code and what it said.

    Raises:
        click.ClickException: It took longer than ``timeout_s``, and was ended; the text names the command.
    """
    # Files, not pipes: whatever it starts and leaves running keeps nobody waiting.
    with TemporaryFile("w+", encoding="locale") as out, TemporaryFile("w+", encoding="locale") as err:
        with (
            subprocess.Popen(
                [*program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            ) as running,
            _ended_whole(running, timeout_s) as has_hung,
        ):
            pass
        if has_hung.is_set():
            name = " ".join(["passerelle", *arguments[:2]])
            raise click.ClickException(
                f"`{name}` n'a pas fini en {timeout_s:.0f} s / did not end within {timeout_s:.0f} s"
            )
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(running.args, running.returncode, out.read(), err.read())


@contextmanager
def _ended_whole(running: subprocess.Popen[Any], timeout_s: float) -> Iterator[threading.Event]:
    """Wait for a program that leads a session, and end whatever it started; all of it after ``timeout_s``, which is told.

    Nothing is sent to it once it was reaped: another process may have its number by then.
    """
    has_hung = threading.Event()

    def end() -> None:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)

    def hang() -> None:
        has_hung.set()
        end()

    timer = threading.Timer(timeout_s, hang)
    timer.start()
    try:
        yield has_hung
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    finally:
        timer.cancel()
        timer.join()
        end()
