"""What a machine lacks is told, and cannot be overlooked where ``REQUIRE`` demands it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import end_without, require_program, require_strace

ROOT = Path(__file__).parents[3]
ABSENT = "no-such-program-of-passerelle"


@pytest.mark.parametrize("demanded", [None, "openssl", f"{ABSENT}-2,mounted"])
def test_what_nobody_demands_is_skipped_with_a_word(
    monkeypatch: pytest.MonkeyPatch, demanded: str | None
) -> None:
    """Names are compared whole."""
    monkeypatch.delenv("REQUIRE", raising=False)
    if demanded is not None:
        monkeypatch.setenv("REQUIRE", demanded)

    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        require_program(ABSENT)
    with pytest.raises(pytest.skip.Exception, match="no right"):
        end_without("mount", "no right")


def test_what_is_demanded_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program and a right alike."""
    monkeypatch.setenv("REQUIRE", f"openssl,{ABSENT},mount")

    with pytest.raises(pytest.fail.Exception, match="is not installed"):
        require_program(ABSENT)
    with pytest.raises(pytest.fail.Exception, match="no right"):
        end_without("mount", "no right")


def test_strace_that_may_not_trace_is_as_good_as_none() -> None:
    """Real: who is traced already, with all that it starts, cannot be traced by another."""
    strace = require_strace()
    asked = "from tests.support.programs import require_strace; require_strace()"

    outer = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=none", sys.executable, "-c", asked]
    told = subprocess.run(outer, cwd=ROOT, capture_output=True, text=True, check=False)

    assert told.returncode == 1
    assert "strace may trace nothing here" in told.stderr
    assert "not permitted" in told.stderr
