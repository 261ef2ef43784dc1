"""What a ministry does at the turns of a dossier: one ``Procedure`` for each prestation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from adapters.kit.dossier import Dossier

if TYPE_CHECKING:
    from adapters.kit.desk import Desk


class Procedure:
    """The turns of one prestation's dossiers; whatever is not overridden does nothing.

    Each method runs in the transaction that moves the dossier, after the move: what it writes is committed with it, and
    an exception undoes both. It may move the dossier on, and must not call the road: what needs another member's answer
    becomes a task (``desk.tasks.add``), which goes on afterwards.

    Attributes:
        officer_steps: The steps that an officer may say are done; what another member must say is none of them.
    """

    officer_steps: frozenset[str] = frozenset()

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Its fee is settled, or it has none: queue the work, or grant at once.

        Of a fee that was paid, this comes in a commit after the payment's, and again until it succeeds; before that the
        dossier is neither taken up nor granted.
        """

    def corrected(
        self, desk: Desk, tx: sa.Connection, dossier: Dossier, answer: str, evidence: Sequence[str]
    ) -> None:
        """The applicant answered a CORRECTION_REQUESTED; it is UNDER_REVIEW again."""

    def step_done(self, desk: Desk, tx: sa.Connection, dossier: Dossier, name: str) -> None:
        """An officer said that the step ``name``, which was running, is done: go on with what waited for it."""

    def asked(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """An officer asks the applicant for something: it is CORRECTION_REQUESTED or INTERVIEW_REQUIRED."""

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """It is granted: change the register, issue documents and numbers, append events."""

    def rejected(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """It is rejected: give back what it held (a name, a parcel)."""

    def cancelled(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The applicant gave it up: as ``rejected``."""

    def expired(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """It was neither paid nor corrected in time: as ``rejected``."""
