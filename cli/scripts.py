"""Programs of ``examples/python`` as the demo runs them: heard line by line, kept in a log, ended in time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click


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
    has_hung = threading.Event()
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
            # A group of its own: what the program starts ends with it, and none of it keeps the pipe open.
            start_new_session=True,
        ) as running,
    ):

        def end() -> None:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)

        def hang() -> None:
            has_hung.set()
            end()

        timer = threading.Timer(timeout_s, hang)
        timer.start()
        try:
            for line in running.stdout or ():
                kept.write(line)
                kept.flush()
                hear(line.rstrip())
            code = running.wait()
        finally:
            timer.cancel()
            end()
    if has_hung.is_set():
        name = next((Path(one).name for one in command if one.endswith(".py")), command[0])
        raise click.ClickException(
            f"{name} n'a pas fini en {timeout_s:.0f} s et a été arrêté ; son journal : {log}\n"
            f"{name} did not end within {timeout_s:.0f} s and was stopped; its log: {log}"
        )
    return code
