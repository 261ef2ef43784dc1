"""What ANIP says of the people of a formality: asked over the road, each distinct person once a day at most.

Calls go out side by side, a few at a time, and what was answered is kept even if the next call finds ANIP away: a
company of a hundred partners does not begin anew. A number that ANIP merged is answered with the one that stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa

from adapters.business.tables import KIT, PERSON
from adapters.kit.desk import Desk
from adapters.kit.dossier import FINAL
from adapters.kit.housekeeping import BATCH
from adapters.kit.purposes import REGISTRATION_DUTY
from adapters.kit.road import Away, Refused, Road
from adapters.reasons import ProviderReason
from bj.identity.v1 import identity_pb2, identity_pb2_grpc

ANIP: Final = "BJ/GOV/ANIP/RNPP"
# At a time: ANIP serves the whole country.
_SIDE_BY_SIDE: Final = 4
# « Pas d'identité de plus de 24 h »: INV, as DOMAIN 5.8 says.
STALE_AFTER_MS: Final = 24 * 3_600_000

_SEX: Final = {identity_pb2.SEX_MALE: "M", identity_pb2.SEX_FEMALE: "F"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPerson:
    """What ANIP said of a number.

    Attributes:
        asked_npi: The number that was asked for.
        npi: The number that stands for it now.
        is_known: Whether there is such a record; if not, nothing else is known.
    """

    asked_npi: str
    npi: str
    last_name: str = ""
    first_names: str = ""
    marital_name: str = ""
    sex: str = ""
    birth_date: str = ""
    birth_place: str = ""
    is_deceased: bool = False
    is_known: bool = True

    def __repr__(self) -> str:
        return "KnownPerson(…)"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, and why the rest was not: empty if all was."""

    people: tuple[KnownPerson, ...]
    away: str


_COLUMNS: Final = tuple(part.name for part in fields(KnownPerson))


def ask(road: Road, npis: Sequence[str], case: str) -> Answers:
    """Ask ANIP for each of ``npis``, for the case ``case``; never inside a transaction."""
    if not npis:
        return Answers((), "")
    stub = road.stub(identity_pb2_grpc.IdentityServiceStub, ANIP)
    metadata = road.metadata(REGISTRATION_DUTY, case)

    def one(npi: str) -> KnownPerson | str:
        request = identity_pb2.GetPersonRequest(npi=npi, profile=identity_pb2.PERSON_PROFILE_LITE)
        try:
            return _known(npi, stub.GetPerson(request, metadata=metadata))
        except Away as away:
            return away.why or "away"
        except Refused as refused:
            if refused.reason == ProviderReason.NOT_FOUND and refused.domain.startswith(ANIP):
                return KnownPerson(asked_npi=npi, npi=npi, is_known=False)
            # A record that ANIP examines, an agreement that has run out: it passes, or somebody mends it.
            return refused.reason or "refused"

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as side_by_side:
        answers = list(side_by_side.map(one, npis))
    people = tuple(answer for answer in answers if isinstance(answer, KnownPerson))
    return Answers(people, next((answer for answer in answers if isinstance(answer, str)), ""))


def known_people(tx: sa.Connection, reference: str, now_ms: int) -> dict[str, KnownPerson]:
    """What ANIP said for a dossier within a day, by the number that was asked for."""
    fresh = PERSON.c.asked_at > now_ms - STALE_AFTER_MS
    query = sa.select(PERSON).where(PERSON.c.reference == reference, fresh)
    found = (KnownPerson(**{name: getattr(row, name) for name in _COLUMNS}) for row in tx.execute(query))
    return {person.asked_npi: person for person in found}


def remember(tx: sa.Connection, reference: str, people: Collection[KnownPerson], now_ms: int) -> None:
    """Keep what ANIP said for a dossier, in place of what it said before of the same numbers."""
    if not people:
        return
    asked = [person.asked_npi for person in people]
    tx.execute(PERSON.delete().where(PERSON.c.reference == reference, PERSON.c.asked_npi.in_(asked)))
    kept = {"reference": reference, "asked_at": now_ms}
    tx.execute(PERSON.insert(), [{name: getattr(one, name) for name in _COLUMNS} | kept for one in people])


def forget_people(desk: Desk, tx: sa.Connection) -> int:
    """Forget what ANIP said for dossiers that have ended: firms hold what they need of it. A chore of each night."""
    of_ended = sa.select(KIT.dossier.c.reference).where(KIT.dossier.c.state.in_(FINAL))
    old = (
        sa.select(PERSON.c.reference, PERSON.c.asked_npi).where(PERSON.c.reference.in_(of_ended)).limit(BATCH)
    )
    row = sa.tuple_(PERSON.c.reference, PERSON.c.asked_npi)
    return tx.execute(PERSON.delete().where(row.in_(old))).rowcount


def stands_for(people: Mapping[str, KnownPerson], npi: str) -> str:
    """The number that stands for ``npi`` now, as far as ANIP was asked."""
    return people[npi].npi if npi in people else npi


def _known(asked_npi: str, answer: identity_pb2.GetPersonResponse) -> KnownPerson:
    return KnownPerson(
        asked_npi=asked_npi,
        npi=answer.npi,
        last_name=answer.last_name,
        first_names=answer.first_names,
        marital_name=answer.marital_name,
        sex=_SEX.get(answer.sex, ""),
        birth_date=answer.birth_date,
        birth_place=answer.birth_place,
        is_deceased=answer.life_status == identity_pb2.LIFE_STATUS_DECEASED,
    )
