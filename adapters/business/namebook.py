"""Names in use: of firms that live, and kept for applicants. Every function works in the transaction it is given.

Whoever takes a name first locks the book (``lock``): names that are one letter apart have no row in common whose key
could keep them apart. Lookups read without a lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import Final

import sqlalchemy as sa

from adapters.business.forms import LegalForm
from adapters.business.names import NameRules, distance, name_key, nearest, traces
from adapters.business.records import Firm, firm_of
from adapters.business.tables import FIRM, NAME_BOOK, NAME_TRACE, RESERVATION
from adapters.kit.calendar import ZONE, day_of
from adapters.kit.desk import Desk
from adapters.kit.housekeeping import BATCH
from adapters.reasons import ContendedError
from bj.business.v1 import business_pb2 as pb

# « Réservée 30 jours »: INV, as DOMAIN 4.3 says.
KEPT_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a name may be taken, and the firms whose names are too near, the nearest first."""

    availability: pb.NameAvailability.ValueType
    similar: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """A name kept for an applicant, until an instant (UTC ms) or as long as a dossier uses it."""

    key: str
    token: str
    name: str
    legal_form: LegalForm
    applicant_npi: str
    client: str
    until: int
    reference: str

    def __repr__(self) -> str:
        return "Reservation(…)"  # the token is a secret, the applicant a person

    @property
    def last_day(self) -> str:
        """The last day on which it is kept."""
        return day_of(self.until - 1).isoformat()


@dataclass(frozen=True, slots=True)
class Wish:
    """A name that somebody wants to take."""

    name: str
    legal_form: LegalForm
    applicant_npi: str
    client: str

    def __repr__(self) -> str:
        return "Wish(…)"


def judge(tx: sa.Connection, rules: NameRules, name: str, legal_form: LegalForm, now_ms: int) -> Verdict:
    """Whether a firm of that form may take ``name`` now. Names kept for applicants count, and are not told."""
    if not rules.may_carry(name, legal_form):
        return Verdict(pb.NAME_AVAILABILITY_FORBIDDEN)
    words = rules.words(name)
    near = (name for firm in _firms_near(tx, words) for name in firm.names_in_use)
    firms = nearest(words, ((name, rules.words(name)) for name in near))
    if firms or _kept_near(tx, rules, words, now_ms):
        return Verdict(pb.NAME_AVAILABILITY_CONFLICT, tuple(firms))
    return Verdict(pb.NAME_AVAILABILITY_AVAILABLE)


def reserve(tx: sa.Connection, rules: NameRules, wish: Wish, now_ms: int) -> Reservation:
    """Keep a name for 30 days; what is kept for the same applicant and consumer already stays as it is.

    Raises:
        ContendedError: It is a firm's, kept for somebody else, or nobody may carry it (ABORTED, STATE_CONFLICT).
    """
    lock(tx)
    words = rules.words(wish.name)
    verdict = judge(tx, rules, wish.name, wish.legal_form, now_ms)
    if verdict.availability == pb.NAME_AVAILABILITY_FORBIDDEN or verdict.similar:
        raise ContendedError
    key = _digest(name_key(words), 16)
    for kept in _kept_near(tx, rules, words, now_ms):
        if (kept.applicant_npi, kept.client) != (wish.applicant_npi, wish.client):
            raise ContendedError
        if kept.key == key:
            return kept
    # What is left under this key is over.
    _forget(tx, key)
    kept = Reservation(
        key=key,
        token=secrets.token_urlsafe(24),
        name=wish.name.strip(),
        legal_form=wish.legal_form,
        applicant_npi=wish.applicant_npi,
        client=wish.client,
        until=_end_of(now_ms, KEPT_DAYS),
        reference="",
    )
    tx.execute(RESERVATION.insert(), _row(kept))
    _trace(tx, key, words)
    return kept


def use(
    tx: sa.Connection, token: str, reference: str, *, applicants: Collection[str], client: str, now_ms: int
) -> Reservation:
    """Let a dossier use the name of ``token``: it is kept as long as the dossier goes on.

    Raises:
        ContendedError: No such name is kept for one of ``applicants`` (NPI) and that consumer, or another dossier uses
            it.
    """
    lock(tx)
    kept = kept_under(tx, token, now_ms)
    if kept is None or kept.applicant_npi not in applicants or kept.client != client or kept.reference:
        raise ContendedError
    _mark(tx, kept.key, reference)
    return replace(kept, reference=reference)


def kept_under(tx: sa.Connection, token: str, now_ms: int) -> Reservation | None:
    """What is kept under ``token``, if it still is."""
    row = tx.execute(sa.select(RESERVATION).where(RESERVATION.c.token == token, _is_kept(now_ms))).first()
    return _reservation(row) if row else None


def used_by(tx: sa.Connection, reference: str) -> Reservation | None:
    """The name that a dossier uses."""
    query = sa.select(RESERVATION).where(RESERVATION.c.reference == reference, RESERVATION.c.reference != "")
    row = tx.execute(query).first()
    return _reservation(row) if row else None


def let_go(tx: sa.Connection, reference: str) -> None:
    """A dossier came to nothing: its name is its applicant's again, for the rest of the 30 days."""
    kept = used_by(tx, reference)
    if kept is not None:
        _mark(tx, kept.key, "")


def give_to_firm(tx: sa.Connection, rules: NameRules, firm: Firm, reference: str) -> None:
    """The names of ``firm`` are its own, former ones free, and what the dossier kept of them is used up."""
    lock(tx)
    kept = used_by(tx, reference)
    if kept is not None:
        _forget(tx, kept.key)
    free(tx, firm.rccm)
    tx.execute(NAME_TRACE.insert(), trace_rows(rules, firm))


def free(tx: sa.Connection, holder: str) -> None:
    """The names of a firm are anybody's again."""
    tx.execute(NAME_TRACE.delete().where(NAME_TRACE.c.holder == holder))


def trace_rows(rules: NameRules, firm: Firm) -> list[dict[str, str]]:
    """The rows by which the names of ``firm`` are found: for whoever writes many firms at once."""
    found = {trace for name in firm.names_in_use for trace in _digests(rules.words(name))}
    return [{"trace": trace, "holder": firm.rccm} for trace in sorted(found)]


def forget_ended(desk: Desk, tx: sa.Connection) -> int:
    """Forget names that were kept for somebody, are kept no more, and were never used. A chore of each night."""
    lock(tx)
    ended = sa.select(RESERVATION.c.name_key).where(~_is_kept(desk.clock.now_ms())).limit(BATCH)
    keys = tx.execute(ended).scalars().all()
    for key in keys:
        _forget(tx, key)
    return len(keys)


def lock(tx: sa.Connection) -> None:
    """Wait for whoever takes a name; on SQLite whoever writes has waited already."""
    tx.execute(sa.select(NAME_BOOK.c.id).with_for_update())


def _firms_near(tx: sa.Connection, words: Sequence[str]) -> list[Firm]:
    """Firms that have a trace in common with ``words``; whether their names are near, the rule says."""
    return [firm_of(row) for row in tx.execute(sa.select(FIRM).where(FIRM.c.rccm.in_(_holders(words))))]


def _kept_near(tx: sa.Connection, rules: NameRules, words: Sequence[str], now_ms: int) -> list[Reservation]:
    query = sa.select(RESERVATION).where(RESERVATION.c.name_key.in_(_holders(words)), _is_kept(now_ms))
    found = map(_reservation, tx.execute(query))
    return [kept for kept in found if distance(words, rules.words(kept.name)) is not None]


def _holders(words: Sequence[str]) -> sa.Select[tuple[str]]:
    return sa.select(NAME_TRACE.c.holder).where(NAME_TRACE.c.trace.in_(_digests(words)))


def _is_kept(now_ms: int) -> sa.ColumnElement[bool]:
    return sa.or_(RESERVATION.c.until > now_ms, RESERVATION.c.reference != "")


def _trace(tx: sa.Connection, holder: str, words: Sequence[str]) -> None:
    tx.execute(NAME_TRACE.insert(), [{"trace": trace, "holder": holder} for trace in _digests(words)])


def _forget(tx: sa.Connection, key: str) -> None:
    free(tx, key)
    tx.execute(RESERVATION.delete().where(RESERVATION.c.name_key == key))


def _mark(tx: sa.Connection, key: str, reference: str) -> None:
    tx.execute(RESERVATION.update().where(RESERVATION.c.name_key == key).values(reference=reference))


def _digests(words: Iterable[str]) -> list[str]:
    """Traces in the form in which they are stored: short, whatever the name. Two alike cost a comparison, no more."""
    return sorted({_digest(trace, 8) for trace in traces(tuple(words))})


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()


def _end_of(now_ms: int, days: int) -> int:
    """The end of the day so many days from now, in Porto-Novo, UTC milliseconds."""
    morning_after = datetime.combine(day_of(now_ms) + timedelta(days=days + 1), time(), ZONE)
    return round(morning_after.timestamp()) * 1000


def _row(kept: Reservation) -> dict[str, object]:
    return {
        "name_key": kept.key,
        "token": kept.token,
        "name": kept.name,
        "legal_form": kept.legal_form,
        "applicant_npi": kept.applicant_npi,
        "client": kept.client,
        "until": kept.until,
        "reference": kept.reference,
    }


def _reservation(row: sa.Row[tuple[object, ...]]) -> Reservation:
    values = dict(row._mapping)
    return Reservation(key=values.pop("name_key"), **values)
