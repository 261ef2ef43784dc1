"""SQLite files that a disk spoils while they are in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_PAGE_BYTES = 4096


def spoil(path: Path) -> None:
    """Overwrite every page but the first, which says what the file is; nothing of it is left in the journal."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (_PAGE_BYTES,)
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        with path.open("r+b") as file:
            file.seek(_PAGE_BYTES)
            file.write(b"\xff" * (path.stat().st_size - _PAGE_BYTES))
