"""The administrator closes a log: who must be asked first, and how a running worker lets go of it.

``gateway.succession`` does the work on the disk. A worker whose log was stopped watches for its successor, ends, and
is started again on it; a worker that is dead, or dies over a damaged log, holds nothing.
"""

from __future__ import annotations

import os
import time
from typing import Final

from core.language import Text
from core.reasons import ExchangeError, Reason
from core.succession import REGISTRY
from gateway.founding import newest_at_registry
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.succession import OldLog, finish_succession
from ledger.log import hold_log
from ledger.reader import LogReader
from rpc.remote import RemoteError

# A stopped worker looks once a second, and control starts it again within seconds.
SWITCH_S: Final = 30.0
_POLL_S: Final = 0.1


def ask_registry(
    directory: GatewayDirectory, settings: GatewaySettings, old: OldLog, tree: LogReader | None
) -> tuple[OldLog, bool]:
    """The log with the head that the registry holds of it; and whether the registry answered."""
    try:
        head = newest_at_registry(directory, settings, old.log)
    except (ExchangeError, RemoteError, OSError):
        return old, False
    return (old.shown(REGISTRY, head, tree) if head is not None else old), True


def require_stopped(directory: GatewayDirectory, worker: int, old: OldLog) -> None:
    """Refuse to close a log that a running worker writes and that nothing speaks against.

    Raises:
        ExchangeError: ``STATE_CONFLICT``.
    """
    segments = directory.log(worker)
    if not old.can_go_on or not segments.is_dir():
        return
    try:
        os.close(hold_log(segments))
    except ExchangeError as error:
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"log {old.log[:16]} goes on: its worker runs, and nobody holds a head that it lacks",
            remedy=Text(
                "ne rien faire ; pour clore quand même ce journal, arrêter d'abord la passerelle",
                "nothing; to close this log all the same, stop the gateway first",
            ),
        ) from error


def switch(directory: GatewayDirectory, worker: int) -> None:
    """Wait until the successor is in place, and put it there if no worker does.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: a process still holds the old log; the command can be given again.
    """
    deadline = time.monotonic() + SWITCH_S
    while True:
        try:
            finish_succession(directory, worker)
            return
        except ExchangeError as error:
            if error.reason is not Reason.STATE_CONFLICT or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)
