"""Dossiers on their way from filing to decision: opened, moved, read.

Every function works in the caller's transaction ``tx`` (from ``Store.write`` or ``Desk.once``) and locks the dossier's
row first: two who move the same dossier come one after the other, and the second sees what the first did. A move that
``dossier.MOVES`` does not have is refused with STATE_CONFLICT and changes nothing.

With a move go, in the same commit: the hook of the prestation's ``Procedure``; the task that reports it to the
consumer, if that gave a response token; for those that wait for the applicant, the task that lets the dossier expire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.dossier import Dossier, Step
from bj.common.v1 import dossier_pb2

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


class Dossiers:
    """The dossiers of one ministry."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- opening and reading -----------------------------------------------------------------------------------------

    def open(
        self,
        tx: sa.Connection,
        caller: CallerContext,
        application: dossier_pb2.Application,
        *,
        fee_xof: int | None = None,
        subject: str = "",
        details: bytes = b"",
        purposes: frozenset[str] = frozenset(),
        prepare: Callable[[sa.Connection, Dossier], None] | None = None,
    ) -> Dossier:
        """Open a dossier: AWAITING_PAYMENT if it costs something, else FILED, with ``Procedure.filed`` called.

        Call it inside ``Desk.once`` with ``application.idempotency_key``.

        Args:
            tx: The transaction.
            caller: Who opens it; only that client subsystem may follow it.
            application: As it came in the request.
            fee_xof: What it costs; None for the catalogue's fixed fee. Needed where the fee is by scale.
            subject: What it is about, for ``find_open``: ``nup:900000001``. At most 200 characters.
            details: What the ministry keeps of the request, in its own form.
            purposes: For which it may be followed; those of the method. Empty for the purpose of this call.
            prepare: Writes the ministry's own rows for the new dossier, before ``Procedure.filed`` is called.

        Returns:
            The dossier as it stands after ``Procedure.filed``.

        Raises:
            InvalidFieldsError: This ministry has no such service (``application.service_code``).
        """
        raise NotImplementedError

    def get(self, tx: sa.Connection, reference: str) -> Dossier:
        """The dossier of that reference, whoever opened it, its row locked until ``tx`` ends.

        Raises:
            ProviderError: There is none (NOT_FOUND).
        """
        raise NotImplementedError

    def follow(self, tx: sa.Connection, reference: str, caller: CallerContext) -> Dossier:
        """The same, if ``caller`` may follow it: the client that opened it, for a purpose of its opening.

        Raises:
            ProviderError: There is none, or it is somebody else's, which look the same (NOT_FOUND); the purpose is
                none of its (PURPOSE_NOT_ALLOWED).
            ExchangeError: The call names no purpose (PURPOSE_REQUIRED).
        """
        raise NotImplementedError

    def find_open(self, tx: sa.Connection, subject: str) -> list[Dossier]:
        """Dossiers about ``subject`` that are not final, the oldest first.

        To let only one of them run, lock a row of the register that stands for the subject first, or have a unique key of
        your own: two transactions may both find none.
        """
        raise NotImplementedError

    def read(self, tx: sa.Connection, reference: str, client: str) -> dossier_pb2.Dossier:
        """The dossier as ``client`` reads it, with steps, documents, numbers and fee.

        Raises:
            ProviderError: There is none, or it is somebody else's (NOT_FOUND).
        """
        raise NotImplementedError

    def message(self, tx: sa.Connection, reference: str) -> dossier_pb2.Dossier:
        """The same for whoever knows whose it is: the answer of the method that opened it.

        Raises:
            ProviderError: There is none (NOT_FOUND).
        """
        raise NotImplementedError

    # --- moves -------------------------------------------------------------------------------------------------------

    def file(self, tx: sa.Connection, reference: str) -> Dossier:
        """AWAITING_PAYMENT -> FILED: the fee is settled, due_at runs; ``Procedure.filed`` is called."""
        raise NotImplementedError

    def review(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """-> UNDER_REVIEW: an officer takes it up, for the first time or again; of one under review, takes it over.

        ``officer`` is empty when the procedure does so by itself.
        """
        raise NotImplementedError

    def ask_correction(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """UNDER_REVIEW -> CORRECTION_REQUESTED; without an answer in ``dossiers.correction_days`` it expires."""
        raise NotImplementedError

    def ask_interview(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """UNDER_REVIEW -> INTERVIEW_REQUIRED; ``reason`` tells the applicant where and when."""
        raise NotImplementedError

    def open_notice(self, tx: sa.Connection, reference: str, until_ms: int, officer: str = "") -> Dossier:
        """UNDER_REVIEW -> OPPOSITION_PERIOD, until ``until_ms``; before that, nothing is granted (STATE_CONFLICT)."""
        raise NotImplementedError

    def arbitrate(self, tx: sa.Connection, reference: str, officer: str = "", reason: str = "") -> Dossier:
        """-> ARBITRATION: somebody opposed; due_at stands still until it is left."""
        raise NotImplementedError

    def resume(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """Back to UNDER_REVIEW, or to OPPOSITION_PERIOD if an arbitration ends within the notice.

        The working time that was left when an arbitration began is left when it ends.
        """
        raise NotImplementedError

    def correct(self, tx: sa.Connection, reference: str, answer: str, evidence: Iterable[str]) -> Dossier:
        """CORRECTION_REQUESTED -> UNDER_REVIEW: the applicant answers; ``Procedure.corrected`` is called."""
        raise NotImplementedError

    def grant(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """-> GRANTED: ``Procedure.granted`` changes the register, issues documents and numbers, appends events."""
        raise NotImplementedError

    def reject(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """-> REJECTED: ``Procedure.rejected`` is called.

        Raises:
            InvalidFieldsError: ``reason`` has fewer than 5 characters.
        """
        raise NotImplementedError

    def cancel(self, tx: sa.Connection, reference: str) -> Dossier:
        """-> CANCELLED: the applicant gives it up; ``Procedure.cancelled`` is called."""
        raise NotImplementedError

    def expire(self, tx: sa.Connection, reference: str) -> Dossier:
        """-> EXPIRED: neither paid nor corrected in time; ``Procedure.expired`` is called."""
        raise NotImplementedError

    # --- what hangs on a dossier ---------------------------------------------------------------------------------------

    def steps(self, tx: sa.Connection, reference: str) -> list[Step]:
        """Its steps, in the order in which they were first set."""
        raise NotImplementedError

    def set_step(
        self,
        tx: sa.Connection,
        reference: str,
        name: str,
        state: dossier_pb2.StepState.ValueType,
        detail: str = "",
    ) -> None:
        """Set how far a step is; also of a final dossier, whose work may go on (a number that is still to come).

        ``detail`` is for the applicant and names no person.
        """
        raise NotImplementedError

    def issue_number(
        self, tx: sa.Connection, reference: str, kind: dossier_pb2.IssuedNumberType.ValueType, value: str
    ) -> None:
        """Add a number that the dossier gave; the same one twice is once."""
        raise NotImplementedError

    def report(self, tx: sa.Connection, reference: str) -> None:
        """Queue a report to the consumer of how it stands; a move does so by itself, later steps do not."""
        raise NotImplementedError
