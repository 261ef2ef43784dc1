"""What tests of real processes share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of this test's own; short, since sockets lie in a gateway's directory and have 108 bytes for a name."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        yield Path(directory)
