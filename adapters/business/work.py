"""The first steps of a formality, each a task that bears a second run.

``identity`` asks ANIP of each person; ``register`` changes name and entry in one commit. A creation goes on with
``numbering``, at the two offices side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from adapters.business import papers, people
from adapters.business.entries import change_entry, register_firm, strike_off_entry
from adapters.business.formality import CNSS, IDENTITY, IFU, NAME, RCCM, Formality
from adapters.business.numbers import canonical_rccm
from adapters.business.people import KnownPerson, stands_for
from adapters.business.records import Firm
from adapters.business.register import follow_merger, leaders_of
from adapters.business.steps import (
    DONE,
    FAILED,
    REGISTER,
    RUNNING,
    TAKE_EMPLOYER_NO,
    TAKE_TAX_NO,
    is_over,
    require_under_review,
    show_waiting,
)
from adapters.business.tidings import tell
from adapters.kit.desk import Desk
from adapters.kit.tasks import Finish, Task, TryAgain
from bj.business.v1 import events_pb2
from bj.business.v1 import formality_pb2 as pb
from bj.common.v1 import dossier_pb2

# For the applicant, whose language the register speaks.
_ANIP_AWAY: Final = "l'ANIP ne répond pas ; nouvel essai à suivre"
_UNKNOWN: Final = "IDENTITY_MISMATCH : l'ANIP ne connaît pas le numéro d'une des personnes nommées"
_DECEASED: Final = "DECEASED : un décès est enregistré pour une des personnes nommées"
_NO_LEADER: Final = (
    "IDENTITY_MISMATCH : le demandeur n'est ni exploitant, ni gérant, ni administrateur de l'entreprise"
)


def ask_identity(desk: Desk, task: Task) -> Finish | None:
    """Ask ANIP of each person that it has not answered for yet.

    Raises:
        TryAgain: ANIP did not answer for all.
    """
    reference, now_ms = task.reference, desk.clock.now_ms()
    with desk.store.reading() as tx:
        dossier = desk.dossiers.get(tx, reference)
        if is_over(dossier, desk, tx, IDENTITY):
            return None
        formality = Formality.of(dossier)
        known = people.known_people(tx, reference, now_ms)
        wanted = _people_to_ask(tx, formality)
    answers = people.ask(desk.road, [npi for npi in wanted if npi not in known], dossier.case)
    if answers.away:
        desk.store.write(lambda tx: _remember_and_wait(desk, tx, reference, answers, now_ms))
        raise TryAgain(f"anip {answers.away}")
    known |= {person.asked_npi: person for person in answers.people}

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, reference)
        if is_over(dossier, desk, tx, IDENTITY):
            return
        people.remember(tx, reference, answers.people, now_ms)
        for person in known.values():
            if person.npi != person.asked_npi:
                follow_merger(tx, person.asked_npi, person.npi)
        reason = _refusal(tx, formality, known)
        if reason:
            desk.dossiers.set_step(tx, reference, IDENTITY, FAILED, reason)
            desk.dossiers.reject(tx, reference, "", reason)
            return
        desk.dossiers.set_step(tx, reference, IDENTITY, DONE)
        desk.tasks.add(tx, REGISTER, reference)

    return finish


def _people_to_ask(tx: sa.Connection, formality: Formality) -> list[str]:
    """Whom the request names; of a change also who may ask for it, if the applicant is not seen to be one of them."""
    named = formality.people
    if formality.kind == pb.FORMALITY_KIND_CREATE or not formality.applicant_npi:
        return named
    leaders = [one.npi for one in leaders_of(tx, canonical_rccm(formality.request.rccm))]
    if formality.applicant_npi not in leaders:
        named += leaders
    return list(dict.fromkeys(named))


def _remember_and_wait(
    desk: Desk, tx: sa.Connection, reference: str, answers: people.Answers, now_ms: int
) -> None:
    people.remember(tx, reference, answers.people, now_ms)
    show_waiting(desk, tx, reference, IDENTITY, _ANIP_AWAY)


def _refusal(tx: sa.Connection, formality: Formality, known: Mapping[str, KnownPerson]) -> str:
    """Why these people cannot do this; empty if they can."""
    named = [known[npi] for npi in formality.people]
    if not all(person.is_known for person in named):
        return _UNKNOWN
    if any(person.is_deceased for person in named):
        return _DECEASED
    if formality.kind == pb.FORMALITY_KIND_CREATE or not formality.applicant_npi:
        return ""
    # Mergers are followed in the register already, above.
    leaders = {one.npi for one in leaders_of(tx, canonical_rccm(formality.request.rccm))}
    return "" if stands_for(known, formality.applicant_npi) in leaders else _NO_LEADER


def register(desk: Desk, task: Task) -> Finish | None:
    """Change the register: all of it in one commit.

    Raises:
        TryAgain: By its end, if the applicant is asked for something: nothing is registered meanwhile.
    """
    reference = task.reference

    def finish(tx: sa.Connection) -> None:
        dossier = desk.dossiers.get(tx, reference)
        if is_over(dossier, desk, tx, RCCM):
            return
        require_under_review(dossier)
        formality, now_ms = Formality.of(dossier), desk.clock.now_ms()
        # What ANIP said when the step was done holds, however long this task waited since.
        known = people.known_people(tx, reference, 0)
        if NAME in formality.steps:
            desk.dossiers.set_step(tx, reference, NAME, DONE)
        desk.dossiers.set_step(tx, reference, RCCM, DONE)
        if formality.kind == pb.FORMALITY_KIND_CREATE:
            _register_new(desk, tx, reference, register_firm(tx, reference, formality, known, now_ms))
            return
        if formality.kind == pb.FORMALITY_KIND_MODIFY:
            changed = change_entry(tx, reference, formality, known, now_ms)
        else:
            changed = strike_off_entry(tx, formality, now_ms)
        desk.dossiers.grant(tx, reference)
        _tell_change(
            desk, tx, formality, changed.firm, changed.fields, leaders_changed=changed.leaders_changed
        )

    return finish


def _register_new(desk: Desk, tx: sa.Connection, reference: str, firm: Firm) -> None:
    desk.dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_RCCM, firm.rccm)
    papers.issue_extract(desk, tx, reference, firm)
    for step, take in ((IFU, TAKE_TAX_NO), (CNSS, TAKE_EMPLOYER_NO)):
        desk.dossiers.set_step(tx, reference, step, RUNNING)
        desk.tasks.add(tx, take, reference)
    desk.dossiers.report(tx, reference)
    fields = (
        "rccm",
        "name",
        "legal_form",
        "status",
        "capital_xof",
        "activity",
        "seat",
        "registered_on",
        "court",
    )
    tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_REGISTERED, firm, fields)


def _tell_change(
    desk: Desk,
    tx: sa.Connection,
    formality: Formality,
    firm: Firm,
    fields: tuple[str, ...],
    *,
    leaders_changed: bool,
) -> None:
    if formality.kind == pb.FORMALITY_KIND_STRIKE_OFF:
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_STRUCK_OFF, firm, fields)
        return
    if leaders_changed:
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_MANAGER_CHANGED, firm, ())
    if fields or not leaders_changed:
        tell(desk, tx, events_pb2.REGISTRY_EVENT_TYPE_MODIFIED, firm, fields)
