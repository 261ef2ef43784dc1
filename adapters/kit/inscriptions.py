"""What officers write into a register of their own accord: a death, a mortgage, a consent.

A ministry declares which there are (``Inscription``) and what each takes; nothing else can be written this way. One is
written in one transaction with its line in the trail: who, on which paper, when, what. The trail is numbered without
holes, so that a line that was taken out is missed.

What one officer alone could do too much harm with is written by two: the first one's waits, and is done when another
writes the very same, numbers and all, from the paper before him. Another is who says so and, where the machine knows
who logged in, is: one person who writes under two names is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import sqlalchemy as sa

from adapters.kit import forms
from adapters.kit.dossier_terms import DAY_MS
from adapters.kit.numbers import next_number
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from core.language import Text

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

# By name of the field, each as its ``read`` returned it.
Values: TypeAlias = Mapping[str, str]

# A first officer's line waits so long for the second; then it counts no more, and the matter begins anew.
WAITING_DAYS: Final = 14

_SERIES: Final = "inscription"
# What every inscription says beside its fields.
_EVERYWHERE: Final = {"officer": forms.handle, "evidence": forms.handle}
_NO_FIELD: Final = Text("n'est pas un de ses champs", "is none of its fields")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that an inscription takes.

    Attributes:
        name: ``nup``.
        label: What it is, for whoever is asked for it.
        read: Takes what was written, returns it in its one form; raises ``FormError`` with what it must be.
        is_personal: Whether it is, or may be, the number of a person: never an argument of a command, never shown.
    """

    name: str
    label: Text
    read: Callable[[str], str]
    is_personal: bool = False


@dataclass(frozen=True, slots=True)
class Inscription:
    """One kind of inscription.

    Attributes:
        name: ``mortgage-release``.
        label: What it does.
        fields: What it takes, all of it.
        write: Changes the register and tells its events, last in the transaction; raises ``ProviderError`` or
            ``InvalidFieldsError`` where the register does not allow it.
        is_final: Whether nothing undoes it.
        needs_two: Whether it is done only once two officers have written the same.
        is_once: Whether the same, from the same paper, is written once: for what the register would add twice when an
            officer repeats a command whose end he did not see.
    """

    name: str
    label: Text
    fields: tuple[Field, ...]
    write: Callable[[Desk, sa.Connection, Values], None]
    is_final: bool = False
    needs_two: bool = False
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """As whom the machine knows who writes.

    Attributes:
        name: ``koffi``.
        is_own: Whether it is by this account that he logged in; else the command runs in it, and officers may share it.
    """

    name: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class Written:
    """One line of the trail; ``values`` without those that are personal.

    ``is_done`` tells whether the register changed; ``first`` is the line of the officer who wrote the same before, or 0.
    """

    number: int
    name: str
    officer_ref: str
    login: str
    evidence_ref: str
    written_at: int
    is_done: bool
    first: int
    values: Values = field(repr=False)

    def has_lapsed(self, now_ms: int) -> bool:
        """Whether no second officer came in time."""
        return not self.is_done and self.written_at <= _oldest(now_ms)


def inscription_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the trail in ``metadata``: for a ministry that has inscriptions, created by a migration of its own."""
    return sa.Table(
        "inscription",
        metadata,
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(40), nullable=False),
        # The officer as he says, and as whom the machine knows who typed.
        sa.Column("officer_ref", sa.String(64), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("evidence_ref", sa.String(64), nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        # JSON: {name: value, …}, personal numbers included.
        sa.Column("fields", sa.Text, nullable=False),
        # Done, or waiting for a second officer; the line of the first one, if this is the second's.
        sa.Column("is_done", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
    )


class Inscriptions:
    """All kinds of inscriptions of one ministry, and the trail of what was written."""

    def __init__(self, trail: sa.Table, *kinds: Inscription) -> None:
        self._trail = trail
        self._kinds = {one.name: one for one in kinds}

    def __iter__(self) -> Iterator[Inscription]:
        return iter(self._kinds.values())

    def find(self, name: str) -> Inscription | None:
        """The kind of that name."""
        return self._kinds.get(name)

    def write(
        self,
        desk: Desk,
        tx: sa.Connection,
        kind: Inscription,
        given: Values,
        *,
        officer_ref: str,
        login: Login,
        evidence_ref: str,
    ) -> Written:
        """Write one inscription and its line in the trail; the line says whether a second officer is waited for.

        Args:
            desk: The ministry's.
            tx: The transaction, of this alone.
            kind: Which.
            given: What was written for each of its fields.
            officer_ref: Who writes it, an opaque handle.
            login: As whom the machine knows him.
            evidence_ref: On which paper: an act, a judgment, a deed; a handle without any personal number.

        Raises:
            InvalidFieldsError: Something is missing, too much, or not in its form; nothing is repeated.
            ProviderError: The register does not allow it; this officer waits for another already, under this name or
                under this login, for less than ``WAITING_DAYS`` (STATE_CONFLICT).
        """
        values = _read(kind, {**given, "officer": officer_ref, "evidence": evidence_ref})
        officer_ref, evidence_ref = (values.pop(name) for name in _EVERYWHERE)
        number, now_ms = next_number(tx, _SERIES), desk.clock.now_ms()
        line = {
            "number": number,
            "name": kind.name,
            "officer_ref": officer_ref,
            "login": login.name,
            "evidence_ref": evidence_ref,
            "written_at": now_ms,
            "fields": json.dumps(values, ensure_ascii=False, sort_keys=True),
        }
        first = self._waiting(tx, line, now_ms) if kind.needs_two else None
        if first is not None:
            require(first.officer_ref.casefold() != officer_ref.casefold())
            require(first.login != login.name or not login.is_own)
            tx.execute(self._trail.update().where(self._trail.c.number == first.number).values(is_done=True))
        is_done = first is not None or not kind.needs_two
        line |= {"is_done": is_done, "first": first.number if first else 0}
        require(not (kind.is_once and self._is_written(tx, line)))
        row = tx.execute(self._trail.insert().values(line).returning(*self._trail.c)).one()
        # What waits is tried and undone: the first officer hears at once what the register does not allow.
        with nullcontext() if is_done else _undone(tx):
            kind.write(desk, tx, values)
        return self._line(row)

    def _waiting(
        self, tx: sa.Connection, line: Mapping[str, object], now_ms: int
    ) -> sa.Row[tuple[object, ...]] | None:
        """The line of whoever wrote the same and waits; the lock on the series keeps two seconds apart."""
        same = [self._trail.c[name] == line[name] for name in ("name", "evidence_ref", "fields")]
        in_time = self._trail.c.written_at > _oldest(now_ms)
        return tx.execute(sa.select(self._trail).where(*same, ~self._trail.c.is_done, in_time)).first()

    def _is_written(self, tx: sa.Connection, line: Mapping[str, object]) -> bool:
        """Whether the same was done before; the lock on the series keeps two of the same apart."""
        same = [self._trail.c[name] == line[name] for name in ("name", "evidence_ref", "fields")]
        done = sa.select(self._trail).where(
            *same, self._trail.c.is_done, self._trail.c.number != line["first"]
        )
        return tx.execute(done).first() is not None

    def trail(self, tx: sa.Connection, limit: int) -> list[Written]:
        """The newest lines of the trail, the newest first."""
        query = sa.select(self._trail).order_by(self._trail.c.number.desc()).limit(limit)
        return [self._line(row) for row in tx.execute(query)]

    def _line(self, row: sa.Row[tuple[object, ...]]) -> Written:
        kind = self._kinds.get(row.name)
        public = {one.name for one in kind.fields if not one.is_personal} if kind else set()
        values = {name: value for name, value in json.loads(row.fields).items() if name in public}
        return Written(
            number=row.number,
            name=row.name,
            officer_ref=row.officer_ref,
            login=row.login,
            evidence_ref=row.evidence_ref,
            written_at=row.written_at,
            is_done=row.is_done,
            first=row.first,
            values=values,
        )


def _oldest(now_ms: int) -> int:
    return now_ms - WAITING_DAYS * DAY_MS


def require(condition: bool) -> None:
    """Return if ``condition`` holds; raises ``ProviderError`` (STATE_CONFLICT) else."""
    if not condition:
        raise ProviderError(ProviderReason.STATE_CONFLICT)


@contextmanager
def _undone(tx: sa.Connection) -> Iterator[None]:
    """What is done inside is undone at its end."""
    trial = tx.begin_nested()
    try:
        yield
    finally:
        trial.rollback()


def _read(kind: Inscription, given: Values) -> dict[str, str]:
    """The values of the fields and of what is said everywhere, if all that was given is in its form."""
    faults: dict[str, Text] = {}
    values: dict[str, str] = {}
    for name, read in {**{one.name: one.read for one in kind.fields}, **_EVERYWHERE}.items():
        try:
            values[name] = read(given.get(name, "").strip())
        except forms.FormError as error:
            faults[name] = error.must
    faults |= dict.fromkeys(given.keys() - values.keys() - faults.keys(), _NO_FIELD)
    if faults:
        raise InvalidFieldsError(faults)
    return values
