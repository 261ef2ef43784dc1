"""Who somebody is, as ANIP says it over the road.

``GetPerson`` and not ``VerifyPerson``: a contract comes with a personal number alone, the visa shows the names, and the
age of an apprentice is the ministry's to judge. The agreement's mask keeps the rest of the record at ANIP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from adapters.kit.road import Away, Refused, Road
from adapters.reasons import ProviderError, ProviderReason
from bj.identity.v1 import identity_pb2
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub

ANIP: Final = "BJ/GOV/ANIP/RNPP"
NATIONAL: Final = "BEN"

# What ANIP says of a person, and what it means to whoever handed the number in.
_VERDICTS: Final = {
    "NOT_FOUND": ProviderReason.IDENTITY_MISMATCH,
    "DECEASED": ProviderReason.DECEASED,
    "RECORD_LOCKED": ProviderReason.RECORD_LOCKED,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who lives.

    Attributes:
        npi: The number that stands for him: another than the one asked for if that was merged.
        name: Last name, then first names, as ANIP writes them.
        birth_date: As far as it is known.
        nationality: ISO 3166-1 alpha-3; empty if it is not known.
    """

    npi: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    nationality: str = field(repr=False)

    @property
    def is_foreign(self) -> bool:
        """Whether ANIP knows him for a foreigner."""
        return self.nationality not in ("", NATIONAL)


def identify(road: Road, npi: str, purpose: str, issue: str, *, timeout_s: float | None = None) -> Person:
    """Ask ANIP; never inside a transaction.

    Args:
        road: The ministry's own.
        npi: Who.
        purpose: For what: that of the call or dossier.
        issue: The dossier that it is asked for; empty if the call named none.
        timeout_s: How long to wait; None for what ``adapter.toml`` says.

    Raises:
        ProviderError: ANIP has no such person (IDENTITY_MISMATCH), or says that he died (DECEASED) or that his record is
            locked (RECORD_LOCKED).
        Away: ANIP, or the road to it, does not answer; or the layer does not let the question through.
    """
    stub = road.stub(IdentityServiceStub, ANIP)
    try:
        found = stub.GetPerson(
            identity_pb2.GetPersonRequest(npi=npi, profile=identity_pb2.PERSON_PROFILE_LITE),
            metadata=road.metadata(purpose, issue),
            timeout=timeout_s,
        )
    except Refused as refused:
        verdict = _VERDICTS.get(refused.reason) if refused.domain.startswith(ANIP) else None
        if verdict is None:
            raise Away(f"ANIP: {refused.reason or refused.code.name}") from None
        raise ProviderError(verdict) from None
    if found.life_status == identity_pb2.LIFE_STATUS_DECEASED:
        raise ProviderError(ProviderReason.DECEASED)
    return Person(
        npi=found.npi or npi,
        name=f"{found.last_name} {found.first_names}".strip(),
        birth_date=found.birth_date,
        nationality=found.nationality,
    )
