"""Tax number and employer's number of a registered firm: asked for side by side, neither waiting for the other.

An office that is away is asked again, and the registration stands meanwhile. One that refuses for good: DGI undoes the
registration (a firm without tax number cannot be), the CNSS does not (only a firm with workers needs its number).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from adapters.business import papers, people
from adapters.business.formality import CNSS, IFU, Formality
from adapters.business.forms import FORMS
from adapters.business.numbers import require_ifu_of
from adapters.business.offices import CNSS as CNSS_OFFICE
from adapters.business.offices import DGI, NewFirm, Office, OfficeClosedError, OfficeRefusedError, office
from adapters.business.records import Firm
from adapters.business.register import change_firm, firm_created_by
from adapters.business.steps import (
    COMPENSATED,
    DONE,
    FAILED,
    SETTLE,
    is_over,
    require_under_review,
    show_waiting,
)
from adapters.business.tidings import tell
from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import State
from adapters.kit.tasks import Finish, Task, TryAgain
from bj.business.v1 import events_pb2
from bj.common.v1 import dossier_pb2

# For the applicant, whose language the register speaks.
_OFFICE_AWAY: Final = "l'office ne répond pas ; l'immatriculation tient, nouvel essai à suivre"


def take_tax_number(desk: Desk, task: Task) -> Finish | None:
    """Ask DGI for the tax number; if it refuses for good, the registration is undone.

    Raises:
        TryAgain: It does not answer.
    """
    reference = task.reference
    firm = _firm_waiting(desk, reference, IFU)
    if firm is None:
        return None
    try:
        number = _ask(desk, office(desk.store, desk.clock, DGI), firm, IFU)
    except OfficeRefusedError as refused:
        detail = str(refused)

        def undo(tx: sa.Connection) -> None:
            dossier = desk.dossiers.get(tx, reference)
            if not is_over(dossier, desk, tx, IFU):
                desk.dossiers.set_step(tx, reference, IFU, FAILED, detail)
                reason = f"la DGI refuse l'immatriculation fiscale : {detail}"
                desk.dossiers.reject(tx, reference, "", reason)

        return undo

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, reference)
        if is_over(dossier, desk, tx, IFU):
            return
        numbered = _number_firm(tx, reference, ifu=number)
        desk.dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_IFU, number)
        desk.dossiers.set_step(tx, reference, IFU, DONE)
        papers.issue_tax_certificate(desk, tx, reference, numbered)
        _settle(desk, tx, reference)
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_MODIFIED, numbered, ("ifu",))

    return finish


def take_employer_number(desk: Desk, task: Task) -> Finish | None:
    """Ask the CNSS for the employer's number; if it refuses for good, the firm goes without.

    Raises:
        TryAgain: It does not answer.
    """
    reference = task.reference
    firm = _firm_waiting(desk, reference, CNSS)
    if firm is None:
        return None
    try:
        number = _ask(desk, office(desk.store, desk.clock, CNSS_OFFICE), firm, CNSS)
    except OfficeRefusedError as refused:
        detail = str(refused)

        def go_without(tx: sa.Connection) -> None:
            dossier = desk.dossiers.get(tx, reference)
            if not is_over(dossier, desk, tx, CNSS):
                desk.dossiers.set_step(tx, reference, CNSS, FAILED, detail)
                _settle(desk, tx, reference)

        return go_without

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, reference)
        if is_over(dossier, desk, tx, CNSS):
            return
        numbered = _number_firm(tx, reference, cnss_employer_no=number)
        desk.dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_CNSS_EMPLOYER_NO, number)
        desk.dossiers.set_step(tx, reference, CNSS, DONE)
        papers.issue_employer_certificate(desk, tx, reference, numbered)
        _settle(desk, tx, reference)
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_MODIFIED, numbered, ("cnss_employer_no",))

    return finish


def give_back_tax_number(desk: Desk, task: Task) -> Finish | None:
    """Tell DGI that the registration behind its number is undone."""
    return _give_back(desk, task, DGI, IFU)


def give_back_employer_number(desk: Desk, task: Task) -> Finish | None:
    """Tell the CNSS the same."""
    return _give_back(desk, task, CNSS_OFFICE, CNSS)


def _give_back(desk: Desk, task: Task, name: str, step: str) -> Finish | None:
    try:
        given = office(desk.store, desk.clock, name).give_back(task.reference)
    except OfficeClosedError:
        raise TryAgain(f"{name} closed") from None
    # A step that was never done has nothing to be compensated.
    state = COMPENSATED if given else FAILED
    return lambda tx: desk.dossiers.set_step(tx, task.reference, step, state)


def _firm_waiting(desk: Desk, reference: str, step: str) -> Firm | None:
    """The firm of a dossier that waits for an office; None if it does no more."""
    with desk.store.reading() as tx:
        dossier = desk.dossiers.get(tx, reference)
        return None if is_over(dossier, desk, tx, step) else firm_created_by(tx, reference)


def _ask(desk: Desk, asked: Office, firm: Firm, step: str) -> str:
    """The office's number for ``firm``.

    Raises:
        OfficeRefusedError: It refuses for good.
        TryAgain: It does not answer; the dossier says so.
    """
    with desk.store.reading() as tx:
        known = people.known_people(tx, firm.created_by, 0)
        dossier = desk.dossiers.get(tx, firm.created_by)
    sex = ""
    if FORMS[firm.legal_form].is_person:
        sex = known[Formality.of(dossier).managers[0]].sex
    try:
        number = asked.assign(NewFirm(firm.created_by, firm.rccm, firm.legal_form, sex))
    except OfficeClosedError:
        desk.store.write(lambda tx: show_waiting(desk, tx, firm.created_by, step, _OFFICE_AWAY))
        raise TryAgain(f"{step} closed") from None
    if step == IFU:
        # What does not agree with the holder is the office's fault and no number of this firm.
        require_ifu_of(number, firm.legal_form, "2" if sex == "F" else "1", day_of(desk.clock.now_ms()))
    return number


def _number_firm(tx: sa.Connection, reference: str, **numbers: str) -> Firm:
    firm = firm_created_by(tx, reference, to_change=True)
    if firm is None:
        raise LookupError("the firm of the dossier is gone")
    numbered = replace(firm, **numbers)  # type: ignore[arg-type]  # only texts are given
    change_firm(tx, numbered)
    return numbered


def settle(desk: Desk, task: Task) -> Finish:
    """Grant a dossier whose offices have spoken while its applicant was asked for something.

    Raises:
        TryAgain: By its end, if he still is.
    """

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, task.reference)
        if dossier.state.is_final or not _is_numbered(desk, tx, task.reference):
            return
        require_under_review(dossier)
        desk.dossiers.grant(tx, task.reference)

    return finish


def _settle(desk: Desk, tx: sa.Connection, reference: str) -> None:
    """Grant the dossier once both offices have spoken; until then, tell its consumer how far it is."""
    is_numbered = _is_numbered(desk, tx, reference)
    if is_numbered and desk.dossiers.get(tx, reference).state is State.UNDER_REVIEW:
        desk.dossiers.grant(tx, reference)
        return
    if is_numbered:
        # An officer asks the applicant for something: the numbers stand, the decision waits until it is taken up again.
        desk.tasks.add(tx, SETTLE, reference)
    desk.dossiers.report(tx, reference)


def _is_numbered(desk: Desk, tx: sa.Connection, reference: str) -> bool:
    """Whether DGI has given its number and the CNSS has spoken."""
    states = {step.name: step.state for step in desk.dossiers.steps(tx, reference)}
    return states.get(IFU) == DONE and states.get(CNSS) in (DONE, FAILED)
