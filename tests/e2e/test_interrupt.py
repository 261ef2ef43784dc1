"""Ctrl-C ends ``country up`` at any moment, and what was begun is still a country of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.plan import Layout
from cli.processes import free_base
from rpc.ports import holder_of


def interrupt(layout: Layout, base: int, moment: Callable[[], bool]) -> tuple[int, float]:
    """Run ``country up``, interrupt it when the moment has come; exit code, and seconds until it ended."""
    command = [
        sys.executable,
        "-m",
        "cli",
        "country",
        "up",
        "--dir",
        str(layout.root),
        "--base-port",
        str(base),
    ]
    with (layout.root.parent / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    end = time.monotonic() + 60
    try:
        while not moment():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < end, "the moment did not come"
            time.sleep(0.02)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        return process.wait(60), time.monotonic() - started
    finally:
        process.kill()


def children_of(layout: Layout) -> list[int]:
    """Processes that still run with a file of this country on their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if str(layout.root).encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
    return found


@pytest.mark.timeout(200)
def test_ctrl_c_ends_a_country_while_it_is_founded_while_it_starts_and_later(tmp_path: Path) -> None:
    """At once, with 0 and no child left; the next ``up`` goes on from what there is."""
    layout, base = Layout(tmp_path / "bj"), free_base()
    told = tmp_path / "up.log"
    moments: dict[str, Callable[[], bool]] = {
        "authorities": lambda: layout.ca.exists(),
        "members": lambda: (layout.root / "members").exists(),
        "starting": lambda: layout.founded.exists() and (layout.log / "pns-gw1.log").exists(),
        "later": lambda: "Ctrl-C" in told.read_text(encoding="utf-8"),
    }

    for name, moment in moments.items():
        code, seconds = interrupt(layout, base, moment)

        assert code == 0, (name, told.read_text(encoding="utf-8"))
        print(f"{name}: {seconds:.2f} s")
        assert seconds < 30, f"{name}: it hung"
        # A worker whose control was ended sees it as soon as it has begun.
        end = time.monotonic() + 30
        while children_of(layout) and time.monotonic() < end:
            time.sleep(0.05)
        assert children_of(layout) == []
        assert holder_of(base) is None
        assert layout.marker.exists()
