"""A program that the demo runs ends, or is ended and named."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
import pytest

from cli.scripts import run_command, run_script

# Says a line, starts another program that keeps the pipe open, and both go on for ever.
HANGS = """
import subprocess, sys, time
print("première ligne", flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def script(directory: Path, text: str) -> list[str]:
    """A program of the examples."""
    path = directory / "acheter_parcelle.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def test_what_a_program_says_is_heard_and_kept(tmp_path: Path) -> None:
    """Errors too; its exit code is told."""
    heard: list[str] = []
    command = script(tmp_path, "import sys\nprint('un')\nprint('deux', file=sys.stderr)\nsys.exit(3)")
    log = tmp_path / "log" / "acheter_parcelle.log"

    code = run_script(command, cwd=tmp_path, log=log, hear=heard.append, timeout_s=20)

    assert (code, sorted(heard)) == (3, ["deux", "un"])
    assert sorted(log.read_text(encoding="utf-8").split()) == ["deux", "un"]


def test_a_program_that_hangs_is_ended_and_named_with_its_log(tmp_path: Path) -> None:
    """With all that it started, which would keep the demo waiting."""
    log = tmp_path / "acheter_parcelle.log"
    began = time.monotonic()

    with pytest.raises(click.ClickException) as hung:
        run_script(script(tmp_path, HANGS), cwd=tmp_path, log=log, hear=lambda _: None, timeout_s=1)

    assert time.monotonic() - began < 30
    assert "acheter_parcelle.py n'a pas fini" in hung.value.message
    assert str(log) in hung.value.message
    assert log.read_text(encoding="utf-8") == "première ligne\n"


def test_whoever_stops_listening_leaves_nothing_running(tmp_path: Path) -> None:
    """An interrupt ends the program, too."""

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        run_script(
            script(tmp_path, HANGS), cwd=tmp_path, log=tmp_path / "a.log", hear=interrupt, timeout_s=50
        )

    assert time.monotonic() - began < 30


# Starts another program that keeps what it was given open, says its number, and ends.
LEAVES = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
sys.exit(4)
"""


def test_a_command_that_ends_takes_all_that_it_started_with_it(tmp_path: Path) -> None:
    """Nobody waits for what it left running, and it does not go on."""
    began = time.monotonic()

    done = run_command(["audit", "list"], timeout_s=50, program=script(tmp_path, LEAVES))

    assert time.monotonic() - began < 30
    assert (done.returncode, done.stderr) == (4, "")
    while is_running(int(done.stdout)):
        assert time.monotonic() - began < 30


def test_a_command_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    """With all that it started."""
    began = time.monotonic()

    with pytest.raises(click.ClickException) as hung:
        run_command(["audit", "list", "--log"], timeout_s=1, program=script(tmp_path, HANGS))

    assert time.monotonic() - began < 30
    assert hung.value.message.startswith("`passerelle audit list` n'a pas fini en 1 s")


def test_nothing_is_sent_to_a_program_that_was_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be another's by then."""
    were_there: list[bool] = []
    kill = os.killpg

    def look(group: int, number: int) -> None:
        were_there.append(Path(f"/proc/{group}").exists())
        kill(group, number)

    monkeypatch.setattr(os, "killpg", look)

    run_script(
        script(tmp_path, "pass"), cwd=tmp_path, log=tmp_path / "a.log", hear=lambda _: None, timeout_s=20
    )
    run_command([], timeout_s=20, program=script(tmp_path, "pass"))

    assert were_there == [True, True]
