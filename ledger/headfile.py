"""The newest signed head as a small file, renamed in place and never synced: for people and for a quick look."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ledger.failpoints import hit


def write_head_file(path: Path, head: bytes) -> None:
    """Put ``head`` (a compact JWS) in place of what was there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"head": head.decode("ascii")}) + "\n", encoding="ascii")
    hit("headfile.rename")
    os.replace(fresh, path)


def read_head_file(path: Path) -> bytes | None:
    """The head that was written last; ``None`` if there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="ascii"))["head"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found.encode("ascii") if isinstance(found, str) else None
