"""A dossier as the kit knows it: its states and the moves between them.

```
DRAFT -> AWAITING_PAYMENT -> FILED -> UNDER_REVIEW -> GRANTED | REJECTED | CANCELLED
              |                          |    ^
              v                          v    |
           EXPIRED     CORRECTION_REQUESTED, INTERVIEW_REQUIRED, OPPOSITION_PERIOD, ARBITRATION
```

GRANTED, REJECTED, CANCELLED and EXPIRED are final: nothing leads out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from bj.common.v1 import dossier_pb2


class State(IntEnum):
    """``bj.common.v1.DossierState``, with its numbers."""

    DRAFT = 1
    AWAITING_PAYMENT = 2
    FILED = 3
    UNDER_REVIEW = 4
    CORRECTION_REQUESTED = 5
    INTERVIEW_REQUIRED = 6
    OPPOSITION_PERIOD = 7
    ARBITRATION = 8
    GRANTED = 9
    REJECTED = 10
    CANCELLED = 11
    EXPIRED = 12

    @property
    def is_final(self) -> bool:
        """Whether nothing leads out of it."""
        return self in FINAL


FINAL: Final = frozenset({State.GRANTED, State.REJECTED, State.CANCELLED, State.EXPIRED})
# Decided or given up by an officer, a procedure or the applicant.
_ENDS: Final = frozenset({State.GRANTED, State.REJECTED, State.CANCELLED})

# Whatever does not stand here is refused. Nothing is granted while a correction is asked for: who grants has taken the
# dossier up again. From OPPOSITION_PERIOD it is granted only once the notice has ended.
MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.DRAFT: frozenset({State.AWAITING_PAYMENT, State.FILED, State.CANCELLED, State.EXPIRED}),
    State.AWAITING_PAYMENT: frozenset({State.FILED, State.CANCELLED, State.EXPIRED}),
    # A service that is given at once is decided without an officer.
    State.FILED: frozenset({State.UNDER_REVIEW}) | _ENDS,
    State.UNDER_REVIEW: frozenset(
        {
            State.CORRECTION_REQUESTED,
            State.INTERVIEW_REQUIRED,
            State.OPPOSITION_PERIOD,
            State.ARBITRATION,
        }
    )
    | _ENDS,
    State.CORRECTION_REQUESTED: frozenset(
        {
            State.UNDER_REVIEW,
            State.REJECTED,
            State.CANCELLED,
            State.EXPIRED,
        }
    ),
    State.INTERVIEW_REQUIRED: frozenset({State.UNDER_REVIEW}) | _ENDS,
    State.OPPOSITION_PERIOD: frozenset({State.UNDER_REVIEW, State.ARBITRATION}) | _ENDS,
    State.ARBITRATION: frozenset({State.UNDER_REVIEW, State.OPPOSITION_PERIOD}) | _ENDS,
    **{state: frozenset() for state in FINAL},
}


@dataclass(frozen=True, slots=True)
class Dossier:
    """One dossier. Times are UTC milliseconds, 0 where there is none.

    Attributes:
        reference: ``ANDF-202611-0001``.
        client: The subsystem that opened it, ``BJ/GOV/PNS/PORTAIL``; nobody else may follow it.
        purposes: For which it may be followed.
        issue: The consumer's own dossier in which it was opened (``x-road-issue``); the ministry's calls about it name
            that one, so that an auditor finds the whole case under one reference. Empty if the call named none.
        service_code: The prestation that is asked for.
        application_id: What the consumer names it.
        response_token: Comes back with ``ReportDecision``; empty if the consumer wants none.
        applicant_npi: Who asks; empty if somebody acts by his office.
        channel: ``DossierChannel``.
        phone: Where the applicant is told.
        email: The same.
        subject: What it is about, in the ministry's terms; by it the ministry finds what else is under way.
        details: What the ministry keeps of the request, in its own form.
        state: How far it is.
        version: Grows with every change that a reader of the dossier sees.
        reported_version: The newest version that the consumer has confirmed.
        reason: Why it was rejected, or what is to be corrected.
        officer_ref: Who has it; empty if nobody.
        fee_xof: What it costs.
        payment_ref: The payment that settles it, or the last that was started.
        opened_at: When it was opened.
        changed_at: When it came to its state.
        filed_at: When its fee was settled.
        due_at: When the decision is promised.
        paused_at: Since when due_at stands still.
        expires_at: When it expires unless it is paid or corrected.
        notice_ends_at: Until when anybody may oppose.
    """

    reference: str
    client: str
    purposes: frozenset[str]
    issue: str
    service_code: str
    application_id: str
    response_token: str = field(repr=False)
    applicant_npi: str = field(repr=False)
    channel: dossier_pb2.DossierChannel.ValueType
    phone: str = field(repr=False)
    email: str = field(repr=False)
    subject: str = field(repr=False)
    details: bytes = field(repr=False)
    state: State
    version: int
    reported_version: int
    reason: str = field(repr=False)
    officer_ref: str
    fee_xof: int
    payment_ref: str
    opened_at: int
    changed_at: int
    filed_at: int
    due_at: int
    paused_at: int
    expires_at: int
    notice_ends_at: int

    @property
    def case(self) -> str:
        """The reference that calls about it name in ``x-road-issue``."""
        return self.issue or self.reference


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the work on a dossier.

    Attributes:
        name: ``rccm``, ``survey``: letters, digits and ``_``.
        state: How far it is.
        changed_at: Since when, UTC milliseconds.
        detail: Why it failed or is tried again, for the applicant; never names a person.
    """

    name: str
    state: dossier_pb2.StepState.ValueType
    changed_at: int
    detail: str
