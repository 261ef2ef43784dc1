"""Numbers in a row: of dossiers, documents, visas, titles; without gaps, and never one twice."""

from __future__ import annotations

import sqlalchemy as sa

_NEXT = sa.text(
    "INSERT INTO series (name, last) VALUES (:name, 1)"
    " ON CONFLICT (name) DO UPDATE SET last = series.last + 1 RETURNING last"
)


def next_number(tx: sa.Connection, series: str) -> int:
    """The next number of ``series``, from 1: ``next_number(tx, "VISA-202611")``.

    Another transaction that wants the next one of the same series waits for this one to end; if this one is undone, so
    is the number. At most 80 characters.
    """
    return int(tx.execute(_NEXT, {"name": series}).scalar_one())
