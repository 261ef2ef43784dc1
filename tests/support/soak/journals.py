"""A journal of one end of a soak: lines that outlive its process, at full speed."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Journal:
    """JSON lines, each with the kernel before ``write`` returns: ``kill -9`` loses none of them.

    They are not synced, as those of ``tests.support.crashing`` are: here processes die, and no machine.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event: str, **values: str | int) -> None:
        """Append one line."""
        os.write(self._fd, json.dumps({"event": event} | values).encode("ascii") + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
