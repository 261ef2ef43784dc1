"""The visa of a contract, from filing to decision.

Steps: ``identity`` (ANIP knows the worker, and he lives), ``employer`` (the firm is active at APIEx), ``warnings`` (what
the officer should look at). Nothing is vised before the first two are done. What ANIP or APIEx says for good against the
contract rejects it; while they do not answer, they are asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import month_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.numbers import next_number
from adapters.kit.procedure import Procedure
from adapters.labour.contract import (
    Caution,
    ContractKind,
    Faults,
    apprentice_faults,
    foreigner_faults,
    permit_faults,
)
from adapters.labour.contracts import (
    CLOSED,
    VISED,
    FiledContract,
    change_contract,
    contract_of,
    find_permit,
    first_permit_day,
)
from adapters.labour.identity import Person
from adapters.labour.ruleset import Ruleset
from adapters.labour.stamp import stamp
from adapters.labour.telling import tell
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.labour.v1 import events_pb2

IDENTITY: Final = "identity"
EMPLOYER: Final = "employer"
WARNINGS: Final = "warnings"

# Tasks; see ``adapters.labour.work``.
ASK_IDENTITY: Final = "visa.identity"
ASK_EMPLOYER: Final = "visa.employer"
TELL_OVERDUE: Final = "visa.overdue"
TELL_PERMIT: Final = "visa.permit"

CAUTIONS: Final = {
    Caution.OVERLAPPING_CONTRACT: "un autre contrat à durée déterminée du travailleur court en même temps",
    Caution.CONTRIBUTIONS_LATE: "les cotisations de l'employeur sont en retard",
    Caution.ALREADY_BEGUN: "le contrat a commencé avant son dépôt",
}


def worker_faults(
    tx: sa.Connection, filed: FiledContract, npis: Collection[str], person: Person, rules: Ruleset
) -> Faults:
    """What is wrong with this contract for this worker: nothing can be told of it before ANIP was asked.

    Args:
        tx: The transaction.
        filed: The contract.
        npis: The worker's numbers: the one that stands, and those that were merged into it.
        person: What ANIP says of him.
        rules: Ages and years.
    """
    contract = filed.contract
    faults = apprentice_faults(contract, person.birth_date, rules)
    is_foreign = contract.kind is ContractKind.FOREIGN or bool(filed.work_permit_no)
    if not is_foreign and person.is_foreign:
        faults["work_permit_no"] = "a foreigner needs a work permit"
    elif is_foreign:
        permit = find_permit(tx, filed.work_permit_no)
        first = first_permit_day(tx, npis) or contract.term.start
        faults |= permit_faults(permit, npis, contract.term.start)
        faults |= foreigner_faults(contract.term, first, rules)
    return faults


class ContractVisa(Procedure):
    """What happens at the turns of a visa's dossier."""

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Ask whom it takes, watch the promised day, tell that it came."""
        steps = {step.name: step.state for step in desk.dossiers.steps(tx, dossier.reference)}
        for step, task in ((IDENTITY, ASK_IDENTITY), (EMPLOYER, ASK_EMPLOYER)):
            if steps[step] != dossier_pb2.STEP_STATE_DONE:
                desk.tasks.add(tx, task, dossier.reference)
        desk.tasks.add(tx, TELL_OVERDUE, dossier.reference, due_at_ms=dossier.due_at)
        tell(desk, tx, contract_of(tx, dossier.reference), events_pb2.VISA_EVENT_TYPE_FILED, "state")

    def corrected(
        self, desk: Desk, tx: sa.Connection, dossier: Dossier, answer: str, evidence: Sequence[str]
    ) -> None:
        """The first paper handed in anew is the contract: it is the one that gets the stamp."""
        if evidence:
            now_ms = desk.clock.now_ms()
            change_contract(tx, dossier.reference, now_ms, contract_sha256=evidence[0])

    def asked(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The portal hears that somebody must do something; what, it reads in the dossier."""
        kinds = {
            State.CORRECTION_REQUESTED: events_pb2.VISA_EVENT_TYPE_CORRECTION_REQUESTED,
            State.INTERVIEW_REQUIRED: events_pb2.VISA_EVENT_TYPE_INTERVIEW_REQUIRED,
        }
        tell(desk, tx, contract_of(tx, dossier.reference), kinds[dossier.state], "state", "reason")

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The contract gets its number and its stamp.

        Raises:
            ProviderError: ANIP or APIEx has not answered yet (STATE_CONFLICT).
        """
        steps = {step.name: step.state for step in desk.dossiers.steps(tx, dossier.reference)}
        if {steps[IDENTITY], steps[EMPLOYER]} != {dossier_pb2.STEP_STATE_DONE}:
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        now_ms = desk.clock.now_ms()
        month = month_of(now_ms)
        visa_no = f"VISA-{month}-{next_number(tx, f'VISA-{month}'):04d}"
        change_contract(tx, dossier.reference, now_ms, state=VISED, visa_no=visa_no)
        vised = contract_of(tx, dossier.reference)
        desk.dossiers.issue_number(tx, dossier.reference, dossier_pb2.ISSUED_NUMBER_TYPE_VISA_NO, visa_no)
        stamp(desk, tx, vised)
        desk.tasks.cancel(tx, TELL_OVERDUE, dossier.reference)
        if vised.work_permit_no:
            desk.tasks.add(tx, TELL_PERMIT, dossier.reference)
        tell(desk, tx, vised, events_pb2.VISA_EVENT_TYPE_VISED, "state", "visa_no", "documents")

    def rejected(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The contract binds nobody."""
        self._close(desk, tx, dossier)
        tell(
            desk,
            tx,
            contract_of(tx, dossier.reference),
            events_pb2.VISA_EVENT_TYPE_REJECTED,
            "state",
            "reason",
        )

    def cancelled(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The same; whoever gave it up knows it."""
        self._close(desk, tx, dossier)

    def expired(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The same."""
        self._close(desk, tx, dossier)

    def _close(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        change_contract(tx, dossier.reference, desk.clock.now_ms(), state=CLOSED)
        for kind in (ASK_IDENTITY, ASK_EMPLOYER, TELL_OVERDUE):
            desk.tasks.cancel(tx, kind, dossier.reference)
