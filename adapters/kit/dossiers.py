"""Dossiers on their way from filing to decision: opened, moved, read.

Every function works in the caller's transaction ``tx`` (from ``Store.write`` or ``Desk.once``) and locks the dossier's
row first: two who move the same dossier come one after the other, and the second sees what the first did. A move that
``dossier.MOVES`` does not have is refused with STATE_CONFLICT and changes nothing.

With a move go, in the same commit: the hook of the prestation's ``Procedure`` (of a payment, the task that calls it:
``beginning``); the task that reports it to the consumer, if that gave a response token; for those that wait for the
applicant, the task that lets the dossier expire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.beginning import BEGIN, HEAD_START_MS
from adapters.kit.calendar import due_at_ms
from adapters.kit.dossier import MOVES, Dossier, State, Step
from adapters.kit.dossier_rows import DossierRows
from adapters.kit.dossier_terms import DAY_MS, due_after_pause, new_dossier, require_officer, require_reason
from adapters.kit.procedure import Procedure
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2

if TYPE_CHECKING:
    from adapters.kit.desk import Desk

EXPIRE: Final = "expire"
REPORT_DECISION: Final = "report_decision"

# What an officer may take up again; what is FILED is taken up by ``review``.
_WAITING: Final = frozenset(
    {
        State.CORRECTION_REQUESTED,
        State.INTERVIEW_REQUIRED,
        State.OPPOSITION_PERIOD,
        State.ARBITRATION,
    }
)


class Dossiers:
    """The dossiers of one ministry."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rows = DossierRows(desk.ministry.tables)

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
        dossier = new_dossier(
            self._desk,
            tx,
            caller,
            application,
            fee_xof=fee_xof,
            subject=subject,
            details=details,
            purposes=purposes,
        )
        self._rows.insert(tx, dossier)
        if prepare is not None:
            prepare(tx, dossier)
        if dossier.state is State.AWAITING_PAYMENT:
            self._desk.tasks.add(tx, EXPIRE, dossier.reference, due_at_ms=dossier.expires_at)
        else:
            self._desk.procedure(dossier.service_code).filed(self._desk, tx, dossier)
        return self.get(tx, dossier.reference)

    def get(self, tx: sa.Connection, reference: str) -> Dossier:
        """The dossier of that reference, whoever opened it, its row locked until ``tx`` ends.

        Raises:
            ProviderError: There is none (NOT_FOUND).
        """
        return self._rows.find(tx, reference, lock=True)

    def follow(
        self, tx: sa.Connection, reference: str, caller: CallerContext, *, lock: bool = True
    ) -> Dossier:
        """The same, if ``caller`` may follow it: the client that opened it, for a purpose of its opening.

        ``lock=False`` for whoever only reads.

        Raises:
            ProviderError: There is none, or it is somebody else's, which look the same (NOT_FOUND); the purpose is
                none of its (PURPOSE_NOT_ALLOWED).
            ExchangeError: The call names no purpose, and the dossier has some (PURPOSE_REQUIRED).
        """
        dossier = self._rows.find(tx, reference, lock=lock)
        if dossier.client != str(caller.client):
            raise ProviderError(ProviderReason.NOT_FOUND)
        if dossier.purposes and caller.require_purpose() not in dossier.purposes:
            raise ProviderError(ProviderReason.PURPOSE_NOT_ALLOWED)
        return dossier

    def in_states(self, tx: sa.Connection, states: frozenset[State], limit: int = 100) -> list[Dossier]:
        """Dossiers in some of ``states``, whoever opened them; the one that is due first comes first."""
        return self._rows.in_states(tx, states, limit)

    def find_open(self, tx: sa.Connection, subject: str) -> list[Dossier]:
        """Dossiers about ``subject`` that are not final, the oldest first.

        To let only one of them run, lock a row of the register that stands for the subject first, or have a unique key of
        your own: two transactions may both find none.
        """
        return self._rows.find_open(tx, subject)

    def read(self, tx: sa.Connection, reference: str, client: str) -> dossier_pb2.Dossier:
        """The dossier as ``client`` reads it, with steps, documents, numbers and fee.

        Raises:
            ProviderError: There is none, or it is somebody else's (NOT_FOUND).
        """
        dossier = self._rows.find(tx, reference, lock=False)
        if dossier.client != client:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return self._message(tx, dossier)

    def message(self, tx: sa.Connection, reference: str) -> dossier_pb2.Dossier:
        """The same for whoever knows whose it is: the answer of the method that opened it.

        Raises:
            ProviderError: There is none (NOT_FOUND).
        """
        return self._message(tx, self._rows.find(tx, reference, lock=False))

    # --- moves -------------------------------------------------------------------------------------------------------

    def file(self, tx: sa.Connection, reference: str) -> Dossier:
        """AWAITING_PAYMENT -> FILED: the fee is settled, due_at runs; ``Procedure.filed`` is called after the commit.

        Whoever commits calls ``beginning.begin_now`` then. Until it has begun, nobody takes the dossier up or grants it.
        """
        now = self._desk.clock.now_ms()
        dossier = self._rows.find(tx, reference, lock=True)
        prestation = self._desk.catalogue.find(dossier.service_code)
        # A service that left the catalogue meanwhile promises nothing any more.
        due_at = due_at_ms(now, prestation, self._desk.calendar) if prestation else 0
        filed = self._move(tx, dossier, State.FILED, filed_at=now, due_at=due_at)
        self._desk.tasks.add(tx, BEGIN, reference, due_at_ms=now + HEAD_START_MS)
        return filed

    def review(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """-> UNDER_REVIEW: an officer takes it up, for the first time or again; of one under review, takes it over.

        ``officer`` is empty when the procedure does so by itself.
        """
        dossier = self._rows.find(tx, reference, lock=True)
        if dossier.state is State.UNDER_REVIEW and officer and officer != dossier.officer_ref:
            taken = replace(dossier, version=dossier.version + 1, officer_ref=require_officer(officer))
            self._rows.move(tx, taken, officer)
            return taken
        return self._move(tx, dossier, State.UNDER_REVIEW, officer=officer)

    def ask_correction(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """UNDER_REVIEW -> CORRECTION_REQUESTED; without an answer in ``dossiers.correction_days`` it expires."""
        expires_at = self._desk.clock.now_ms() + self._desk.settings.dossiers.correction_days * DAY_MS
        dossier = self._rows.find(tx, reference, lock=True)
        asked = self._move(
            tx,
            dossier,
            State.CORRECTION_REQUESTED,
            officer=officer,
            reason=require_reason(reason),
            expires_at=expires_at,
        )
        self._desk.tasks.add(tx, EXPIRE, reference, due_at_ms=expires_at)
        self._procedure(asked).asked(self._desk, tx, asked)
        return self.get(tx, reference)

    def ask_interview(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """UNDER_REVIEW -> INTERVIEW_REQUIRED; ``reason`` tells the applicant where and when."""
        dossier = self._rows.find(tx, reference, lock=True)
        told = require_reason(reason)
        asked = self._move(tx, dossier, State.INTERVIEW_REQUIRED, officer=officer, reason=told)
        self._procedure(asked).asked(self._desk, tx, asked)
        return self.get(tx, reference)

    def open_notice(self, tx: sa.Connection, reference: str, until_ms: int, officer: str = "") -> Dossier:
        """UNDER_REVIEW -> OPPOSITION_PERIOD, until ``until_ms``; before that, nothing is granted (STATE_CONFLICT)."""
        dossier = self._rows.find(tx, reference, lock=True)
        return self._move(tx, dossier, State.OPPOSITION_PERIOD, officer=officer, notice_ends_at=until_ms)

    def arbitrate(self, tx: sa.Connection, reference: str, officer: str = "", reason: str = "") -> Dossier:
        """-> ARBITRATION: somebody opposed; due_at stands still until it is left."""
        dossier = self._rows.find(tx, reference, lock=True)
        told = require_reason(reason) if reason else ""
        now = self._desk.clock.now_ms()
        return self._move(tx, dossier, State.ARBITRATION, officer=officer, reason=told, paused_at=now)

    def resume(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """Back to UNDER_REVIEW, or to OPPOSITION_PERIOD if an arbitration ends within the notice.

        The working time that was left when an arbitration began is left when it ends.
        """
        dossier = self._rows.find(tx, reference, lock=True)
        if dossier.state not in _WAITING:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        is_open = dossier.notice_ends_at > self._desk.clock.now_ms()
        goes_on = State.OPPOSITION_PERIOD if is_open else State.UNDER_REVIEW
        if dossier.state is not State.ARBITRATION:
            goes_on = State.UNDER_REVIEW
        return self._move(tx, dossier, goes_on, officer=officer)

    def correct(self, tx: sa.Connection, reference: str, answer: str, evidence: Sequence[str]) -> Dossier:
        """CORRECTION_REQUESTED -> UNDER_REVIEW: the applicant answers; ``Procedure.corrected`` is called."""
        asked = self._rows.find(tx, reference, lock=True)
        if asked.state is not State.CORRECTION_REQUESTED:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        dossier = self._move(tx, asked, State.UNDER_REVIEW)
        self._rows.keep_correction(tx, replace(dossier, reason=asked.reason), answer, " ".join(evidence))
        self._procedure(dossier).corrected(self._desk, tx, dossier, answer, evidence)
        return self.get(tx, reference)

    def grant(self, tx: sa.Connection, reference: str, officer: str = "") -> Dossier:
        """-> GRANTED: ``Procedure.granted`` changes the register, issues documents and numbers, appends events."""
        dossier = self._rows.find(tx, reference, lock=True)
        if dossier.notice_ends_at > self._desk.clock.now_ms():
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        granted = self._move(tx, dossier, State.GRANTED, officer=officer)
        self._procedure(granted).granted(self._desk, tx, granted)
        return self.get(tx, reference)

    def reject(self, tx: sa.Connection, reference: str, officer: str, reason: str) -> Dossier:
        """-> REJECTED: ``Procedure.rejected`` is called.

        Raises:
            InvalidFieldsError: ``reason`` has fewer than 5 characters.
        """
        dossier = self._rows.find(tx, reference, lock=True)
        rejected = self._move(tx, dossier, State.REJECTED, officer=officer, reason=require_reason(reason))
        self._procedure(rejected).rejected(self._desk, tx, rejected)
        return self.get(tx, reference)

    def cancel(self, tx: sa.Connection, reference: str) -> Dossier:
        """-> CANCELLED: the applicant gives it up; ``Procedure.cancelled`` is called."""
        dossier = self._rows.find(tx, reference, lock=True)
        cancelled = self._move(tx, dossier, State.CANCELLED)
        self._procedure(cancelled).cancelled(self._desk, tx, cancelled)
        return self.get(tx, reference)

    def expire(self, tx: sa.Connection, reference: str) -> Dossier:
        """-> EXPIRED: neither paid nor corrected in time; ``Procedure.expired`` is called."""
        dossier = self._rows.find(tx, reference, lock=True)
        expired = self._move(tx, dossier, State.EXPIRED)
        self._procedure(expired).expired(self._desk, tx, expired)
        return self.get(tx, reference)

    # --- what hangs on a dossier ---------------------------------------------------------------------------------------

    def steps(self, tx: sa.Connection, reference: str) -> list[Step]:
        """Its steps, in the order in which they were first set."""
        return self._rows.steps(tx, reference)

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
        self._rows.find(tx, reference, lock=True)
        self._rows.write_step(tx, reference, Step(name, state, self._desk.clock.now_ms(), detail))
        self._rows.touch(tx, reference)

    def show_trying(self, tx: sa.Connection, reference: str, name: str, detail: str) -> bool:
        """Show that a step goes on and why it is tried again: said once, however often it is.

        That the step is still to be done is the caller's to know; ``detail`` as in ``set_step``. Returns whether it was
        news.
        """
        self._rows.find(tx, reference, lock=True)
        shown = {one.name: (one.state, one.detail) for one in self.steps(tx, reference)}
        if shown.get(name) == (dossier_pb2.STEP_STATE_RUNNING, detail):
            return False
        self.set_step(tx, reference, name, dossier_pb2.STEP_STATE_RUNNING, detail)
        return True

    def finish_step(self, tx: sa.Connection, reference: str, name: str, officer: str) -> Dossier:
        """A running step is done, says an officer (a survey, a visit); ``Procedure.step_done`` is called.

        Raises:
            InvalidFieldsError: ``officer`` is no handle.
            ProviderError: The dossier is decided, has no such step that is running, or it is not an officer's to end
                (STATE_CONFLICT).
        """
        dossier = self._rows.find(tx, reference, lock=True)
        require_officer(officer)
        running = {
            step.name for step in self.steps(tx, reference) if step.state == dossier_pb2.STEP_STATE_RUNNING
        }
        mine = running & self._procedure(dossier).officer_steps
        if dossier.state.is_final or name not in mine:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        self.set_step(tx, reference, name, dossier_pb2.STEP_STATE_DONE)
        self._procedure(dossier).step_done(self._desk, tx, dossier, name)
        return self.get(tx, reference)

    def issue_number(
        self, tx: sa.Connection, reference: str, kind: dossier_pb2.IssuedNumberType.ValueType, value: str
    ) -> None:
        """Add a number that the dossier gave; the same one twice is once."""
        self._rows.find(tx, reference, lock=True)
        if self._rows.write_number(tx, reference, kind, value):
            self._rows.touch(tx, reference)

    def report(self, tx: sa.Connection, reference: str) -> None:
        """Queue a report to the consumer of how it stands; a move does so by itself, later steps do not."""
        self._report(tx, self._rows.find(tx, reference, lock=True))

    def forget_tokens(self, tx: sa.Connection, limit: int) -> int:
        """Forget the response tokens of at most ``limit`` dossiers of which nothing is left to be reported.

        They are final, no step of one that was granted goes on, and the consumer has confirmed the last report, or
        refused it.
        """
        return self._rows.forget_tokens(tx, REPORT_DECISION, limit)

    def touch(self, tx: sa.Connection, reference: str) -> None:
        """One version more: something that hangs on the dossier has changed."""
        self._rows.find(tx, reference, lock=True)
        self._rows.touch(tx, reference)

    def confirm_report(self, tx: sa.Connection, reference: str, version: int) -> None:
        """Note that the consumer has heard of ``version``; of an older one than it has heard of changes nothing."""
        dossier = self._rows.find(tx, reference, lock=True)
        if version > dossier.reported_version:
            self._rows.update(tx, replace(dossier, reported_version=version))

    def settle_with(self, tx: sa.Connection, reference: str, payment_ref: str) -> None:
        """Note which payment settles the dossier, or was started last, and that its fee looks otherwise now."""
        dossier = self._rows.find(tx, reference, lock=True)
        self._rows.update(tx, replace(dossier, payment_ref=payment_ref, version=dossier.version + 1))

    def _is_to_begin(self, tx: sa.Connection, dossier: Dossier, to: State) -> bool:
        """Whether ``to`` would come before ``Procedure.filed``; who gives up or rejects need not wait for that."""
        is_work = dossier.state is State.FILED and to in (State.UNDER_REVIEW, State.GRANTED)
        return is_work and self._desk.tasks.is_asked(tx, BEGIN, dossier.reference)

    def _procedure(self, dossier: Dossier) -> Procedure:
        return self._desk.procedure(dossier.service_code)

    def _message(self, tx: sa.Connection, dossier: Dossier) -> dossier_pb2.Dossier:
        fee = self._desk.payments.fee(tx, dossier)
        return self._rows.message(tx, dossier, fee, self._desk.documents.of(tx, dossier.reference))

    def _move(
        self, tx: sa.Connection, dossier: Dossier, to: State, *, officer: str = "", **changes: Any
    ) -> Dossier:
        """Move a locked dossier; ``changes`` are fields that go with the new state."""
        now = self._desk.clock.now_ms()
        # Nobody shortens a public notice: until it ends, who wants to oppose finds it open.
        shortens = to is State.UNDER_REVIEW and dossier.notice_ends_at > now
        if to not in MOVES[dossier.state] or shortens or self._is_to_begin(tx, dossier, to):
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        # What belongs to the state that is left goes with it, unless the new one says otherwise.
        left: dict[str, Any] = {"reason": "", "expires_at": 0, "paused_at": 0}
        if dossier.state is State.ARBITRATION:
            left["due_at"] = due_after_pause(self._desk, dossier, now)
        moved = replace(
            dossier,
            **{**left, **changes},
            state=to,
            version=dossier.version + 1,
            changed_at=now,
            officer_ref=require_officer(officer) or dossier.officer_ref,
        )
        self._rows.move(tx, moved, officer)
        self._report(tx, dossier)
        return moved

    def _report(self, tx: sa.Connection, dossier: Dossier) -> None:
        if dossier.response_token:
            self._desk.tasks.add(tx, REPORT_DECISION, dossier.reference, lane=dossier.client)
