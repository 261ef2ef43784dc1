"""The tutorial of docs/adapters.md is typed, on real processes: a fifth ministry is exposed, called, and decides."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cli.processes import free_base
from tests.support.fifth_ministry import EXAMPLE, ROOT, commands


def typed(work: Path) -> str:
    """Type all commands of the page from the repository's directory; what they print."""
    return run(commands(work, free_base()).replace(".venv/bin/python", sys.executable), work)


def run(script: str, work: Path) -> str:
    """Have the script done; what it prints."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(work),
        "PASSERELLE_LANG": "en",
    }
    process = subprocess.Popen(
        [shutil.which("bash") or "/bin/sh", "-c", script],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    told = work / "pays.log"
    assert process.returncode == 0, printed + (told.read_text(encoding="utf-8") if told.exists() else "")
    return printed


@pytest.mark.timeout(150)
def test_the_tutorial_exposes_a_fifth_ministry_and_decides_a_dossier(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """From the proto to a granted duplicate, with a record that is read and two that are refused."""
    # A gateway's socket has a short path; this test has a long name.
    work = tmp_path_factory.mktemp("diplomes")

    printed = typed(work)

    assert "bj.diploma.v1.DiplomaService -> " in printed
    assert "bj.common.v1.DossierService -> " in printed
    assert '"honours": "Bien"' in printed
    assert printed.count('"honours"') == 1
    assert "NOT_FOUND" in printed
    assert "FORMAT_INVALID" in printed
    assert re.search(r"^DIPL-\d{6}-0001 UNDER_REVIEW$", printed, re.MULTILINE)
    assert re.search(r"^DIPL-\d{6}-0001 GRANTED$", printed, re.MULTILINE)
    states = re.findall(r'"state": "DOSSIER_STATE_(\w+)"', printed)
    assert states == ["AWAITING_PAYMENT", "FILED", "GRANTED"]
    # What was signed is genuine, and says whose it is.
    assert re.search(r"^ *Kind +OTHER", printed, re.MULTILINE)
    assert re.search(r"^ *In the name of +ADJOVI Koffi", printed, re.MULTILINE)
    # Who asks for the proto gets the manual with it.
    assert "Dit quels diplômes une personne a" in (work / "bj/diploma/v1/diploma_comments.json").read_text(
        "utf-8"
    )

    # A register that holds somebody real is left alone.
    register = work / "seul" / "diplomes.sqlite"
    with closing(sqlite3.connect(register)) as connection, connection:
        connection.execute("UPDATE diploma SET npi = '1234567890' WHERE year = 2005")
    refused = run(
        f"PYTHONPATH={EXAMPLE}:{work} passerelle adapter seed --config {register.parent}/adapter.toml || true",
        work,
    )
    assert "STATE_CONFLICT" in refused
