"""Who may hold rights on land: a person by his NPI, a firm by its IFU."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bj.common.v1 import person_pb2


class PartyKind(StrEnum):
    """By which number a party is known; also the name of its field in ``bj.common.v1.Party``."""

    PERSON = "npi"
    FIRM = "ifu"


@dataclass(frozen=True, slots=True, order=True)
class Party:
    """Somebody who may hold rights. Its text never shows the number, which would end in a log."""

    kind: PartyKind
    number: str = field(repr=False)

    @property
    def is_person(self) -> bool:
        """Whether ANIP knows this party, rather than the tax office."""
        return self.kind is PartyKind.PERSON


def read_party(message: person_pb2.Party) -> Party:
    """The party that a request names; its form was checked by the rules of the proto."""
    kind = message.WhichOneof("party")
    if kind is None:
        raise ValueError("a party names a person or a firm")
    return Party(PartyKind.PERSON, message.npi) if kind == "npi" else Party(PartyKind.FIRM, message.ifu)


def party_message(party: Party) -> person_pb2.Party:
    """The party as answers name it."""
    if party.is_person:
        return person_pb2.Party(npi=party.number)
    return person_pb2.Party(ifu=party.number)
