"""The task by which dossiers expire that wait for their applicant in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from adapters.kit.tasks import Finish, Task

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


def expire(desk: Desk, task: Task) -> Finish:
    """Let a dossier expire, if it still waits for what it waited for when the task was asked for."""

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, task.reference)
        # Paid, corrected or ended meanwhile, or asked to be corrected anew with a later end.
        if 0 < dossier.expires_at <= desk.clock.now_ms():
            desk.dossiers.expire(tx, task.reference)

    return finish
