"""How the work on a paid dossier begins: ``Procedure.filed``, in a commit after that of its payment.

Whoever has paid must not be told that he has not because a document cannot be signed today. So the payment, FILED and
this task are one commit; what follows is another. Whoever brought the payment begins at once (``begin_now``), and the
task is done with it. If that cannot be, or its process dies, the task is there, and is tried until it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog

from adapters.kit.dossier import State
from adapters.kit.tasks import Finish, Task

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

BEGIN: Final = "begin"
# So long the task leaves the work to whoever brought the payment: the two would wait for each other.
HEAD_START_MS: Final = 2000

_log = structlog.get_logger("adapter")


def begin(desk: Desk, task: Task) -> Finish:
    """Begin, if nobody has: the task's handler."""
    return lambda tx: _begin(desk, tx, task.reference)


def begin_now(desk: Desk, reference: str) -> None:
    """Begin at once, if the dossier waits for that. What cannot be done now is left to the task, and nothing raised."""
    with desk.store.reading() as tx:
        if not desk.tasks.is_asked(tx, BEGIN, reference):
            return

    def work(tx: sa.Connection) -> None:
        # Taken off first: of two who begin, the second waits here, and finds nothing left to do.
        if desk.tasks.cancel(tx, BEGIN, reference):
            _begin(desk, tx, reference)

    try:
        desk.store.write(work)
    except Exception as error:
        # Whatever it is, the payment is taken note of. The error's text may name somebody.
        _log.warning("begin_put_off", reference=reference, error=type(error).__name__)


def _begin(desk: Desk, tx: sa.Connection, reference: str) -> None:
    dossier = desk.dossiers.get(tx, reference)
    # Given up or rejected while it waited: there is nothing to begin.
    if dossier.state is State.FILED:
        desk.procedure(dossier.service_code).filed(desk, tx, dossier)
