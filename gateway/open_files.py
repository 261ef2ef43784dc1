"""How many files a process of a gateway may have open: all that the system grants."""

from __future__ import annotations

import resource


def allow_open_files() -> None:
    """Let the limits of connections and peers decide, not the system's default of 1,024 open files.

    Else strangers who open connections would keep the log from opening its next segment, and many peers a checkpoint from
    being made.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
