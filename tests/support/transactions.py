"""Two transactions that meet, made to meet."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import sqlalchemy as sa

from adapters.kit.store import Store
from tests.support.waiting import until


def until_it_waits(store: Store, tx: sa.Connection, other: Future[Any]) -> None:
    """Until the other transaction waits for ``tx``, or has ended. On SQLite it cannot so much as begin."""
    if not store.is_postgresql:
        return
    mine = tx.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    waits = sa.text("SELECT pid FROM pg_stat_activity WHERE :mine = ANY(pg_blocking_pids(pid))")

    def is_held() -> bool:
        with store.reading() as looking:
            return other.done() or looking.execute(waits, {"mine": mine}).first() is not None

    until(is_held)
