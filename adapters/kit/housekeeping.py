"""What is not needed any more is forgotten, each night: docs/registres/README.md says what is kept how long.

One task of a fixed name, which plans itself anew with its own end: however many processes serve a register, there is one.
It works in small transactions, so that nobody waits for it, and for some seconds at a time, so that who stops the adapter
does not either: where a year's worth has gathered it goes on in a minute.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import sqlalchemy as sa
import structlog

from adapters.kit.answered import forget_answers
from adapters.kit.calendar import ZONE
from adapters.kit.dossier_terms import DAY_MS
from adapters.kit.tasks import Finish, Task

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

HOUSEKEEPING: Final = "housekeeping"
# Of one transaction: a few milliseconds.
BATCH: Final = 500

# Of one chore, at a time.
BATCHES: Final = 20

_HOUR: Final = 3
_PAUSE_MS: Final = 60_000
_log = structlog.get_logger("adapter")

# (desk, tx) -> how many rows it forgot, at most some hundred; called in a transaction of its own until it says none.
Chore: TypeAlias = "Callable[[Desk, sa.Connection], int]"


def plan(desk: Desk, tx: sa.Connection) -> None:
    """Have it done next night, unless that is planned already."""
    now = datetime.fromtimestamp(desk.clock.now_ms() / 1000, ZONE)
    at = now.replace(hour=_HOUR, minute=0, second=0, microsecond=0)
    if at <= now:
        at += timedelta(days=1)
    desk.tasks.add_once(tx, HOUSEKEEPING, due_at_ms=int(at.timestamp() * 1000))


def keep_house(desk: Desk, task: Task) -> Finish:
    """Do some of each chore, the kit's and the ministry's, and plan the rest: the task's handler."""
    is_done = True
    for chore in (_answers, _events, _tokens, *desk.ministry.chores):
        total = 0
        for _ in range(BATCHES):
            forgotten = desk.store.write(functools.partial(chore, desk))
            if not forgotten:
                break
            total += forgotten
        else:
            is_done = False
        if total:
            _log.info("forgotten", chore=chore.__name__.strip("_"), rows=total)
    if is_done:
        return lambda tx: plan(desk, tx)
    again_ms = desk.clock.now_ms() + _PAUSE_MS
    return lambda tx: desk.tasks.add_once(tx, HOUSEKEEPING, due_at_ms=again_ms)


def _answers(desk: Desk, tx: sa.Connection) -> int:
    """Writes that were answered, with their keys: whoever repeats one now asks for another."""
    before_ms = desk.clock.now_ms() - desk.settings.repeat_days * DAY_MS
    return forget_answers(tx, desk.ministry.tables, before_ms, BATCH)


def _events(desk: Desk, tx: sa.Connection) -> int:
    """Events; cursors before them expire."""
    before_ms = desk.clock.now_ms() - desk.settings.events.kept_days * DAY_MS
    return desk.events.drop(tx, before_ms, BATCH)


def _tokens(desk: Desk, tx: sa.Connection) -> int:
    """Response tokens of dossiers of which nothing is left to be reported."""
    return desk.dossiers.forget_tokens(tx, BATCH)
