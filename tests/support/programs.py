"""Programs that are no Python packages: absent, a test is skipped with a word; demanded by ``REQUIRE``, it fails."""

import os
import shutil

import pytest


def require_program(name: str) -> str:
    """Path of ``name``, or skip the test; fail it when the environment lists ``name`` in ``REQUIRE``."""
    path = shutil.which(name)
    if path is not None:
        return path
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"{name} is not installed (make setup-system)")
    pytest.skip(f"{name} is not installed (make setup-system)")
