"""How far the steps of a formality are, and the tasks that do them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.tasks import TryAgain
from bj.common.v1 import dossier_pb2

# Kinds of tasks, in the order of the work.
ASK_IDENTITY: Final = "formality_identity"
REGISTER: Final = "formality_register"
TAKE_TAX_NO: Final = "formality_ifu"
TAKE_EMPLOYER_NO: Final = "formality_cnss"
SETTLE: Final = "formality_settle"
GIVE_BACK_TAX_NO: Final = "formality_ifu_back"
GIVE_BACK_EMPLOYER_NO: Final = "formality_cnss_back"

RUNNING: Final = dossier_pb2.STEP_STATE_RUNNING
DONE: Final = dossier_pb2.STEP_STATE_DONE
FAILED: Final = dossier_pb2.STEP_STATE_FAILED
COMPENSATED: Final = dossier_pb2.STEP_STATE_COMPENSATED


def is_over(dossier: Dossier, desk: Desk, tx: sa.Connection, step: str) -> bool:
    """Whether ``step`` is done or will not be: the task ran before, or the dossier ended."""
    if dossier.state.is_final:
        return True
    states = {one.name: one.state for one in desk.dossiers.steps(tx, dossier.reference)}
    return states.get(step) in (DONE, FAILED, COMPENSATED)


def require_under_review(dossier: Dossier) -> None:
    """Return if the work may go on; raises ``TryAgain`` while the applicant is asked for something."""
    if dossier.state is not State.UNDER_REVIEW:
        raise TryAgain("dossier waits")


def show_waiting(desk: Desk, tx: sa.Connection, reference: str, step: str, detail: str) -> None:
    """Show that a step is tried again, if it is still to be done, and report it."""
    dossier = desk.dossiers.get(tx, reference)
    if is_over(dossier, desk, tx, step):
        return
    if desk.dossiers.show_trying(tx, reference, step, detail):
        desk.dossiers.report(tx, reference)
