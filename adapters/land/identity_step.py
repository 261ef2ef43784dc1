"""The step ``identity``: who sells, buys or is to hold is who ANIP knows, alive, by the number that stands today.

It is a task: ANIP is asked over the road, once for each person however often he appears, outside of any transaction.
ANIP away means to ask again later; the dossier waits, its step says so, and nobody is written in unseen. A number that
ANIP has merged is followed: from then on the register holds and understands the one that stands.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.kit.procedure import Procedure
from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away, Refused
from adapters.kit.tasks import Finish, Task, TryAgain
from adapters.land.claims import release_parcel
from adapters.land.parties import Party, PartyKind
from adapters.land.rights import mark_deceased, merge_party
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from bj.identity.v1 import identity_pb2, identity_pb2_grpc

KIND: Final = "identity"
STEP: Final = "identity"
ANIP: Final = "BJ/GOV/ANIP/RNPP"

# Where ANIP's answer is written; whatever else a dossier that is not final has come to, it may come back here.
_OPEN: Final = frozenset({State.FILED, State.UNDER_REVIEW})
_AWAY: Final = "l'ANIP ne répond pas, nouvel essai en cours · ANIP does not answer, trying again"
_LOCKED: Final = "une fiche est verrouillée par l'ANIP : s'y présenter · a record is locked by ANIP: go there"
_UNKNOWN: Final = "une des parties est inconnue de l'ANIP · one of the parties is unknown to ANIP"
_DECEASED: Final = (
    "un décès est enregistré pour une des parties · a death is registered for one of the parties"
)
_SAME: Final = "les parties sont une seule personne · the parties are one person"

# An answer of ANIP, or its reason for giving none.
_Answer = identity_pb2.GetPersonResponse | str


class IdentifiedProcedure(Procedure):
    """A prestation about a parcel whose parties are checked at ANIP before anybody decides.

    Attributes:
        table: Its rows by ``reference``, with ``<role>_kind``, ``<role>_number`` and ``<role>_name`` for each role.
        roles: The parties.
    """

    table: ClassVar[sa.Table]
    roles: ClassVar[tuple[str, ...]]

    def filed(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Ask ANIP: one task, also if one from before a correction still waits to be tried again."""
        desk.tasks.cancel(tx, KIND, dossier.reference)
        desk.dossiers.set_step(tx, dossier.reference, STEP, dossier_pb2.STEP_STATE_RUNNING)
        desk.tasks.add(tx, KIND, dossier.reference)

    def corrected(
        self, desk: Desk, tx: sa.Connection, dossier: Dossier, answer: str, evidence: object
    ) -> None:
        """Ask again, if the parties were not identified."""
        if not is_done(desk, tx, dossier.reference, STEP):
            self.filed(desk, tx, dossier)

    def rejected(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Give the parcel back."""
        self.ended(desk, tx, dossier)

    def cancelled(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Give the parcel back."""
        self.ended(desk, tx, dossier)

    def expired(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Give the parcel back."""
        self.ended(desk, tx, dossier)

    def ended(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """It ended without being granted: give the parcel back."""
        release_parcel(tx, dossier.reference)

    def identified(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """The parties are who they are said to be; the dossier is UNDER_REVIEW."""

    def row(self, tx: sa.Connection, reference: str) -> sa.Row[Any]:
        """What the register keeps of a dossier."""
        return tx.execute(sa.select(self.table).where(self.table.c.reference == reference)).one()

    def party(self, row: sa.Row[Any], role: str) -> Party:
        """One party of a row."""
        values = row._mapping
        return Party(PartyKind(values[f"{role}_kind"]), values[f"{role}_number"])


def is_done(desk: Desk, tx: sa.Connection, reference: str, step: str) -> bool:
    """Whether a step is done."""
    steps = {one.name: one.state for one in desk.dossiers.steps(tx, reference)}
    return steps.get(step) == dossier_pb2.STEP_STATE_DONE


def require_done(desk: Desk, tx: sa.Connection, reference: str, *steps: str) -> None:
    """Return if all ``steps`` are done; raises ``ProviderError`` (STATE_CONFLICT) else."""
    if not all(is_done(desk, tx, reference, step) for step in steps):
        raise ProviderError(ProviderReason.STATE_CONFLICT)


def check_identity(desk: Desk, task: Task) -> Finish | None:
    """Handler of the task: ask ANIP for each person of a dossier.

    Raises:
        TryAgain: ANIP does not answer, or the dossier is with its applicant or a judge and may come back.
    """
    with desk.store.reading() as tx:
        dossier = desk.dossiers.get(tx, task.reference)
        procedure = _procedure(desk, dossier)
        row = procedure.row(tx, task.reference)
        if not _is_wanted(desk, tx, dossier):
            return None
    parties = [procedure.party(row, role) for role in procedure.roles]
    try:
        answers = {
            number: _ask(desk, dossier.case, number)
            for number in sorted({party.number for party in parties if party.is_person})
        }
    except TryAgain:
        desk.store.write(lambda tx: _show_waiting(desk, tx, task.reference))
        raise
    return functools.partial(_finish, desk, task.reference, answers)


def _is_wanted(desk: Desk, tx: sa.Connection, dossier: Dossier) -> bool:
    """Whether ANIP's answer is to be written now; not if nobody waits for it any more.

    Raises:
        TryAgain: Not now: the dossier is heard or arbitrated, and nobody asks anew when that ends.
    """
    # After a correction ``corrected`` asks again.
    is_asked_anew = dossier.state is State.CORRECTION_REQUESTED
    if dossier.state.is_final or is_asked_anew or is_done(desk, tx, dossier.reference, STEP):
        return False
    if dossier.state not in _OPEN:
        raise TryAgain("dossier waits")
    return True


def _show_waiting(desk: Desk, tx: sa.Connection, reference: str) -> None:
    """Show that ANIP is asked again, if the dossier still waits for it."""
    if desk.dossiers.get(tx, reference).state not in _OPEN or is_done(desk, tx, reference, STEP):
        return
    desk.dossiers.show_trying(tx, reference, STEP, _AWAY)


def _ask(desk: Desk, case: str, npi: str) -> _Answer:
    stub = desk.road.stub(identity_pb2_grpc.IdentityServiceStub, ANIP)
    request = identity_pb2.GetPersonRequest(npi=npi)
    try:
        return stub.GetPerson(request, metadata=desk.road.metadata(REGISTRATION_DUTY, case))
    except Refused as refused:
        if refused.reason not in _REFUSALS or not refused.domain.startswith(ANIP):
            # No agreement yet, a purpose that it lacks, the layer's own NOT_FOUND: nothing that the parties could help.
            raise Away(refused.reason or refused.code.name) from None
        return refused.reason


_REFUSALS: Final = frozenset({"NOT_FOUND", "RECORD_LOCKED", "DECEASED"})


def _finish(desk: Desk, reference: str, answers: Mapping[str, _Answer], tx: sa.Connection) -> None:
    """Commit what ANIP said, if the dossier still waits for it.

    Raises:
        TryAgain: It came to be heard or arbitrated meanwhile; ANIP is asked anew after that.
    """
    dossier = desk.dossiers.get(tx, reference)
    if not _is_wanted(desk, tx, dossier):
        return
    procedure = _procedure(desk, dossier)
    _follow_merged(tx, answers)
    row = procedure.row(tx, reference)
    said = {role: _said(procedure.party(row, role), answers) for role in procedure.roles}
    tx.execute(
        procedure.table.update()
        .where(procedure.table.c.reference == reference)
        .values({key: value for role in said for key, value in _columns(role, said[role]).items()})
    )
    for person in answers.values():
        if isinstance(person, identity_pb2.GetPersonResponse) and _is_deceased(person):
            mark_deceased(tx, Party(PartyKind.PERSON, person.npi))
    reason = _objection(answers, [party for party, _ in said.values()])
    if reason == _LOCKED:
        desk.dossiers.set_step(tx, reference, STEP, dossier_pb2.STEP_STATE_FAILED, _LOCKED)
    elif reason:
        desk.dossiers.set_step(tx, reference, STEP, dossier_pb2.STEP_STATE_FAILED, reason)
        desk.dossiers.reject(tx, reference, "", reason)
        return
    else:
        desk.dossiers.set_step(tx, reference, STEP, dossier_pb2.STEP_STATE_DONE)
    if dossier.state is State.FILED:
        desk.dossiers.review(tx, reference)
    if not reason:
        procedure.identified(desk, tx, dossier)


def _objection(answers: Mapping[str, _Answer], parties: list[Party]) -> str:
    """Why the dossier cannot go on; empty if it can."""
    if "NOT_FOUND" in answers.values():
        return _UNKNOWN
    persons = [one for one in answers.values() if isinstance(one, identity_pb2.GetPersonResponse)]
    if "DECEASED" in answers.values() or any(map(_is_deceased, persons)):
        return _DECEASED
    if len(set(parties)) < len(parties):
        return _SAME
    return _LOCKED if "RECORD_LOCKED" in answers.values() else ""


def _follow_merged(tx: sa.Connection, answers: Mapping[str, _Answer]) -> None:
    for number, person in answers.items():
        if isinstance(person, identity_pb2.GetPersonResponse) and person.npi != number:
            merge_party(tx, Party(PartyKind.PERSON, number), Party(PartyKind.PERSON, person.npi))


def _said(party: Party, answers: Mapping[str, _Answer]) -> tuple[Party, str]:
    """The party by the number that stands, and its name."""
    person = answers.get(party.number) if party.is_person else None
    if isinstance(person, identity_pb2.GetPersonResponse):
        return Party(PartyKind.PERSON, person.npi), f"{person.last_name} {person.first_names}"
    return party, "" if party.is_person else f"IFU {party.number}"


def _columns(role: str, said: tuple[Party, str]) -> dict[str, str]:
    party, name = said
    return {f"{role}_kind": party.kind, f"{role}_number": party.number, f"{role}_name": name}


def _is_deceased(person: identity_pb2.GetPersonResponse) -> bool:
    return person.life_status == identity_pb2.LIFE_STATUS_DECEASED


def _procedure(desk: Desk, dossier: Dossier) -> IdentifiedProcedure:
    procedure = desk.procedure(dossier.service_code)
    if not isinstance(procedure, IdentifiedProcedure):
        raise TypeError(f"{dossier.reference} has no parties")
    return procedure
