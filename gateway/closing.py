"""The administrator closes a log: who must be asked first, and how a running worker lets go of it.

``gateway.succession`` does the work on the disk. A worker whose log was stopped watches for its successor, ends, and
is started again on it; a worker that is dead, or dies over a damaged log, holds nothing.
"""

from __future__ import annotations

import os
import time
from typing import Final

from cryptography import x509

from core.language import Text
from core.reasons import ExchangeError, Reason
from core.succession import REGISTRY
from gateway.founding import newest_at_registry
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.stopped import read_stopped
from gateway.succession import OldLog, finish_succession, is_successor_waiting, registration_in_force
from ledger.glance import glance
from ledger.log import hold_log
from ledger.reader import LogReader
from pki.heads import verify_head
from pki.keys import certificate_thumbprint, load_chain
from rpc.remote import RemoteError

# A stopped worker looks once a second, and control starts it again within seconds.
SWITCH_S: Final = 30.0
_POLL_S: Final = 0.1


def ask_registry(
    directory: GatewayDirectory, settings: GatewaySettings, old: OldLog, tree: LogReader | None
) -> tuple[OldLog, bool]:
    """The log with the head that the registry holds of it; and whether the registry answered.

    A head counts only if a seal certificate registered for this gateway signed it (PROTOCOL M5): else a registry that
    lies could have a good log closed, or a gap declared that nobody can fill. A lie is no answer.
    """
    try:
        head = newest_at_registry(directory, settings, old.log)
        if head is not None:
            verify_head(head, _own_seals(directory, settings))
    except (ExchangeError, RemoteError, OSError):
        return old, False
    return (old.shown(REGISTRY, head, tree) if head is not None else old), True


def _own_seals(directory: GatewayDirectory, settings: GatewaySettings) -> dict[str, x509.Certificate]:
    """By thumbprint: those of the registration in force; before the first, the one that lies here."""
    registered = registration_in_force(directory, settings)
    if registered is not None:
        return {one.thumbprint: load_chain(one.chain)[0] for one in registered.seal}
    own = load_chain(directory.seal.certificate.read_bytes())[0]
    return {certificate_thumbprint(own): own}


def worker_to_succeed(directory: GatewayDirectory, settings: GatewaySettings) -> int:
    """The worker whose log is meant where none is named: the only one, or the only one whose log cannot go on.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: none of several logs was stopped, or more than one.
    """
    if settings.workers == 1:
        return 0
    meant = [one for one in range(settings.workers) if _is_meant(directory, one)]
    if len(meant) != 1:
        # What stands behind --worker can be pasted.
        first, *others = map(str, meant or range(settings.workers))
        further = ", ".join(others)
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"{'several' if meant else 'none'} of the logs of {settings.workers} workers cannot go on",
            remedy=Text(
                f"nommer le worker : --worker {first} (ou : {further})",
                f"name the worker: --worker {first} (or: {further})",
            ),
        )
    return meant[0]


def _is_meant(directory: GatewayDirectory, worker: int) -> bool:
    """Whether a log was stopped, is damaged or gone, or its successor waits already, as far as a look at it tells."""
    if is_successor_waiting(directory, worker):
        return True
    try:
        seen = glance(directory.log(worker))
        return bool(seen.damage) or read_stopped(directory.stopped(worker), seen.log) is not None
    except (ExchangeError, OSError):
        return True


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
