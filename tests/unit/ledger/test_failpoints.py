"""Failpoints: what is written wrong arms nothing silently, what is armed acts once and where it was said."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.failpoints import POINTS, VARIABLE, FailpointError, parse

ROOT = Path(__file__).resolve().parents[3]


def test_an_error_is_raised_at_the_nth_time_and_never_again() -> None:
    found = parse("commit.sync:ENOSPC:3")["commit.sync"]

    found.act()
    found.act()
    with pytest.raises(OSError, match="failpoint") as error:
        found.act()
    found.act()

    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "commit.sync",
        "commit.sync:",
        "commit.sync:explode",
        "nowhere:kill",
        "commit.sync:kill:0",
        "a:kill,",
    ],
)
def test_a_misspelt_failpoint_ends_the_process_instead_of_testing_nothing(text: str) -> None:
    with pytest.raises(FailpointError, match=r"places: start\.recovered"):
        parse(text)


def test_a_process_is_killed_where_it_was_said() -> None:
    """Nothing after the place is reached, not even the end of the interpreter."""
    code = (
        "from ledger.failpoints import hit; hit('head.sign'); print('after', flush=True); hit('commit.write')"
    )
    environment = os.environ | {VARIABLE: "commit.write:kill,head.sign:delay=1"}

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (-9, "after\n")


def test_every_place_is_reached_by_the_code_and_told_in_the_docs() -> None:
    """A place that the code lost would make the crash matrix wait in vain; one that no page names helps nobody."""
    sources = "".join(
        path.read_text("utf-8")
        for package in ("ledger", "gateway")
        for path in sorted((ROOT / package).rglob("*.py"))
    )
    page = (ROOT / "docs/reliability.md").read_text("utf-8")

    assert set(re.findall(r'\bhit\("([a-z.]+)"\)', sources)) == set(POINTS)
    assert re.findall(r"^\| `([a-z.]+)` \|", page, re.MULTILINE) == list(POINTS)
