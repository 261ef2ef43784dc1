"""What happens at the turns of a dossier: filed, granted, undone.

A formality is work of several steps (``work``), each a task; an extract is given at once, or by an officer from paper.
"""

from __future__ import annotations

import sqlalchemy as sa

from adapters.business import namebook, papers
from adapters.business.entries import strike_off
from adapters.business.formality import CNSS, IDENTITY, IFU, NAME, RCCM, Formality
from adapters.business.numbers import canonical_rccm
from adapters.business.records import Firm
from adapters.business.register import firm_by_rccm, firm_created_by
from adapters.business.steps import (
    ASK_IDENTITY,
    DONE,
    GIVE_BACK_EMPLOYER_NO,
    GIVE_BACK_TAX_NO,
    SETTLE,
    TAKE_EMPLOYER_NO,
    TAKE_TAX_NO,
)
from adapters.business.tidings import tell
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.kit.procedure import Procedure
from adapters.reasons import ProviderError, ProviderReason
from bj.business.v1 import events_pb2
from bj.business.v1 import formality_pb2 as pb
from bj.common.v1 import dossier_pb2


class FormalityProcedure(Procedure):
    """Creation, change and striking off."""

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The work begins, without an officer."""
        desk.dossiers.review(tx, dossier.reference)
        desk.dossiers.set_step(tx, dossier.reference, IDENTITY, dossier_pb2.STEP_STATE_RUNNING)
        desk.tasks.add(tx, ASK_IDENTITY, dossier.reference)

    def corrected(
        self, desk: Desk, tx: sa.Connection, dossier: Dossier, answer: str, evidence: object
    ) -> None:
        """What was done meanwhile and waited for the answer is looked at now."""
        desk.tasks.cancel(tx, SETTLE, dossier.reference)
        desk.tasks.add(tx, SETTLE, dossier.reference)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """All that had to be done is done: the documents that go with the end of the work.

        Nobody grants what is not done, an officer neither.
        """
        formality = Formality.of(dossier)
        done = {step.name for step in desk.dossiers.steps(tx, dossier.reference) if step.state == DONE}
        needed = set(formality.steps) - {CNSS}
        if not needed <= done:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        if formality.kind == pb.FORMALITY_KIND_CREATE:
            firm = _require(firm_created_by(tx, dossier.reference))
            papers.issue_professional_card(desk, tx, dossier.reference, firm)
        else:
            firm = _require(firm_by_rccm(tx, canonical_rccm(formality.request.rccm)))
            papers.issue_extract(desk, tx, dossier.reference, firm)

    def rejected(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """What was done for it is undone, the last first; its name is its applicant's again."""
        firm = firm_created_by(tx, dossier.reference)
        if firm is not None:
            self._undo(desk, tx, dossier.reference, firm)
        namebook.let_go(tx, dossier.reference)

    def cancelled(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Nothing is registered yet. A firm that stands in the register ends by being struck off, not like this."""
        if firm_created_by(tx, dossier.reference) is not None:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        namebook.let_go(tx, dossier.reference)

    def expired(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Never paid, or not corrected in time: then a firm may stand in the register already, and is undone."""
        self.rejected(desk, tx, dossier)

    def _undo(self, desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
        """Strike the firm off and give the offices' numbers back; its number and theirs are never given again."""
        states = {step.name: step.state for step in desk.dossiers.steps(tx, reference)}
        for step, take, give_back in (
            (IFU, TAKE_TAX_NO, GIVE_BACK_TAX_NO),
            (CNSS, TAKE_EMPLOYER_NO, GIVE_BACK_EMPLOYER_NO),
        ):
            desk.tasks.cancel(tx, take, reference)
            if states.get(step) != dossier_pb2.STEP_STATE_FAILED:
                # Also of a step that ran: what the office gave meanwhile nobody has heard of.
                desk.tasks.add(tx, give_back, reference)
        changed = strike_off(tx, firm, desk.clock.now_ms())
        for step in (NAME, RCCM):
            desk.dossiers.set_step(tx, reference, step, dossier_pb2.STEP_STATE_COMPENSATED)
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_STRUCK_OFF, changed.firm, changed.fields)


class ExtractProcedure(Procedure):
    """An extract: at once, or as soon as an officer has read the paper."""

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Grant at once what the digital register holds."""
        if not _firm_of(tx, dossier).on_paper:
            desk.dossiers.grant(tx, dossier.reference)

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The extract, as the register stands now."""
        papers.issue_extract(desk, tx, dossier.reference, _firm_of(tx, dossier))


def _firm_of(tx: sa.Connection, dossier: Dossier) -> Firm:
    return _require(firm_by_rccm(tx, dossier.details.decode()))


def _require(firm: Firm | None) -> Firm:
    if firm is None:
        raise LookupError("the firm of the dossier is gone")
    return firm
