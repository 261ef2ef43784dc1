"""Control has a checkpoint made when a segment ended, and never two of one log at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.control.checkpoints import CheckpointMakers, checkpoint_command
from tests.support.waiting import until

# Tells that it was started, then waits for a file.
_MAKER = """
import pathlib, sys, time
place, number = pathlib.Path(sys.argv[1]), sys.argv[2]
with (place / f"started-{number}").open("a") as file:
    file.write("x")
while not (place / "go").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "0", tmp_path / "1"]
    for log in found:
        log.mkdir()
        (log / "a.seg").touch()
    return found


def makers(logs: list[Path], place: Path) -> CheckpointMakers:
    return CheckpointMakers(logs, lambda worker: [sys.executable, "-c", _MAKER, str(place), str(worker)])


def started(place: Path, worker: int) -> int:
    found = place / f"started-{worker}"
    return len(found.read_text("ascii")) if found.exists() else 0


def test_a_segment_that_ended_has_a_checkpoint_made(logs: list[Path], tmp_path: Path) -> None:
    """Of the log that has a new segment, not of the other one; not at the first look; not twice for one segment."""
    found = makers(logs, tmp_path)
    (tmp_path / "go").touch()
    found.look()
    (logs[1] / "b.seg").touch()

    for _ in range(3):
        found.look()

    until(lambda: started(tmp_path, 1) == 1)
    found.stop()
    assert (started(tmp_path, 0), started(tmp_path, 1)) == (0, 1)


def test_one_log_has_one_process_at_most(logs: list[Path], tmp_path: Path) -> None:
    """Segments that end meanwhile are for the next one."""
    found = makers(logs, tmp_path)
    found.look()
    (logs[0] / "b.seg").touch()
    found.look()
    until(lambda: started(tmp_path, 0) == 1)
    (logs[0] / "c.seg").touch()
    found.look()
    assert started(tmp_path, 0) == 1

    (tmp_path / "go").touch()
    (process,) = found._running.values()
    process.wait(20)
    found.look()
    until(lambda: started(tmp_path, 0) == 2)

    found.stop()


def test_a_log_that_another_one_succeeds_is_counted_anew(logs: list[Path], tmp_path: Path) -> None:
    """The successor begins with one segment, where its predecessor had hundreds; between them there is no directory."""
    found = makers(logs, tmp_path)
    (tmp_path / "go").touch()
    for number in range(9):
        (logs[0] / f"{number}.seg").touch()
    found.look()
    logs[0].rename(tmp_path / "before")
    found.look()
    logs[0].mkdir()
    (logs[0] / "0.seg").touch()
    found.look()
    (logs[0] / "1.seg").touch()
    found.look()

    until(lambda: started(tmp_path, 0) == 1)
    found.stop()


def test_stopping_ends_what_still_runs(logs: list[Path], tmp_path: Path) -> None:
    found = makers(logs, tmp_path)
    found.look()
    (logs[0] / "b.seg").touch()
    found.look()
    (process,) = found._running.values()

    found.stop()

    assert process.returncode is not None


def test_a_process_that_cannot_be_started_ends_nothing(logs: list[Path]) -> None:
    found = CheckpointMakers(logs, lambda worker: ["/nowhere/python"])
    found.look()
    (logs[0] / "b.seg").touch()

    found.look()
    found.stop()


def test_the_command_names_settings_and_worker() -> None:
    assert checkpoint_command(Path("/g/gateway.toml"), 1)[1:] == [
        "-m",
        "gateway.worker.checkpoint",
        "--config",
        "/g/gateway.toml",
        "--worker",
        "1",
    ]
