"""Who holds a port: an operator at 2 a.m. should not have to find out (DESIGN section 3)."""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from core.reasons import ExchangeError, Reason

_LISTENING: Final = "0A"


def require_free(address: str) -> None:
    """Check that ``host:port`` can be listened on; port 0 always can.

    Raises:
        ExchangeError: ``PORT_IN_USE``, naming the process that holds it as far as that can be seen.
    """
    host, _, port_text = address.rpartition(":")
    port = int(port_text)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            holder = holder_of(port)
            held = f", held by {holder}" if holder else ""
            text = f"cannot listen on {address}: {error.strerror}{held}"
            raise ExchangeError(Reason.PORT_IN_USE, text) from None


def holder_of(port: int) -> str | None:
    """Name and number of the process that listens on ``port``; None if there is none or it cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, sockets):
            with suppress(OSError):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _holds(process: Path, sockets: set[str]) -> bool:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(descriptor) in sockets:
                    return True
    return False


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found
