"""What a test needs of the machine: where it lacks, the test is skipped with a word; demanded by ``REQUIRE``, it fails.

``REQUIRE`` in the environment lists names with commas: programs (``openssl``, ``strace``, ``mount``) and rights
(``mount``: to mount a tmpfs; ``netns``: to make a network namespace; ``root``: to give files away).
"""

import os
import shutil
from typing import NoReturn

import pytest


def require_program(name: str) -> str:
    """Path of ``name``, or the end of the test."""
    path = shutil.which(name)
    if path is None:
        end_without(name, f"{name} is not installed (make setup-system)")
    return path


def end_without(name: str, why: str) -> NoReturn:
    """End a test that found out that the machine lacks ``name``: skipped, or failed if ``REQUIRE`` lists it."""
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"REQUIRE demands {name}: {why}")
    pytest.skip(why)
