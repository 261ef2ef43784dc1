"""What is heard of payments: late, twice, out of order, of the wrong amount, or never.

A payment's state never goes back: it grows along INITIATED, PENDING, FAILED, CONFIRMED, REFUNDED, and a report that
says less than is known changes nothing. CONFIRMED comes after FAILED here: a collector that gave up waiting may still
receive the money, and whoever has paid must not be told that he has not. What is received and cannot settle the dossier
(another amount, a second payment, a dossier that has ended or costs nothing) is put down for refund, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from adapters.kit.dossier import Dossier
from bj.common.v1 import payment_pb2

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


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
        payment_ref: Names it at whoever collects it.
        reference: The dossier it is for.
        channel: How it is paid.
        state: How far it is.
        amount_xof: What was received.
        receipt_no: Of a confirmed one.
        changed_at: When it came to its state, by the collector's word; UTC milliseconds.
        heard_at: When we heard of that.
        refund: Why it is to be given back; None if it is not.
    """

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

    def hear(self, tx: sa.Connection, dossier: Dossier, payment: payment_pb2.Payment) -> None:
        """Take note of what became of a payment for ``dossier`` (locked, from ``Dossiers.follow``).

        Confirmed in full for a dossier that awaits it, the dossier is filed.

        Raises:
            ProviderError: The payment is another dossier's (DUPLICATE_REQUEST).
        """
        raise NotImplementedError

    def fee(self, tx: sa.Connection, dossier: Dossier) -> payment_pb2.Fee:
        """What the dossier costs and how far the payment is that settles it, or the last that was started."""
        raise NotImplementedError

    def require_paid(self, tx: sa.Connection, dossier: Dossier) -> None:
        """Return if the dossier's fee is settled, or it has none.

        Raises:
            ProviderError: It is not paid, or was given back (PAYMENT_REQUIRED).
        """
        raise NotImplementedError

    def refunds(self, tx: sa.Connection) -> list[Payment]:
        """Payments that are to be given back, the oldest first."""
        raise NotImplementedError
