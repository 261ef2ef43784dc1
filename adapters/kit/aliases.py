"""Numbers that ANIP merged into others: whoever asks by one of them means the person, by whichever a row was written.

A register learns of a merger from ANIP's own answers, and from its officers. What was written before stays as it was
written; it is found by all numbers of its person and served under the one that stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from adapters.kit import forms
from adapters.kit.inscriptions import Field, Inscription, Values
from adapters.kit.numbers import next_number
from adapters.reasons import InvalidFieldsError
from core.language import Text

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

_MERGERS: Final = "merger"
_OTHER: Final = Text("doit être un autre numéro", "must be another number")


def alias_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the table in ``metadata``: for a ministry that keeps numbers of persons, created by a migration of its own.

    One step always leads to the number that stands.
    """
    return sa.Table(
        "npi_alias",
        metadata,
        sa.Column("npi", sa.String(10), primary_key=True),
        sa.Column("standing_npi", sa.String(10), nullable=False),
        sa.Index("ix_npi_alias_standing_npi", "standing_npi"),
    )


def standing_npi(tx: sa.Connection, aliases: sa.Table, npi: str) -> str:
    """The number that stands for ``npi``, as far as the register was told."""
    found = tx.execute(sa.select(aliases.c.standing_npi).where(aliases.c.npi == npi)).scalar_one_or_none()
    return found or npi


def numbers_of(tx: sa.Connection, aliases: sa.Table, npi: str) -> frozenset[str]:
    """All numbers of the person whose number ``npi`` is or was; that one alone if nothing was merged."""
    stands = sa.select(aliases.c.standing_npi).where(aliases.c.npi == npi).scalar_subquery()
    query = sa.select(aliases).where(aliases.c.standing_npi == sa.func.coalesce(stands, npi))
    return frozenset({npi}.union(*tx.execute(query).all()))


def follow_merger(tx: sa.Connection, aliases: sa.Table, former: str, standing: str) -> str:
    """ANIP merged ``former`` into ``standing``; what was merged into ``former`` before follows it.

    Mergers come in any order: if ``standing`` is known to be merged itself, both lead to where that leads. If it leads to
    ``former``, ANIP has turned the merger round, and the newest word holds.

    Returns:
        The number that stands for both: where a ministry rewrites numbers, ``former`` gives way to this one.
    """
    # One merger at a time, to the end of the transaction: of two that meet, each would miss the other's step.
    next_number(tx, _MERGERS)
    stands = standing_npi(tx, aliases, standing)
    if stands == former:
        stands = standing
        tx.execute(aliases.delete().where(aliases.c.npi == standing))
    tx.execute(aliases.update().where(aliases.c.standing_npi == former).values(standing_npi=stands))
    enter = sa.text(
        f"INSERT INTO {aliases.name} (npi, standing_npi) VALUES (:npi, :standing_npi)"  # noqa: S608 - of constants
        " ON CONFLICT (npi) DO UPDATE SET standing_npi = :standing_npi"
    )
    tx.execute(enter, {"npi": former, "standing_npi": stands})
    return stands


def merger_inscription(follow: Callable[[sa.Connection, str, str], object]) -> Inscription:
    """``merger``: what two officers write when ANIP tells that two numbers are one person's: it moves land and firms.

    ``follow(tx, former, standing)`` makes the register follow.
    """

    def merge(desk: Desk, tx: sa.Connection, values: Values) -> None:
        if values["former_npi"] == values["standing_npi"]:
            raise InvalidFieldsError({"standing_npi": _OTHER})
        follow(tx, values["former_npi"], values["standing_npi"])

    return Inscription(
        "merger",
        Text("deux NPI d'une seule personne, selon l'ANIP", "two NPI of one person, as ANIP says"),
        (
            Field("former_npi", Text("NPI abandonné", "NPI that is given up"), forms.npi, is_personal=True),
            Field("standing_npi", Text("NPI qui demeure", "NPI that stands"), forms.npi, is_personal=True),
        ),
        merge,
        is_final=True,
        needs_two=True,
    )
