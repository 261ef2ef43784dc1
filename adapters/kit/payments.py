"""What is heard of payments: late, twice, out of order, of the wrong amount, or never.

A payment's state never goes back: it grows along INITIATED, PENDING, FAILED, CONFIRMED, REFUNDED, and a report that
says less than is known changes nothing. CONFIRMED comes after FAILED here: a collector that gave up waiting may still
receive the money, and whoever has paid must not be told that he has not. What is received and cannot settle the dossier
(another amount, a second payment, a dossier that has ended or costs nothing) is put down for refund, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from adapters.kit.dossier import Dossier, State
from adapters.kit.times import milliseconds
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import payment_pb2

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


_ORDER: Final = {
    payment_pb2.PAYMENT_STATE_UNSPECIFIED: 0,
    payment_pb2.PAYMENT_STATE_INITIATED: 1,
    payment_pb2.PAYMENT_STATE_PENDING: 2,
    payment_pb2.PAYMENT_STATE_FAILED: 3,
    payment_pb2.PAYMENT_STATE_CONFIRMED: 4,
    payment_pb2.PAYMENT_STATE_REFUNDED: 5,
}
_MAX_AMOUNT: Final = 10**15
_AWAITS: Final = frozenset({State.DRAFT, State.AWAITING_PAYMENT})


class Refund(StrEnum):
    """Why a payment is to be given back."""

    AMOUNT = "amount"
    TWICE = "twice"
    ENDED = "ended"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, as last heard of.

    Attributes:
        client: Who told of it.
        payment_ref: Names it at whoever collects it; of two clients, two payments.
        reference: The dossier it is for.
        channel: How it is paid.
        state: How far it is.
        amount_xof: What was received.
        receipt_no: Of a confirmed one.
        changed_at: When it came to its state, by the collector's word; UTC milliseconds.
        heard_at: When we heard of that.
        refund: Why it is to be given back; None if it is not.
    """

    client: str
    payment_ref: str
    reference: str
    channel: payment_pb2.PaymentChannel.ValueType
    state: payment_pb2.PaymentState.ValueType
    amount_xof: int
    receipt_no: str
    changed_at: int
    heard_at: int
    refund: Refund | None


class Payments:
    """The payments of one ministry's dossiers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._table = desk.ministry.tables.payment

    def hear(self, tx: sa.Connection, dossier: Dossier, told: payment_pb2.Payment) -> None:
        """Take note of what became of a payment for ``dossier``, which is locked (``Dossiers.follow``).

        Confirmed in full for a dossier that awaits it, the dossier is filed; ``Dossiers.file`` says what comes after.

        Raises:
            ProviderError: The payment is another dossier's of the same client (DUPLICATE_REQUEST).
            InvalidFieldsError: The report says no state.
        """
        if told.state == payment_pb2.PAYMENT_STATE_UNSPECIFIED:
            raise InvalidFieldsError({"payment.state": "must say how far the payment is"})
        known = self._claim(tx, dossier, told)
        if known.reference != dossier.reference:
            raise ProviderError(ProviderReason.DUPLICATE_REQUEST)
        if _ORDER[told.state] <= _ORDER[known.state]:
            return
        is_received = told.state == payment_pb2.PAYMENT_STATE_CONFIRMED
        refund = self._refund(dossier, told) if is_received else None
        self._write(tx, dossier, told, refund)
        settles = is_received and refund is None
        # Of a settled dossier the payment that settled it stays the one that is shown.
        if settles or told.payment_ref == dossier.payment_ref or dossier.state in _AWAITS:
            self._desk.dossiers.settle_with(tx, dossier.reference, told.payment_ref)
        if settles:
            self._desk.dossiers.file(tx, dossier.reference)

    def fee(self, tx: sa.Connection, dossier: Dossier) -> payment_pb2.Fee:
        """What the dossier costs and how far the payment is that settles it, or the last one that was heard of.

        Of money that was received and cannot settle the dossier the state is not told: CONFIRMED would say that it did.
        """
        paid = self._find(tx, dossier, dossier.payment_ref) if dossier.payment_ref else None
        return payment_pb2.Fee(
            amount_xof=dossier.fee_xof,
            payment_ref=dossier.payment_ref,
            state=paid.state if paid and not paid.refund else payment_pb2.PAYMENT_STATE_UNSPECIFIED,
        )

    def require_paid(self, tx: sa.Connection, dossier: Dossier) -> None:
        """Return if the dossier's fee is settled, or it has none.

        Raises:
            ProviderError: It is not paid, or was given back (PAYMENT_REQUIRED).
        """
        if not dossier.fee_xof:
            return
        paid = self._find(tx, dossier, dossier.payment_ref) if dossier.filed_at else None
        if paid is None or paid.state != payment_pb2.PAYMENT_STATE_CONFIRMED:
            raise ProviderError(ProviderReason.PAYMENT_REQUIRED)

    def of(self, tx: sa.Connection, reference: str) -> list[Payment]:
        """All payments of a dossier, the one that was heard of first comes first."""
        query = sa.select(self._table).where(self._table.c.reference == reference)
        return [_payment(row) for row in tx.execute(query.order_by(self._table.c.heard_at))]

    def refunds(self, tx: sa.Connection) -> list[Payment]:
        """Payments that are to be given back, the one that was heard of first comes first."""
        query = sa.select(self._table).where(self._table.c.refund != "").order_by(self._table.c.heard_at)
        return [_payment(row) for row in tx.execute(query)]

    def _claim(self, tx: sa.Connection, dossier: Dossier, told: payment_pb2.Payment) -> Payment:
        """The payment as it is known; one that was never heard of before is this dossier's from now on."""
        insert = postgresql.insert if self._desk.store.is_postgresql else sqlite.insert
        tx.execute(
            insert(self._table)
            .values(
                client=dossier.client,
                payment_ref=told.payment_ref,
                reference=dossier.reference,
                channel=int(told.channel),
                state=int(payment_pb2.PAYMENT_STATE_UNSPECIFIED),
                amount_xof=0,
                receipt_no="",
                changed_at=0,
                heard_at=self._desk.clock.now_ms(),
                refund="",
            )
            .on_conflict_do_nothing()
        )
        known = self._find(tx, dossier, told.payment_ref, lock=True)
        assert known is not None  # noqa: S101 - written by the statement before, or by whom that waited for
        return known

    def _refund(self, dossier: Dossier, told: payment_pb2.Payment) -> Refund | None:
        """Why money that was received cannot settle the dossier; None if it does."""
        if not dossier.fee_xof:
            return Refund.FREE
        if dossier.state in _AWAITS:
            return None if told.amount_xof == dossier.fee_xof else Refund.AMOUNT
        return Refund.TWICE if dossier.filed_at else Refund.ENDED

    def _write(
        self, tx: sa.Connection, dossier: Dossier, told: payment_pb2.Payment, refund: Refund | None
    ) -> None:
        now = self._desk.clock.now_ms()
        # More than any fee, and than the databases' integers hold: shown as what it is, too much.
        amount = min(told.amount_xof, _MAX_AMOUNT)
        tx.execute(
            self._table.update()
            .where(*self._named(dossier, told.payment_ref))
            .values(
                channel=int(told.channel),
                state=int(told.state),
                amount_xof=amount,
                receipt_no=told.receipt_no,
                changed_at=milliseconds(told.changed_at) if told.HasField("changed_at") else now,
                heard_at=now,
                refund=refund or "",
            )
        )

    def _find(
        self, tx: sa.Connection, dossier: Dossier, payment_ref: str, *, lock: bool = False
    ) -> Payment | None:
        query = sa.select(self._table).where(*self._named(dossier, payment_ref))
        row = tx.execute(query.with_for_update() if lock else query).one_or_none()
        return _payment(row) if row else None

    def _named(self, dossier: Dossier, payment_ref: str) -> tuple[sa.ColumnElement[bool], ...]:
        """The payment that the dossier's client names so."""
        return self._table.c.client == dossier.client, self._table.c.payment_ref == payment_ref


def _payment(row: Any) -> Payment:
    return Payment(
        client=row.client,
        payment_ref=row.payment_ref,
        reference=row.reference,
        channel=payment_pb2.PaymentChannel.ValueType(row.channel),
        state=payment_pb2.PaymentState.ValueType(row.state),
        amount_xof=row.amount_xof,
        receipt_no=row.receipt_no,
        changed_at=row.changed_at,
        heard_at=row.heard_at,
        refund=Refund(row.refund) if row.refund else None,
    )
