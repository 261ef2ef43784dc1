"""What a persona has outside of the register of persons, in a few words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from adapters.world.personas.firms import ENTRIES
from adapters.world.personas.land import ESTATES
from adapters.world.personas.work import HIRINGS, SEEKERS
from adapters.world.records.business import RelationRole
from adapters.world.records.labour import ContractState, ContractType
from adapters.world.records.land import Holding, Parcel
from core.language import Text

_ROLES: Final = {
    RelationRole.MANAGER: Text("gérant", "manager"),
    RelationRole.PARTNER: Text("associé", "partner"),
    RelationRole.DIRECTOR: Text("administrateur", "director"),
    RelationRole.AUDITOR: Text("commissaire aux comptes", "auditor"),
    RelationRole.OWNER: Text("exploitant", "owner"),
}
_CONTRACTS: Final = {ContractType.FOREIGN: Text("contrat d'étranger", "foreigner's contract")}
_STATES: Final = {
    ContractState.GRANTED: Text("visé", "with visa"),
    ContractState.REJECTED: Text("rejeté", "rejected"),
    ContractState.UNDER_REVIEW: Text("à l'examen", "under review"),
}


def elsewhere(npi: str) -> tuple[Text, ...]:
    """One text per parcel, firm, contract and entry on the list of job seekers, in this order."""
    return tuple(chain(_land(npi), _firms(npi), _work(npi)))


def _land(npi: str) -> Iterator[Text]:
    for estate in ESTATES:
        for holding in estate.holdings:
            if holding.npi == npi:
                yield _holding(estate.parcel, holding)
        for opposition in estate.charges.oppositions:
            if opposition.opponent_npi == npi:
                nup = estate.parcel.nup
                yield Text(f"opposant NUP {nup}", f"opponent NUP {nup}")


def _holding(parcel: Parcel, holding: Holding) -> Text:
    share = "" if holding.denominator == 1 else f"{holding.numerator}/{holding.denominator} "
    number = f"NUP {parcel.nup}" if parcel.nup else "sans NUP / without NUP"
    title = f" ({parcel.title_no})" if parcel.title_no else ""
    fr, _, en = number.partition(" / ")
    return Text(f"{share}{fr}{title}", f"{share}{en or fr}{title}")


def _firms(npi: str) -> Iterator[Text]:
    for entry in ENTRIES:
        for relation in entry.relations:
            if relation.npi == npi:
                role, former = _ROLES[relation.role], bool(relation.to_date)
                yield Text(
                    f"{role.fr}{' (ancien)' if former else ''} {relation.rccm}",
                    f"{role.en}{' (former)' if former else ''} {relation.rccm}",
                )


def _work(npi: str) -> Iterator[Text]:
    for hiring in HIRINGS:
        contract = hiring.contract
        if contract.worker_npi == npi:
            kind = _CONTRACTS.get(contract.type, Text(contract.type, contract.type))
            state = _STATES[contract.state]
            yield Text(
                f"{kind.fr} {state.fr} {contract.reference}", f"{kind.en} {state.en} {contract.reference}"
            )
    for seeker in SEEKERS:
        if seeker.npi == npi:
            yield Text(f"demandeur d'emploi {seeker.seeker_no}", f"job seeker {seeker.seeker_no}")
