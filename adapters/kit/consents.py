"""Consents: what somebody let one consumer ask about him, for which purposes, until when.

A register keeps the consents to what it holds itself: whoever answers for the data shows the consent, and what is taken
back ends at that moment, whoever else is away. A text in ``consent_ref`` is a claim; a row here is a consent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from adapters.context import current_caller
from adapters.kit import forms
from adapters.kit.calendar import ZONE
from adapters.kit.inscriptions import Field, Inscription, Values, require
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from core.language import Text

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

_PAST: Final = Text("ne doit pas être passé", "must not be past")


@dataclass(frozen=True, slots=True)
class Consenter:
    """Who consented: ``npi`` and the number of a person, ``ifu`` and that of a firm, as they were when it was given."""

    kind: str
    number: str = field(repr=False)


def consent_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the table in ``metadata``: for a ministry that answers under P03, created by a migration of its own."""
    return sa.Table(
        "consent",
        metadata,
        sa.Column("consent_ref", sa.String(64), primary_key=True),
        sa.Column("party_kind", sa.String(3), nullable=False),
        sa.Column("party_number", sa.String(13), nullable=False),
        # The consumer's subsystem, and codes of purposes, separated by blanks.
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("purposes", sa.String(60), nullable=False),
        # The first millisecond in which it holds no more; when it was taken back.
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )


def find_consenter(
    tx: sa.Connection, consents: sa.Table, consent_ref: str, *, client: str, purpose: str, now_ms: int
) -> Consenter | None:
    """Who lets ``client`` ask for ``purpose`` at this moment; None if nobody does under that reference."""
    row = tx.execute(sa.select(consents).where(consents.c.consent_ref == consent_ref)).first()
    if row is None or row.client != client or purpose not in row.purposes.split():
        return None
    if row.revoked_at_ms is not None or now_ms >= row.until_ms:
        return None
    return Consenter(row.party_kind, row.party_number)


def require_consenter(tx: sa.Connection, consents: sa.Table, consent_ref: str, now_ms: int) -> Consenter:
    """Who consented to the call that is being served; that he is the one asked about is the caller's to check.

    Raises:
        ExchangeError: The call names no purpose (PURPOSE_REQUIRED).
        ProviderError: Nobody did (CONSENT_REQUIRED): no such consent, not to this consumer, not for this purpose, ended
            or taken back; which of them is not told.
    """
    caller = current_caller()
    found = find_consenter(
        tx, consents, consent_ref, client=str(caller.client), purpose=caller.require_purpose(), now_ms=now_ms
    )
    if found is None:
        raise ProviderError(ProviderReason.CONSENT_REQUIRED)
    return found


def consent_inscriptions(
    consents: sa.Table,
    require_known: Callable[[sa.Connection, Consenter], None] = lambda _tx, _consenter: None,
) -> tuple[Inscription, Inscription]:
    """``consent`` and ``consent-end``: what an officer writes when somebody consents, and takes it back.

    Args:
        consents: The register's table.
        require_known: Raises ``ProviderError`` if the register knows that there is nobody of that number.
    """

    def give(desk: Desk, tx: sa.Connection, values: Values) -> None:
        number = values["party"]
        consenter = Consenter(forms.party_kind(number), number)
        require_known(tx, consenter)
        require(_find(tx, consents, values["consent_ref"]) is None)
        until_ms = _end_of(date.fromisoformat(values["until"]))
        if until_ms <= desk.clock.now_ms():
            raise InvalidFieldsError({"until": _PAST})
        row = {
            "consent_ref": values["consent_ref"],
            "party_kind": consenter.kind,
            "party_number": number,
            "client": values["client"],
            "purposes": values["purposes"],
            "until_ms": until_ms,
        }
        tx.execute(consents.insert().values(row))

    def take_back(desk: Desk, tx: sa.Connection, values: Values) -> None:
        row = _find(tx, consents, values["consent_ref"])
        if row is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        require(row.revoked_at_ms is None)
        tx.execute(
            consents.update()
            .where(consents.c.consent_ref == row.consent_ref)
            .values(revoked_at_ms=desk.clock.now_ms())
        )

    reference = Field(
        "consent_ref", Text("référence du consentement", "reference of the consent"), forms.handle
    )
    return (
        Inscription(
            "consent",
            Text("un consentement", "a consent"),
            (
                reference,
                Field(
                    "party",
                    Text("NPI ou IFU de qui consent", "NPI or IFU of who consents"),
                    forms.party,
                    is_personal=True,
                ),
                Field(
                    "client",
                    Text("sous-système du consommateur", "the consumer's subsystem"),
                    forms.subsystem,
                ),
                Field("purposes", Text("finalités, P01,P03", "purposes, P01,P03"), forms.purposes),
                Field("until", Text("dernier jour", "last day"), forms.day),
            ),
            give,
        ),
        Inscription(
            "consent-end",
            Text("le retrait d'un consentement", "a consent taken back"),
            (reference,),
            take_back,
            is_final=True,
        ),
    )


def _find(tx: sa.Connection, consents: sa.Table, consent_ref: str) -> sa.Row[tuple[object, ...]] | None:
    query = sa.select(consents).where(consents.c.consent_ref == consent_ref)
    return tx.execute(query.with_for_update()).first()


def _end_of(day: date) -> int:
    """The first millisecond after a day, in Porto-Novo."""
    return int(datetime.combine(day + timedelta(1), time(), ZONE).timestamp() * 1000)
