"""What a test needs of the machine: where it lacks, the test is skipped with a word; demanded by ``REQUIRE``, it fails.

``REQUIRE`` in the environment lists names with commas: programs (``openssl``, ``strace``, ``mount``) and rights
(``mount``: to mount a tmpfs; ``netns``: to make a network namespace; ``root``: to give files away; ``strace``: to trace
one's own processes).
"""

import os
import shutil
import subprocess
import sys
from typing import NoReturn

import pytest


def require_program(name: str) -> str:
    """Path of ``name``, or the end of the test."""
    path = shutil.which(name)
    if path is None:
        end_without(name, f"{name} is not installed (make setup-system)")
    return path


def require_strace() -> str:
    """Path of a ``strace`` that may trace what it starts, or the end of the test: containers often forbid it."""
    path = require_program("strace")
    command = [path, "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", sys.executable, "-c", "pass"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        end_without("strace", f"strace may trace nothing here: {tried.stderr.strip()[:200]}")
    return path


def end_without(name: str, why: str) -> NoReturn:
    """End a test that found out that the machine lacks ``name``: skipped, or failed if ``REQUIRE`` lists it."""
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"REQUIRE demands {name}: {why}")
    pytest.skip(why)
